//! What viewers send back about the media (RTCP, RFC 3550 and RFC 4585), read off the session's interceptor chain.
//!
//! `rtc` ends inbound RTCP inside the chain and would hand on only compounds whose first packet names one of our
//! streams; an interceptor of our own sees all of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use rtc::{
    interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock},
        payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
        receiver_report::ReceiverReport,
        reception_report::ReceptionReport,
        sender_report::SenderReport,
        transport_feedbacks::{transport_layer_cc::TransportLayerCc, transport_layer_nack::TransportLayerNack},
    },
    sansio::Protocol,
    shared::error::Error,
};

use crate::media::NtpTime;

/// One thing a viewer told us.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Feedback {
    /// Packets of `ssrc` that did not arrive (generic NACK, RFC 4585 section 6.2.1).
    Lost { ssrc: u32, sequence_numbers: Vec<u16> },
    /// The decoder needs a keyframe (PLI, RFC 4585 section 6.3.1, or FIR, RFC 5104 section 4.3.1).
    KeyframeWanted,
    /// What the viewer's clock shows, in the middle 32 bits of an NTP timestamp (RFC 3611 section 4.4): who only receives
    /// learns its round trip by [`reference_seen`].
    Reference { reporter: u32, time: u32 },
    /// Reception statistics (RFC 3550 section 6.4.1).
    Report { ssrc: u32, fraction_lost: f32, last_sender_report: u32, delay: u32 },
    /// When packets arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    Arrivals(Box<TransportLayerCc>),
}

/// Most feedback kept between two looks of the session; a viewer that sends more than this per datagram is not heard.
const MAX_QUEUED: usize = 256;

/// Of which so many transport-wide ones at most.
const MAX_ARRIVALS: usize = 8;

/// Where the interceptor leaves feedback and the session finds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(Arc<Mutex<VecDeque<Feedback>>>);

impl Inbox {
    pub(super) fn take(&self) -> VecDeque<Feedback> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }

    fn push(&self, feedback: Feedback) {
        let mut queue = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let kind = std::mem::discriminant(&feedback);
        let same = queue.iter().filter(|other| std::mem::discriminant(*other) == kind).count();
        let room = match feedback {
            // Each is answered, or walks through all that is in flight; browsers put one into a compound.
            Feedback::Reference { .. } => same < 1,
            Feedback::Arrivals(_) => same < MAX_ARRIVALS,
            _ => true,
        };
        if room && queue.len() < MAX_QUEUED {
            queue.push_back(feedback);
        }
    }
}

/// The interceptor: passes everything on, and notes inbound feedback.
pub(super) struct Listener {
    inbox: Inbox,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Listener {
    pub(super) fn new(inbox: Inbox) -> Self {
        Self { inbox, reads: VecDeque::new(), writes: VecDeque::new() }
    }

    fn note(&self, packet: &dyn rtc::rtcp::Packet) {
        let packet = packet.as_any();
        if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let sequence_numbers = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
            self.inbox.push(Feedback::Lost { ssrc: nack.media_ssrc, sequence_numbers });
        } else if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.inbox.push(Feedback::KeyframeWanted);
        } else if let Some(arrivals) = packet.downcast_ref::<TransportLayerCc>() {
            self.inbox.push(Feedback::Arrivals(Box::new(arrivals.clone())));
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.note_reports(&report.reports);
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.note_reports(&report.reports);
        } else if let Some(report) = packet.downcast_ref::<ExtendedReport>() {
            let mut blocks = report.reports.iter();
            let reference = blocks.find_map(|block| block.as_any().downcast_ref::<ReceiverReferenceTimeReportBlock>());
            if let Some(reference) = reference {
                let time = NtpTime(reference.ntp_timestamp).middle();
                self.inbox.push(Feedback::Reference { reporter: report.sender_ssrc, time });
            }
        }
    }

    fn note_reports(&self, reports: &[ReceptionReport]) {
        for report in reports {
            self.inbox.push(Feedback::Report {
                ssrc: report.ssrc,
                fraction_lost: f32::from(report.fraction_lost) / 256.0,
                last_sender_report: report.last_sender_report,
                delay: report.delay,
            });
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            packets.iter().for_each(|packet| self.note(packet.as_ref()));
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), Error> {
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// The answer to [`Feedback::Reference`], when it is given at once (RFC 3611 section 4.5). Chromium takes the round trip from
/// it, and asks for lost packets again after that instead of after 100 ms.
pub(super) fn reference_seen(sender_ssrc: u32, reporter: u32, time: u32) -> ExtendedReport {
    let report = DLRRReport { ssrc: reporter, last_rr: time, dlrr: 0 };
    ExtendedReport { sender_ssrc, reports: vec![Box::new(DLRRReportBlock { reports: vec![report] })] }
}

/// RFC 3550 section 6.4.1: now less the time of the report it answers less the time the viewer held it.
pub(super) fn round_trip(wall: SystemTime, last_sender_report: u32, delay: u32) -> Option<Duration> {
    if last_sender_report == 0 {
        return None;
    }
    let units = NtpTime::from_system(wall).middle().wrapping_sub(last_sender_report).wrapping_sub(delay);
    // A viewer whose clock runs faster than ours can make it come out below zero, which wraps.
    (units < 60 << 16).then(|| Duration::from_secs(units.into()) / 65_536)
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    use super::*;

    #[test]
    fn a_nack_names_every_lost_packet() {
        let inbox = Inbox::default();
        let listener = Listener::new(inbox.clone());
        let nacks = vec![NackPair { packet_id: 65_535, lost_packets: 0b101 }];
        listener.note(&TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks });
        listener.note(&PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 });
        let seen: Vec<_> = inbox.take().into();
        assert_eq!(seen, [Feedback::Lost { ssrc: 7, sequence_numbers: vec![65_535, 0, 2] }, Feedback::KeyframeWanted]);
    }

    #[test]
    fn a_viewers_clock_is_noted() {
        let inbox = Inbox::default();
        let block = ReceiverReferenceTimeReportBlock { ntp_timestamp: 0x1122_3344_5566_7788 };
        let report = ExtendedReport { sender_ssrc: 5, reports: vec![Box::new(block)] };
        Listener::new(inbox.clone()).note(&report);
        let seen: Vec<_> = inbox.take().into();
        assert_eq!(seen, [Feedback::Reference { reporter: 5, time: 0x3344_5566 }]);
    }

    #[test]
    fn a_flood_is_not_kept() {
        let inbox = Inbox::default();
        let listener = Listener::new(inbox.clone());
        for _ in 0..10_000 {
            listener.note(&PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 });
        }
        assert_eq!(inbox.take().len(), MAX_QUEUED);
    }

    #[test]
    fn what_costs_much_is_kept_a_few_times() {
        let inbox = Inbox::default();
        for number in 0..100 {
            inbox.push(Feedback::Reference { reporter: number, time: 0 });
            inbox.push(Feedback::Arrivals(Box::default()));
        }
        let seen = inbox.take();
        assert_eq!(seen.iter().filter(|feedback| matches!(feedback, Feedback::Reference { .. })).count(), 1);
        assert_eq!(seen.len(), 1 + MAX_ARRIVALS);
    }
}
