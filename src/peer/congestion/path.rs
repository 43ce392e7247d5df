//! The way to one viewer as its feedback shows it: how long packets queue on it and how fast its narrowest link serves them.
//!
//! A camera sends what it sends, mostly less than the path carries, so that a rate of arrivals says little about the path.
//! What says much are packets that arrive behind another one that they had to wait for: the time between the two is what
//! the narrowest link took for the second (packet dispersion; RFC 5136 section 2.3 calls what it gives the capacity).

/// Between two looks at whether the lowest delay still is the lowest. Two clocks drift apart by 50 us in a second.
const BASE_WINDOW: i64 = 300_000_000;
/// Gaps between packets that make a sample, one of which, the longest, is left out: a radio that pauses to look round
/// (Wi-Fi scans, 100 to 500 ms) is no slow link.
const GAPS: u32 = 4;
/// A sample is at least this long, in microseconds: feedback counts in steps of 250.
const SHORTEST: i64 = 1_000;
/// A sample this long, in microseconds, counts for all that was known before.
const CONVINCING: f64 = 50_000.0;
/// What a sample counts for at least.
const LEAST_WEIGHT: f64 = 0.25;
/// By how much an estimate rises at once, at most. A shaper lets a few packets pass before it shapes (a token bucket), and
/// they look like a fast link.
const STEP: f64 = 2.0;
/// No estimate is above, in bits per second: 250 us are three packets then.
const MAX_RATE: f64 = 100e6;

/// One viewer's path.
#[derive(Debug, Default)]
pub(super) struct Path {
    base: Base,
    /// The newest arrival, on the viewer's clock.
    arrival: Option<i64>,
    newest: Option<Anchor>,
    gaps: Gaps,
    rate: Option<f64>,
}

/// What the newest packet that arrived met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    /// When it left.
    pub(super) departure: i64,
    /// How long it queued.
    pub(super) queueing: i64,
}

/// The time from here to there without a queue, the unknown difference of the two clocks included.
#[derive(Debug, Default)]
struct Base {
    lowest: Option<i64>,
    before: Option<i64>,
    since: i64,
}

/// Time and bytes of packets that came one behind the other.
#[derive(Debug, Default)]
struct Gaps {
    count: u32,
    bytes: usize,
    time: i64,
    /// Time and bytes of the longest.
    longest: (i64, usize),
}

impl Path {
    /// A packet that left at `departure` (our clock) arrived at `arrival` (the viewer's), both in microseconds.
    pub(super) fn on_arrival(&mut self, departure: i64, arrival: i64, bytes: usize) {
        let transit = arrival - departure;
        let base = self.base.update(departure, transit);
        self.newest = Some(Anchor { departure, queueing: transit - base });
        if let Some(before) = self.arrival
            && before >= departure + base
        {
            self.gaps.add((arrival - before).max(0), bytes);
        }
        self.arrival = Some(self.arrival.map_or(arrival, |before| before.max(arrival)));
    }

    /// All of one feedback has been told.
    pub(super) fn settle(&mut self) {
        let Some((sample, time)) = self.gaps.sample() else { return };
        self.gaps = Gaps::default();
        let weight = (time as f64 / CONVINCING).clamp(LEAST_WEIGHT, 1.0);
        let rate = self.rate.map_or(sample, |rate| (rate + weight * (sample - rate)).min(rate * STEP));
        self.rate = Some(rate.min(MAX_RATE));
    }

    /// The newest packet that arrived.
    pub(super) fn newest(&self) -> Option<Anchor> {
        self.newest
    }

    /// What the narrowest link carries, in bits per second, once packets have queued at it.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The newest packet met no queue, whatever it looked like: the path has become longer. What was measured meanwhile is
    /// wrong.
    pub(super) fn lengthen(&mut self) {
        (self.gaps, self.rate) = (Gaps::default(), None);
        if let Some(newest) = &mut self.newest {
            self.base.shift(newest.queueing);
            newest.queueing = 0;
        }
    }
}

