//! What a publisher sends, on its way to its camera: opened, put in order, and answered.
//!
//! In: SRTP datagrams and RTCP of one session. Out: packets in order, into the camera's `hub::Intake`; for the publisher what
//! is missing (NACK), when each packet arrived (transport-wide-cc), that a keyframe is wanted (PLI) and reception reports.
//! Streams are told apart by payload type, which is agreed on, and not by SSRC, which is not. Media does not go through the
//! connection, for the reasons in [`srtp`](super::srtp). Sans-I/O, as the session that owns it.

mod arrivals;
mod flood;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod order;
mod statistics;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rtc::{
    rtcp::{
        self, payload_feedbacks::picture_loss_indication::PictureLossIndication, receiver_report::ReceiverReport,
        sender_report::SenderReport, transport_feedbacks::transport_layer_nack::TransportLayerNack,
        transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers,
    },
    rtp,
};

use self::{
    arrivals::Arrivals,
    flood::Flood,
    order::{Arrived, Order},
    statistics::Statistics,
};
use super::{SessionStatus, negotiation::Choice, srtp::MediaReader};
use crate::{
    hub::{Camera, Item, Over, Packet, Publication},
    media::{Kind, NtpTime},
};

/// Between two reception reports (RFC 3550 section 6.2 allows 5 s): browsers take losses from them.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// An SSRC that has not been heard for so long may be followed by another one: a publisher that sends several at once
/// (simulcast, which is not agreed on) must not have them mixed.
const SILENT: Duration = Duration::from_millis(500);

/// The media of one publisher.
pub(super) struct Reception {
    status: Arc<SessionStatus>,
    camera: Arc<Camera>,
    publication: Publication,
    /// What opens it, once the handshake has made the keys.
    reader: Option<MediaReader>,
    streams: Vec<Stream>,
    arrivals: Option<Arrivals>,
    flood: Flood,
    /// Ours, in what is reported.
    ssrc: u32,
    next_report: Instant,
}

struct Stream {
    kind: Kind,
    payload_type: u8,
    rtx: Option<u8>,
    hz: u32,
    /// Id of the header extension that numbers packets of all streams.
    transport_cc: Option<u8>,
    repairs: bool,
    source: Option<Source>,
}

/// What comes under one SSRC.
struct Source {
    ssrc: u32,
    order: Order,
    statistics: Statistics,
    heard: Instant,
}

impl Reception {
    pub(super) fn new(
        choice: &Choice,
        status: Arc<SessionStatus>,
        camera: Arc<Camera>,
        publication: Publication,
        ssrc: u32,
        now: Instant,
    ) -> Self {
        let video = choice.video.as_ref().map(|codec| Stream {
            kind: Kind::Video,
            payload_type: codec.payload_type,
            rtx: choice.rtx,
            hz: codec.clock_rate,
            transport_cc: choice.video_extensions.transport_cc,
            repairs: choice.repairs,
            source: None,
        });
        let audio = choice.audio.as_ref().map(|(codec, _)| Stream {
            kind: Kind::Audio,
            payload_type: codec.payload_type,
            rtx: None,
            hz: codec.clock_rate,
            transport_cc: choice.audio_extensions.transport_cc,
            repairs: false,
            source: None,
        });
        let streams: Vec<_> = video.into_iter().chain(audio).collect();
        let is_numbered = streams.iter().any(|stream| stream.transport_cc.is_some());
        Self {
            status,
            camera,
            publication,
            reader: None,
            streams,
            arrivals: is_numbered.then(|| Arrivals::new(now)),
            flood: Flood::new(now),
            ssrc,
            next_report: now + REPORT_INTERVAL,
        }
    }

    /// The handshake is through.
    pub(super) fn start(&mut self, reader: MediaReader) {
        self.reader = Some(reader);
    }

    pub(super) fn is_started(&self) -> bool {
        self.reader.is_some()
    }

    /// Why the publisher has to stop, once it has to.
    pub(super) fn over(&self) -> Option<Over> {
        self.publication.over()
    }

    /// A datagram that is neither STUN nor DTLS nor RTCP.
    pub(super) fn on_rtp(&mut self, datagram: &[u8], now: Instant) {
        let Some(reader) = &mut self.reader else { return };
        // Before anything is made of it: to open it costs more than all the rest.
        if !self.flood.allows(datagram.len(), now) {
            return self.camera.counters.published.flooded.add(1);
        }
        let Some(packet) = reader.read(datagram) else { return };
        self.on_packet(packet, now);
    }

    /// A packet in the clear.
    fn on_packet(&mut self, packet: rtp::Packet, now: Instant) {
        self.publication.heard(now);
        let payload_type = packet.header.payload_type;
        let is_of = |stream: &&mut Stream| stream.payload_type == payload_type || stream.rtx == Some(payload_type);
        let Some(stream) = self.streams.iter_mut().find(is_of) else { return };
        if let (Some(arrivals), Some(id)) = (&mut self.arrivals, stream.transport_cc)
            && let Some(number) = packet.header.get_extension(id)
            && let Some(number) = number.first_chunk()
        {
            arrivals.note(u16::from_be_bytes(*number), now);
        }
        let is_repeated = stream.rtx == Some(payload_type);
        let was_missed =
            if is_repeated { stream.on_retransmission(packet, now) } else { stream.on_packet(packet, now) };
        self.camera.counters.published.repaired.add(was_missed.into());
        self.hand_out(now);
    }

