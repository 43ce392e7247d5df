//! Takes connections and answers their requests, within bounds: axum's own loop knows no limit of connections and waits
//! for a request's headers for ever, so that any stranger could use up the descriptors that cameras need too.

use std::{
    io::Write as _,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper::{
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
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::places::{NoPlace, Place, Places};

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

    /// Where connections are counted.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// A place for a connection from `peer`; a proxy has many clients and takes none.
    fn place(&self, peer: IpAddr) -> Result<Option<Place>, NoPlace> {
        if self.proxies.trusts(peer) { Ok(None) } else { self.places.take(peer).map(Some) }
    }
}

/// A port whose connections are answered.
pub(super) struct Port {
    places: Arc<Semaphore>,
    clients: Clients,
    http: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    tls: Option<Tls>,
    /// What plain HTTP gets where TLS is spoken.
    plain: Router,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Port {
    /// Answers by `router`, over `tls` if there is one; `port` is the number that browsers find it at.
    pub(super) fn new(router: Router, tls: Option<Tls>, port: u16, clients: Clients) -> Arc<Self> {
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
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limits.connections.all)),
            clients,
            http: Arc::new(http),
            router,
            tls,
            plain: to_https(port),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
        })
    }

    /// Serves until `stop` completes.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        pin!(stop);
        loop {
            let accepted = async {
                // TLS takes its place after the handshake, so that slow ones keep nobody waiting. The semaphore is never closed.
                let place = if self.tls.is_none() { self.places.clone().acquire_owned().await.ok() } else { None };
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = &mut stop => break,
                accepted = accepted => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot take an HTTP connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Answers are small and wanted at once.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
            let Ok(own) = self.clients.place(remote.ip()) else {
                turn_away(stream);
                continue;
            };
            let port = self.clone();
            match &self.tls {
                None => {
                    self.connections.spawn(async move {
                        port.attend(TokioIo::new(stream), port.router.clone(), remote.ip(), None).await;
                        drop((place, own));
                    });
                }
                Some(tls) => {
                    // Counted by who has none.
                    let Some(handshake) = tls.place(remote.ip()) else { continue };
                    let tls = tls.clone();
                    self.connections.spawn(async move {
                        port.welcome(&tls, stream, remote.ip(), handshake).await;
                        drop(own);
                    });
                }
            }
        }
        drop(listener);
        self.stop.cancel();
        self.connections.close();
        if timeout(DRAIN, self.connections.wait()).await.is_err() {
            debug!("requests that are still waiting are cut off");
        }
    }

    async fn welcome(&self, tls: &Tls, stream: TcpStream, peer: IpAddr, handshake: Place) {
        let arrival = tokio::select! {
            () = self.stop.cancelled() => None,
            arrival = tls.accept(stream) => arrival,
        };
        match arrival {
            None => {}
            Some(Arrival::Plain(stream)) => {
                let told = self.attend(TokioIo::new(stream), self.plain.clone(), peer, None);
                let _ = timeout(HANDSHAKE_DEADLINE, told).await;
            }
            Some(Arrival::Tls(stream, speaks)) => {
                let place = timeout(HANDSHAKE_DEADLINE, self.places.acquire()).await;
                drop(handshake);
                if let Ok(Ok(_place)) = place {
                    self.attend(TokioIo::new(*stream), self.router.clone(), peer, Some(speaks)).await;
                }
            }
        }
    }

    /// Answers the requests of one connection; `speaks` is what was agreed on over TLS.
    async fn attend(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
        router: Router,
        peer: IpAddr,
        speaks: Option<Speaks>,
    ) {
        let connection = Connection { peer, is_secure: speaks.is_some() };
        let router = TowerToHyperService::new(router.layer(Extension(connection)));
        let requests = Arc::new(AtomicU64::new(0));
        let counter = requests.clone();
        let service = service_fn(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            router.call(request)
        });
        let http = (*self.http).clone();
        let http = if speaks == Some(Speaks::Http2) { http.http2_only() } else { http.http1_only() };
        let connection = http.serve_connection_with_upgrades(io, service);
        let deadline = self.clients.limits.header_deadline;
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
    use tokio::{io::duplex, time::Instant};

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
        let port = Port::new(Router::new(), None, 0, clients);
        let (ours, _theirs) = duplex(1_024);
        let began = Instant::now();
        let attended = port.attend(TokioIo::new(ours), Router::new(), [192, 0, 2, 1].into(), speaks);
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
