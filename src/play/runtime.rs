//! Tokio for the `webrtc` crate, except that its driver does not sleep long while it connects.
//!
//! The driver of webrtc 0.21.1 writes, then handles events, then sleeps until the next timer: what an event makes it
//! send, such as the DTLS ClientHello once ICE is up, stays there until then. That would add 200 ms to every connection
//! and say them of the server.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

/// The longest sleep of a driver that connects; measured times are wrong by so much at most.
const LONGEST_SLEEP: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(super) struct WakefulRuntime {
    rested: AtomicBool,
}

impl WakefulRuntime {
    /// Connected, or about to close: from now on timers last as long as they should.
    pub(super) fn rest(&self) {
        self.rested.store(true, Ordering::Relaxed);
    }
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for WakefulRuntime {
    fn spawn(&self, future: Pending<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Pending<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pending<'static, ()> {
        let rested = self.rested.load(Ordering::Relaxed);
        TokioRuntime.sleep(if rested { duration } else { duration.min(LONGEST_SLEEP) })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