    /// What is in order by now.
    fn hand_out(&mut self, now: Instant) {
        for stream in &mut self.streams {
            let kind = stream.kind;
            let Some(source) = &mut stream.source else { continue };
            while let Some((lost, Arrived { timestamp, marker, received, payload })) = source.order.pop(now) {
                let packet = Packet { kind, timestamp, marker, lost, received, payload };
                if !self.publication.push(Item::Packet(packet)) {
                    self.camera.counters.dropped.add(1);
                }
            }
        }
    }

    /// RTCP of the publisher's.
    pub(super) fn on_rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>], now: Instant) {
        if !packets.is_empty() {
            self.publication.heard(now);
        }
        let reports = packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>());
        for report in reports {
            let clock = NtpTime(report.ntp_time);
            let of = |stream: &&mut Stream| stream.source.as_ref().is_some_and(|source| source.ssrc == report.ssrc);
            let Some(stream) = self.streams.iter_mut().find(of) else { continue };
            if let Some(source) = &mut stream.source {
                source.statistics.sender_report(clock, now);
            }
            let (kind, timestamp) = (stream.kind, report.rtp_time);
            self.publication.push(Item::Report { kind, timestamp, clock, received: now });
        }
    }

    /// Something that [`poll_timeout`](Self::poll_timeout) named is due.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.hand_out(now);
    }

    /// When [`on_timeout`](Self::on_timeout) is due, or there is something to say.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let orders = self.streams.iter().filter_map(|stream| stream.source.as_ref()?.order.poll_timeout());
        let arrivals = self.arrivals.as_ref().and_then(Arrivals::poll_timeout);
        orders.chain(arrivals).chain([self.next_report]).min()
    }

    /// What there is to say to the publisher now, each element a datagram.
    pub(super) fn feedback(&mut self, now: Instant) -> Vec<Vec<Box<dyn rtcp::Packet>>> {
        let mut out: Vec<Vec<Box<dyn rtcp::Packet>>> = Vec::new();
        if !self.is_started() {
            return out;
        }
        let sender_ssrc = self.ssrc;
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            let sources = self.streams.iter_mut().filter_map(|stream| stream.source.as_mut());
            let reports: Vec<_> = sources.map(|source| source.statistics.report(now)).collect();
            if let Some(report) = reports.first() {
                self.status.set_loss(f32::from(report.fraction_lost) / 256.0);
            }
            out.push(vec![Box::new(ReceiverReport { ssrc: sender_ssrc, reports, ..ReceiverReport::default() })]);
        }
        let video = self.streams.iter_mut().filter(|stream| stream.kind == Kind::Video);
        let video = video.filter_map(|stream| stream.source.as_mut()).next();
        let media_ssrc = video.as_ref().map_or(0, |source| source.ssrc);
        if let Some(source) = video {
            let missing = source.order.requests(now);
            if !missing.is_empty() {
                self.camera.counters.published.nacks.add(missing.len() as u64);
                let nacks = nack_pairs_from_sequence_numbers(&missing);
                out.push(vec![Box::new(TransportLayerNack { sender_ssrc, media_ssrc, nacks })]);
            }
            if self.publication.take_keyframe_request() {
                self.camera.counters.published.plis.add(1);
                out.push(vec![Box::new(PictureLossIndication { sender_ssrc, media_ssrc })]);
            }
        }
        let arrivals = self.arrivals.as_mut();
        if let Some(report) = arrivals.and_then(|arrivals| arrivals.report(sender_ssrc, media_ssrc, now)) {
            out.push(vec![Box::new(report)]);
        }
        out
    }
}

impl Stream {
    /// Returns whether it had been missed.
    fn on_packet(&mut self, packet: rtp::Packet, now: Instant) -> bool {
        let header = &packet.header;
        let is_other = |source: &Source| source.ssrc != header.ssrc;
        let heard_lately = |source: &Source| now.saturating_duration_since(source.heard) < SILENT;
        match &self.source {
            Some(source) if is_other(source) && heard_lately(source) => return false,
            Some(source) if !is_other(source) => {}
            _ => {
                self.source = Some(Source {
                    ssrc: header.ssrc,
                    order: Order::new(self.repairs),
                    statistics: Statistics::new(header.ssrc, self.hz, header.sequence_number, now),
                    heard: now,
                });
            }
        }
        let Some(source) = &mut self.source else { return false };
        source.heard = now;
        source.statistics.note(header.sequence_number, header.timestamp, now);
        let (number, timestamp, marker) = (header.sequence_number, header.timestamp, header.marker);
        source.order.push(number, Arrived { timestamp, marker, received: now, payload: packet.payload }, now)
    }

    /// The packet in it (RFC 4588 section 4); others keep the way busy, so that the publisher sees what it carries.
    fn on_retransmission(&mut self, packet: rtp::Packet, now: Instant) -> bool {
        let (Some(source), Some((number, _))) = (&mut self.source, packet.payload.split_first_chunk::<2>()) else {
            return false;
        };
        let (timestamp, marker, payload) = (packet.header.timestamp, packet.header.marker, packet.payload.slice(2..));
        let arrived = Arrived { timestamp, marker, received: now, payload };
        source.order.push(u16::from_be_bytes(*number), arrived, now)
    }
}

#[cfg(test)]
mod tests;
