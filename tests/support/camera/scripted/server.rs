//! Listens, and gives each connection a thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::faults::{End, Wire};
use super::{Shared, connection};

/// Between two looks for a new connection.
const ACCEPT_POLL: Duration = Duration::from_millis(5);
/// For the threads of the connections to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A listening socket. Dropping it closes every connection.
pub(super) struct Server {
    port: u16,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on 127.0.0.1:`port`, or on a free port for 0.
    pub(super) fn start(shared: Arc<Shared>, port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.unwrap_or_else(|error| panic!("camera cannot listen on port {port}: {error}"));
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("bound").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, camera) = (stop.clone(), shared.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(ACCEPT_POLL);
                    continue;
                };
                let number = camera.faults.accepted.fetch_add(1, Ordering::SeqCst);
                if camera.faults.open.load(Ordering::SeqCst) >= camera.script.max_connections {
                    continue;
                }
                camera.faults.open.fetch_add(1, Ordering::SeqCst);
                let camera = camera.clone();
                std::thread::spawn(move || {
                    let wire = Arc::new(Wire::new(stream));
                    camera.faults.wires.lock().unwrap().push(Arc::downgrade(&wire));
                    connection::serve(&camera, &wire, number);
                    wire.end(End::Close);
                    camera.faults.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, shared, stop, thread: Some(thread) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
        self.shared.faults.end(End::Close);
        let end = Instant::now() + END_LIMIT;
        while self.shared.faults.open.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            std::thread::sleep(ACCEPT_POLL);
        }
    }
}
