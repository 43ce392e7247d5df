//! What arrived on one track.

use std::{collections::HashSet, time::Instant};

use bytes::Bytes;

use super::h264::{self, NalTypes};

/// Packets remembered: five minutes of 3 Mbit/s. Later ones are only counted.
const RECORDED: usize = 110_000;

/// One RTP packet as the application of a viewer gets it, after decryption and repair.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub at: Instant,
    pub ssrc: u32,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload_len: usize,
    /// Of H.264 only.
    pub nals: NalTypes,
}

/// Everything that arrived on a track, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct TrackLog {
    /// Such as `video/H264`.
    pub mime_type: String,
    pub fmtp: String,
    pub packets: Vec<Packet>,
    /// The newest packet, be it remembered or not.
    pub last: Option<Packet>,
    /// Beside `packets`, if the viewer keeps payloads.
    pub payloads: Vec<Bytes>,
    pub packets_total: u64,
    pub bytes_total: u64,
}

impl TrackLog {
    pub fn record(&mut self, packet: Packet, payload: Option<Bytes>) {
        self.packets_total += 1;
        self.bytes_total += packet.payload_len as u64;
        self.last = Some(packet);
        if self.packets.len() < RECORDED {
            self.packets.push(packet);
            self.payloads.extend(payload);
        }
    }

    pub fn first_packet_at(&self) -> Option<Instant> {
        self.packets.first().map(|packet| packet.at)
    }

    pub fn last_packet_at(&self) -> Option<Instant> {
        self.last.map(|packet| packet.at)
    }

    /// When the IDR picture that came first was complete.
    pub fn first_keyframe_at(&self) -> Option<Instant> {
        let idr = self.packets.iter().find(|p| p.nals.has(NalTypes::IDR))?;
        self.packets.iter().find(|p| p.marker && p.timestamp == idr.timestamp).map(|p| p.at)
    }

    /// RTP timestamps of the pictures with an IDR slice, in the order of arrival.
    pub fn keyframes(&self) -> Vec<u32> {
        let mut timestamps: Vec<u32> = Vec::new();
        for packet in self.packets.iter().filter(|p| p.nals.has(NalTypes::IDR)) {
            if !timestamps.contains(&packet.timestamp) {
                timestamps.push(packet.timestamp);
            }
        }
        timestamps
    }

    /// The NAL units of each picture from the first parameter sets to the first packet that is missing, of a viewer that keeps
    /// payloads.
    pub fn pictures(&self) -> Vec<Vec<Vec<u8>>> {
        let mut order: Vec<_> = self.extended_sequences().into_iter().zip(&self.packets).zip(&self.payloads).collect();
        order.sort_by_key(|((number, _), _)| *number);
        order.dedup_by_key(|((number, _), _)| *number);
        let begin = order.iter().position(|((_, packet), _)| packet.nals.has(NalTypes::SPS));
        let (mut pictures, mut payloads, mut next) = (Vec::new(), Vec::new(), None);
        for ((number, packet), payload) in order.into_iter().skip(begin.unwrap_or(usize::MAX)) {
            if next.is_some_and(|next| next != number) {
                break;
            }
            next = Some(number + 1);
            payloads.push(&payload[..]);
            if packet.marker {
                pictures.push(h264::nals(&payloads));
                payloads.clear();
            }
        }
        pictures
    }

    /// Pictures or audio frames: packets with the marker bit.
    pub fn frames(&self) -> usize {
        self.packets.iter().filter(|packet| packet.marker).count()
    }

    /// The RTP timestamps in the order of arrival, each once per run of packets; of packets that came twice, the first time.
    pub fn timestamps(&self) -> Vec<u32> {
        let mut seen = HashSet::new();
        let packets = self.packets.iter().filter(|packet| seen.insert(packet.sequence));
        let mut timestamps: Vec<u32> = packets.map(|packet| packet.timestamp).collect();
        timestamps.dedup();
        timestamps
    }

    /// Sequence numbers without their wrap, beginning near 65536.
    fn extended_sequences(&self) -> Vec<i64> {
        let mut last: i64 = match self.packets.first() {
            Some(packet) => 65_536 + i64::from(packet.sequence),
            None => return Vec::new(),
        };
        self.packets
            .iter()
            .map(|packet| {
                // The distance to the one before, as the nearest of the two ways round.
                last += i64::from(packet.sequence.wrapping_sub(last as u16) as i16);
                last
            })
            .collect()
    }

    /// Sequence numbers that never came, between the lowest and the highest that did.
    pub fn missing(&self) -> usize {
        let mut numbers = self.extended_sequences();
        numbers.sort_unstable();
        numbers.dedup();
        match (numbers.first(), numbers.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize - numbers.len(),
            _ => 0,
        }
    }

    pub fn duplicates(&self) -> usize {
        let mut numbers = self.extended_sequences();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        all - numbers.len()
    }

    /// Packets that came after one with a higher number, and not before it, too: the first is sent twice.
    pub fn reordered(&self) -> usize {
        let mut highest = i64::MIN;
        let mut seen = HashSet::new();
        self.extended_sequences()
            .into_iter()
            .filter(|&number| {
                let late = seen.insert(number) && number < highest;
                highest = highest.max(number);
                late
            })
            .count()
    }
}
