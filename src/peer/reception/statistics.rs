//! What a publisher is told of how its stream arrives (RFC 3550 section 6.4.1 and appendix A). Pure: time is an argument.

use std::time::{Duration, Instant};

use rtc::rtcp::reception_report::ReceptionReport;

use crate::media::NtpTime;

/// One stream as it arrives.
#[derive(Debug)]
pub(super) struct Statistics {
    ssrc: u32,
    hz: u32,
    first: u64,
    highest: u64,
    received: u64,
    /// As the last report had it: expected and received.
    before: (u64, u64),
    /// In ticks of the media clock.
    jitter: f64,
    transit: Option<f64>,
    epoch: Instant,
    last_report: Option<(NtpTime, Instant)>,
}

impl Statistics {
    pub(super) fn new(ssrc: u32, hz: u32, first: u16, now: Instant) -> Self {
        let first = (1 << 16) + u64::from(first);
        Self {
            ssrc,
            hz,
            first,
            highest: first,
            received: 0,
            before: (0, 0),
            jitter: 0.0,
            transit: None,
            epoch: now,
            last_report: None,
        }
    }

    /// A packet of the stream, not a retransmission.
    pub(super) fn note(&mut self, number: u16, timestamp: u32, at: Instant) {
        self.received += 1;
        let ahead = number.wrapping_sub(self.highest as u16).cast_signed();
        self.highest = self.highest.max(self.highest.saturating_add_signed(ahead.into()));
        let arrival = at.saturating_duration_since(self.epoch).as_secs_f64() * f64::from(self.hz);
        let transit = arrival - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit - before).abs();
            // Timestamps wrap, and jump when a picture is another's.
            if difference < f64::from(self.hz) {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
    }

    /// The publisher's clock, as it said at `at`.
    pub(super) fn sender_report(&mut self, clock: NtpTime, at: Instant) {
        self.last_report = Some((clock, at));
    }

    /// What there is to tell.
    pub(super) fn report(&mut self, now: Instant) -> ReceptionReport {
        let expected = self.highest - self.first + 1;
        let (expected_before, received_before) = std::mem::replace(&mut self.before, (expected, self.received));
        let (more, came) = (expected - expected_before, self.received - received_before);
        let fraction_lost = (more.saturating_sub(came) * 256).checked_div(more).unwrap_or(0).min(255) as u8;
        let delay = |at: Instant| now.saturating_duration_since(at).min(Duration::from_secs(65_535));
        ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost,
            total_lost: expected.saturating_sub(self.received).min(0x7f_ffff) as u32,
            last_sequence_number: self.highest as u32,
            jitter: self.jitter as u32,
            last_sender_report: self.last_report.map_or(0, |(clock, _)| clock.middle()),
            delay: self.last_report.map_or(0, |(_, at)| (delay(at).as_secs_f64() * 65_536.0) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_jitter_and_the_way_back_are_told() {
        let start = Instant::now();
        let mut statistics = Statistics::new(7, 90_000, 65_530, start);
        // Every fourth is lost, and every other is 10 ms late.
        for index in 0..40_u16 {
            if index % 4 != 3 {
                let late = if index % 2 == 1 { 10 } else { 0 };
                let at = start + Duration::from_millis(u64::from(index) * 40 + late);
                statistics.note(65_530_u16.wrapping_add(index), u32::from(index) * 3_600, at);
            }
        }
        let clock = NtpTime(0x1122_3344_5566_7788);
        statistics.sender_report(clock, start);
        let report = statistics.report(start + Duration::from_millis(500));
        assert_eq!((report.ssrc, report.total_lost), (7, 9), "the last is not missed yet");
        assert_eq!(report.fraction_lost, (9 * 256 / 39) as u8);
        assert_eq!(report.last_sequence_number, (2 << 16) + 32);
        assert!((400..900).contains(&report.jitter), "{}", report.jitter);
        assert_eq!((report.last_sender_report, report.delay), (0x3344_5566, 32_768));
        let again = statistics.report(start + Duration::from_millis(500));
        assert_eq!((again.fraction_lost, again.total_lost), (0, 9), "nothing since");
    }
}
