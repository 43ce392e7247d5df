//! One RTP stream to one viewer: numbers packets, remembers them for retransmission, reports on itself.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::{
    rtcp::sender_report::SenderReport,
    rtp::{Packet, header::Header},
};

use super::history::History;
use crate::{
    hub::Unit,
    media::{Kind, NtpTime},
    rtp::Timeline,
};

/// A stream that has been silent this long says nothing about time any more.
const SILENT: Duration = Duration::from_secs(5);

/// Where retransmissions go (RFC 4588, SSRC multiplexing).
#[derive(Debug)]
struct Retransmission {
    ssrc: u32,
    payload_type: u8,
    next: u16,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Outbound {
    ssrc: u32,
    payload_type: u8,
    next: u16,
    pub(super) timeline: Timeline,
    history: History,
    retransmission: Option<Retransmission>,
    packets: u32,
    octets: u32,
    newest: Option<(i64, Instant)>,
}

impl Outbound {
    pub(super) fn new(ssrc: u32, payload_type: u8, timeline: Timeline) -> Self {
        Self {
            ssrc,
            payload_type,
            // Random (RFC 3550 section 5.1), in the lower half: an SRTP receiver that misses the first packets must not
            // take a wrap for the start (RFC 3711 section 3.3.1).
            next: rand::random::<u16>() >> 1,
            timeline,
            history: History::default(),
            retransmission: None,
            packets: 0,
            octets: 0,
            newest: None,
        }
    }

    pub(super) fn with_retransmission(mut self, ssrc: u32, payload_type: u8) -> Self {
        self.retransmission = Some(Retransmission { ssrc, payload_type, next: rand::random::<u16>() >> 1 });
        self
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether nothing was sent yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.newest.is_none()
    }

    /// The packets of `unit`. A picture's last one is marked (RFC 6184 section 5.1); sound has a marker only at the start
    /// of a talkspurt (RFC 3551 section 4.1), which is not known here, and is not retransmitted.
    pub(super) fn packets(&mut self, unit: &Arc<Unit>, timestamp: u32) -> impl Iterator<Item = Packet> + use<> {
        let video = unit.kind == Kind::Video;
        let first = self.next;
        let count = unit.payloads.len();
        self.next = first.wrapping_add(count as u16);
        self.packets = self.packets.wrapping_add(count as u32);
        self.octets = self.octets.wrapping_add(unit.bytes as u32);
        self.newest = Some((unit.ticks, unit.captured));
        if video {
            self.history.push(first, timestamp, unit.clone());
        }
        let (ssrc, payload_type, unit) = (self.ssrc, self.payload_type, unit.clone());
        (0..count).map(move |index| {
            let sequence_number = first.wrapping_add(index as u16);
            let marker = video && index + 1 == count;
            packet(ssrc, payload_type, sequence_number, timestamp, marker, unit.payloads[index].clone())
        })
    }

    /// A packet the viewer missed, as a retransmission where that was negotiated, else as it was.
    pub(super) fn again(&mut self, sequence_number: u16) -> Option<Packet> {
        let again = self.history.find(sequence_number)?;
        let Some(rtx) = &mut self.retransmission else {
            let (ssrc, payload_type) = (self.ssrc, self.payload_type);
            return Some(packet(ssrc, payload_type, sequence_number, again.timestamp, again.marker, again.payload));
        };
        let mut payload = BytesMut::with_capacity(2 + again.payload.len());
        payload.put_u16(sequence_number);
        payload.put_slice(&again.payload);
        let number = rtx.next;
        rtx.next = number.wrapping_add(1);
        Some(packet(rtx.ssrc, rtx.payload_type, number, again.timestamp, again.marker, payload.freeze()))
    }

    /// What the stream's clock shows at this moment (RFC 3550 section 6.4.1): with the other stream's report it lets the
    /// browser play sound and picture in step, because both follow the camera's capture time.
    pub(super) fn report(&self, now: Instant, wall: SystemTime) -> Option<SenderReport> {
        let (ticks, captured) = self.newest?;
        let since = now.saturating_duration_since(captured);
        (since < SILENT).then(|| SenderReport {
            ssrc: self.ssrc,
            ntp_time: NtpTime::from_system(wall).0,
            rtp_time: self.timeline.wrap(ticks + self.timeline.rate().ticks(since)),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        })
    }
}

fn packet(ssrc: u32, payload_type: u8, sequence_number: u16, timestamp: u32, marker: bool, payload: Bytes) -> Packet {
    let header = Header { version: 2, marker, payload_type, sequence_number, timestamp, ssrc, ..Header::default() };
    Packet { header, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ClockRate;

    fn unit(ticks: i64, captured: Instant) -> Arc<Unit> {
        let payloads = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        Arc::new(Unit { number: 0, kind: Kind::Video, keyframe: true, ticks, captured, payloads, bytes: 6 })
    }

    fn stream() -> Outbound {
        Outbound::new(7, 102, Timeline::new(ClockRate::VIDEO, 1_000))
    }

    #[test]
    fn numbers_without_a_gap_and_marks_the_last_packet() {
        let mut stream = stream();
        let now = Instant::now();
        let mut packets: Vec<_> = stream.packets(&unit(0, now), 5).collect();
        packets.extend(stream.packets(&unit(1, now), 6));
        assert!(packets.windows(2).all(|p| p[1].header.sequence_number == p[0].header.sequence_number.wrapping_add(1)));
        let marks: Vec<_> = packets.iter().map(|packet| packet.header.marker).collect();
        assert_eq!(marks, [false, true, false, true]);
    }

    #[test]
    fn retransmits_under_its_own_ssrc_with_the_original_number_in_front() {
        let mut stream = stream().with_retransmission(8, 103);
        let sent: Vec<_> = stream.packets(&unit(0, Instant::now()), 5).collect();
        let lost = sent[1].header.sequence_number;
        let again = stream.again(lost).expect("just sent");
        assert_eq!((again.header.ssrc, again.header.payload_type, again.header.version), (8, 103, 2));
        assert_eq!(again.payload[..2], lost.to_be_bytes());
        assert_eq!(&again.payload[2..], b"two");
        assert!(stream.again(lost.wrapping_add(1)).is_none());
    }

    #[test]
    fn repeats_as_it_was_without_rtx() {
        let mut stream = stream();
        let sent: Vec<_> = stream.packets(&unit(0, Instant::now()), 5).collect();
        assert_eq!(stream.again(sent[0].header.sequence_number).as_ref(), Some(&sent[0]));
    }

    #[test]
    fn reports_the_clock_at_now() {
        let mut stream = stream();
        let captured = Instant::now();
        assert!(stream.report(captured, SystemTime::UNIX_EPOCH).is_none());
        let _ = stream.packets(&unit(90_000, captured), 91_000).count();
        let report = stream.report(captured + Duration::from_millis(100), SystemTime::UNIX_EPOCH).expect("fresh");
        assert_eq!(report.rtp_time, 1_000 + 90_000 + 9_000);
        assert_eq!((report.packet_count, report.octet_count), (2, 6));
        assert!(stream.report(captured + Duration::from_secs(6), SystemTime::UNIX_EPOCH).is_none());
    }
}
