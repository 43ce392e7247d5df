//! The two timelines of RTP timestamps.
//!
//! [`Continuity`] belongs to a camera's track: it turns media time that may restart, jump or run backwards into
//! ticks that only go forward, so that viewers keep watching across a camera's reconnect. [`Timeline`] belongs to a
//! viewer: it places those ticks at a random start (RFC 3550 section 5.1), and squeezes a cached GOP so that its last
//! frame lands at "now".

use std::time::{Duration, Instant};

use crate::media::{ClockRate, MediaTime};

/// How far media time and capture time may drift apart between two units before the media clock is taken to have
/// jumped. Cameras that step their clock do so by seconds; a frame that is late on Wi-Fi comes within one.
const JUMP: Duration = Duration::from_secs(1);

/// The longest distance between two frames of a squeezed GOP: 1 ms. Chromium then shows the last one at once instead of
/// playing the cached seconds fast forward (measured: caught up in about 100 ms, with original timestamps 350 to 560 ms).
const SQUEEZED_STEP: i64 = 90;

/// A track's media time made continuous.
#[derive(Debug, Default)]
pub struct Continuity {
    anchor: Option<Anchor>,
    newest: i64,
}

/// A unit that advanced the timeline, and where it was placed.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    media: MediaTime,
    captured: Instant,
    ticks: i64,
}

impl Continuity {
    /// The unit's place in ticks of its own rate since the track's first unit; grows with every call.
    ///
    /// Where media time and `captured` disagree by more than a second, the unit is placed by `captured`.
    pub fn place(&mut self, media: MediaTime, captured: Instant) -> i64 {
        let Some(anchor) = self.anchor else {
            self.anchor = Some(Anchor { media, captured, ticks: 0 });
            return 0;
        };
        let by_capture = anchor.elapsed(captured);
        let by_media = media.ticks.saturating_sub(anchor.media.ticks);
        let jumped =
            media.rate != anchor.media.rate || by_media.abs_diff(by_capture) > media.rate.ticks(JUMP).unsigned_abs();
        let ticks = anchor.ticks + if jumped { by_capture } else { by_media };
        let placed = ticks.max(self.newest + 1);
        // A step back (B-frames) must not become the new anchor, or every one of them would stretch the timeline.
        if jumped || by_media > 0 {
            self.anchor = Some(Anchor { media, captured, ticks: if jumped { placed } else { ticks } });
        }
        self.newest = placed;
        placed
    }
}

impl Anchor {
    fn elapsed(&self, captured: Instant) -> i64 {
        let rate = self.media.rate;
        match captured.checked_duration_since(self.captured) {
            Some(later) => rate.ticks(later),
            None => -rate.ticks(self.captured - captured),
        }
    }
}

/// A viewer's RTP timestamps for one track.
#[derive(Debug)]
pub struct Timeline {
    rate: ClockRate,
    start: u32,
    /// How far the viewer's timeline has been moved forward to make room.
    shift: i64,
    /// Ticks of the newest unit placed, on the track's timeline.
    newest: Option<i64>,
}

impl Timeline {
    /// `start` is the viewer's random first timestamp.
    pub fn new(rate: ClockRate, start: u32) -> Self {
        Self { rate, start, shift: 0, newest: None }
    }

    /// The clock it counts.
    pub fn rate(&self) -> ClockRate {
        self.rate
    }

    /// RTP timestamp of a unit at `ticks` of its track.
    pub fn live(&mut self, ticks: i64) -> u32 {
        self.newest = Some(self.newest.map_or(ticks, |newest| newest.max(ticks)));
        self.wrap(ticks)
    }

    /// RTP timestamps of `count` units that end with one at `last` ticks: the last one is in its true place, the others
    /// close before it, all of them behind whatever was sent before.
    ///
    /// `span` is how long sending them takes. What lies further apart than it arrives looks delayed by the network, and
    /// a browser counts on that delay for seconds after (Chromium, with 250 frames of 1 ms: pictures 70 ms too early).
    pub fn squeezed(&mut self, last: i64, count: usize, span: Duration) -> impl Iterator<Item = u32> + use<> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let room = self.newest.map_or(i64::MAX, |newest| last.saturating_sub(newest));
        // With less than a tick per frame, everything from here on comes some ticks later: milliseconds at the worst.
        self.shift += (count - room).max(0);
        let step = room.min(self.rate.ticks(span)) / count.max(1);
        let step = step.clamp(1, SQUEEZED_STEP);
        self.newest = Some(self.newest.map_or(last, |newest| newest.max(last)));
        let end = self.wrap(last);
        (0..count).map(move |index| wrapped(end, -(count - 1 - index) * step))
    }

    /// RTP timestamp without noting anything: for sender reports.
    pub fn wrap(&self, ticks: i64) -> u32 {
        wrapped(self.start, ticks + self.shift)
    }
}

