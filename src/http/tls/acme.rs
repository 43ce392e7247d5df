//! A certificate from an authority that checks by itself that a name is ours (ACME, RFC 8555): ordered, kept in a folder and renewed,
//! with proofs on the TLS port (tls-alpn-01, RFC 8737).

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::StreamExt;
use ring::digest::{SHA256, digest};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring as provider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_acme::{
    AccountCache, AcmeConfig, AcmeState, CertCache, EventOk, ResolvesServerCertAcme, is_tls_alpn_challenge,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};
use url::Url;

use super::certificate::{BadCertificate, Certificate, day, self_signed};

/// After a failure, twice as long after each further one: an authority lets somebody fail five times an hour (Let's Encrypt).
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// For an order. One that takes longer is begun anew: the library waits for an authority that says nothing for ever.
const ORDER: Duration = Duration::from_secs(1_800);
/// Longest error of an authority in the log, in characters.
const MAX_ERROR: usize = 400;

/// The settings of ACME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Public names of this machine.
    pub domains: Vec<String>,
    /// Whom the authority writes to, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// The folder that certificate and account are kept in.
    pub cache: PathBuf,
    /// The authority (RFC 8555 section 7.1.1).
    pub directory: Url,
}

/// A certificate that is ordered when it is time.
#[derive(Debug)]
pub(in crate::http) struct Ordering {
    settings: Acme,
    held: Arc<Held>,
}

/// What new connections get.
#[derive(Debug)]
struct Held {
    /// For the authority, which looks for its proof.
    proofs: RwLock<Option<Arc<ResolvesServerCertAcme>>>,
    /// For everybody else; of our own making until the authority has signed one.
    certificate: RwLock<Arc<CertifiedKey>>,
    /// From when until when the authority's is good.
    validity: watch::Sender<Option<(SystemTime, SystemTime)>>,
    expires: watch::Sender<Option<SystemTime>>,
}

impl ResolvesServerCert for Held {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_tls_alpn_challenge(&hello) {
            return self.proofs.read().unwrap_or_else(|e| e.into_inner()).as_ref()?.resolve(hello);
        }
        Some(self.certificate.read().unwrap_or_else(|e| e.into_inner()).clone())
    }
}

impl Held {
    /// Takes key and certificate as the library keeps them; what cannot be read is left to it to complain of.
    fn take(&self, pem: &[u8]) {
        if let Ok(certificate) = Certificate::read(pem, pem) {
            *self.certificate.write().unwrap_or_else(|e| e.into_inner()) = certificate.certified;
            self.validity.send_replace(Some((certificate.begins, certificate.expires)));
            self.expires.send_replace(Some(certificate.expires));
            info!("certificate for {}, until {}", certificate.names.join(", "), day(certificate.expires));
        }
    }

    /// How long there need not be any news: the library renews after two thirds of a certificate's time.
    fn patience(&self, now: SystemTime) -> Duration {
        let renewal = self
            .validity
            .borrow()
            .map(|(begins, expires)| expires - expires.duration_since(begins).unwrap_or_default() / 3);
        renewal.and_then(|renewal| renewal.duration_since(now).ok()).unwrap_or_default() + ORDER
    }
}

impl Ordering {
    /// Begins with a certificate of our own making, so that the page is there whatever the authority does.
    ///
    /// # Errors
    /// When none can be made.
    pub(super) fn new(settings: Acme) -> Result<Self, BadCertificate> {
        let certificate = RwLock::new(self_signed(&settings.domains)?.certified);
        let (validity, expires) = (watch::Sender::new(None), watch::Sender::new(None));
        Ok(Self { settings, held: Arc::new(Held { proofs: RwLock::default(), certificate, validity, expires }) })
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.held.clone()
    }

    pub(super) fn expires(&self) -> watch::Receiver<Option<SystemTime>> {
        self.held.expires.subscribe()
    }

