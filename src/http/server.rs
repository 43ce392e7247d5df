//! The server, and what it is made of: opened for one configuration, and for others while it runs, without closing a
//! connection. What counts, what is bounded and whose session is whose goes on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, middleware};
use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::{
    BadCertificate, Config, Context, auth,
    bounds::MaxBody,
    camera_events::News,
    channel::Files,
    clip::Clips,
    events::Streams,
    metrics::Bounds,
    proxy::Proxies,
    quality::Delays,
    rate, router,
    serve::{Clients, Face, Port},
    signalling::Door,
    site::{Entrance, enter},
    snapshot::Snapshots,
    tls::{Keeper, Tls, to_https},
    whep::Registry,
};
use crate::panics::{Part, kept_up};

/// For sockets to be closed in, when the program ends.
const GOODBYE: Duration = Duration::from_millis(500);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;
const LISTEN: &str = "[http] listen";
const REDIRECT_LISTEN: &str = "[http.tls] redirect_listen";

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
    /// It is systemd's to open, and systemd has another.
    #[error(
        "{key} = \"{address}\": systemd has opened the port before and keeps it (socket activation): write this address into the \
         .socket unit too, and restart the .socket unit and camgate"
    )]
    Activated {
        /// The setting that names it.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error("[http.tls] {0}")]
    Certificate(#[from] BadCertificate),
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
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    gate: Arc<auth::Gate>,
    tls: Option<(Tls, Keeper)>,
    /// Where plain HTTP is sent on to HTTPS.
    redirect: Option<TcpListener>,
    activated: Activated,
}

/// Which ports systemd has opened: they stay where they are for as long as the program runs.
#[derive(Clone, Copy)]
struct Activated {
    pages: bool,
    redirect: bool,
}

impl Server {
    /// Opens what is not `opened`. `0.0.0.0` and `[::]` both mean every address of both families, where the machine has IPv6.
    ///
    /// # Errors
    /// [`BindError`] when it is taken or the address is not this machine's.
    pub fn bind(config: &Config, opened: Opened) -> Result<Self, BindError> {
        let activated = Activated { pages: opened.pages.is_some(), redirect: opened.redirect.is_some() };
        let listener = listen(LISTEN, config.listen, opened.pages)?;
        let address = address_of(&listener, config.listen);
        let redirect =
            redirect_listen(config).map(|address| listen(REDIRECT_LISTEN, address, opened.redirect)).transpose()?;
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls.certificate.clone(), None)).transpose()?;
        let gate = auth::Gate::of(config, None);
        Ok(Self { listener, address, redirect, tls, gate, config: config.clone(), activated })
    }

    /// Where it listens, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Where browsers find it.
    pub fn url(&self) -> String {
        url(self.address, self.tls.is_some())
    }

    /// Says in the log who is answered, and where else.
    pub fn announce(&self) {
        if let Some(address) = self.redirect.as_ref().and_then(|redirect| redirect.local_addr().ok()) {
            info!("plain HTTP is sent on to HTTPS from {address}");
        }
        self.gate.announce(self.address);
    }

    /// Answers requests until `stop` completes and the requests under way are answered, which takes at most a second.
    pub async fn serve(self, context: Context, stop: impl Future<Output = ()>) {
        let serving = self.start(context);
        stop.await;
        serving.stop().await;
    }

    /// Answers requests from now on.
    pub fn start(self, context: Context) -> Serving {
        let Self { config, listener, address, gate, tls, redirect, activated } = self;
        let stopping = CancellationToken::new();
        let lasting = Lasting::new(&config, &context, &stopping);
        tokio::spawn({
            let (news, looking) = (lasting.news.clone(), stopping.clone());
            let run = move || {
                let news = news.clone();
                async move { news.run().await }
            };
            async move { looking.run_until_cancelled(kept_up(Part::Http, run)).await }
        });
        let (tls, keeper) = tls.unzip();
        let face = lasting.face(&config, context, &gate, tls.clone(), address.port());
        let mut serving = Serving {
            port: Port::new(face),
            redirect: None,
            keeper: stopping.child_token(),
            config,
            address,
            lasting,
            gate,
            tls,
            former_tls: None,
            stopping,
            activated,
        };
        serving.gate.take_over();
        serving.keep(keeper);
        serving.send_on(redirect);
        serving.port.listen(listener);
        serving
    }
}

/// A server that answers.
pub struct Serving {
    config: Config,
    address: SocketAddr,
    lasting: Lasting,
    gate: Arc<auth::Gate>,
    port: Arc<Port>,
    redirect: Option<Arc<Port>>,
    tls: Option<Tls>,
    /// Which counts on when it is switched on again.
    former_tls: Option<Tls>,
    /// Ends the task that keeps the certificate new.
    keeper: CancellationToken,
    stopping: CancellationToken,
    activated: Activated,
}