impl Base {
    fn update(&mut self, now: i64, transit: i64) -> i64 {
        if now - self.since > BASE_WINDOW {
            (self.before, self.lowest, self.since) = (self.lowest, None, now);
        }
        let lowest = self.lowest.map_or(transit, |lowest| lowest.min(transit));
        self.lowest = Some(lowest);
        self.before.map_or(lowest, |before| before.min(lowest))
    }

    fn shift(&mut self, by: i64) {
        let base = self.before.into_iter().chain(self.lowest).min();
        (self.before, self.lowest) = (None, base.map(|base| base + by));
    }
}

impl Gaps {
    fn add(&mut self, time: i64, bytes: usize) {
        self.count += 1;
        self.time += time;
        self.bytes += bytes;
        self.longest = self.longest.max((time, bytes));
    }

    /// Bits per second, and over how many microseconds.
    fn sample(&self) -> Option<(f64, i64)> {
        let (time, bytes) = (self.time - self.longest.0, self.bytes - self.longest.1);
        (self.count >= GAPS && time >= SHORTEST).then(|| (bytes as f64 * 8e6 / time as f64, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of 1 Mbit/s: 9.6 ms for 1,200 bytes.
    const SERVICE: i64 = 9_600;
    /// The viewer's clock is an hour ahead, the way takes 20 ms.
    const AWAY: i64 = 3_600_000_000 + 20_000;

    fn frame(path: &mut Path, departure: i64, packets: i64, service: i64) {
        for index in 1..=packets {
            path.on_arrival(departure, departure + AWAY + index * service, 1_200);
        }
        path.settle();
    }

    #[test]
    fn packets_of_one_picture_measure_the_narrowest_link() {
        let mut path = Path::default();
        frame(&mut path, 0, 10, SERVICE);
        let rate = path.rate().expect("nine gaps");
        assert!((rate - 1e6).abs() < 1e3, "{rate}");
        let queueing = path.newest().map(|newest| newest.queueing);
        assert_eq!(queueing, Some(9 * SERVICE));
    }

    #[test]
    fn packets_that_wait_for_nobody_measure_nothing() {
        let mut path = Path::default();
        for index in 0..100 {
            frame(&mut path, index * 40_000, 1, SERVICE);
        }
        assert_eq!(path.rate(), None);
    }

    #[test]
    fn a_pause_of_the_radio_is_no_slow_link() {
        let mut path = Path::default();
        for index in 0..20 {
            frame(&mut path, index * 40_000, 12, 500);
        }
        let before = path.rate().expect("measured");
        let resumed = 20 * 40_000 + AWAY + 400_000;
        for index in 0..120 {
            path.on_arrival(20 * 40_000 + index / 12 * 40_000, resumed + index * 500, 1_200);
        }
        path.settle();
        let after = path.rate().expect("measured");
        assert!((after - before).abs() < before / 10.0, "{before} {after}");
    }

    #[test]
    fn a_few_packets_that_a_shaper_lets_pass_are_no_fast_link() {
        let mut path = Path::default();
        frame(&mut path, 0, 40, SERVICE);
        let before = path.rate().expect("measured");
        frame(&mut path, 1_000_000, 30, 40);
        let after = path.rate().expect("measured");
        assert!(after <= before * STEP, "{before} {after}");
        frame(&mut path, 2_000_000, 40, SERVICE);
        let later = path.rate().expect("measured");
        assert!((later / before - 1.0).abs() < 0.01, "{before} {later}");
    }

    #[test]
    fn a_link_that_becomes_narrow_is_believed_at_once() {
        let mut path = Path::default();
        frame(&mut path, 0, 40, 500);
        frame(&mut path, 1_000_000, 12, SERVICE);
        let rate = path.rate().expect("measured");
        assert!((rate - 1e6).abs() < 1e4, "{rate}");
    }
}
