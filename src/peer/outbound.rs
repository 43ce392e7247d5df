//! One RTP stream to one viewer: numbers packets, writes them, remembers them for retransmission, reports on itself.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rtc::{crypto::CryptoError, rtcp::sender_report::SenderReport};

use super::{
    batch::Batch,
    congestion::Congestion,
    history::{Again, History},
    negotiation::Extensions,
    srtp::{Place, Protector},
};
use crate::{
    hub::Unit,
    media::{Kind, NtpTime},
    rtp::{self, Timeline},
};

/// A stream that has been silent this long says nothing about time any more.
const SILENT: Duration = Duration::from_secs(5);

/// What a packet has on the wire besides its payload, in bytes: IP and UDP (28), RTP (12), an extension (8), a tag (16).
const OVERHEAD: usize = 64;

/// How often a picture says when it was captured; browsers reckon it from the last that did, for 5 s at most (Chromium's
/// AbsoluteCaptureTimeInterpolator).
const CAPTURE_TIME_INTERVAL: Duration = Duration::from_secs(1);

/// How many pictures say a new playout delay besides keyframes.
const PLAYOUT_REPEATS: u8 = 30;

/// A most delay that says nothing: Chromium's own.
const UNBOUNDED: Duration = Duration::from_secs(10);

/// What the packets of one session pass on their way out.
pub(super) struct Wire<'a> {
    pub(super) now: Instant,
    /// The same moment by two clocks.
    pub(super) clocks: Option<(Instant, SystemTime)>,
    pub(super) protector: &'a mut Protector,
    /// Where the viewer reports what arrives.
    pub(super) congestion: Option<&'a mut Congestion>,
    pub(super) out: &'a mut Batch,
}

/// Where packets of one SSRC are numbered, once and for all: see [`srtp`](super::srtp) for what hangs on it.
#[derive(Debug)]
struct Numbers {
    ssrc: u32,
    payload_type: u8,
    extensions: Extensions,
    /// What viewers are to aim for, as the extension has it.
    playout: Option<[u8; 3]>,
    /// Rollover counter and sequence number of the next packet, in 48 bits.
    next: u64,
}

/// What is to be written.
struct Packet<'a> {
    index: u64,
    timestamp: u32,
    marker: bool,
    /// Whether it is a picture's first that is to say the playout delay.
    opens: bool,
    /// Of a picture's last packet that is to say it: when it was captured.
    captured: Option<Instant>,
    payload: &'a [&'a [u8]],
}

/// One stream.
#[derive(Debug)]
pub(super) struct Outbound {
    numbers: Numbers,
    pub(super) timeline: Timeline,
    history: History,
    /// Where retransmissions go (RFC 4588, SSRC multiplexing).
    retransmission: Option<Numbers>,
    /// Least and most delay as configured.
    usual_playout: Option<[Duration; 2]>,
    /// How many pictures are still to say it.
    playout_repeats: u8,
    /// When a picture last said when it was captured.
    told_capture_time: Option<Instant>,
    packets: u32,
    octets: u32,
    newest: Option<(i64, Instant)>,
}

/// A unit that has got its numbers, and how much of it is sent.
#[derive(Debug)]
pub(super) struct Departing {
    unit: Arc<Unit>,
    timestamp: u32,
    first: u64,
    sent: usize,
    /// Whether its first packet has the playout delay, and its last the capture time. A packet that is longer than the others
    /// leaves in a train of its own, so not every picture has them.
    says: [bool; 2],
}

impl Departing {
    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.unit.bytes
    }

    /// Bytes of it that are not on their way.
    pub(super) fn left(&self) -> usize {
        self.unit.payloads[self.sent..].iter().map(|payload| payload.len()).sum()
    }

    /// Whether all of it is on its way.
    pub(super) fn is_done(&self) -> bool {
        self.sent == self.unit.payloads.len()
    }
}

impl Numbers {
    fn new(ssrc: u32, payload_type: u8) -> Self {
        // Random (RFC 3550 section 5.1), in the lower half: an SRTP receiver that misses the first packets must not take a
        // wrap for the start (RFC 3711 section 3.3.1).
        let extensions = Extensions::default();
        Self { ssrc, payload_type, extensions, playout: None, next: u64::from(rand::random::<u16>() >> 1) }
    }

