//! The entries of `[webrtc] ice_servers`: what they say, as servers that viewers can be told of.

use std::path::PathBuf;

use serde::Deserialize;

use super::check::quote;
use super::defaults;
use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::ICE_URL_WORDS;
use super::network::seconds;
use super::report::Report;
use super::secret_file;
use crate::peer::{Credential, IceServerConfig, IceUrl, TurnLogin};
use crate::source::config::Secret;

/// One entry as serde reads it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum IceServerEntry {
    Url(String),
    Table(IceServerSection),
}

/// A table as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IceServerSection {
    urls: Option<Vec<String>>,
    username: Option<String>,
    credential: Option<Secret>,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    lifetime_seconds: Option<f64>,
}

/// Reads the entry at `path`.
pub(super) fn ice_server(entry: IceServerEntry, path: &KeyPath, report: &mut Report<'_>) -> IceServerConfig {
    let (urls, urls_path, table) = match entry {
        IceServerEntry::Url(url) => (vec![(url, path.clone())], path.clone(), IceServerSection::default()),
        IceServerEntry::Table(mut table) => {
            let urls_path = path.key("urls");
            let urls = table.urls.take().unwrap_or_default().into_iter().enumerate();
            (urls.map(|(index, url)| (url, urls_path.index(index))).collect(), urls_path, table)
        }
    };
    if urls.is_empty() {
        report.value(&urls_path, "no URL", format_args!("at least one {ICE_URL_WORDS}"));
    }
    let urls: Vec<IceUrl> = (urls.into_iter())
        .filter_map(|(url, path)| {
            let refuse = |why| report.value(&path, format!("{} ({why})", quote(&url)), ICE_URL_WORDS);
            url.parse().map_err(refuse).ok()
        })
        .collect();
    let login = login(table, urls.iter().any(IceUrl::is_turn), path, report);
    IceServerConfig { urls, login }
}

fn login(table: IceServerSection, needed: bool, path: &KeyPath, report: &mut Report<'_>) -> Option<TurnLogin> {
    let IceServerSection { username, credential, secret, secret_file, lifetime_seconds, .. } = table;
    let has_secret = secret.is_some() || secret_file.is_some();
    if credential.is_some() && has_secret {
        report.add(path, Problem::Exclusive { first: "credential", second: "secret" });
        return None;
    }
    if lifetime_seconds.is_some() && !has_secret {
        let missing = "secret or secret_file";
        report.add(&path.key("lifetime_seconds"), Problem::Unpaired { given: "lifetime_seconds", missing });
    }
    if has_secret {
        let secret = shared_secret(secret, secret_file, path, report)?;
        let lifetime = seconds(lifetime_seconds, defaults::TURN_LIFETIME);
        return Some(TurnLogin::Shared { secret: Credential::new(secret.expose()), name: username, lifetime });
    }
    match (username, credential) {
        (Some(username), Some(credential)) => {
            return Some(TurnLogin::Fixed { username, credential: Credential::new(credential.expose()) });
        }
        (Some(_), None) => {
            report.add(path, Problem::Unpaired { given: "username", missing: "credential, secret or secret_file" });
        }
        (None, Some(_)) => report.add(path, Problem::Unpaired { given: "credential", missing: "username" }),
        (None, None) if needed => report.value(
            path,
            "a turn URL without username and credential and without secret",
            "{ urls = [\"turn:...\"], username = \"...\", credential = \"...\" } or { urls = [\"turn:...\"], secret = \"...\" }",
        ),
        (None, None) => {}
    }
    None
}

fn shared_secret(
    secret: Option<Secret>,
    file: Option<PathBuf>,
    path: &KeyPath,
    report: &mut Report<'_>,
) -> Option<Secret> {
    let Some(file) = file else { return secret };
    let path = path.key("secret_file");
    if secret.is_some() {
        report.add(&path, Problem::Exclusive { first: "secret", second: "secret_file" });
        return None;
    }
    let file = secret_file::find(report.document().folder(), &file);
    report.note_file(&file);
    let found = secret_file::read(&file);
    found.map_err(|reason| report.add(&path, Problem::SecretFile { file, reason })).ok()
}
