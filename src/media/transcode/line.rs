//! Where each decoded frame belongs on the output's timeline.
//!
//! In: a frame's media time and capture time, and where its samples would land if they simply followed the ones before.
//! Out: what to do about the difference. Media times of cameras jitter, because many take them from a clock in
//! milliseconds when the frame is done, and drift, because the sound card has a crystal of its own. So a small
//! difference is averaged and corrected by playing up to 0.5 % slower or faster; a hole is filled, an overlap is cut;
//! where media time steps without a hole in the sound, the output's timeline goes on as if nothing had happened.
//!
//! All positions count samples at the rate that is encoded.

use std::time::Instant;

use crate::media::MediaTime;

/// A difference up to this is jitter or drift, in milliseconds. The timestamps of real cameras jitter by up to 30;
/// lips that are off by more than 45 are seen (ITU-R BT.1359).
const TOLERANCE_MS: f64 = 50.0;
/// When frames are known to be lost, a hole from this size on is filled, in milliseconds: less is jitter.
const HOLE_MS: f64 = 5.0;
/// The longest hole that is filled, in milliseconds, and the largest difference that is cut or filled where media time
/// alone says so. What is put into a hole fades out within 100 ms ([`super::conceal`]), the rest is silence that the
/// receiver can make itself.
const FILL_MS: f64 = 200.0;
/// Media time and capture time tell of the same hole when they differ by less than this, in milliseconds. Capture time
/// follows a change slowly.
const AGREE_MS: f64 = 300.0;
/// A difference is corrected within this time, in seconds. A drift of 100 ppm then ends up 1 ms off, and 1 ms of jitter
/// changes the pitch by 0.01 %.
const HORIZON_S: f64 = 10.0;
/// Differences are averaged over this time, in seconds; enough below [`HORIZON_S`] that the correction does not swing.
const AVERAGE_S: f64 = 2.0;
/// The most that is played slower or faster: 0.5 % is 9 cents, which nobody hears in speech. A camera whose sound is
/// further off than that gets a cut or a filling every few seconds.
const MAX_SLEW: f64 = 0.005;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// It follows what was before.
    Follow,
    /// It follows after so many samples that are missing.
    Fill(f64),
    /// So many samples of it were there already: leave them out.
    Cut(f64),
    /// It is the first one, or there is nothing before it to connect to: it starts at this position, which is not
    /// before the end of what there is.
    Start(i64),
}

/// One track's timeline.
#[derive(Debug)]
pub(super) struct Line {
    /// Samples per second.
    rate: f64,
    origin: Option<Origin>,
    /// Averaged difference, in samples.
    late: f64,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    /// A media time and its position.
    media: MediaTime,
    at: f64,
    /// The last frame's.
    captured: Instant,
    last: f64,
}

