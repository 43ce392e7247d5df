//! TLS in this process (rustls with ring): a certificate from files or by ACME, handshakes within bounds, and words for those who speak plain
//! HTTP to it.

mod acme;
mod certificate;
mod files;
mod redirect;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{ServerConfig, crypto::ring};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

pub(super) use self::redirect::to_https;
pub use self::{
    acme::Acme,
    certificate::BadCertificate,
    files::{CertificateFiles, report},
};
use self::{acme::Ordering, files::Reloading};
use crate::{
    panics::{PAUSE, Panicked, Part, Whose, caught_task},
    places::{Place, Places},
    stats::Counter,
};

/// Handshakes that are under way at one time. A browser's takes two round trips.
const HANDSHAKES: usize = 256;
/// Of one customer.
const HANDSHAKES_EACH: usize = 32;
/// For a handshake, and for a place among the connections after it.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// The first byte of a TLS record of a handshake (RFC 8446 section 5.1); no HTTP request begins with it.
const HANDSHAKE_RECORD: u8 = 22;
/// HTTP/2 and HTTP/1.1 (RFC 7301 section 6); browsers open WebSockets by the latter.
const PROTOCOLS: [&[u8]; 2] = [H2, b"http/1.1"];
const H2: &[u8] = b"h2";
/// What an authority asks for its proof by (RFC 8737 section 3); nothing is said over it.
const ACME: &[u8] = b"acme-tls/1";

/// The settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where the certificate is from.
    pub certificate: CertificateSource,
    /// Where plain HTTP is sent on to HTTPS.
    pub redirect_listen: Option<SocketAddr>,
    /// For how long browsers are to ask by HTTPS only (RFC 6797); without it as `http::site` thinks right.
    pub hsts: Option<Duration>,
}

/// Where a certificate is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Somebody else renews it.
    Files(CertificateFiles),
    /// The gateway orders and renews it.
    Acme(Acme),
}

/// Keeps the certificate new.
#[derive(Debug)]
pub(super) enum Keeper {
    Files(Reloading),
    Acme(Ordering),
}

impl Keeper {
    /// For as long as it is polled.
    pub(super) async fn run(mut self) {
        while let Err(Panicked) = caught_task(Part::Http, Whose::NOBODYS, self.keep()).await {
            sleep(PAUSE).await;
        }
    }

    async fn keep(&mut self) {
        match self {
            Self::Files(reloading) => reloading.run().await,
            Self::Acme(ordering) => ordering.run().await,
        }
    }
}

/// Makes TLS of TCP.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    handshakes: Places,
    failed: Arc<Counter>,
    expires: watch::Receiver<Option<SystemTime>>,
}

/// Nothing that is secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

/// What came to a port for TLS.
pub(super) enum Arrival {
    Tls(Box<TlsStream<TcpStream>>, Speaks),
    /// Somebody who speaks plain HTTP.
    Plain(TcpStream),
}

/// Which protocol was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

impl Tls {
    /// With a certificate, and the task that keeps it new. Counts on where `before` is.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub(super) fn new(source: CertificateSource, before: Option<&Self>) -> Result<(Self, Keeper), BadCertificate> {
        let (keeper, resolver, expires) = match source {
            CertificateSource::Files(files) => {
                let reloading = Reloading::start(files)?;
                let (resolver, expires) = (reloading.resolver(), reloading.expires());
                (Keeper::Files(reloading), resolver, expires)
            }
            CertificateSource::Acme(settings) => {
                let ordering = Ordering::new(settings)?;
                let (resolver, expires) = (ordering.resolver(), ordering.expires());
                (Keeper::Acme(ordering), resolver, expires)
            }
        };
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        // ring has suites for both versions.
        let versions =
            versions.with_safe_default_protocol_versions().map_err(|error| BadCertificate::Key(error.to_string()))?;
        let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if matches!(keeper, Keeper::Acme(_)) {
            config.alpn_protocols.push(ACME.to_vec());
        }
        let tls = Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshakes: before
                .map_or_else(|| Places::behind_proxy(HANDSHAKES, HANDSHAKES_EACH), |before| before.handshakes.clone()),
            failed: before.map(|before| before.failed.clone()).unwrap_or_default(),
            expires,
        };
        Ok((tls, keeper))
    }

    /// A place for a handshake with `address`, if there is one.
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        self.handshakes.take(address).ok()
    }

    /// Shakes hands; `None` when that fails or takes too long, and when there is nothing to say afterwards.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<Arrival> {
        let arrived = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
                return Ok(Some(Arrival::Plain(stream)));
            }
            let stream = self.acceptor.accept(stream).await?;
            let speaks = match stream.get_ref().1.alpn_protocol() {
                Some(ACME) => return Ok(None),
                Some(H2) => Speaks::Http2,
                _ => Speaks::Http1,
            };
            Ok::<_, std::io::Error>(Some(Arrival::Tls(Box::new(stream), speaks)))
        };
        match timeout(HANDSHAKE_DEADLINE, arrived).await {
            Ok(Ok(arrival)) => arrival,
            Ok(Err(error)) => {
                debug!(%error, "a TLS handshake failed");
                self.failed.add(1);
                None
            }
            Err(_) => {
                debug!("a TLS handshake took too long");
                self.failed.add(1);
                None
            }
        }
    }

    /// When the certificate expires, if there is one.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        *self.expires.borrow()
    }

    /// Handshakes that came to nothing.
    pub(super) fn failed(&self) -> u64 {
        self.failed.total()
    }

    /// Where handshakes are counted.
    pub(super) fn handshakes(&self) -> &Places {
        &self.handshakes
    }
}
