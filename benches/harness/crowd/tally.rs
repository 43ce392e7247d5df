//! What one viewer has received.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A picture as it came over the network: protected RTP packets, and the bytes of all of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Frame {
    pub packets: usize,
    pub bytes: usize,
}

/// When a picture came: its RTP timestamp, and when the kernel took in its first and its last packet, in nanoseconds since
/// 1970. A tuple, because there are many of them in one line of JSON.
pub type Arrival = (u32, u64, u64);

/// Since the last mark.
#[derive(Debug, Default)]
pub struct Tally {
    pub received: u64,
    pub lost: u64,
    /// Sent back to say how the packets came.
    pub feedbacks: u64,
    pub frames: Vec<Frame>,
    pub arrivals: Vec<Arrival>,
    newest: Option<u16>,
    frame: (usize, usize),
    /// When the first packet of the picture came that is on its way.
    first: Option<u64>,
}

impl Tally {
    pub fn mark(&mut self) {
        *self = Self { newest: self.newest, frame: self.frame, first: self.first, ..Self::default() };
    }

    /// A protected RTP packet, whose header is in the clear, and when the kernel took it in, since 1970.
    pub fn note(&mut self, packet: &[u8], at: Duration) {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let step = self.newest.map_or(1, |newest| sequence.wrapping_sub(newest) as i16);
        if step > 0 {
            self.lost += step as u64 - 1;
            self.newest = Some(sequence);
        } else {
            // It was late and not lost.
            self.lost = self.lost.saturating_sub(1);
        }
        self.received += 1;
        self.frame.0 += 1;
        self.frame.1 += packet.len();
        let at = at.as_nanos() as u64;
        let first = *self.first.get_or_insert(at);
        if packet[1] & 0x80 != 0 {
            let (packets, bytes) = std::mem::take(&mut self.frame);
            self.frames.push(Frame { packets, bytes });
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            self.arrivals.push((timestamp, first, at));
            self.first = None;
        }
    }
}
