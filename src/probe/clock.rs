//! How good a camera's clock is: RTP time against the time at which packets came.

use std::time::Instant;

/// A step of media time by more than this, that arrival did not make, is a jump. A stall of the network moves arrival only.
const JUMP_S: f64 = 1.0;
/// Drift is told from so many frames on, over at least so long: what a few frames show is the network's.
const DRIFT_FRAMES: usize = 20;
const DRIFT_SPAN_S: f64 = 5.0;
/// Frames that are remembered: eleven minutes of 30 a second.
const MAX_FRAMES: usize = 20_000;

/// The clock of one track.
#[derive(Debug)]
pub(super) struct Clock {
    hz: f64,
    epoch: Option<(i64, Instant)>,
    /// Media and arrival time in seconds since the epoch, of each frame's first packet, since the last jump.
    frames: Vec<(f64, f64)>,
    last: Option<(f64, f64)>,
    jitter_s: f64,
    span: (f64, f64),
    /// Media time that jumps made up.
    skipped_s: f64,
    pub(super) jumps: u32,
}

/// How much faster the camera's clock runs than ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drift {
    pub(super) ppm: f64,
    /// What it may be off by: three standard errors.
    pub(super) within_ppm: f64,
}

impl Clock {
    pub(super) fn new(hz: u32) -> Self {
        Self {
            hz: f64::from(hz.max(1)),
            epoch: None,
            frames: Vec::new(),
            last: None,
            jitter_s: 0.0,
            span: (0.0, 0.0),
            skipped_s: 0.0,
            jumps: 0,
        }
    }

    /// The first packet of a frame.
    pub(super) fn note(&mut self, ticks: i64, received: Instant) {
        let (zero, start) = *self.epoch.get_or_insert((ticks, received));
        let media = ticks.saturating_sub(zero) as f64 / self.hz;
        let arrival = received.saturating_duration_since(start).as_secs_f64();
        if let Some((last_media, last_arrival)) = self.last {
            let (by_media, by_arrival) = (media - last_media, arrival - last_arrival);
            let apart = by_arrival - by_media;
            if by_media.abs() > JUMP_S && apart.abs() > JUMP_S {
                self.jumps += 1;
                self.skipped_s += by_media - by_arrival;
                self.frames.clear();
            } else {
                // RFC 3550 section 6.4.1.
                self.jitter_s += (apart.abs() - self.jitter_s) / 16.0;
            }
        }
        self.last = Some((media, arrival));
        let steady = media - self.skipped_s;
        self.span = (self.span.0.min(steady), self.span.1.max(steady));
        if self.frames.len() < MAX_FRAMES {
            self.frames.push((media, arrival));
        }
    }

    /// Interarrival jitter (RFC 3550 section 6.4.1) in milliseconds.
    pub(super) fn jitter_ms(&self) -> f64 {
        self.jitter_s * 1_000.0
    }

    /// Seconds from the first frame to the last on the camera's clock, jumps left out.
    pub(super) fn span_s(&self) -> f64 {
        self.span.1 - self.span.0
    }

    /// The slope of arrival over media time, by least squares.
    pub(super) fn drift(&self) -> Option<Drift> {
        let count = self.frames.len() as f64;
        let (first, last) = (self.frames.first()?, self.frames.last()?);
        if self.frames.len() < DRIFT_FRAMES || last.1 - first.1 < DRIFT_SPAN_S {
            return None;
        }
        let mean_media = self.frames.iter().map(|frame| frame.0).sum::<f64>() / count;
        let mean_arrival = self.frames.iter().map(|frame| frame.1).sum::<f64>() / count;
        let spread: f64 = self.frames.iter().map(|frame| (frame.0 - mean_media).powi(2)).sum();
        let joint: f64 = self.frames.iter().map(|frame| (frame.0 - mean_media) * (frame.1 - mean_arrival)).sum();
        if spread <= 0.0 {
            return None;
        }
        let slope = joint / spread;
        let rest = |frame: &(f64, f64)| (frame.1 - mean_arrival - slope * (frame.0 - mean_media)).powi(2);
        let variance = self.frames.iter().map(rest).sum::<f64>() / (count - 2.0);
        Some(Drift { ppm: (1.0 - slope) * 1e6, within_ppm: 3.0 * (variance / spread).sqrt() * 1e6 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 25 frames a second for 20 s, whose clock runs faster by `ppm` and whose `n`th frame comes late by `late(n)` ms.
    fn clock(ppm: f64, late: impl Fn(u32) -> u64) -> Clock {
        let (start, mut clock) = (Instant::now(), Clock::new(90_000));
        for frame in 0..500 {
            let ticks = f64::from(frame) * 3_600.0 * (1.0 + ppm / 1e6);
            clock.note(ticks as i64, start + Duration::from_millis(u64::from(frame) * 40 + late(frame)));
        }
        clock
    }

    #[test]
    fn a_good_clock_has_no_jitter_and_no_drift() {
        let clock = clock(0.0, |_| 0);
        let drift = clock.drift().unwrap();
        assert!(clock.jitter_ms() < 0.01 && drift.ppm.abs() < 1.0 && drift.within_ppm < 1.0, "{drift:?}");
        assert!((clock.span_s() - 499.0 * 0.04).abs() < 0.001 && clock.jumps == 0);
    }

    #[test]
    fn a_fast_clock_is_told_from_a_network_that_jitters() {
        let noise = |frame: u32| u64::from(frame * 7_919 % 11);
        let fast = clock(2_000.0, noise).drift().unwrap();
        assert!((fast.ppm - 2_000.0).abs() <= fast.within_ppm && fast.within_ppm < 300.0, "{fast:?}");
        let good = clock(0.0, noise);
        let drift = good.drift().unwrap();
        assert!(drift.ppm.abs() <= drift.within_ppm, "{drift:?}");
        assert!((1.0..11.0).contains(&good.jitter_ms()), "{}", good.jitter_ms());
    }

    #[test]
    fn a_jump_is_counted_and_is_neither_jitter_nor_drift() {
        let (start, mut clock) = (Instant::now(), Clock::new(90_000));
        for frame in 0..400i64 {
            let jump = if frame >= 200 { 90_000 * 60 } else { 0 };
            clock.note(frame * 3_600 + jump, start + Duration::from_millis(frame as u64 * 40));
        }
        assert_eq!(clock.jumps, 1);
        assert!(clock.jitter_ms() < 0.01 && clock.drift().unwrap().ppm.abs() < 1.0);
        assert!((clock.span_s() - 399.0 * 0.04).abs() < 0.1, "{}", clock.span_s());
    }

    #[test]
    fn a_stall_of_the_network_is_no_jump() {
        let (start, mut clock) = (Instant::now(), Clock::new(90_000));
        for frame in 0..100i64 {
            clock.note(frame * 3_600, start + Duration::from_millis((frame as u64 * 40).max(3_000)));
        }
        assert_eq!(clock.jumps, 0);
        assert_eq!(clock.drift(), None, "too short");
    }
}
