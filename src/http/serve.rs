//! Takes connections and answers their requests, within bounds: axum's own loop knows no limit of connections and waits
//! for a request's headers for ever, so that any stranger could use up the descriptors that cameras need too.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{
    panics::{Part, Whose, caught_task, kept_up},
    places::{NoPlace, Place, Places, Shortage},
};

use super::{
    Limits,
    proxy::Proxies,
    site::Connection,
    tls::{Arrival, HANDSHAKE_DEADLINE, Speaks, Tls, to_https},
};

/// For requests under way when the program ends. An offer that waits for its camera waits in vain.
const DRAIN: Duration = Duration::from_secs(1);
/// After an error of accept, such as no descriptor left, so that it cannot spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests of one HTTP/2 connection at one time: a wall of cameras, and its event streams.
const STREAMS: u32 = 128;
/// An HTTP/2 connection without a new request takes no further ones; with HTTP/1.1 that is [`Limits::header_deadline`].
const IDLE: Duration = Duration::from_secs(60);
/// Between two questions whether the other end of an HTTP/2 connection is there, and for the answer.
const PING: Duration = Duration::from_secs(20);

/// How long sent bytes may stay unacknowledged: whoever asks and does not read the answer is cut off then.
const UNREAD: Duration = Duration::from_secs(30);
/// What a client gets that has too many connections; nobody reads its requests.
const ENOUGH: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\ncontent-type: application/problem+json\r\n\
    content-length: 105\r\nconnection: close\r\n\r\n{\"type\":\"urn:camgate:problem:full\",\"title\":\"No place left\",\
    \"status\":429,\"detail\":\"Too many connections.\"}";

/// Who may have how many connections.
#[derive(Clone)]
pub(super) struct Clients {
    limits: Limits,
    /// Those in all are counted by who answers them.
    places: Places,
    proxies: Arc<Proxies>,
}

impl Clients {
    pub(super) fn new(limits: Limits, proxies: Arc<Proxies>) -> Self {
        let places = Places::behind_proxy(usize::MAX, limits.connections.per_address);
        Self { limits, places, proxies }
    }

    /// The same, counted on, by other limits and other proxies.
    pub(super) fn with(&self, limits: Limits, proxies: Arc<Proxies>) -> Self {
        self.places.set(usize::MAX, limits.connections.per_address, usize::MAX);
        Self { limits, places: self.places.clone(), proxies }
    }

    /// Where connections are counted.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// A place for a connection from `peer`; a proxy has many clients and takes none.
    fn place(&self, peer: IpAddr) -> Result<Option<Place>, NoPlace> {
        if self.proxies.trusts(peer) { Ok(None) } else { self.places.take(peer).map(Some) }
    }
}

/// What a port answers by.
pub(super) struct Face {
    clients: Clients,
    http: auto::Builder<TokioExecutor>,
    router: Router,
    tls: Option<Tls>,
    /// What plain HTTP gets where TLS is spoken.
    plain: Router,
}

impl Face {
    /// Answers by `router`, over `tls` if there is one; `port` is the number that browsers find it at.
    pub(super) fn new(router: Router, tls: Option<Tls>, port: u16, clients: Clients) -> Self {
        let limits = clients.limits;
        let mut http = auto::Builder::new(TokioExecutor::new());
        let mut http1 = http.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(limits.header_deadline).max_buf_size(limits.header_bytes);
        let mut http2 = http.http2();
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_concurrent_streams(STREAMS);
        Self { clients, http, router, tls, plain: to_https(port) }
    }
}

/// A port whose connections are answered.
pub(super) struct Port {
    places: Arc<Semaphore>,
    face: RwLock<Arc<Face>>,
    listening: Mutex<Option<Listening>>,
    stop: CancellationToken,
    connections: TaskTracker,
    /// It takes no connections any more, by a fault of ours.
    broken: CancellationToken,
}

struct Listening {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Port {
    pub(super) fn new(face: Face) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(face.clients.limits.connections.all)),
            face: RwLock::new(Arc::new(face)),
            listening: Mutex::default(),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
            broken: CancellationToken::new(),
        })
    }

    /// Answers by another face, also on connections that there are, as far as TLS and the bounds of a connection are not
    /// concerned.
    pub(super) fn show(&self, face: Face) {
        let all = face.clients.limits.connections.all;
        let before = std::mem::replace(&mut *self.face.write().unwrap_or_else(|e| e.into_inner()), Arc::new(face));
        let before = before.clients.limits.connections.all;
        self.places.add_permits(all.saturating_sub(before));
        let fewer = u32::try_from(before.saturating_sub(all)).unwrap_or(u32::MAX);
        if fewer > 0 {
            let (places, stop) = (self.places.clone(), self.stop.clone());
            // Nobody loses a connection: new ones wait until there are few enough.
            tokio::spawn(async move {
                let taken = stop.run_until_cancelled(places.acquire_many_owned(fewer)).await;
                taken.and_then(Result::ok).into_iter().for_each(OwnedSemaphorePermit::forget);
            });
        }
    }

    fn face(&self) -> Arc<Face> {
        self.face.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Takes connections from this listener, and from no other any more. Those that there are go on.
    pub(super) fn listen(self: &Arc<Self>, listener: TcpListener) {
        let Ok(address) = listener.local_addr() else { return self.broken.cancel() };
        let stop = self.stop.child_token();
        let (port, listener, stopped) = (self.clone(), Arc::new(listener), stop.clone());
        let task = tokio::spawn(kept_up(Part::Http, move || port.clone().accept(listener.clone(), stopped.clone())));
        let before = self.lock_listening().replace(Listening { address, stop, task });
        if let Some(before) = before {
            before.stop.cancel();
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.lock_listening().as_ref().map(|listening| listening.address)
    }

    /// Listens nowhere any more when this completes.
    pub(super) async fn fall_deaf(&self) {
        let before = self.lock_listening().take();
        if let Some(Listening { stop, task, .. }) = before {
            stop.cancel();
            // It ended, however.
            let _ = task.await;
        }
    }

    /// It takes no connections any more, and cannot.
    pub(super) fn give_up(&self) {
        self.broken.cancel();
    }

    /// Completes when it takes no connections any more by a fault of ours.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Takes no connections any more, and lets requests under way be answered, which takes at most a second.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.connections.close();
        if timeout(DRAIN, self.connections.wait()).await.is_err() {
            debug!("requests that are still waiting are cut off");
        }
    }

    fn lock_listening(&self) -> MutexGuard<'_, Option<Listening>> {
        self.listening.lock().unwrap_or_else(|e| e.into_inner())
    }

    async fn accept(self: Arc<Self>, listener: Arc<TcpListener>, stop: CancellationToken) {
        let mut shortage = Shortage::default();
        loop {
            let accepted = async {
                // TLS takes its place after the handshake, so that slow ones keep nobody waiting. The semaphore is never closed.
                let is_plain = self.face().tls.is_none();
                let place = if is_plain { self.places.clone().acquire_owned().await.ok() } else { None };
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = accepted => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(advice) = shortage.failed(&error, Instant::now()) {
                        warn!(%error, "cannot take an HTTP connection: {advice}");
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if shortage.taken(Instant::now()) {
                info!("HTTP connections are taken again");
            }
            // Answers are small and wanted at once.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
            let face = self.face();
            let Ok(own) = face.clients.place(remote.ip()) else {
                turn_away(stream);
                continue;
            };
            let port = self.clone();
            match &face.tls {
                None => {
                    // It has spoken TLS until a moment ago.
                    let Some(place) = place.or_else(|| self.places.clone().try_acquire_owned().ok()) else {
                        turn_away(stream);
                        continue;
                    };
                    self.connections.spawn(async move {
                        contained(port.attend(TokioIo::new(stream), None, remote.ip(), None)).await;
                        drop((place, own));
                    });
                }
                Some(tls) => {
                    drop(place);
                    // Counted by who has none.
                    let Some(handshake) = tls.place(remote.ip()) else { continue };
                    let tls = tls.clone();
                    self.connections.spawn(async move {
                        contained(port.welcome(&tls, stream, remote.ip(), handshake)).await;
                        drop(own);
                    });
                }
            }
        }
    }

    async fn welcome(self: &Arc<Self>, tls: &Tls, stream: TcpStream, peer: IpAddr, handshake: Place) {
        let arrival = tokio::select! {
            () = self.stop.cancelled() => None,
            arrival = tls.accept(stream) => arrival,
        };
        match arrival {
            None => {}
            Some(Arrival::Plain(stream)) => {
                let told = self.attend(TokioIo::new(stream), Some(self.face().plain.clone()), peer, None);
                let _ = timeout(HANDSHAKE_DEADLINE, told).await;
            }
            Some(Arrival::Tls(stream, speaks)) => {
                let place = timeout(HANDSHAKE_DEADLINE, self.places.acquire()).await;
                drop(handshake);
                if let Ok(Ok(_place)) = place {
                    self.attend(TokioIo::new(*stream), None, peer, Some(speaks)).await;
                }
            }
        }
    }

    /// Answers the requests of one connection, by `router` or by what the port answers by as each comes; `speaks` is what was
    /// agreed on over TLS.
    async fn attend(
        self: &Arc<Self>,
        io: impl Read + Write + Unpin + Send + 'static,
        router: Option<Router>,
        peer: IpAddr,
        speaks: Option<Speaks>,
    ) {
        let connection = Connection { peer, is_secure: speaks.is_some() };
        let requests = Arc::new(AtomicU64::new(0));
        let (counter, port, face) = (requests.clone(), self.clone(), self.face());
        let service = service_fn(move |mut request: Request<Incoming>| {
            counter.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(connection);
            let router = router.clone().unwrap_or_else(|| port.face().router.clone());
            TowerToHyperService::new(router).call(request)
        });
        let http = face.http.clone();
        let http = if speaks == Some(Speaks::Http2) { http.http2_only() } else { http.http1_only() };
        let connection = http.serve_connection_with_upgrades(io, service);
        let deadline = face.clients.limits.header_deadline;
        let idle = async {
            match speaks {
                Some(Speaks::Http2) => idle(&requests).await,
                _ => silent(&requests, deadline).await,
            }
        };
        pin!(connection, idle);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = &mut idle => {
                // One that never said anything does not hear a goodbye either: hyper waits for its first byte for ever.
                if requests.load(Ordering::Relaxed) == 0 {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "an HTTP connection ended");
        }
    }
}

/// A panic ends a connection and nothing else. It is told already.
async fn contained(connection: impl Future<Output = ()>) {
    let _ = caught_task(Part::Http, Whose::NOBODYS, connection).await;
}

/// Says why, as far as that takes no time. Over TLS it is not understood.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(ENOUGH);
    }
}

