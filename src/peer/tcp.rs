//! ICE over TCP (RFC 6544): connections that viewers open because their network lets no UDP through.
//!
//! In: frames of the viewers, each a datagram in what follows, and datagrams for them. A connection belongs to the
//! session that its first frame, a STUN request, names; anything else closes it. Nobody waits for a viewer that reads
//! slowly: each connection has a bounded queue, says when it is getting full, and what finds it full is dropped whole.

mod connection;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use socket2::{Protocol, SockRef, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, error::TrySendError},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use self::connection::Connection;
#[cfg(feature = "fuzzing")]
pub(super) use self::connection::frames;
use super::{
    SessionId,
    port::{of_both_families, open},
    socket::Received,
};
use crate::{
    panics::{Part, Whose, caught_task},
    places::{Place, Places, Shortage},
    stats::Counter,
};

/// Connections that belong to sessions of one address, or of one customer's IPv6 network: whoever has watched once could take every place otherwise.
const MAX_PER_CUSTOMER: usize = 64;
/// Connections that have not said yet whom they belong to. One is half-open for a round trip, or until its deadline.
const MAX_HALF_OPEN: usize = 128;
/// Those of one customer: a browser opens one to each of our addresses, several browsers may share a NAT.
const MAX_HALF_OPEN_PER_CUSTOMER: usize = 32;
/// Those of one session. A browser opens one from each of its networks to each of our addresses, and again for a restart.
const MAX_PER_SESSION: usize = 16;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 256;
/// Frames that may wait for one viewer: 1.2 MB of media. More are dropped and counted.
const QUEUE: usize = 1_024;
/// Waiting frames above which a viewer is sent no further picture: the rest of the queue is room for one keyframe.
const CONGESTED: usize = 128;
/// What the kernel may take without having sent it, in bytes. More would only make the picture late.
const UNSENT: u32 = 64 * 1024;
/// After an error of accept, such as no descriptor left, so that it cannot spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For goodbyes when the program ends.
const DRAIN: Duration = Duration::from_millis(500);

/// A connection as the senders see it.
#[derive(Debug)]
struct Entry {
    /// Tells a connection from a later one of the same address.
    number: u64,
    session: Option<SessionId>,
    queue: mpsc::Sender<Bytes>,
    stop: CancellationToken,
    _place: Place,
}

/// The port on TCP, and its connections.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    /// By the viewer's address: two connections of one viewer to two addresses of ours differ in it, since browsers bind
    /// each to a port of its own.
    connections: RwLock<HashMap<SocketAddr, Entry>>,
    places: Places,
    half_open: Places,
    numbers: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Frames that found a queue full.
    pub(super) dropped: Counter,
    /// Connections that were closed because there were too many, or because they did not begin as ICE does.
    pub(super) refused: Counter,
}

impl Tcp {
    /// Opens `address`, for so many `connections` that belong to sessions.
    ///
    /// # Errors
    /// When it is taken or not this machine's.
    pub(super) fn bind(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let socket = of_both_families(address, |address| {
            let socket = open(address, Type::STREAM, Protocol::TCP)?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        })?;
        Self::adopt(socket.into(), connections)
    }