    fn take(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    /// The index of a packet that was sent, by the 16 bits of it that a viewer knows.
    fn index_of(&self, sequence_number: u16) -> Option<u64> {
        let back = (self.next as u16).wrapping_sub(sequence_number);
        self.next.checked_sub(u64::from(back)).filter(|_| back != 0)
    }
}

impl Outbound {
    pub(super) fn new(ssrc: u32, payload_type: u8, timeline: Timeline) -> Self {
        Self {
            numbers: Numbers::new(ssrc, payload_type),
            timeline,
            history: History::default(),
            retransmission: None,
            usual_playout: None,
            playout_repeats: 0,
            told_capture_time: None,
            packets: 0,
            octets: 0,
            newest: None,
        }
    }

    pub(super) fn with_retransmission(mut self, ssrc: u32, payload_type: u8) -> Self {
        self.retransmission = Some(Numbers::new(ssrc, payload_type));
        self
    }

    /// With header extensions, which differ each time: not for a stream that repeats its packets as they were. A browser
    /// reads `playout` off a picture's first packet and remembers it.
    pub(super) fn with_extensions(mut self, extensions: Extensions, playout: Option<[Duration; 2]>) -> Self {
        for numbers in iter::once(&mut self.numbers).chain(&mut self.retransmission) {
            (numbers.extensions, numbers.playout) = (extensions, playout.map(playout_delay));
        }
        self.usual_playout = playout;
        self
    }

    /// Tells the viewer to show pictures no sooner than this, within what is configured.
    pub(super) fn set_least_delay(&mut self, least: Duration) {
        let [usual, most] = self.usual_playout.unwrap_or([Duration::ZERO, UNBOUNDED]);
        let bounds = [usual.max(least).min(most), most];
        let playout = Some(playout_delay(bounds));
        if self.numbers.playout != playout {
            self.playout_repeats = PLAYOUT_REPEATS;
        }
        for numbers in iter::once(&mut self.numbers).chain(&mut self.retransmission) {
            numbers.playout = playout;
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.numbers.ssrc
    }

    /// Whether nothing was sent yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.newest.is_none()
    }

    /// A second has passed: what was sent long ago will not be asked for any more.
    pub(super) fn grow_older(&mut self) {
        self.history.grow_older();
    }

    /// The sequence number of the next packet.
    pub(super) fn next_number(&self) -> u16 {
        self.numbers.next as u16
    }

    /// Gives `unit` its numbers. It is to be sent whole and before the next: a gap would look like loss.
    pub(super) fn depart(&mut self, now: Instant, unit: Arc<Unit>, timestamp: u32) -> Departing {
        let first = self.numbers.take(unit.payloads.len());
        let says = self.extended(now, &unit);
        self.newest = Some((unit.ticks, unit.captured));
        if unit.kind == Kind::Video {
            self.history.push(first as u16, timestamp, unit.clone());
        }
        Departing { unit, timestamp, first, sent: 0, says }
    }

    fn extended(&mut self, now: Instant, unit: &Unit) -> [bool; 2] {
        let playout = unit.keyframe || self.playout_repeats > 0;
        self.playout_repeats = self.playout_repeats.saturating_sub(1);
        let is_due = self.told_capture_time.is_none_or(|told| now >= told + CAPTURE_TIME_INTERVAL);
        let capture_time = unit.keyframe || is_due;
        if capture_time {
            self.told_capture_time = Some(now);
        }
        [playout, capture_time].map(|says| says && unit.kind == Kind::Video)
    }

    /// Writes what is left of a unit, for as long as `may` takes the next packet's bytes.
    ///
    /// # Errors
    /// Those of [`Protector::protect`]; the stream is of no use any more then.
    pub(super) fn send(
        &mut self,
        departing: &mut Departing,
        mut may: impl FnMut(usize) -> bool,
        wire: &mut Wire<'_>,
    ) -> Result<(), CryptoError> {
        let unit = &departing.unit;
        while let Some(payload) = unit.payloads.get(departing.sent)
            && may(payload.len())
        {
            let index = departing.first + departing.sent as u64;
            departing.sent += 1;
            // A picture's last packet is marked (RFC 6184 section 5.1); sound has a marker only at the start of a talkspurt
            // (RFC 3551 section 4.1), which is not known here.
            let marker = unit.kind == Kind::Video && departing.sent == unit.payloads.len();
            let [playout, capture_time] = departing.says;
            let captured = (marker && capture_time).then_some(unit.captured);
            let timestamp = departing.timestamp;
            let opens = playout && departing.sent == 1;
            wire.write(&self.numbers, &Packet { index, timestamp, marker, opens, captured, payload: &[payload] })?;
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(payload.len() as u32);
        }
        Ok(())
    }