/// Timestamps wrap at 32 bits by design (RFC 3550 section 5.1).
fn wrapped(start: u32, ticks: i64) -> u32 {
    start.wrapping_add(ticks as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn at(ticks: i64) -> MediaTime {
        MediaTime { ticks, rate: ClockRate::VIDEO }
    }

    #[test]
    fn media_time_is_kept_while_it_is_plausible() {
        let zero = Instant::now();
        let mut line = Continuity::default();
        assert_eq!(line.place(at(500_000), zero), 0);
        assert_eq!(line.place(at(503_600), zero + Duration::from_millis(70)), 3_600);
    }

    #[test]
    fn a_restarted_camera_goes_on_where_it_left() {
        let zero = Instant::now();
        let mut line = Continuity::default();
        line.place(at(9_000_000), zero);
        assert_eq!(line.place(at(0), zero + Duration::from_secs(5)), 450_000);
        assert_eq!(line.place(at(3_600), zero + Duration::from_millis(5_040)), 453_600);
    }

    #[test]
    fn ticks_never_stand_still_or_go_back() {
        let zero = Instant::now();
        let mut line = Continuity::default();
        assert_eq!(line.place(at(90_000), zero), 0);
        assert_eq!(line.place(at(90_000), zero), 1);
        assert_eq!(line.place(at(80_000), zero), 2);
    }

    #[test]
    fn b_frames_do_not_stretch_the_timeline() {
        let zero = Instant::now();
        let mut line = Continuity::default();
        let mut newest = 0;
        for (index, frame) in [0, 3, 1, 2, 6, 4, 5, 9, 7, 8].into_iter().enumerate() {
            newest = line.place(at(frame * 3_600), zero + Duration::from_millis(index as u64 * 40));
        }
        assert_eq!(newest, 9 * 3_600 + 2);
    }

    #[test]
    fn the_last_cached_frame_lands_at_now() {
        let mut line = Timeline::new(ClockRate::VIDEO, u32::MAX);
        let stamps: Vec<_> = line.squeezed(900_000, 250, LONG).collect();
        assert_eq!(stamps.len(), 250);
        assert_eq!(stamps[249], 899_999);
        assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == 90));
        assert_eq!(line.live(903_600), stamps[249].wrapping_add(3_600));
    }

    #[test]
    fn a_burst_lies_as_close_as_it_is_sent() {
        let mut line = Timeline::new(ClockRate::VIDEO, 0);
        let stamps: Vec<_> = line.squeezed(900_000, 100, Duration::from_millis(20)).collect();
        assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == 18));
        let mut line = Timeline::new(ClockRate::VIDEO, 0);
        let at_once: Vec<_> = line.squeezed(900_000, 100, Duration::ZERO).collect();
        assert!(at_once.windows(2).all(|pair| pair[1] - pair[0] == 1));
    }

    #[test]
    fn a_burst_without_room_moves_on_instead_of_back() {
        let mut line = Timeline::new(ClockRate::VIDEO, 0);
        let sent = line.live(900_000);
        let stamps: Vec<_> = line.squeezed(901_500, 1_800, LONG).collect();
        assert!(stamps[0] > sent, "{} after {sent}", stamps[0]);
        assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]));
        assert!(line.live(903_000) > stamps[1_799]);
    }

    #[test]
    fn a_second_burst_stays_behind_what_was_sent() {
        let mut line = Timeline::new(ClockRate::VIDEO, 0);
        let sent = line.live(900_000);
        let stamps: Vec<_> = line.squeezed(903_600, 100, LONG).collect();
        assert!(stamps[0] > sent);
        assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(stamps[99], 903_600);
    }
}
