//! Takes connections and answers their requests, within bounds: axum's own loop knows no limit of connections and waits
//! for a request's headers for ever, so that any stranger could use up the descriptors that cameras need too.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    pin,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::site::Connection;

/// Connections at one time; more wait in the kernel's queue. A page holds up to six.
const MAX_CONNECTIONS: usize = 512;
/// From the first byte of a request, or from the last answer, to the end of the request's headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(15);
/// For requests under way when the program ends. An offer that waits for its camera waits in vain.
const DRAIN: Duration = Duration::from_secs(1);
/// After an error of accept, such as no descriptor left, so that it cannot spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` completes.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    pin!(stop);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
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
        let service = TowerToHyperService::new(
            router.clone().layer(Extension(Connection { peer: remote.ip(), is_secure: false })),
        );
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "an HTTP connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        debug!("requests that are still waiting are cut off");
    }
}