    /// Writes a packet that the viewer missed, as a retransmission where that was negotiated, else as it was. Returns
    /// whether it is still known.
    ///
    /// # Errors
    /// Those of [`Protector::protect`]; the stream is of no use any more then.
    pub(super) fn again(&mut self, sequence_number: u16, wire: &mut Wire<'_>) -> Result<bool, CryptoError> {
        let Some(again) = self.history.find(sequence_number) else { return Ok(false) };
        let Some(index) = self.numbers.index_of(sequence_number) else { return Ok(false) };
        let Again { timestamp, marker, opens, captured, payload } = again;
        match &mut self.retransmission {
            Some(rtx) => {
                let index = rtx.take(1);
                // RFC 4588 section 4: the original sequence number stands before the payload.
                let payload: &[&[u8]] = &[&sequence_number.to_be_bytes(), &payload];
                wire.write(rtx, &Packet { index, timestamp, marker, opens, captured, payload })?;
            }
            None => {
                let payload: &[&[u8]] = &[&payload];
                wire.write(&self.numbers, &Packet { index, timestamp, marker, opens, captured, payload })?;
            }
        }
        Ok(true)
    }

    /// What the stream's clock shows at this moment (RFC 3550 section 6.4.1): with the other stream's report it lets the
    /// browser play sound and picture in step, because both follow the camera's capture time.
    pub(super) fn report(&self, now: Instant, wall: SystemTime) -> Option<SenderReport> {
        let (ticks, captured) = self.newest?;
        let since = now.saturating_duration_since(captured);
        (since < SILENT).then(|| SenderReport {
            ssrc: self.numbers.ssrc,
            ntp_time: NtpTime::from_system(wall).0,
            rtp_time: self.timeline.wrap(ticks + self.timeline.rate().ticks(since)),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        })
    }
}

/// Two numbers of 12 bits that count 10 ms each.
fn playout_delay(bounds: [Duration; 2]) -> [u8; 3] {
    let [least, most] = bounds.map(|bound| (bound.as_millis() / 10).min(0xfff) as u32);
    let [_, bytes @ ..] = (least << 12 | most).to_be_bytes();
    bytes
}

impl Wire<'_> {
    fn write(&mut self, numbers: &Numbers, packet: &Packet<'_>) -> Result<(), CryptoError> {
        let &Numbers { ssrc, payload_type, .. } = numbers;
        let &Packet { index, timestamp, marker, payload, .. } = packet;
        let extensions = self.extensions(numbers, packet);
        let header = rtp::Header { marker, payload_type, sequence_number: index as u16, timestamp, ssrc, extensions };
        let protector = &mut *self.protector;
        self.out.add(|buffer| {
            let start = buffer.len();
            header.write(buffer);
            payload.iter().for_each(|part| buffer.extend_from_slice(part));
            protector.protect(buffer, Place { start, header: header.size(), ssrc, index })
        })
    }

    fn extensions(&mut self, numbers: &Numbers, packet: &Packet<'_>) -> rtp::Extensions {
        let mut extensions = rtp::Extensions::default();
        if let (Some(id), Some(congestion)) = (numbers.extensions.transport_cc, &mut self.congestion) {
            let bytes = OVERHEAD + packet.payload.iter().map(|part| part.len()).sum::<usize>();
            extensions.push(id, &congestion.number(self.now, bytes).to_be_bytes());
        }
        if let (Some(id), Some(bounds), true) = (numbers.extensions.playout_delay, numbers.playout, packet.opens) {
            extensions.push(id, &bounds);
        }
        let id = numbers.extensions.abs_capture_time;
        if let (Some(id), Some(captured), Some((at, wall))) = (id, packet.captured, self.clocks) {
            let behind = at.saturating_duration_since(captured);
            let ahead = captured.saturating_duration_since(at);
            extensions.push(id, &NtpTime::from_system(wall + ahead - behind).0.to_be_bytes());
        }
        extensions
    }
}

#[cfg(test)]
mod tests;
