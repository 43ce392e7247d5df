//! HTTP: WHEP (draft-ietf-wish-whep), the pages, the API, health and metrics. Nothing that a browser can do without is
//! kept here: sessions belong to [`crate::peer`], cameras to [`crate::hub`].

mod api;
mod auth;
mod base_url;
mod body;
mod bounds;
mod camera_events;
mod config;
mod cors;
mod events;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod join;
mod metrics;
mod page;
mod problem;
mod proxy;
mod qr;
mod quality;
mod rate;
mod reloads;
mod serve;
mod shares;
mod signalling;
mod site;
mod tls;
mod whep;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router, middleware,
    routing::{get, post},
};
use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

pub use auth::{
    Action, BadPageOrigin, BadUser, BadWish, Cameras, ForwardConfig, JwtConfig, JwtKeys, JwtSecret, PageOrigin,
    PasswordHash, Share, ShareError, ShareId, ShareToken, Shares, TokenHash, User, UserName, Wish, hash_password,
    make_token, uneven_passwords,
};
pub use base_url::{BadBaseUrl, BaseUrl};
pub use bounds::{Limits, Portion};
pub use config::{Config, RateLimit, Surroundings};
pub use frames::{BadFrameAncestor, FrameAncestor};
pub use proxy::{BadBasePath, BasePath, Network, ProxyHeaders};
pub use qr::qr_text;
pub use reloads::Reloads;
pub use tls::{Acme, BadCertificate, CertificateFiles, CertificateSource, TlsConfig, report as certificate_report};

use self::{
    bounds::MaxBody,
    proxy::Proxies,
    serve::{Clients, Port},
    site::{Entrance, enter},
    tls::{Keeper, Tls, to_https},
};
use crate::{hub::Hub, peer::Peers, places::Places};