    /// Takes a port that is open and does not block.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub(super) fn adopt(listener: std::net::TcpListener, connections: usize) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            connections: RwLock::default(),
            places: Places::new(connections, MAX_PER_CUSTOMER),
            half_open: Places::new(MAX_HALF_OPEN, MAX_HALF_OPEN_PER_CUSTOMER),
            numbers: AtomicU64::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            dropped: Counter::default(),
            refused: Counter::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes connections and hands their frames to `take`, which tells the session that a frame is for; `lives` tells whether
    /// that is not over. Ends with [`shutdown`](Self::shutdown).
    ///
    /// # Cancel safety
    /// Connections that are open live on.
    pub(super) async fn serve<T, L>(self: Arc<Self>, take: T, lives: L)
    where
        T: Fn(Received) -> Option<SessionId> + Clone + Send + Sync + 'static,
        L: Fn(SessionId) -> bool + Clone + Send + Sync + 'static,
    {
        let mut shortage = Shortage::default();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    if shortage.taken(Instant::now()) {
                        info!("WebRTC connections on TCP are taken again");
                    }
                    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                    let (tcp, take, lives) = (self.clone(), take.clone(), lives.clone());
                    self.tasks.spawn(async move {
                        let attended = tcp.attend(stream, remote, take, lives);
                        // Told already; the connection has ended with it.
                        let _ = caught_task(Part::Tcp, Whose::NOBODYS, attended).await;
                    });
                }
                Err(error) => {
                    if let Some(advice) = shortage.failed(&error, Instant::now()) {
                        warn!(%error, "cannot take a WebRTC connection on TCP: {advice}");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn attend(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        take: impl Fn(Received) -> Option<SessionId>,
        lives: impl Fn(SessionId) -> bool,
    ) {
        let Ok(half_open) = self.half_open.take(remote.ip()) else { return self.refused.add(1) };
        if let Err(error) = prepare(&stream) {
            return debug!(%remote, %error, "cannot set up a WebRTC connection on TCP");
        }
        let mut connection = match Connection::open(stream, remote) {
            Ok(connection) => connection,
            Err(error) => return debug!(%remote, %error, "a WebRTC connection on TCP is gone already"),
        };
        let first = tokio::select! {
            () = self.stop.cancelled() => return,
            first = connection.first() => first,
        };
        let Some(first) = first else { return self.refused.add(1) };
        let Some((entered, queue, stop)) = self.enter(remote) else { return self.refused.add(1) };
        // Before the frame is handed over: its answer comes at once.
        let session = take(first);
        drop(half_open);
        // A session that ended before it was assigned one does not close it.
        match session.filter(|session| self.assign(remote, entered.number, *session) && lives(*session)) {
            Some(_) => {
                if let Err(error) = connection.run(queue, stop, take).await {
                    debug!(%remote, %error, "a WebRTC connection on TCP broke");
                }
            }
            None => self.refused.add(1),
        }
    }

    fn enter(&self, remote: SocketAddr) -> Option<(Entered<'_>, mpsc::Receiver<Bytes>, CancellationToken)> {
        let place = self.places.take(remote.ip()).ok()?;
        let mut connections = self.connections.write().unwrap_or_else(|e| e.into_inner());
        let (queue, frames) = mpsc::channel(QUEUE);
        let stop = self.stop.child_token();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        connections.insert(remote, Entry { number, session: None, queue, stop: stop.clone(), _place: place });
        Some((Entered { tcp: self, remote, number }, frames, stop))
    }

    /// False when the session has too many.
    fn assign(&self, remote: SocketAddr, number: u64, session: SessionId) -> bool {
        let mut connections = self.connections.write().unwrap_or_else(|e| e.into_inner());
        if connections.values().filter(|entry| entry.session == Some(session)).count() >= MAX_PER_SESSION {
            return false;
        }
        if let Some(entry) = connections.get_mut(&remote).filter(|entry| entry.number == number) {
            entry.session = Some(session);
        }
        true
    }

    fn leave(&self, remote: SocketAddr, number: u64) {
        let mut connections = self.connections.write().unwrap_or_else(|e| e.into_inner());
        if connections.get(&remote).is_some_and(|entry| entry.number == number) {
            connections.remove(&remote);
        }
    }

    /// Sends a datagram to `remote`, or drops it: counted where the viewer reads too slowly, not where it is gone.
    pub(super) fn send(&self, remote: SocketAddr, datagram: Bytes) {
        let connections = self.connections.read().unwrap_or_else(|e| e.into_inner());
        let Some(entry) = connections.get(&remote) else { return };
        if let Err(TrySendError::Full(_)) = entry.queue.try_send(datagram) {
            self.dropped.add(1);
        }
    }

    /// Whether so much waits for the viewer at `remote` that another picture would only come late.
    pub(super) fn is_congested(&self, remote: SocketAddr) -> bool {
        let connections = self.connections.read().unwrap_or_else(|e| e.into_inner());
        connections.get(&remote).is_some_and(|entry| QUEUE - entry.queue.capacity() > CONGESTED)
    }

    /// Closes the connections of a session that is over, after what is queued.
    pub(super) fn forget(&self, session: SessionId) {
        let mut connections = self.connections.write().unwrap_or_else(|e| e.into_inner());
        connections.retain(|_, entry| {
            let over = entry.session == Some(session);
            if over {
                entry.stop.cancel();
            }
            !over
        });
    }

    /// So many connections from now on; those that there are stay.
    pub(super) fn allow(&self, connections: usize) {
        self.places.set(connections, MAX_PER_CUSTOMER, usize::MAX);
    }

    /// Connections that belong to sessions now.
    pub(super) fn connections(&self) -> usize {
        self.connections.read().unwrap_or_else(|e| e.into_inner()).len()
    }

    /// Closes everything, after what is queued.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        self.connections.write().unwrap_or_else(|e| e.into_inner()).clear();
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            debug!("viewers on TCP did not take their goodbye in time");
        }
    }
}

/// A connection that is in the table, for as long as its task knows it: however that ends.
struct Entered<'a> {
    tcp: &'a Tcp,
    remote: SocketAddr,
    number: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.tcp.leave(self.remote, self.number);
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)
}

#[cfg(test)]
mod tests;
