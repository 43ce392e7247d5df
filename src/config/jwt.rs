//! `[http.jwt]`: what it says, as the settings of the HTTP side.

use std::path::PathBuf;

use serde::Deserialize;

use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{AUDIENCE_WORDS, ISSUER_WORDS, JWT_SECRET_WORDS, SERVICE_WORDS};
use super::report::Report;
use super::{defaults, secret_file};
use crate::http::{JwtConfig, JwtKeys, JwtSecret};
use crate::source::config::{Secret, redact_url};

/// `[http.jwt]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtSection {
    issuer: Option<String>,
    audience: Option<String>,
    jwks_url: Option<String>,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    name_claim: Option<String>,
    cameras_claim: Option<String>,
    actions_claim: Option<String>,
}

/// Reads `[http.jwt]` at `path`. `None` without it, or with a fault in the report.
pub(super) fn jwt(section: Option<JwtSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<JwtConfig> {
    let section = section?;
    let mut required = |value: Option<String>, key: &str, words: &str| {
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            report.value(&path.key(key), format!("no {key}"), words);
        }
        value
    };
    let issuer = required(section.issuer, "issuer", ISSUER_WORDS);
    let audience = required(section.audience, "audience", AUDIENCE_WORDS);
    let keys = match (section.jwks_url, section.secret, section.secret_file) {
        (Some(url), None, None) => service(&url, &path.key("jwks_url"), report).map(JwtKeys::Published),
        (None, Some(text), None) => secret(&text, "a shorter one", &path.key("secret"), report),
        (None, None, Some(file)) => {
            let (path, file) = (path.key("secret_file"), secret_file::find(report.document().folder(), &file));
            report.note_file(&file);
            match secret_file::read(&file) {
                Ok(text) => secret(&text, "a file with a shorter one", &path, report),
                Err(why) => {
                    report.value(&path, format!("a file which {why}"), JWT_SECRET_WORDS);
                    None
                }
            }
        }
        (None, None, None) => {
            report.value(
                &path.key("jwks_url"),
                "no jwks_url",
                format!("{SERVICE_WORDS}, or else secret or secret_file"),
            );
            None
        }
        (Some(_), Some(_) | None, _) => {
            report.add(&path.key("jwks_url"), Problem::Exclusive { first: "jwks_url", second: "secret" });
            None
        }
        (None, Some(_), Some(_)) => {
            report.add(&path.key("secret_file"), Problem::Exclusive { first: "secret", second: "secret_file" });
            None
        }
    };
    let claim = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_owned());
    Some(JwtConfig {
        issuer: issuer?,
        audience: audience?,
        keys: keys?,
        name_claim: claim(section.name_claim, defaults::NAME_CLAIM),
        cameras_claim: claim(section.cameras_claim, defaults::CAMERAS_CLAIM),
        actions_claim: claim(section.actions_claim, defaults::ACTIONS_CLAIM),
    })
}

fn secret(text: &Secret, found: &str, path: &KeyPath, report: &mut Report<'_>) -> Option<JwtKeys> {
    let secret = JwtSecret::new(text.expose()).map(JwtKeys::Secret);
    if secret.is_none() {
        report.value(path, found, JWT_SECRET_WORDS);
    }
    secret
}

/// The address of a service that the gateway asks.
pub(super) fn service<T: TryFrom<String>>(text: &str, path: &KeyPath, report: &mut Report<'_>) -> Option<T> {
    let url = url::Url::parse(text).ok().filter(|url| {
        let is_bare = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && url.fragment().is_none()
    });
    let uri = url.and_then(|url| T::try_from(url.to_string()).ok());
    if uri.is_none() {
        report.value(path, super::check::quote(&redact_url(text)), SERVICE_WORDS);
    }
    uri
}
