//! When a picture or a sound was captured, on this machine's clock. Pure: every time is an argument.
//!
//! In: each unit's media time and arrival, and RTCP sender reports. Out: `captured`, which for one track never goes
//! back and never lies behind `arrival`. One [`Clock`] per connection.
//!
//! **By arrival.** The network only ever delays, so the smallest `arrival - media time` of the last seconds is the best
//! guess of when a track's media time zero was; taking the minimum keeps jitter out, the window lets it follow a
//! camera whose clock drifts (100 ppm is 1 ms in 10 s).
//!
//! **By sender reports.** With two tracks that is not enough: the picture waits in the encoder, the sound does not,
//! and lips move late. A sender report says which camera time (NTP) a media time is (RFC 3550 section 6.4.1), so both
//! tracks can use one offset from camera time to ours: the smaller of the two tracks' minima. Needs believable
//! reports on both tracks; what a single track's reports say changes nothing that anybody could see.
//!
//! Going from one way to the other, or following a drift, moves a track by at most [`SLEW`] of the time that passes.
//!
//! **Without the camera's time.** A track whose media time runs at a wrong rate ([`Pace`]) is given another by its arrivals,
//! which [`Clock::time`] tells, until it runs as it should again.

mod pace;
mod window;

use std::time::{Duration, Instant};

use self::{pace::Pace, window::Window};
use crate::media::{Kind, MediaTime, NtpTime};

/// All times here are nanoseconds; instants count from the clock's epoch, the first arrival.
type Nanos = i64;

const MILLISECOND: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MILLISECOND;

/// A correction moves `captured` by at most this part of the time since the track's last unit (1/50: 0.8 ms per frame
/// at 25 fps), so that 100 ms are corrected in 5 s and no viewer's picture jerks.
const SLEW: Nanos = 50;
/// Media time that goes back by more than this, or arrives earlier than it could by more than this, has jumped: the
/// camera restarted its clock. Everything known of the track is forgotten. More than any reordering of B-frames.
const JUMP: Nanos = SECOND;
/// A sender report whose RTP timestamp is further from its arrival than this is a lie. Real ones are as far as the
/// camera's encoder and the network's queues are deep, well below a second.
const LIE: Nanos = 2 * SECOND;
/// How far the reports may set the tracks apart. More is not an encoder's delay but two clocks that have nothing to do
/// with each other (cameras exist whose sound counts from its own boot).
const APART: Nanos = SECOND;
/// Camera time that differs by more than this from what the last report predicted was stepped, for example by the
/// camera's own NTP client after its boot.
const STEP: Nanos = SECOND / 2;
/// After this many steps a track's reports are not believed for the rest of the connection (some always say the same
/// time). One is a camera that found its time server; a clock that is stepped every minute is no clock.
const STEPS: u32 = 3;
/// A report is used for this long. Cameras send one every 1 to 30 s; without a newer one, sound and picture clocks
/// drift apart by up to 6 ms a minute.
const REPORT_LIFE: Nanos = 60 * SECOND;
/// How far one unit moves `captured` towards its arrival once the track's rate is known to be wrong; it may be behind by
/// the time that it took to find out. Less than what `rtp::Continuity` takes for a jump of the clock.
const CATCH_UP: Nanos = SECOND / 2;

/// Maps the media times of one connection's tracks.
#[derive(Debug, Default)]
pub(super) struct Clock {
    epoch: Option<Instant>,
    video: Track,
    audio: Track,
}

#[derive(Debug, Default)]
struct Track {
    /// `arrival - media`.
    by_arrival: Window,
    /// `arrival - camera time`; empty without a report.
    by_report: Window,
    report: Option<Report>,
    steps: u32,
    /// What is added to media time now.
    offset: Option<Nanos>,
    last: Option<Unit>,
    pace: Pace,
    /// What makes the camera's media time continue where its rate was wrong; all media times but the camera's own have it.
    shift: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    media: Nanos,
    camera: Nanos,
    arrival: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    media: Nanos,
    arrival: Nanos,
    captured: Nanos,
}

impl Clock {
    /// A sender report of `kind`'s track: at media time `media` the camera's clock showed `camera`.
    pub(super) fn sender_report(&mut self, kind: Kind, media: MediaTime, camera: NtpTime, arrival: Instant) {
        let arrival = self.since_epoch(arrival);
        self.track(kind).take_report(Report { media: media_nanos(media), camera: ntp_nanos(camera), arrival });
    }

    /// When the unit at `media` was captured; `arrival` is when its first packet came.
    pub(super) fn captured(&mut self, kind: Kind, media: MediaTime, arrival: Instant) -> Instant {
        let epoch = *self.epoch.get_or_insert(arrival);
        let arrival = self.since_epoch(arrival);
        let media = self.track(kind).take_unit(media_nanos(media), arrival);
        let wanted = self.wanted(kind, arrival);
        let captured = self.track(kind).place(media, arrival, wanted);
        let distance = Duration::from_nanos(captured.unsigned_abs());
        let captured = if captured < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
        // Only a machine that started less than the network's delay ago has no such instant.
        captured.unwrap_or(epoch)
    }