/// Completes when the first request has not come by then: hyper's own deadline begins with the first byte.
async fn silent(requests: &AtomicU64, deadline: Duration) {
    sleep(deadline).await;
    if requests.load(Ordering::Relaxed) > 0 {
        std::future::pending().await
    }
}

/// Completes when no request has come for a while.
async fn idle(requests: &AtomicU64) {
    loop {
        let before = requests.load(Ordering::Relaxed);
        sleep(IDLE).await;
        if requests.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::duplex, time};

    use super::*;
    use crate::http::{Portion, ProxyHeaders};

    const HEADERS: Duration = Duration::from_secs(15);

    /// How long a connection is kept on which nothing comes.
    async fn kept(speaks: Option<Speaks>) -> Duration {
        let all = Portion { all: 1, per_address: 1, per_user: 1 };
        let limits = Limits {
            connections: all,
            header_deadline: HEADERS,
            header_bytes: 16_384,
            body_bytes: 1,
            event_streams: all,
            sockets: all,
        };
        let clients = Clients::new(limits, Arc::new(Proxies::new(Vec::new(), ProxyHeaders::XForwarded)));
        let port = Port::new(Face::new(Router::new(), None, 0, clients));
        let (ours, _theirs) = duplex(1_024);
        let began = time::Instant::now();
        let attended = port.attend(TokioIo::new(ours), None, [192, 0, 2, 1].into(), speaks);
        assert!(timeout(IDLE * 10, attended).await.is_ok());
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_ends() {
        assert_eq!(kept(None).await, HEADERS);
        assert_eq!(kept(Some(Speaks::Http1)).await, HEADERS);
        assert_eq!(kept(Some(Speaks::Http2)).await, IDLE);
    }
}