/// What another configuration asks for, open and not in use yet.
pub struct Change {
    config: Config,
    listener: Option<TcpListener>,
    redirect: Option<TcpListener>,
    /// Where it is another.
    certificate: Option<Option<(Tls, Keeper)>>,
}

impl Serving {
    /// Opens what `config` asks for beyond what is open. Nothing has changed when that fails.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn open(&self, config: &Config) -> Result<Change, BindError> {
        self.check_activated(config)?;
        let source = |config: &Config| config.tls.as_ref().map(|tls| tls.certificate.clone());
        let certificate = if source(config) == source(&self.config) {
            None
        } else {
            Some(
                source(config)
                    .map(|source| Tls::new(source, self.tls.as_ref().or(self.former_tls.as_ref())))
                    .transpose()?,
            )
        };
        let mut deaf = Vec::new();
        let listener = self.open_other(LISTEN, Some(config.listen), config, &mut deaf).await;
        let redirect = match &listener {
            Ok(_) => self.open_other(REDIRECT_LISTEN, redirect_listen(config), config, &mut deaf).await,
            Err(_) => Ok(None),
        };
        // What was opened is closed again here: it may be in the way of what was open before.
        let error = match (listener, redirect) {
            (Ok(listener), Ok(redirect)) => {
                return Ok(Change { config: config.clone(), listener, redirect, certificate });
            }
            (Err(error), _) | (Ok(_), Err(error)) => error,
        };
        for (port, address) in deaf {
            match open_at(address) {
                Ok(listener) => port.listen(listener),
                Err(error) => {
                    error!(%error, %address, "cannot listen here again");
                    port.give_up();
                }
            }
        }
        Err(error)
    }

    /// # Errors
    /// [`BindError::Activated`]: neither another port nor none would let systemd's go.
    fn check_activated(&self, config: &Config) -> Result<(), BindError> {
        if self.activated.pages && config.listen != self.config.listen {
            return Err(BindError::Activated { key: LISTEN, address: config.listen });
        }
        match redirect_listen(config) {
            Some(address) if self.activated.redirect && Some(address) != redirect_listen(&self.config) => {
                Err(BindError::Activated { key: REDIRECT_LISTEN, address })
            }
            _ => Ok(()),
        }
    }

    /// A listener at the address of `key`, if it is another than now. One of ours that is in the way, and will not be needed
    /// any more, makes room for it and is noted.
    async fn open_other(
        &self,
        key: &'static str,
        address: Option<SocketAddr>,
        config: &Config,
        deaf: &mut Vec<(Arc<Port>, SocketAddr)>,
    ) -> Result<Option<TcpListener>, BindError> {
        let leaves = (self.config.listen != config.listen).then_some(&self.port);
        let redirect_leaves = redirect_listen(&self.config) != redirect_listen(config);
        let leaving = [leaves, self.redirect.as_ref().filter(|_| redirect_leaves)];
        let is_same = if key == LISTEN { leaves.is_none() } else { !redirect_leaves };
        let Some(address) = address.filter(|_| !is_same) else { return Ok(None) };
        match listen(key, address, None) {
            Err(BindError::Port { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
            opened => return opened.map(Some),
        }
        for port in leaving.into_iter().flatten() {
            if let Some(own) = port.address().filter(|own| own.port() == address.port()) {
                port.fall_deaf().await;
                deaf.push((port.clone(), own));
            }
        }
        listen(key, address, None).map(Some)
    }

    /// Answers as another configuration says from now on.
    pub fn take_up(&mut self, change: Change, context: Context) {
        let Change { config, listener, redirect, certificate } = change;
        if let Some(listener) = &listener {
            self.address = address_of(listener, config.listen);
        }
        if let Some(certificate) = certificate {
            let (tls, keeper) = certificate.unzip();
            self.former_tls = std::mem::replace(&mut self.tls, tls).or_else(|| self.former_tls.take());
            self.keep(keeper);
        }
        self.gate = auth::Gate::of(&config, Some(&self.gate));
        self.gate.take_over();
        self.lasting.rebound(&config);
        self.port.show(self.lasting.face(&config, context, &self.gate, self.tls.clone(), self.address.port()));
        if let Some(listener) = listener {
            self.port.listen(listener);
            info!("http listening on {}", url(self.address, self.tls.is_some()));
        }
        let has_moved = redirect_listen(&config) != redirect_listen(&self.config);
        self.config = config;
        if has_moved {
            self.send_on(redirect);
        } else if let Some(redirect) = &self.redirect {
            redirect.show(self.way_on());
        }
    }

    /// Plain HTTP to HTTPS, from this listener and from no other any more.
    fn send_on(&mut self, listener: Option<TcpListener>) {
        if let Some(before) = self.redirect.take() {
            tokio::spawn(async move { before.close().await });
        }
        if let Some(listener) = listener {
            let port = Port::new(self.way_on());
            port.listen(listener);
            self.redirect = Some(port);
        }
    }

    fn way_on(&self) -> Face {
        let port = self.address.port();
        Face::new(to_https(port), None, port, self.lasting.clients.clone())
    }

    fn keep(&mut self, keeper: Option<Keeper>) {
        self.keeper.cancel();
        self.keeper = self.stopping.child_token();
        if let Some(keeper) = keeper {
            let stopped = self.keeper.clone();
            tokio::spawn(async move { stopped.run_until_cancelled(keeper.run()).await });
        }
    }

    /// To wait until nobody is answered any more, by a fault of ours.
    pub fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        let port = self.port.clone();
        async move { port.broken().await }
    }

    /// Answers the requests that are under way, which takes at most a second.
    pub async fn stop(self) {
        self.stopping.cancel();
        let redirect = async {
            if let Some(redirect) = &self.redirect {
                redirect.close().await;
            }
        };
        tokio::join!(self.port.close(), redirect);
        if timeout(GOODBYE, self.lasting.door.closed()).await.is_err() {
            debug!("signalling sockets did not take their goodbye in time");
        }
    }
}

