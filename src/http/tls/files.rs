//! The files of a certificate: read, and read again when they change, so that a renewal takes no restart.

use std::{
    fmt, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::certificate::{BadCertificate, Certificate, day};

/// Between two looks at the files. Tools replace one after the other: what has changed is read at the second look that finds
/// the same.
const LOOK: Duration = Duration::from_secs(2);
/// Who renews by itself has done so by then: Let's Encrypt's certificates last 90 days and are renewed after 60.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// Between two warnings about a certificate that expires.
const REMIND: Duration = Duration::from_secs(86_400);
/// Longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where a certificate and its key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    fn read(&self) -> Result<Certificate, BadCertificate> {
        let chain = read(&self.certificate).map_err(BadCertificate::Certificate)?;
        let key = read(&self.key).map_err(BadCertificate::Key)?;
        Certificate::read(&chain, &key)
    }

    /// Changes when one of them does, through links too.
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        })
    }

    /// Whether everybody on this machine can read the key.
    fn is_key_open(&self) -> bool {
        fs::metadata(&self.key).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }
}

/// Device, number, length and time of change of each file.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

/// `cert.pem and key.pem`
impl fmt::Display for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.certificate.display(), self.key.display())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("{} cannot be read ({error})", path.display());
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE {
        return Err(format!("{} is longer than {MAX_FILE} bytes", path.display()));
    }
    fs::read(path).map_err(failed)
}

/// What a person should know of these files, in lines: for whom the certificate is, until when, and what is unwise.
///
/// # Errors
/// [`BadCertificate`].
pub fn report(files: &CertificateFiles) -> Result<Vec<String>, BadCertificate> {
    let certificate = files.read()?;
    let names = if certificate.names.is_empty() { "nobody".to_owned() } else { certificate.names.join(", ") };
    let mut lines = vec![format!("certificate for {names}, until {}", day(certificate.expires))];
    lines.extend(
        warnings(files, &certificate, SystemTime::now()).into_iter().map(|warning| format!("warning: {warning}")),
    );
    Ok(lines)
}

fn warnings(files: &CertificateFiles, certificate: &Certificate, now: SystemTime) -> Vec<String> {
    let path = files.certificate.display();
    let when = match certificate.expires.duration_since(now) {
        Err(_) => Some(format!("the certificate {path} has expired on {}", day(certificate.expires))),
        Ok(left) if left < SOON => Some(format!("the certificate {path} expires on {}", day(certificate.expires))),
        Ok(_) if certificate.begins > now => {
            Some(format!("the certificate {path} begins on {}", day(certificate.begins)))
        }
        Ok(_) => None,
    };
    let open = files.is_key_open().then(|| {
        let path = files.key.display();
        format!("everybody on this machine can read the key {path}: chmod o-r {path}")
    });
    when.into_iter().chain(open).collect()
}

/// The certificate of files that are looked at again and again.
#[derive(Debug)]
pub(in crate::http) struct Reloading {
    files: CertificateFiles,
    stamp: Stamp,
    newest: Certificate,
    current: Arc<Current>,
    expires: watch::Sender<Option<SystemTime>>,
}

/// What new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(|e| e.into_inner()).clone())
    }
}

impl Reloading {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub(super) fn start(files: CertificateFiles) -> Result<Self, BadCertificate> {
        let stamp = files.stamp();
        let newest = files.read()?;
        let current = Arc::new(Current(RwLock::new(newest.certified.clone())));
        let expires = watch::Sender::new(Some(newest.expires));
        Ok(Self { files, stamp, newest, current, expires })
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.current.clone()
    }

    pub(super) fn expires(&self) -> watch::Receiver<Option<SystemTime>> {
        self.expires.subscribe()
    }

    /// Looks at the files for as long as it is polled.
    pub(in crate::http) async fn run(&mut self) {
        info!("certificate for {}, until {}", self.newest.names.join(", "), day(self.newest.expires));
        let mut seen = self.stamp;
        let mut reminded = None;
        loop {
            if reminded.is_none_or(|at: tokio::time::Instant| at.elapsed() >= REMIND) {
                reminded = Some(tokio::time::Instant::now());
                warnings(&self.files, &self.newest, SystemTime::now()).iter().for_each(|warning| warn!("{warning}"));
            }
            sleep(LOOK).await;
            let files = self.files.clone();
            // A file system may be far away.
            let Ok(stamp) = tokio::task::spawn_blocking(move || files.stamp()).await else { continue };
            if stamp == seen && stamp != self.stamp {
                self.stamp = stamp;
                if self.reload() {
                    reminded = None;
                }
            }
            seen = stamp;
        }
    }

    fn reload(&mut self) -> bool {
        match self.files.read() {
            Ok(certificate) => {
                *self.current.0.write().unwrap_or_else(|e| e.into_inner()) = certificate.certified.clone();
                self.expires.send_replace(Some(certificate.expires));
                let names = certificate.names.join(", ");
                info!("new certificate for {names}, until {}: new connections get it", day(certificate.expires));
                self.newest = certificate;
                true
            }
            Err(why) => {
                let until = day(self.newest.expires);
                warn!(
                    "{} have changed and are of no use: {why}; the old certificate, until {until}, stays",
                    self.files
                );
                false
            }
        }
    }
}
