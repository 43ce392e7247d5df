//! The least that sending protected media to many viewers can cost: each packet protected under its viewer's key, each
//! frame sent to each viewer in one system call, and nothing else: no sessions, no timers, no retransmission, no feedback.

mod seal;

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use quinn_udp::{Transmit, UdpSocketState};

use super::crowd::{Frame, Protection};
use super::machine;
use seal::Seal;

/// What the kernel takes in one message (UDP_MAX_SEGMENTS, and 16 bits of length less headers).
const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 65_000;
/// As the gateway asks for.
const BUFFER: usize = 8 << 20;

/// How it sends.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub protection: Protection,
    /// One message for all packets of a frame (UDP GSO, sendmsg), or one for each of them (sendmmsg).
    pub gso: bool,
}

/// What it cost.
pub struct Cost {
    pub cpu: Duration,
    pub packets: u64,
    /// Packets that the kernel had no room for; they must be 0 for the rest to mean anything.
    pub refused: u64,
    /// When it began with each frame, in nanoseconds since 1970; the frame's number is its RTP timestamp.
    pub began: Vec<u64>,
}

/// Sends `frames`, over and over, to all `viewers` for `length`, one frame each `interval`. To be called on a runtime
/// with one thread: the time is that of the calling thread.
pub async fn measure(frames: &[Frame], interval: Duration, viewers: &[SocketAddr], length: Duration, way: Way) -> Cost {
    let mut sender = Sender::new(way.gso);
    let mut seals: Vec<_> = (0..viewers.len()).map(|index| Seal::new(way.protection, index as u8)).collect();
    let payload = vec![0x5a; 2_048];
    let mut train = Vec::with_capacity(MAX_BYTES + 2_048);
    let mut cost = Cost { cpu: Duration::ZERO, packets: 0, refused: 0, began: Vec::new() };
    let mut sequence = 0u64;
    let mut frames = frames.iter().cycle();
    let mut due = Instant::now();
    let (end, before) = (due + length, machine::own_cpu_time());
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        due += interval;
        let frame = frames.next().expect("there are frames");
        let timestamp = cost.began.len() as u32;
        cost.began.push(since_1970());
        let segment = frame.bytes.div_ceil(frame.packets);
        let per_train = (MAX_BYTES / segment).min(MAX_SEGMENTS);
        for (viewer, seal) in viewers.iter().zip(&mut seals) {
            for first in (0..frame.packets).step_by(per_train) {
                let count = per_train.min(frame.packets - first);
                train.clear();
                for index in first..first + count {
                    let header = header(sequence + index as u64, timestamp, index + 1 == frame.packets);
                    seal.append(sequence + index as u64, &header, &payload, segment, &mut train);
                }
                if !sender.send(*viewer, &train, segment) {
                    cost.refused += count as u64;
                }
                cost.packets += count as u64;
            }
        }
        sequence += frame.packets as u64;
    }
    cost.cpu = machine::own_cpu_time() - before;
    cost
}

/// The clock that the kernel stamps datagrams with.
pub fn since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// RTP (RFC 3550 section 5.1), with the payload type that the crowd counts.
fn header(sequence: u64, timestamp: u32, last: bool) -> [u8; 12] {
    let mut header = [0; 12];
    header[..2].copy_from_slice(&[0x80, u8::from(last) << 7 | 102]);
    header[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    header[4..8].copy_from_slice(&timestamp.to_be_bytes());
    header
}

struct Sender {
    socket: UdpSocket,
    state: UdpSocketState,
    /// For sendmmsg.
    many: Option<MultiHeaders<SockaddrStorage>>,
}

impl Sender {
    fn new(gso: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        socket.set_nonblocking(true).expect("a UDP socket");
        let state = UdpSocketState::new((&socket).into()).expect("a UDP socket");
        let _ = state.set_send_buffer_size((&socket).into(), BUFFER);
        Self { socket, state, many: (!gso).then(|| MultiHeaders::preallocate(MAX_SEGMENTS, None)) }
    }

    /// Whether the kernel took all of it.
    fn send(&mut self, destination: SocketAddr, train: &[u8], segment: usize) -> bool {
        if let Some(headers) = &mut self.many {
            let slices: Vec<[IoSlice<'_>; 1]> = train.chunks(segment).map(|packet| [IoSlice::new(packet)]).collect();
            let addresses = vec![Some(SockaddrStorage::from(destination)); slices.len()];
            let none: [ControlMessage<'_>; 0] = [];
            let sent = sendmmsg(self.socket.as_raw_fd(), headers, &slices, &addresses, none, MsgFlags::empty());
            return sent.is_ok_and(|sent| sent.count() == slices.len());
        }
        let segment_size = (train.len() > segment).then_some(segment);
        let transmit = Transmit { destination, ecn: None, contents: train, segment_size, src_ip: None };
        self.state.try_send((&self.socket).into(), &transmit).is_ok()
    }
}
