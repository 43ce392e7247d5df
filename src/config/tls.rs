//! `[http.tls]` and `[http.acme]`: what they say, as the settings of the HTTP side.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::check::quote;
use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{CERTIFICATE_WORDS, DIRECTORY_WORDS, DOMAIN_WORDS, EMAIL_WORDS, KEY_WORDS};
use super::network::listen;
use super::report::Report;
use crate::http::{self, Acme, BadCertificate, CertificateFiles, CertificateSource, TlsConfig};

/// Whom most people order from.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `[http.tls]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    redirect_listen: Option<String>,
    hsts_seconds: Option<f64>,
}

/// `[http.acme]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcmeSection {
    domains: Option<Vec<String>>,
    email: Option<String>,
    cache_dir: Option<PathBuf>,
    directory: Option<String>,
}

/// Reads `[http.tls]` and `[http.acme]` of `[http]` at `path`. `None` without both, or with a fault in the report.
pub(super) fn tls(
    tls: Option<TlsSection>,
    acme: Option<AcmeSection>,
    state_dir: &Path,
    path: &KeyPath,
    report: &mut Report<'_>,
) -> Option<TlsConfig> {
    let Some(acme) = acme else { return with_files(tls?, &path.key("tls"), report) };
    let tls = tls.unwrap_or_default();
    for (first, file) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        if file.is_some() {
            report.add(&path.key("tls").key(first), Problem::Exclusive { first, second: "[http.acme]" });
        }
    }
    let certificate = ordered(acme, state_dir, &path.key("acme"), report);
    let redirect_listen =
        tls.redirect_listen.map(|text| listen(&text, &path.key("tls").key("redirect_listen"), report)).transpose();
    let hsts = tls.hsts_seconds.map(Duration::from_secs_f64);
    Some(TlsConfig { certificate: CertificateSource::Acme(certificate?), redirect_listen: redirect_listen.ok()?, hsts })
}

fn ordered(section: AcmeSection, state_dir: &Path, path: &KeyPath, report: &mut Report<'_>) -> Option<Acme> {
    let domains = section.domains.unwrap_or_default();
    if domains.is_empty() {
        report.value(&path.key("domains"), "no name", DOMAIN_WORDS);
    }
    for (index, domain) in domains.iter().enumerate().filter(|(_, domain)| !is_public_name(domain)) {
        report.value(&path.key("domains").index(index), quote(domain), DOMAIN_WORDS);
    }
    let email = section.email.filter(|email| {
        let is_address = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        let is_good = is_address && email.chars().all(|c| c.is_ascii_graphic());
        if !is_good {
            report.value(&path.key("email"), quote(email), EMAIL_WORDS);
        }
        is_good
    });
    let text = section.directory.as_deref().unwrap_or(LETS_ENCRYPT);
    let directory = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    if directory.is_none() {
        report.value(&path.key("directory"), quote(text), DIRECTORY_WORDS);
    }
    let folder = report.document().folder();
    let cache = section.cache_dir.map_or_else(|| state_dir.join("acme"), |cache| folder.join(cache));
    let contact = email.into_iter().map(|email| format!("mailto:{email}")).collect();
    Some(Acme { domains, contact, cache, directory: directory? })
}

/// Whether an authority could prove a name by a connection to it.
fn is_public_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (1..=63).contains(&label.len()) && is_plain && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err()
}

fn with_files(section: TlsSection, path: &KeyPath, report: &mut Report<'_>) -> Option<TlsConfig> {
    let redirect_listen = section.redirect_listen.map(|text| listen(&text, &path.key("redirect_listen"), report));
    let folder = report.document().folder().to_owned();
    let mut file = |file: Option<PathBuf>, key: &str, words: &str| {
        if file.is_none() {
            report.value(&path.key(key), format!("no {key}"), words);
        }
        file.map(|file| folder.join(file))
    };
    let (certificate, key) =
        (file(section.certificate, "certificate", CERTIFICATE_WORDS), file(section.key, "key", KEY_WORDS));
    let certificate = CertificateFiles { certificate: certificate?, key: key? };
    if let Err(why) = http::certificate_report(&certificate) {
        let (key, words) = match why {
            BadCertificate::Certificate(_) => ("certificate", CERTIFICATE_WORDS),
            BadCertificate::Key(_) => ("key", KEY_WORDS),
        };
        report.value(&path.key(key), why.to_string(), words);
    }
    let hsts = section.hsts_seconds.map(Duration::from_secs_f64);
    let certificate = CertificateSource::Files(certificate);
    Some(TlsConfig { certificate, redirect_listen: redirect_listen.transpose().ok()?, hsts })
}
