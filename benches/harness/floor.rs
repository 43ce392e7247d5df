//! The least that sending protected media to many viewers can cost: each packet encrypted with AES-128-GCM under its
//! viewer's key, each frame sent to each viewer in one system call (UDP GSO), and nothing else: no sessions, no timers, no
//! retransmission, no feedback.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSocketState};
use rtc::crypto::{self, AeadAlgorithm, AeadCipher};

use super::{crowd::Frame, machine};

/// RTP header, and the tag of AES-GCM.
const HEADER: usize = 12;
const TAG: usize = 16;
/// What the kernel takes in one message (UDP_MAX_SEGMENTS, and 16 bits of length less headers).
const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 65_000;
/// As the gateway asks for.
const BUFFER: usize = 8 << 20;

/// What it cost.
pub struct Cost {
    pub cpu: Duration,
    pub packets: u64,
    /// Packets that the kernel had no room for; they must be 0 for the rest to mean anything.
    pub refused: u64,
}

/// Sends `frames`, over and over, to all `viewers` for `length`, one frame each `interval`. To be called on a runtime
/// with one thread: the time is that of the calling thread.
pub async fn measure(frames: &[Frame], interval: Duration, viewers: &[SocketAddr], length: Duration) -> Cost {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    socket.set_nonblocking(true).expect("a UDP socket");
    let state = UdpSocketState::new((&socket).into()).expect("a UDP socket");
    let _ = state.set_send_buffer_size((&socket).into(), BUFFER);
    let provider = crypto::default_provider().expect("a crypto provider");
    let cipher = |index: usize| {
        provider.crypto().new_aead(AeadAlgorithm::Aes128Gcm, &[index as u8; 16]).expect("AES-128-GCM is known")
    };
    let mut ciphers: Vec<_> = (0..viewers.len()).map(cipher).collect();
    let payload = vec![0x5a; 2_048];
    let mut train = Vec::with_capacity(MAX_BYTES + 2_048);
    let mut cost = Cost { cpu: Duration::ZERO, packets: 0, refused: 0 };
    let mut sequence = 0u64;
    let mut frames = frames.iter().cycle();
    let mut due = Instant::now();
    let (end, before) = (due + length, machine::own_cpu_time());
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        due += interval;
        let frame = frames.next().expect("there are frames");
        let segment = frame.bytes.div_ceil(frame.packets);
        let per_train = (MAX_BYTES / segment).min(MAX_SEGMENTS);
        for (viewer, cipher) in viewers.iter().zip(&mut ciphers) {
            for first in (0..frame.packets).step_by(per_train) {
                let count = per_train.min(frame.packets - first);
                train.clear();
                for index in 0..count {
                    seal(
                        cipher.as_mut(),
                        sequence + (first + index) as u64,
                        &payload[..segment - HEADER - TAG],
                        &mut train,
                    );
                }
                let transmit = Transmit {
                    destination: *viewer,
                    ecn: None,
                    contents: &train,
                    segment_size: (count > 1).then_some(segment),
                    src_ip: None,
                };
                if state.try_send((&socket).into(), &transmit).is_err() {
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

/// Appends one protected packet to the train.
fn seal(cipher: &mut dyn AeadCipher, sequence: u64, payload: &[u8], train: &mut Vec<u8>) {
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&[0x80, 102]);
    header[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    train.extend_from_slice(&header);
    let start = train.len();
    train.extend_from_slice(payload);
    train.extend_from_slice(&[0; TAG]);
    let (body, tag) = train[start..].split_at_mut(payload.len());
    cipher.seal_in_place(&nonce, &header, body, tag).expect("the sizes are right");
}