    /// The media time of the unit that [`captured`](Self::captured) was last asked about: the camera's, as long as its clock
    /// keeps time, and else one that does.
    pub(super) fn time(&self, kind: Kind, media: MediaTime) -> MediaTime {
        let shift = match kind {
            Kind::Video => self.video.shift,
            Kind::Audio => self.audio.shift,
        };
        let ticks = i128::from(shift) * i128::from(media.rate.hz()) / i128::from(SECOND);
        MediaTime { ticks: media.ticks.saturating_add(nanos(ticks)), ..media }
    }

    /// What should be added to the track's media time.
    fn wanted(&self, kind: Kind, now: Nanos) -> Nanos {
        let track = match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        };
        let (Some(video), Some(audio)) = (self.video.by_report(now), self.audio.by_report(now)) else {
            return track.by_arrival.min().unwrap_or(0);
        };
        match track.report {
            Some(report) if (video - audio).abs() <= APART => report.camera - report.media + video.min(audio),
            _ => track.by_arrival.min().unwrap_or(0),
        }
    }

    fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// The tracks' arrivals need not be in order among each other, so it may be before the epoch.
    fn since_epoch(&mut self, at: Instant) -> Nanos {
        let epoch = *self.epoch.get_or_insert(at);
        let nanos = |length: Duration| nanos(length.as_nanos().cast_signed());
        match at.checked_duration_since(epoch) {
            Some(after) => nanos(after),
            None => -nanos(epoch.duration_since(at)),
        }
    }
}

impl Track {
    fn take_report(&mut self, report: Report) {
        let report = Report { media: report.media + self.shift, ..report };
        if let Some(old) = self.report {
            let predicted = old.camera + (report.media - old.media);
            if (report.camera - predicted).abs() > STEP {
                self.steps += 1;
                self.by_report = Window::default();
            }
        }
        self.report = Some(report);
    }

    /// Returns the media time that the unit goes by.
    fn take_unit(&mut self, camera: Nanos, arrival: Nanos) -> Nanos {
        self.pace.note(camera, arrival);
        let mut media = camera + self.shift;
        if let Some(last) = self.last.filter(|_| self.pace.is_wrong()) {
            media = last.media + (arrival - last.arrival).max(0);
            self.shift = nanos(i128::from(media) - i128::from(camera));
            (self.by_arrival, self.by_report, self.report) = Default::default();
        }
        let sample = arrival - media;
        let back = self.last.is_some_and(|last| last.media - media > JUMP);
        let early = self.by_arrival.min().is_some_and(|min| min - sample > JUMP);
        if back || early {
            let Self { steps, last, shift, .. } = *self;
            *self = Self { steps, last, shift, pace: self.pace.jumped(), ..Self::default() };
        }
        self.by_arrival.note(arrival, sample);
        if let Some(report) = self.report {
            self.by_report.note(arrival, arrival - (report.camera + media - report.media));
        }
        media
    }

    /// The smallest `arrival - camera time`, if this track's reports can be believed.
    fn by_report(&self, now: Nanos) -> Option<Nanos> {
        let report = self.report.filter(|report| now - report.arrival < REPORT_LIFE && self.steps < STEPS)?;
        let plausible = (report.arrival - report.media - self.by_arrival.min()?).abs() <= LIE;
        self.by_report.min().filter(|_| plausible)
    }

    /// Moves the offset towards what is wanted and applies it.
    fn place(&mut self, media: Nanos, arrival: Nanos, wanted: Nanos) -> Nanos {
        let mut offset = self.offset.map_or(wanted, |offset| {
            let passed = self.last.map_or(0, |last| arrival - last.arrival).max(0);
            let most = if self.pace.is_wrong() { CATCH_UP } else { passed / SLEW };
            offset + (wanted - offset).clamp(-most, most)
        });
        // Nothing arrives before it was captured. That the last `captured` was not after its arrival either makes it
        // safe to follow this at once.
        offset = offset.min(arrival - media);
        let captured = self.last.map_or(Nanos::MIN, |last| last.captured).max(media + offset);
        self.offset = Some(offset);
        self.last = Some(Unit { media, arrival, captured });
        captured
    }
}

fn media_nanos(media: MediaTime) -> Nanos {
    nanos(i128::from(media.ticks) * i128::from(SECOND) / i128::from(media.rate.hz()))
}

/// Camera time around the middle of NTP's era (1968), which keeps 68 years on either side within range. Only
/// differences of camera times matter here.
fn ntp_nanos(time: NtpTime) -> Nanos {
    nanos((i128::from(time.0.cast_signed()) * i128::from(SECOND)) >> 32)
}

/// Saturates at 73 years, so that sums of a few of these cannot overflow whatever a camera sends.
fn nanos(wide: i128) -> Nanos {
    const LIMIT: i128 = 1 << 61;
    wide.clamp(-LIMIT, LIMIT) as Nanos
}

#[cfg(test)]
mod tests;
