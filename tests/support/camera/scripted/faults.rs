//! What goes wrong between the camera and the gateway, while it runs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use socket2::SockRef;

/// Between two looks at a flag.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// A client that takes nothing for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(20);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN, both ways.
    Close,
    /// FIN, and what the client says is read on.
    HalfClose,
    Reset,
}

/// What happens to the media packets of all sessions, in thousandths; the default is fair weather.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub lose_permille: u32,
    pub duplicate_permille: u32,
    /// Packets that are overtaken.
    pub late_permille: u32,
    /// By how many packets (default 0 counts as 1).
    pub late_by: usize,
    pub seed: u32,
}

/// [`Weather`] as it passes.
#[derive(Default)]
pub(super) struct Passing {
    weather: Weather,
    random: u32,
    late: Vec<(usize, Vec<u8>)>,
}

impl From<Weather> for Passing {
    fn from(weather: Weather) -> Self {
        // Xorshift must not begin with zero.
        Self { weather, random: weather.seed ^ 0x9e37_79b9, late: Vec::new() }
    }
}

impl Passing {
    fn happens(&mut self, permille: u32) -> bool {
        if permille == 0 {
            return false;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % 1_000 < permille
    }

    /// What arrives when this packet is sent.
    pub(super) fn pass(&mut self, packet: Vec<u8>) -> Vec<Vec<u8>> {
        let weather = self.weather;
        let mut out = Vec::new();
        if self.happens(weather.late_permille) {
            // One more, because this call counts too.
            self.late.push((weather.late_by.max(1) + 1, packet));
        } else if !self.happens(weather.lose_permille) {
            if self.happens(weather.duplicate_permille) {
                out.push(packet.clone());
            }
            out.push(packet);
        }
        self.late.iter_mut().for_each(|(count, _)| *count -= 1);
        out.extend(self.late.extract_if(.., |(count, _)| *count == 0).map(|(_, packet)| packet));
        out
    }
}

/// The state of all faults, and what is counted.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) stalled: AtomicBool,
    pub(super) muted: AtomicBool,
    pub(super) deaf: AtomicBool,
    pub(super) weather: Mutex<Passing>,
    pub(super) wires: Mutex<Vec<Weak<Wire>>>,
    pub(super) open: AtomicUsize,
    pub(super) accepted: AtomicUsize,
    pub(super) frames: AtomicU64,
}

impl Faults {
    fn each(&self, act: impl Fn(&Wire)) {
        let mut wires = self.wires.lock().unwrap();
        wires.retain(|wire| wire.upgrade().inspect(|wire| act(wire)).is_some());
    }

    pub(super) fn end(&self, how: End) {
        self.each(|wire| wire.end(how));
    }

    pub(super) fn garbage(&self, bytes: &[u8]) {
        self.each(|wire| wire.garbage.lock().unwrap().extend(bytes));
    }
}

/// An RTSP connection.
pub(super) struct Wire {
    stream: Mutex<TcpStream>,
    garbage: Mutex<Vec<u8>>,
    /// Nothing is read or written any more.
    pub(super) closed: AtomicBool,
    /// Nothing is written any more.
    mute: AtomicBool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(POLL)).expect("a socket");
        stream.set_write_timeout(Some(WRITE_LIMIT)).expect("a socket");
        Self {
            stream: Mutex::new(stream),
            garbage: Mutex::default(),
            closed: AtomicBool::new(false),
            mute: AtomicBool::new(false),
        }
    }

    /// A reader of its own, so that reading does not keep others from writing.
    pub(super) fn reader(&self) -> TcpStream {
        self.stream.lock().unwrap().try_clone().expect("a descriptor")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Sends all of it at once.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.mute.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut stream = self.stream.lock().unwrap();
        let garbage = std::mem::take(&mut *self.garbage.lock().unwrap());
        stream.write_all(&[garbage, bytes.to_vec()].concat())
    }

    /// More of what the client says; `None` when the connection is over.
    pub(super) fn read(&self, reader: &mut TcpStream) -> Option<Vec<u8>> {
        let mut bytes = [0; 4_096];
        loop {
            if self.is_closed() {
                return None;
            }
            match reader.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => return Some(bytes[..count].to_vec()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) fn end(&self, how: End) {
        // A FIN now would keep a reset from being one.
        if self.is_closed() {
            return;
        }
        let stream = self.stream.lock().unwrap();
        match how {
            End::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                self.closed.store(true, Ordering::SeqCst);
            }
            End::HalfClose => {
                self.mute.store(true, Ordering::SeqCst);
                let _ = stream.shutdown(Shutdown::Write);
            }
            // The kernel sends it when the last descriptor is closed, by the threads that see the flag.
            End::Reset => {
                let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                self.mute.store(true, Ordering::SeqCst);
                self.closed.store(true, Ordering::SeqCst);
            }
        }
    }
}
