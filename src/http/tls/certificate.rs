//! A certificate with its key, as rustls takes them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    Error, InconsistentKeys,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use thiserror::Error as ThisError;
use x509_parser::{extensions::GeneralName, prelude::parse_x509_certificate};

/// Why a certificate and a key are of no use, as the end of a sentence. Shows nothing of the key.
#[derive(Clone, Debug, ThisError, PartialEq, Eq)]
pub enum BadCertificate {
    /// The file of the certificate.
    #[error("the certificate {0}")]
    Certificate(String),
    /// The file of the key.
    #[error("the key {0}")]
    Key(String),
}

/// A certificate that can be used.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// The first and the last moment that it is good for.
    pub(super) begins: SystemTime,
    pub(super) expires: SystemTime,
    /// Host names and addresses that it is for.
    pub(super) names: Vec<String>,
}

impl Certificate {
    /// Reads both from PEM: the certificate first, and then those between it and its authority.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Self, BadCertificate> {
        let bad = |why: &str| BadCertificate::Certificate(why.to_owned());
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| bad("is no PEM"))?;
        let first = chain.first().ok_or_else(|| bad("has no certificate in it (BEGIN CERTIFICATE)"))?;
        let (begins, expires, names) = facts(first).ok_or_else(|| bad("cannot be read (X.509)"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            let why = match error {
                pem::Error::NoItemsFound => {
                    "has no private key in it (BEGIN PRIVATE KEY); an encrypted one cannot be used"
                }
                _ => "is no PEM",
            };
            BadCertificate::Key(why.to_owned())
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                BadCertificate::Key("is not that of the certificate".to_owned())
            }
            _ => BadCertificate::Key(
                "is of a kind that cannot be used: RSA, ECDSA (P-256, P-384) and Ed25519 can".to_owned(),
            ),
        })?;
        Ok(Self { certified: Arc::new(certified), begins, expires, names })
    }
}

/// From when until when a certificate is good, and for whom.
pub(super) fn facts(certificate: &[u8]) -> Option<(SystemTime, SystemTime, Vec<String>)> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let validity = certificate.validity();
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Some((time(validity.not_before.timestamp()), time(validity.not_after.timestamp()), names.collect()))
}

/// A certificate for these names that nobody else has signed.
pub(super) fn self_signed(names: &[String]) -> Result<Certificate, BadCertificate> {
    let made =
        rcgen::generate_simple_self_signed(names).map_err(|error| BadCertificate::Certificate(error.to_string()))?;
    Certificate::read(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())
}

/// `2026-11-23`
pub(super) fn day(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate for these names and its key, in PEM.
    fn signed(names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_tells_for_whom_and_until_when() {
        let (chain, key) = signed(&["cam.example.org", "192.0.2.1", "2001:db8::1"]);
        let certificate = Certificate::read(format!("a comment\n{chain}").as_bytes(), key.as_bytes()).expect("a pair");
        assert_eq!(certificate.names, ["cam.example.org", "192.0.2.1", "2001:db8::1"]);
        assert!(certificate.begins < SystemTime::now() && certificate.expires > SystemTime::now());
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_of_the_key() {
        let (chain, key) = signed(&["cam.example.org"]);
        let wrong = |chain: &str, key: &str| {
            Certificate::read(chain.as_bytes(), key.as_bytes()).expect_err("it is wrong").to_string()
        };
        assert_eq!(wrong(&chain, &signed(&["cam"]).1), "the key is not that of the certificate");
        assert!(wrong("", &key).starts_with("the certificate has no certificate in it"));
        assert!(wrong(&key, &key).starts_with("the certificate has no certificate in it"), "the other way round");
        assert!(wrong(&chain, &chain).starts_with("the key has no private key in it"));
        let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n");
        assert_eq!(wrong(&format!("{begin}AAAA\n{end}"), &key), "the certificate cannot be read (X.509)");
        assert_eq!(wrong(&format!("{begin}AAAA\n"), &key), "the certificate is no PEM");
        let strange = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(wrong(&chain, strange).starts_with("the key is of a kind that cannot be used"));
    }
}
