//! `[http.tls]`: what it says, as the settings of the HTTP side.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::key_path::KeyPath;
use super::keys::{CERTIFICATE_WORDS, KEY_WORDS};
use super::network::listen;
use super::report::Report;
use crate::http::{self, BadCertificate, CertificateFiles, TlsConfig};

/// `[http.tls]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    redirect_listen: Option<String>,
    hsts_seconds: Option<f64>,
}

/// Reads `[http.tls]` at `path`. `None` without it, or with a fault in the report.
pub(super) fn tls(section: Option<TlsSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<TlsConfig> {
    let section = section?;
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
    Some(TlsConfig { certificate, redirect_listen: redirect_listen.transpose().ok()?, hsts })
}