impl Line {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self { rate: f64::from(rate_hz), origin: None, late: 0.0 }
    }

    /// How much more output than input there should be now, as a part of it.
    pub(super) fn slew(&self) -> f64 {
        // A correction that would not be a sample in the end only costs the plain copy of equal rates.
        if self.late.abs() < 1.0 {
            return 0.0;
        }
        (self.late / (HORIZON_S * self.rate)).clamp(-MAX_SLEW, MAX_SLEW)
    }

    /// `lands` is where the frame's first sample would be without any correction, `lost` whether frames before it are
    /// known to be missing.
    pub(super) fn place(&mut self, media: MediaTime, captured: Instant, lands: f64, lost: bool) -> Place {
        let Some(mut origin) = self.origin else { return self.start(media, captured, self.position(media)) };
        let by_capture = origin.last + self.samples_between(origin.captured, captured) - lands;
        let by_media = if media.rate == origin.media.rate {
            let ticks = media.ticks.saturating_sub(origin.media.ticks);
            origin.at + ticks as f64 * self.rate / f64::from(media.rate.hz()) - lands
        } else {
            f64::INFINITY
        };
        let ms = self.rate / 1_000.0;
        let hole = if lost { HOLE_MS } else { TOLERANCE_MS };
        let place = if by_media.abs() > FILL_MS * ms && (by_media - by_capture).abs() > AGREE_MS * ms {
            // Media time jumped. Did the sound?
            if by_capture > FILL_MS * ms {
                return self.start(media, captured, (lands + by_capture) as i64);
            }
            (origin.media, origin.at) = (media, lands);
            self.late = 0.0;
            Place::Follow
        } else if by_media > FILL_MS * ms {
            return self.start(media, captured, (lands + by_media) as i64);
        } else if by_media > hole * ms {
            self.late = 0.0;
            Place::Fill(by_media)
        } else if by_media < -TOLERANCE_MS * ms {
            self.late = 0.0;
            Place::Cut(-by_media)
        } else {
            let part = (lands - origin.last) / (AVERAGE_S * self.rate);
            self.late += (by_media - self.late) * part.clamp(0.0, 1.0);
            Place::Follow
        };
        origin.captured = captured;
        origin.last = match place {
            Place::Fill(samples) => lands + samples,
            Place::Cut(samples) => lands - samples,
            Place::Follow | Place::Start(_) => lands,
        };
        self.origin = Some(origin);
        place
    }

    fn start(&mut self, media: MediaTime, captured: Instant, at: i64) -> Place {
        self.origin = Some(Origin { media, at: at as f64, captured, last: at as f64 });
        self.late = 0.0;
        Place::Start(at)
    }

    /// The media time itself, in samples; 0 for one that leaves no room to count on (700 years of 48 kHz).
    fn position(&self, media: MediaTime) -> i64 {
        let samples = i128::from(media.ticks) * self.rate as i128 / i128::from(media.rate.hz());
        i64::try_from(samples).ok().filter(|samples| samples.unsigned_abs() < 1 << 50).unwrap_or_default()
    }

    fn samples_between(&self, from: Instant, to: Instant) -> f64 {
        let later = to.saturating_duration_since(from).as_secs_f64();
        (later - from.saturating_duration_since(to).as_secs_f64()) * self.rate
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::ClockRate;

    const RATE: u32 = 16_000;
    /// A frame of AAC.
    const FRAME: f64 = 1_024.0;

    fn media(ticks: f64) -> MediaTime {
        MediaTime { ticks: ticks as i64, rate: ClockRate::new(RATE).unwrap() }
    }

    fn seconds(samples: f64) -> Duration {
        Duration::from_secs_f64(samples / f64::from(RATE))
    }

    /// A line after its first frame, and when that was captured.
    fn started() -> (Line, Instant) {
        let (mut line, zero) = (Line::new(RATE), Instant::now());
        assert_eq!(line.place(media(5_000.0), zero, 0.0, false), Place::Start(5_000));
        (line, zero)
    }

    #[test]
    fn steady_frames_follow_each_other() {
        let (mut line, zero) = started();
        for frame in 1..1_000 {
            let at = f64::from(frame) * FRAME;
            assert_eq!(line.place(media(5_000.0 + at), zero + seconds(at), 5_000.0 + at, false), Place::Follow);
            assert_eq!(line.slew(), 0.0);
        }
    }

    #[test]
    fn jitter_is_averaged_and_drift_is_followed() {
        for (jitter, drift) in [(0.0, 1e-4), (480.0, 1e-4), (480.0, -1e-4), (240.0, 3e-3)] {
            let (mut line, zero) = started();
            let (mut lands, mut worst) = (5_000.0, 0.0_f64);
            for frame in 1..10_000 {
                lands += FRAME / (1.0 - line.slew());
                let truth = f64::from(frame) * FRAME * (1.0 + drift);
                let told = truth + if frame % 3 == 0 { jitter } else { 0.0 };
                assert_eq!(line.place(media(5_000.0 + told), zero + seconds(told), lands, false), Place::Follow);
                if frame > 1_000 {
                    worst = worst.max((lands - 5_000.0 - truth - jitter / 3.0).abs());
                }
            }
            let ms = worst * 1_000.0 / f64::from(RATE);
            assert!(ms < 2.0 + drift.abs() * 12_000.0, "{jitter} {drift}: {ms} ms");
        }
    }

    #[test]
    fn holes_are_filled_or_left() {
        let (mut line, zero) = started();
        let at = 3.0 * FRAME;
        let place = line.place(media(5_000.0 + at), zero + seconds(at), 5_000.0 + FRAME, true);
        assert_eq!(place, Place::Fill(2.0 * FRAME));
        // Half a minute later.
        let place = line.place(media(500_000.0), zero + seconds(495_000.0), 5_000.0 + 4.0 * FRAME, true);
        assert_eq!(place, Place::Start(500_000));
    }

    #[test]
    fn a_stepped_clock_is_not_a_hole() {
        let (mut line, zero) = started();
        for step in [1e9, -2e6] {
            let (place, at) = {
                let last = line.origin.unwrap();
                let at = last.last + FRAME;
                (line.place(media(step), last.captured + seconds(FRAME), at, false), at)
            };
            assert_eq!(place, Place::Follow);
            assert_eq!(line.origin.unwrap().at, at);
        }
        assert!(line.origin.unwrap().captured > zero);
    }

    #[test]
    fn a_restarted_clock_behind_a_hole_starts_by_capture_time() {
        let (mut line, zero) = started();
        let place = line.place(media(0.0), zero + Duration::from_secs(3), 5_000.0 + FRAME, false);
        assert_eq!(place, Place::Start(5_000 + 48_000));
    }

    #[test]
    fn what_was_there_already_is_cut() {
        let (mut line, zero) = started();
        let at = 5_000.0 + FRAME;
        assert_eq!(line.place(media(5_000.0), zero, at, false), Place::Cut(FRAME));
        assert_eq!(line.place(media(at), zero + seconds(FRAME), at, false), Place::Follow);
    }
}
