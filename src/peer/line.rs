//! One open port and all that serves it: the workers of its sessions, the thread that reads it, the addresses that viewers are
//! told.
//!
//! When another port is configured, a new line opens beside the old one, which goes on for the sessions that it has and ends
//! with the last of them. Workers are numbered over all lines, so that a number says which line a session is on.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard},
};

use tokio::{sync::oneshot, task::JoinHandle};
use tracing::error;

use super::{
    BindError, Config, SessionId,
    addresses::Addresses,
    directory::Directory,
    peers::Drops,
    port::Port,
    reader::Reader,
    session::Session,
    socket::Received,
    transport::Transport,
    worker::{self, Command, Handle},
};
use crate::panics::{Part, kept_up};

/// A port that viewers are sent from.
pub(super) struct Line {
    port: Arc<Port>,
    workers: Arc<Workers>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Takes viewers' TCP connections.
    accepting: JoinHandle<()>,
    reader: Mutex<Option<Reader>>,
    known: Arc<RwLock<Known>>,
}

/// The workers of a line.
struct Workers {
    /// The number of the first.
    first: usize,
    handles: Vec<Handle>,
}

impl Workers {
    fn find(&self, worker: usize) -> Option<&Handle> {
        self.handles.get(worker.checked_sub(self.first)?)
    }

    /// Hands a datagram to the worker of the session it is for, which is returned.
    fn deliver(&self, directory: &Directory, datagram: Received) -> Option<SessionId> {
        let route = directory.route(datagram.remote, &datagram.data, datagram.at)?;
        // Another line's session is not served here, whoever says that it is.
        self.find(route.worker)?.deliver(route.session, datagram);
        Some(route.session)
    }
}

/// What viewers are told, and the task that keeps it true.
struct Known {
    addresses: Arc<Addresses>,
    keeping: JoinHandle<()>,
}

impl Known {
    fn new(config: &Config, port: &Arc<Port>) -> Self {
        let addresses = Arc::new(Addresses::new(config.clone(), port.local_address()));
        let (known, port) = (addresses.clone(), port.clone());
        let keeping = tokio::spawn(kept_up(Part::Addresses, move || known.clone().keep(port.clone())));
        Self { addresses, keeping }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Line {
    /// Starts `count` worker threads, numbered from `first` on, and one that reads. To be called on the runtime that will serve
    /// TCP.
    ///
    /// # Errors
    /// [`BindError`] when the system gives no threads.
    pub(super) fn start(
        port: Port,
        config: &Config,
        first: usize,
        count: usize,
        directory: &Arc<Directory>,
    ) -> Result<Self, BindError> {
        let (listen, port) = (port.local_address(), Arc::new(port));
        let fault = |source: io::Error| BindError::new(listen, Transport::Udp, source);
        let (mut handles, mut threads) = (Vec::new(), Vec::new());
        for index in first..first + count {
            let (handle, thread) = worker::start(index, port.clone(), directory.clone()).map_err(fault)?;
            handles.push(handle);
            threads.push(thread);
        }
        let workers = Arc::new(Workers { first, handles });
        let known = Arc::new(RwLock::new(Known::new(config, &port)));
        let (routes, drivers, addresses) = (directory.clone(), workers.clone(), known.clone());
        let reader = Reader::start(port.udp.clone(), move |datagram| {
            if !read(&addresses).addresses.take(&datagram) {
                drivers.deliver(&routes, datagram);
            }
        });
        let reader = Mutex::new(Some(reader.map_err(fault)?));
        let (routes, drivers, sessions) = (directory.clone(), workers.clone(), directory.clone());
        let lives = move |session| sessions.find(session).is_some();
        let (tcp, take) = (port.tcp.clone(), move |frame| drivers.deliver(&routes, frame));
        let accepting = tokio::spawn(kept_up(Part::Tcp, move || tcp.clone().serve(take.clone(), lives.clone())));
        Ok(Self { port, workers, threads: Mutex::new(threads), accepting, reader, known })
    }

    /// Takes up other bounds, and other addresses where they are `told`.
    pub(super) fn change(&self, config: &Config, told: bool) {
        self.port.tcp.allow(config.max_tcp_connections);
        if told {
            *self.known.write().unwrap_or_else(|e| e.into_inner()) = Known::new(config, &self.port);
        }
    }

    /// Where it listens, with the real port.
    pub(super) fn local_address(&self) -> SocketAddr {
        self.port.local_address()
    }

    /// What viewers are told.
    pub(super) fn addresses(&self) -> Arc<Addresses> {
        read(&self.known).addresses.clone()
    }

    /// The worker of that number, if it is of this line.
    pub(super) fn worker(&self, worker: usize) -> Option<&Handle> {
        self.workers.find(worker)
    }

    /// The number of the worker with the fewest sessions.
    pub(super) fn idlest(&self) -> Option<usize> {
        let idlest = self.workers.handles.iter().enumerate().min_by_key(|(_, worker)| worker.load());
        idlest.map(|(index, _)| self.workers.first + index)
    }

    /// Hands a session to the worker of that number. Returns whether it is still there.
    pub(super) fn adopt(&self, worker: usize, session: Session) -> bool {
        self.workers.find(worker).is_some_and(|worker| worker.adopt(session))
    }

    /// The number after that of its last worker.
    pub(super) fn end(&self) -> usize {
        self.workers.first + self.workers.handles.len()
    }

    /// How many sessions each worker drives, by its number.
    pub(super) fn loads(&self) -> impl Iterator<Item = (usize, usize)> {
        self.workers.handles.iter().enumerate().map(|(index, worker)| (self.workers.first + index, worker.load()))
    }

    /// Adds what was dropped here to `drops`.
    pub(super) fn count(&self, drops: &mut Drops) {
        drops.unsent_datagrams += self.port.udp.refused.total();
        drops.unsent_frames += self.port.tcp.dropped.total();
        drops.unread_datagrams += self.workers.handles.iter().map(|worker| worker.dropped.total()).sum::<u64>();
        drops.refused_connections += self.port.tcp.refused.total();
    }

    /// The threads, for a person, each with a count that grows at least once a second while it is well.
    pub(super) fn rounds(&self) -> Vec<(String, u64)> {
        let workers = self.workers.handles.iter().enumerate();
        let workers = workers.map(|(index, worker)| {
            (format!("worker {} of viewers", self.workers.first + index), worker.rounds.total())
        });
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner());
        let port = self.local_address().port();
        let reader = reader.as_ref().map(|reader| (format!("the reader of WebRTC port {port}"), reader.rounds.total()));
        workers.chain(reader).collect()
    }

    /// Connections that viewers have on TCP now.
    pub(super) fn tcp_connections(&self) -> usize {
        self.port.tcp.connections()
    }

    /// Says goodbye to every viewer and ends all threads and tasks.
    pub(super) async fn close(&self) {
        for worker in &self.workers.handles {
            let (done, wait) = oneshot::channel();
            if worker.commands.send(Command::Drain(done)).is_ok() {
                // A worker that is gone has no viewers.
                let _ = wait.await;
            }
        }
        self.port.tcp.shutdown().await;
        read(&self.known).keeping.abort();
        self.accepting.abort();
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner()).take();
        let threads: Vec<_> = self.threads.lock().unwrap_or_else(|e| e.into_inner()).drain(..).collect();
        // They end right after they answered.
        let joined = tokio::task::spawn_blocking(move || {
            drop(reader);
            threads.into_iter().try_for_each(|thread| thread.join())
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            error!("a viewer worker ended with a panic");
        }
    }
}

/// A lock that a panic of another thread does not close.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|e| e.into_inner())
}
