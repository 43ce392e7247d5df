//! Reads the port, on a thread of its own, for as long as it is kept.
//!
//! A thread, because a socket that an event loop watches wakes it for every datagram, whether anybody reads now or not.

use std::{
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fd::OwnedFd,
    io::{Errno, write},
};
use tracing::{error, warn};

use super::{
    read_pace::ReadPace,
    socket::{Buffers, Read, Received, Socket},
};
use crate::{
    panics::{PAUSE, Part, Whose, caught},
    stats::Counter,
};

/// Longest wait for a datagram, after which it shows that it is alive.
const ROUND: Duration = Duration::from_secs(1);
/// After an error of the socket itself, so that it cannot spin.
const SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    /// Times that it began to wait: at least one a second.
    pub(super) rounds: Arc<Counter>,
}

impl Reader {
    /// Hands every datagram to `take`, whatever it may provoke there.
    ///
    /// # Errors
    /// When the system gives no thread, or no way to end it.
    pub(super) fn start(socket: Arc<Socket>, mut take: impl FnMut(Received) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = stop.clone();
        let rounds = Arc::<Counter>::default();
        let waits = rounds.clone();
        let thread = std::thread::Builder::new().name("peer-reader".to_owned()).spawn(move || {
            let mut run = || {
                let (mut buffers, mut pace) = (socket.buffers(), ReadPace::new(Instant::now()));
                while wait(&socket, &stopped, &waits) {
                    rest(&stopped, read(&socket, &mut buffers, &mut pace, &mut take));
                }
            };
            while caught(Part::Reader, Whose::NOBODYS, &mut run).is_err() {
                rest(&stopped, PAUSE);
            }
        })?;
        Ok(Self { stop, thread: Some(thread), rounds })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It fails only when it was told so often that it must have heard.
        let _ = write(&*self.stop, &1_u64.to_ne_bytes());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread that reads the WebRTC port ended with a panic");
        }
    }
}

/// Waits for a datagram, or for the end: then it is `false`.
fn wait(socket: &Socket, stop: &OwnedFd, rounds: &Counter) -> bool {
    let (round, mut is_told) = (ROUND.try_into().ok(), false);
    loop {
        rounds.add(1);
        let mut events = [PollFd::new(socket, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut events, round.as_ref()) {
            Ok(0) => {}
            Ok(_) => return events[1].revents().is_empty(),
            Err(Errno::INTR) => {}
            Err(error) => {
                // Out of memory for a moment, say: nobody else would hear viewers any more.
                if !std::mem::replace(&mut is_told, true) {
                    error!(%error, "cannot wait for viewers' datagrams; trying again");
                }
                rest(stop, SOCKET_PAUSE);
            }
        }
    }
}

/// Lets some time pass, or less when the end comes.
fn rest(stop: &OwnedFd, pause: Duration) {
    if let (false, Ok(pause)) = (pause.is_zero(), pause.try_into()) {
        // When it fails, the next wait tells why; and a wait it is to be.
        if poll(&mut [PollFd::new(stop, PollFlags::IN)], Some(&pause)).is_err_and(|error| error != Errno::INTR) {
            std::thread::park_timeout(SOCKET_PAUSE);
        }
    }
}

/// Reads all that there is. Returns how long to pause.
fn read(socket: &Socket, buffers: &mut Buffers, pace: &mut ReadPace, take: &mut impl FnMut(Received)) -> Duration {
    loop {
        let contained = |datagram| {
            // Told already.
            let _ = caught(Part::Reader, Whose::NOBODYS, || take(datagram));
        };
        match socket.receive(buffers, contained) {
            // A flood is read as fast as it comes: what a viewer says stands behind it.
            Ok(Read::Full) => {}
            Ok(Read::All) => return pace.after_read(Instant::now()),
            Err(error) => {
                warn!(%error, "cannot read the WebRTC port");
                return SOCKET_PAUSE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, sync::mpsc};

    use super::*;

    #[test]
    fn a_panic_ends_nothing_and_dropping_it_does() {
        let socket = Arc::new(Socket::bind(([127, 0, 0, 1], 0).into()).expect("a port"));
        let (told, heard) = mpsc::channel();
        let take = move |datagram: Received| match &datagram.data[..] {
            b"panic" => panic!("as the test wishes"),
            other => told.send(other.to_vec()).expect("the test listens"),
        };
        let reader = Reader::start(socket.clone(), take).expect("a thread");
        let viewer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let send = |data: &[u8]| viewer.send_to(data, socket.local_address()).expect("there is room");
        send(b"one");
        assert_eq!(heard.recv().expect("it reads"), b"one");
        send(b"panic");
        send(b"two");
        assert_eq!(heard.recv().expect("it goes on"), b"two");
        drop(reader);
        send(b"three");
        assert!(heard.recv().is_err(), "what took is gone");
    }

    #[test]
    fn all_of_a_flood_is_read() {
        let socket = Arc::new(Socket::bind(([127, 0, 0, 1], 0).into()).expect("a port"));
        let (told, heard) = mpsc::channel();
        let _reader = Reader::start(socket.clone(), move |_| _ = told.send(())).expect("a thread");
        let viewer = UdpSocket::bind("127.0.0.1:0").expect("a port");
        for _ in 0..20 {
            for _ in 0..100 {
                viewer.send_to(&[0x80; 60], socket.local_address()).expect("there is room");
            }
            assert_eq!(heard.iter().take(100).count(), 100);
        }
    }
}
