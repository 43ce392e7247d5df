//! `[http.forward_auth]`: what it says, as the settings of the HTTP side.

use std::str::FromStr;

use serde::Deserialize;

use super::check::quote;
use super::defaults;
use super::jwt::service;
use super::key_path::KeyPath;
use super::keys::{HEADER_WORDS, SERVICE_WORDS};
use super::network::seconds;
use super::report::Report;
use crate::http::ForwardConfig;

/// `[http.forward_auth]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardSection {
    url: Option<String>,
    user_header: Option<String>,
    cameras_header: Option<String>,
    cache_seconds: Option<f64>,
    timeout_seconds: Option<f64>,
}

/// Reads `[http.forward_auth]` at `path`. `None` without it, or with a fault in the report.
pub(super) fn forward_auth(
    section: Option<ForwardSection>,
    path: &KeyPath,
    report: &mut Report<'_>,
) -> Option<ForwardConfig> {
    let section = section?;
    let url = match section.url {
        Some(url) => service(&url, &path.key("url"), report),
        None => {
            report.value(&path.key("url"), "no url", SERVICE_WORDS);
            None
        }
    };
    let user = section.user_header.unwrap_or_else(|| defaults::USER_HEADER.to_owned());
    let user_header = name(&user, &path.key("user_header"), report);
    let cameras_header = section.cameras_header.map(|text| name(&text, &path.key("cameras_header"), report).ok_or(()));
    Some(ForwardConfig {
        url: url?,
        user_header: user_header?,
        cameras_header: cameras_header.transpose().ok()?,
        cache: seconds(section.cache_seconds, defaults::FORWARD_CACHE),
        timeout: seconds(section.timeout_seconds, defaults::FORWARD_TIMEOUT),
    })
}

fn name<T: FromStr>(text: &str, path: &KeyPath, report: &mut Report<'_>) -> Option<T> {
    let name = text.parse().ok();
    if name.is_none() {
        report.value(path, quote(text), HEADER_WORDS);
    }
    name
}
