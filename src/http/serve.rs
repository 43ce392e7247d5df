//! Takes connections and answers their requests, within bounds: axum's own loop knows no limit of connections and waits
//! for a request's headers for ever, so that any stranger could use up the descriptors that cameras need too.

use std::{
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
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    site::Connection,
    tls::{Arrival, HANDSHAKE_DEADLINE, Speaks, Tls, to_https},
};

/// Connections at one time; more wait in the kernel's queue. A page holds up to six.
const MAX_CONNECTIONS: usize = 512;
/// From the first byte of a request, or from the last answer, to the end of the request's headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(15);
/// For requests under way when the program ends. An offer that waits for its camera waits in vain.
const DRAIN: Duration = Duration::from_secs(1);
/// After an error of accept, such as no descriptor left, so that it cannot spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests of one HTTP/2 connection at one time: a wall of cameras, and its event streams.
const STREAMS: u32 = 128;
/// An HTTP/2 connection without a new request takes no further ones; with HTTP/1.1 that is [`HEADER_DEADLINE`].
const IDLE: Duration = Duration::from_secs(60);
/// Between two questions whether the other end of an HTTP/2 connection is there, and for the answer.
const PING: Duration = Duration::from_secs(20);

/// A port whose connections are answered.
pub(super) struct Port {
    places: Arc<Semaphore>,
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
    pub(super) fn new(router: Router, tls: Option<Tls>, port: u16) -> Arc<Self> {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
        let mut http2 = http.http2();
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_concurrent_streams(STREAMS);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
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
            let port = self.clone();
            match &self.tls {
                None => {
                    self.connections.spawn(async move {
                        port.attend(TokioIo::new(stream), port.router.clone(), remote.ip(), None).await;
                        drop(place);
                    });
                }
                Some(tls) => {
                    // Counted by who has none.
                    let Some(handshake) = tls.place(remote.ip()) else { continue };
                    let tls = tls.clone();
                    self.connections.spawn(async move {
                        port.welcome(&tls, stream, remote.ip(), handshake).await;
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

    async fn welcome(&self, tls: &Tls, stream: TcpStream, peer: IpAddr, handshake: crate::places::Place) {
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
        let idle = async {
            match speaks {
                Some(Speaks::Http2) => idle(&requests).await,
                _ => std::future::pending().await,
            }
        };
        pin!(connection, idle);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { tokio::select! { () = self.stop.cancelled() => {}, () = &mut idle => {} } } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "an HTTP connection ended");
        }
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