/// What counts and what bounds, whatever the configuration says.
struct Lasting {
    limits: Arc<rate::Limits>,
    streams: Streams,
    door: Door,
    clients: Clients,
    news: Arc<News>,
    delays: Delays,
    registry: Registry,
    snapshots: Snapshots,
    clips: Clips,
}

impl Lasting {
    fn new(config: &Config, context: &Context, stopping: &CancellationToken) -> Self {
        let limits = Arc::new(rate::Limits::new(config.rate_limit));
        Self {
            streams: Streams::new(config.limits.event_streams, stopping.clone()),
            door: Door::new(&config.limits, limits.clone(), stopping.clone()),
            clients: Clients::new(config.limits, proxies(config)),
            limits,
            news: Arc::new(News::new(context.hub.clone())),
            delays: Delays::new(),
            registry: Registry::default(),
            snapshots: Snapshots::new(),
            clips: Clips::new(),
        }
    }

    /// Counts on, by the bounds of `config`.
    fn rebound(&mut self, config: &Config) {
        self.limits.set(config.rate_limit);
        config.limits.event_streams.set(self.streams.places());
        config.limits.sockets.set(self.door.places());
        self.door = self.door.with_messages(config.limits.body_bytes);
        self.clients = self.clients.with(config.limits, proxies(config));
    }

    /// What requests are answered by.
    fn face(&self, config: &Config, context: Context, gate: &Arc<auth::Gate>, tls: Option<Tls>, port: u16) -> Face {
        let bounds = Bounds {
            limits: self.limits.clone(),
            streams: self.streams.places().clone(),
            sockets: self.door.places().clone(),
            connections: self.clients.places().clone(),
            tls: tls.clone(),
        };
        let router = router(context, self.limits.clone(), self.registry.clone())
            .layer(Extension(bounds))
            .layer(Extension(Files { snapshots: self.snapshots.clone(), clips: self.clips.clone() }))
            .layer(Extension(self.snapshots.clone()))
            .layer(Extension(self.clips.clone()))
            .layer(Extension(self.delays.clone()))
            .layer(Extension(self.news.clone()))
            .layer(Extension(self.door.clone()))
            .layer(Extension(self.streams.clone()))
            .layer(Extension(MaxBody(config.limits.body_bytes)));
        let router = auth::around(router, gate.clone());
        let hsts = config.tls.as_ref().and_then(|tls| tls.hsts);
        let surroundings = &config.surroundings;
        let entrance =
            Entrance::new(proxies(config), surroundings.base_path.clone(), &surroundings.frame_ancestors, hsts);
        // Around the routing, which is by what is below the base path.
        let entering = middleware::from_fn_with_state(Arc::new(entrance), enter);
        let router = Router::new().fallback_service(router).layer(entering);
        Face::new(router, tls, port, self.clients.clone())
    }
}

fn proxies(config: &Config) -> Arc<Proxies> {
    let surroundings = &config.surroundings;
    Arc::new(Proxies::new(surroundings.trusted_proxies.clone(), surroundings.proxy_headers))
}

fn redirect_listen(config: &Config) -> Option<SocketAddr> {
    config.tls.as_ref().and_then(|tls| tls.redirect_listen)
}

fn url(address: SocketAddr, is_secure: bool) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// With the real port, in the words of people who do not know that `[::]` is every address of IPv4, too.
fn address_of(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    let mut address = listener.local_addr().unwrap_or(asked);
    if matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    address
}

fn listen(
    key: &'static str,
    address: SocketAddr,
    opened: Option<std::net::TcpListener>,
) -> Result<TcpListener, BindError> {
    let listener = opened.map_or_else(|| open_at(address), TcpListener::from_std);
    listener.map_err(|source| BindError::Port { key, address, source })
}

fn open_at(address: SocketAddr) -> io::Result<TcpListener> {
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
