//! What a browser reports of the packets that came: transport-wide congestion control feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) several times a second, a receiver report (RFC 3550 section 6.4.2)
//! once.

use std::time::{Duration, Instant};

use rtc::rtcp::Packet;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, SymbolTypeTcc, TransportLayerCc,
};

/// The header extensions that Chromium offers and a gateway of cameras may use; the first numbers the packets.
pub const EXTENSIONS: [&str; 3] = [
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
];

/// Chromium: between 50 and 250 ms, by what the link carries.
const INTERVAL: Duration = Duration::from_millis(100);
/// Feedbacks from one receiver report to the next.
const REPORT_EVERY: u8 = 10;
/// Units of the reference time and of the deltas, in microseconds.
const REFERENCE: i64 = 64_000;
const TICK: i64 = 250;

/// One viewer's.
pub struct Feedback {
    /// The extension's id.
    id: u8,
    ssrc: u32,
    newest: u16,
    /// Transport-wide numbers, and when they came in microseconds since 1970.
    pending: Vec<(u16, i64)>,
    count: u8,
    pub due: Instant,
}

impl Feedback {
    /// `None` where the answer has no transport-wide numbers.
    pub fn answered(answer: &str) -> Option<Self> {
        let line = answer.lines().find(|line| line.starts_with("a=extmap:") && line.ends_with(EXTENSIONS[0]))?;
        let id: String = line["a=extmap:".len()..].chars().take_while(char::is_ascii_digit).collect();
        let id = id.parse().expect("an id");
        Some(Self { id, ssrc: 0, newest: 0, pending: Vec::new(), count: 0, due: Instant::now() + INTERVAL })
    }

    /// A protected RTP packet of the video; header extensions are in the clear.
    pub fn note(&mut self, packet: &[u8], at: Duration) {
        self.ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        self.newest = u16::from_be_bytes([packet[2], packet[3]]);
        if let Some(number) = self.number(packet) {
            // On the loopback interface nothing is overtaken.
            self.pending.push((number, at.as_micros() as i64));
        }
    }

    /// In the one-byte form (RFC 8285 section 4.2).
    fn number(&self, packet: &[u8]) -> Option<u16> {
        let start = 12 + 4 * usize::from(packet[0] & 15);
        let &[0xbe, 0xde, high, low, ref rest @ ..] = packet.get(start..).filter(|_| packet[0] & 0x10 != 0)? else {
            return None;
        };
        let mut rest = rest.get(..4 * usize::from(u16::from_be_bytes([high, low])))?;
        while let [first, after @ ..] = rest {
            let (id, length) = (first >> 4, if *first == 0 { 0 } else { usize::from(first & 15) + 1 });
            if let (true, [high, low, ..]) = (id == self.id, after) {
                return Some(u16::from_be_bytes([*high, *low]));
            }
            rest = after.get(length..)?;
        }
        None
    }

    /// What is due to be said.
    pub fn take(&mut self, now: Instant) -> Vec<Box<dyn Packet>> {
        self.due = now + INTERVAL;
        let Some(&(base, first)) = self.pending.first() else { return Vec::new() };
        let reference = first / REFERENCE;
        let mut feedback = TransportLayerCc {
            media_ssrc: self.ssrc,
            base_sequence_number: base,
            reference_time: reference as u32 & 0xff_ffff,
            fb_pkt_count: self.count,
            ..TransportLayerCc::default()
        };
        self.count = self.count.wrapping_add(1);
        let (mut next, mut before) = (base, reference * REFERENCE);
        let mut runs: Vec<(SymbolTypeTcc, u16)> = Vec::new();
        let mut run = |symbol, length: u16| match runs.last_mut() {
            _ if length == 0 => {}
            Some(last) if last.0 == symbol => last.1 += length,
            _ => runs.push((symbol, length)),
        };
        for (number, at) in self.pending.drain(..) {
            let delta = (at - before) / TICK * TICK;
            before += delta;
            let small = (0..256 * TICK).contains(&delta);
            let symbol =
                if small { SymbolTypeTcc::PacketReceivedSmallDelta } else { SymbolTypeTcc::PacketReceivedLargeDelta };
            run(SymbolTypeTcc::PacketNotReceived, number.wrapping_sub(next));
            run(symbol, 1);
            next = number.wrapping_add(1);
            feedback.recv_deltas.push(RecvDelta { type_tcc_packet: symbol, delta });
        }
        feedback.packet_status_count = next.wrapping_sub(base);
        let chunk = |(packet_status_symbol, run_length)| {
            PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                packet_status_symbol,
                run_length,
                ..RunLengthChunk::default()
            })
        };
        feedback.packet_chunks = runs.into_iter().map(chunk).collect();
        let mut packets: Vec<Box<dyn Packet>> = vec![Box::new(feedback)];
        if self.count.is_multiple_of(REPORT_EVERY) {
            let report =
                ReceptionReport { ssrc: self.ssrc, last_sequence_number: self.newest.into(), ..Default::default() };
            packets.insert(0, Box::new(ReceiverReport { reports: vec![report], ..ReceiverReport::default() }));
        }
        packets
    }
}
