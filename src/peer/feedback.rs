//! What viewers send back about the media (RTCP, RFC 3550 and RFC 4585).

use std::time::{Duration, SystemTime};

use rtc::rtcp::{
    Packet,
    extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock},
    payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
    receiver_report::ReceiverReport,
    reception_report::ReceptionReport,
    sender_report::SenderReport,
    transport_feedbacks::{transport_layer_cc::TransportLayerCc, transport_layer_nack::TransportLayerNack},
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

/// Of one datagram so many are heeded: each walks through all that is in flight, and browsers put one into a compound.
const MAX_ARRIVALS: usize = 8;

/// What the packets of one datagram say.
pub(super) fn told(packets: &[Box<dyn Packet>]) -> Vec<Feedback> {
    let mut told = Told(Vec::new());
    packets.iter().for_each(|packet| told.note(&**packet));
    told.0
}

struct Told(Vec<Feedback>);

impl Told {
    fn push(&mut self, feedback: Feedback) {
        let kind = std::mem::discriminant(&feedback);
        let same = self.0.iter().filter(|other| std::mem::discriminant(*other) == kind).count();
        let room = match feedback {
            // One keyframe answers all of them; each reference is answered.
            Feedback::Reference { .. } | Feedback::KeyframeWanted => same < 1,
            Feedback::Arrivals(_) => same < MAX_ARRIVALS,
            Feedback::Lost { .. } | Feedback::Report { .. } => true,
        };
        if room {
            self.0.push(feedback);
        }
    }

    fn note(&mut self, packet: &dyn Packet) {
        let packet = packet.as_any();
        if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let sequence_numbers = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
            self.push(Feedback::Lost { ssrc: nack.media_ssrc, sequence_numbers });
        } else if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.push(Feedback::KeyframeWanted);
        } else if let Some(arrivals) = packet.downcast_ref::<TransportLayerCc>() {
            self.push(Feedback::Arrivals(Box::new(arrivals.clone())));
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.note_reports(&report.reports);
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.note_reports(&report.reports);
        } else if let Some(report) = packet.downcast_ref::<ExtendedReport>() {
            let mut blocks = report.reports.iter();
            let reference = blocks.find_map(|block| block.as_any().downcast_ref::<ReceiverReferenceTimeReportBlock>());
            if let Some(reference) = reference {
                let time = NtpTime(reference.ntp_timestamp).middle();
                self.push(Feedback::Reference { reporter: report.sender_ssrc, time });
            }
        }
    }

    fn note_reports(&mut self, reports: &[ReceptionReport]) {
        for report in reports {
            self.push(Feedback::Report {
                ssrc: report.ssrc,
                fraction_lost: f32::from(report.fraction_lost) / 256.0,
                last_sender_report: report.last_sender_report,
                delay: report.delay,
            });
        }
    }
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
        let nacks = vec![NackPair { packet_id: 65_535, lost_packets: 0b101 }];
        let told = told(&[
            Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks }),
            Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 }),
        ]);
        assert_eq!(told, [Feedback::Lost { ssrc: 7, sequence_numbers: vec![65_535, 0, 2] }, Feedback::KeyframeWanted]);
    }

    #[test]
    fn a_viewers_clock_is_noted() {
        let block = ReceiverReferenceTimeReportBlock { ntp_timestamp: 0x1122_3344_5566_7788 };
        let told = told(&[Box::new(ExtendedReport { sender_ssrc: 5, reports: vec![Box::new(block)] })]);
        assert_eq!(told, [Feedback::Reference { reporter: 5, time: 0x3344_5566 }]);
    }

    #[test]
    fn what_costs_much_is_heeded_a_few_times() {
        let mut packets: Vec<Box<dyn Packet>> = Vec::new();
        for _ in 0..100 {
            packets.push(Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 }));
            packets.push(Box::new(TransportLayerCc::default()));
            let block = ReceiverReferenceTimeReportBlock { ntp_timestamp: 1 };
            packets.push(Box::new(ExtendedReport { sender_ssrc: 5, reports: vec![Box::new(block)] }));
        }
        let told = told(&packets);
        let count = |is: fn(&Feedback) -> bool| told.iter().filter(|feedback| is(feedback)).count();
        assert_eq!(count(|feedback| matches!(feedback, Feedback::KeyframeWanted)), 1);
        assert_eq!(count(|feedback| matches!(feedback, Feedback::Reference { .. })), 1);
        assert_eq!(count(|feedback| matches!(feedback, Feedback::Arrivals(_))), MAX_ARRIVALS);
    }
}