    /// Orders and renews for as long as it is polled.
    pub(in crate::http) async fn run(&self) {
        let Acme { domains, directory, .. } = &self.settings;
        let (names, authority) = (domains.join(", "), directory.host_str().unwrap_or_default());
        let mut pause = FIRST_PAUSE;
        loop {
            let mut state = self.begin();
            *self.held.proofs.write().unwrap_or_else(|e| e.into_inner()) = Some(state.resolver());
            loop {
                match timeout(self.held.patience(SystemTime::now()), state.next()).await {
                    Ok(Some(Ok(EventOk::DeployedNewCert))) => pause = FIRST_PAUSE,
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(error))) => {
                        let error: String = error.to_string().chars().take(MAX_ERROR).collect();
                        let shown = match *self.held.expires.borrow() {
                            Some(expires) => format!("the old certificate, until {}, stays", day(expires)),
                            None => "browsers warn of a certificate that nobody has signed".to_owned(),
                        };
                        warn!(
                            "no new certificate for {names} from {authority}: {error}; {shown}; next attempt in {} s",
                            pause.as_secs()
                        );
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Ok(None) | Err(_) => {
                        warn!("{authority} leaves an order for {names} unanswered; it is ordered anew");
                        break;
                    }
                }
            }
        }
    }

    fn begin(&self) -> AcmeState<io::Error, io::Error> {
        let Acme { domains, contact, directory, .. } = &self.settings;
        let kept = Kept { folder: self.settings.cache.clone(), held: self.held.clone() };
        let config = AcmeConfig::new_with_client_config(domains, Arc::new(client()));
        config.contact(contact).cache(kept).directory(directory.as_str()).state()
    }
}

/// Believes the authorities that this machine does.
fn client() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        warn!("this machine believes no certificate authority, so that ACME cannot work: install ca-certificates");
    }
    let versions = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()));
    // ring has suites for both versions.
    #[expect(clippy::expect_used, reason = "stated above")]
    let versions = versions.with_safe_default_protocol_versions().expect("suites for each version");
    versions.with_root_certificates(roots).with_no_client_auth()
}

/// The folder, with files that nobody else can read.
struct Kept {
    folder: PathBuf,
    held: Arc<Held>,
}

impl Kept {
    /// Of other names, or another authority, there are other files.
    fn file(&self, kind: &str, parts: &[String], directory: &str) -> PathBuf {
        let hash = digest(&SHA256, format!("{}\n{directory}", parts.join("\n")).as_bytes());
        let name: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{kind}-{name}"))
    }

    fn load(&self, file: PathBuf) -> io::Result<Option<Vec<u8>>> {
        match fs::read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whole or not at all.
    fn store(&self, file: PathBuf, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let new = file.with_extension("new");
        // Left over by a program that was killed.
        let _ = fs::remove_file(&new);
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(bytes)?;
        opened.sync_all()?;
        fs::rename(new, file)
    }
}

#[async_trait]
impl CertCache for Kept {
    type EC = io::Error;

    async fn load_cert(&self, domains: &[String], directory: &str) -> io::Result<Option<Vec<u8>>> {
        let kept = self.load(self.file("certificate", domains, directory))?;
        kept.iter().for_each(|pem| self.held.take(pem));
        Ok(kept)
    }

    async fn store_cert(&self, domains: &[String], directory: &str, pem: &[u8]) -> io::Result<()> {
        self.held.take(pem);
        self.store(self.file("certificate", domains, directory), pem)
    }
}

#[async_trait]
impl AccountCache for Kept {
    type EA = io::Error;

    async fn load_account(&self, contact: &[String], directory: &str) -> io::Result<Option<Vec<u8>>> {
        self.load(self.file("account", contact, directory))
    }

    async fn store_account(&self, contact: &[String], directory: &str, key: &[u8]) -> io::Result<()> {
        self.store(self.file("account", contact, directory), key)
    }
}
