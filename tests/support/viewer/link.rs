//! The viewer's UDP socket, behind a switch: loses packets, or goes dead without a word.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

/// Smaller packets are STUN, DTLS or RTCP more often than media, and are never lost on purpose.
const SMALLEST_LOST: usize = 200;

#[derive(Debug, Default)]
pub struct Link {
    /// Nothing gets in or out.
    pub dead: AtomicBool,
    /// Loses each n-th large media packet on its way in; 0 = none.
    pub lose_every: AtomicU64,
    pub lost: AtomicU64,
    large: AtomicU64,
}

impl Link {
    fn loses(&self, datagram: &[u8]) -> bool {
        if self.dead.load(Ordering::Relaxed) {
            return true;
        }
        let every = self.lose_every.load(Ordering::Relaxed);
        // RFC 7983: a first byte of 128 to 191 is RTP or RTCP.
        let media = datagram.len() >= SMALLEST_LOST && (128..192).contains(&datagram[0]);
        let lose = every > 0 && media && self.large.fetch_add(1, Ordering::Relaxed) % every == every - 1;
        if lose {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        lose
    }
}

/// Tokio, except that UDP sockets go through a [`Link`].
#[derive(Debug)]
pub struct LinkRuntime(pub Arc<Link>);

impl Runtime for LinkRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        socket.set_nonblocking(true)?;
        Ok(Arc::new(LinkSocket { socket: tokio::net::UdpSocket::from_std(socket)?, link: self.0.clone() }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

struct LinkSocket {
    socket: tokio::net::UdpSocket,
    link: Arc<Link>,
}

impl fmt::Debug for LinkSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSocket({:?})", self.link)
    }
}

impl AsyncUdpSocket for LinkSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.link.dead.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        self.socket.poll_send_to(cx, transmit.contents, transmit.destination)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut buffer = ReadBuf::new(&mut bufs[0]);
            let from = std::task::ready!(self.socket.poll_recv_from(cx, &mut buffer))?;
            if self.link.loses(buffer.filled()) {
                continue;
            }
            meta[0] = RecvMeta::default();
            meta[0].addr = from;
            meta[0].len = buffer.filled().len();
            meta[0].stride = meta[0].len;
            return Poll::Ready(Ok(1));
        }
    }
}