/// For sockets to be closed in, when the program ends.
const GOODBYE: Duration = Duration::from_millis(500);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// What keeps the server from starting.
#[derive(Debug, Error)]
pub enum BindError {
    /// A port cannot be opened.
    #[error("{key} = \"{address}\": cannot open this TCP port: {source}")]
    Port {
        /// The setting that names it.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("[http.tls] {0}")]
    Certificate(#[from] BadCertificate),
}

/// What every handler may use.
#[derive(Clone)]
pub struct Context {
    /// The cameras.
    pub hub: Arc<Hub>,
    /// The sessions.
    pub peers: Arc<Peers>,
    /// Cameras that are to be live all the time; `/readyz` asks for them.
    pub always_on: Arc<[crate::media::CameraName]>,
    /// How long an offer waits for its camera.
    pub start_deadline: Duration,
    /// Whether what is configured is what runs.
    pub reloads: Arc<Reloads>,
}

/// Ports that somebody else has opened, at the addresses of the configuration; they do not block.
#[derive(Debug, Default)]
pub struct Opened {
    /// For pages and WHEP.
    pub pages: Option<std::net::TcpListener>,
    /// For those who come by plain HTTP where HTTPS is spoken.
    pub redirect: Option<std::net::TcpListener>,
}

/// An open port that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    rate_limit: RateLimit,
    limits: Limits,
    proxies: Arc<Proxies>,
    gate: auth::Gate,
    entrance: Entrance,
    tls: Option<(Tls, Keeper)>,
    /// Where plain HTTP is sent on to HTTPS.
    redirect: Option<TcpListener>,
}

impl Server {
    /// Opens what is not `opened`. `0.0.0.0` and `[::]` both mean every address of both families, where the machine has IPv6.
    ///
    /// # Errors
    /// [`BindError`] when it is taken or the address is not this machine's.
    pub fn bind(config: &Config, opened: Opened) -> Result<Self, BindError> {
        let fault = |key, address| move |source| BindError::Port { key, address, source };
        let fault_here = fault("[http] listen", config.listen);
        let listener = opened.pages.map_or_else(|| listen(config.listen), TcpListener::from_std).map_err(fault_here)?;
        let mut address = listener.local_addr().map_err(fault_here)?;
        if matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
            address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        let gate = auth::Gate::of(config);
        let proxies = Proxies::new(config.surroundings.trusted_proxies.clone(), config.surroundings.proxy_headers);
        let proxies = Arc::new(proxies);
        let hsts = config.tls.as_ref().and_then(|tls| tls.hsts);
        let entrance = Entrance::new(
            proxies.clone(),
            config.surroundings.base_path.clone(),
            &config.surroundings.frame_ancestors,
            hsts,
        );
        let redirect = config.tls.as_ref().and_then(|tls| tls.redirect_listen);
        let redirect = redirect.map(|address| {
            let listener = opened.redirect.map_or_else(|| listen(address), TcpListener::from_std);
            listener.map_err(fault("[http.tls] redirect_listen", address))
        });
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls.certificate.clone()));
        let (tls, redirect) = (tls.transpose()?, redirect.transpose()?);
        let (rate_limit, limits) = (config.rate_limit, config.limits);
        Ok(Self { listener, address, rate_limit, limits, proxies, gate, entrance, tls, redirect })
    }

    /// Where it listens, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Where browsers find it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Says in the log who is answered, and where else.
    pub fn announce(&self) {
        if let Some(address) = self.redirect.as_ref().and_then(|redirect| redirect.local_addr().ok()) {
            info!("plain HTTP is sent on to HTTPS from {address}");
        }
        self.gate.announce(self.address);
    }

    /// Answers requests until `stop` completes and the requests under way are answered, which takes at most a second.
    pub async fn serve(self, context: Context, stop: impl Future<Output = ()> + Send + 'static) {
        let stopping = CancellationToken::new();
        let limits = Arc::new(rate::Limits::new(self.rate_limit));
        let streams = events::Streams::new(self.limits.event_streams, stopping.clone());
        let door = signalling::Door::new(&self.limits, limits.clone(), stopping.clone());
        let clients = Clients::new(self.limits, self.proxies);
        let news = Arc::new(camera_events::News::new(context.hub.clone()));
        let (tls, keeper) = self.tls.unzip();
        let router =
            router(context, limits, streams, door.clone(), news.clone(), tls.clone(), clients.places().clone());
        let router = router.layer(Extension(MaxBody(self.limits.body_bytes)));
        let router = auth::around(router, self.gate);
        // Around the routing, which is by what is below the base path.
        let entering = middleware::from_fn_with_state(Arc::new(self.entrance), enter);
        let router = Router::new().fallback_service(router).layer(entering);
        let looking = stopping.clone();
        tokio::spawn(async move { looking.run_until_cancelled(news.run()).await });
        let stop = async {
            stop.await;
            stopping.cancel();
        };
        if let Some(keeper) = keeper {
            let stopped = stopping.clone();
            tokio::spawn(async move { stopped.run_until_cancelled(keeper.run()).await });
        }
        let port = self.address.port();
        if let Some(listener) = self.redirect {
            let redirecting = Port::new(to_https(port), None, port, clients.clone())
                .serve(listener, stopping.clone().cancelled_owned());
            tokio::spawn(redirecting);
        }
        Port::new(router, tls, port, clients).serve(self.listener, stop).await;
        if timeout(GOODBYE, door.closed()).await.is_err() {
            debug!("signalling sockets did not take their goodbye in time");
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    match address.ip() {
        ip if ip.is_unspecified() => match open(both) {
            // A machine without IPv6.
            Err(e) if address.is_ipv4() && e.kind() != io::ErrorKind::AddrInUse => open(address),
            opened => opened,
        },
        _ => open(address),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn router(
    context: Context,
    limits: Arc<rate::Limits>,
    streams: events::Streams,
    door: signalling::Door,
    news: Arc<camera_events::News>,
    tls: Option<Tls>,
    connections: Places,
) -> Router {
    let (streaming, sockets) = (streams.places().clone(), door.places().clone());
    let bounds = metrics::Bounds { limits: limits.clone(), streams: streaming, sockets, connections, tls };
    let delays = quality::Delays::new();
    let limited = middleware::from_fn_with_state(limits, rate::limit);
    let open = Router::new()
        .merge(whep::routes().layer(limited.clone()))
        // A wall of cameras asks for each of them, all the time; who asks holds a session.
        .merge(quality::routes())
        .route("/api/v1/cameras", get(api::cameras))
        .route("/api/v1/sessions", get(api::sessions))
        .route("/api/v1/user", get(api::user))
        .route("/api/v1/events", get(camera_events::stream).layer(Extension(news)))
        .route("/api/ws", get(signalling::upgrade).layer(Extension(door)))
        .layer(Extension(streams))
        .layer(middleware::map_response(cors::expose));
    Router::new()
        .merge(open)
        .merge(shares::routes().layer(limited.clone()))
        .route("/", get(page::grid))
        .route("/share", get(page::share))
        .route("/login", get(auth::page).post(auth::log_in).layer(limited))
        .route("/logout", post(auth::log_out))
        .route("/watch/{camera}", get(page::watch))
        .route("/assets/{file}", get(page::asset))
        .route("/healthz", get(health::process))
        .route("/readyz", get(health::cameras))
        .route("/api/v1/configuration", get(reloads::show))
        .route("/metrics", get(metrics::scrape).layer(Extension(bounds)))
        .fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(Extension(delays))
        .with_state(context)
}
