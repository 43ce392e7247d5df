//! Counters and rates that every layer may add to and that http shows. Reads no clock: time is an argument.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A number that only grows; may be shared between threads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened to one camera since the process started.
#[derive(Debug, Default)]
pub struct CameraCounters {
    /// Access units that the camera delivered, both tracks.
    pub units: Counter,
    /// Coded bytes in them.
    pub bytes: Counter,
    /// Units that could not be packed, for example before the first parameter sets.
    pub unusable: Counter,
    /// Frames of sound that would have to be transcoded and that nobody listened to.
    pub unheard: Counter,
    /// Units that found a queue full: a worker's mailbox, or the way out of a pipeline.
    pub dropped: Counter,
    /// Times the GOP outgrew the cache's bounds, so that newcomers had to wait for the next keyframe.
    pub cache_overflows: Counter,
    /// Times a GOP outgrew the memory for clips, so that a clip begins after it.
    pub footage_overflows: Counter,
    /// Pictures that were decoded for snapshots.
    pub snapshots: Counter,
    /// Times that no picture could be made of what the camera sends.
    pub snapshot_failures: Counter,
    /// Snapshots that were refused because all processors for them were taken for long.
    pub snapshots_refused: Counter,
    /// RTP packets that the camera sent and that did not arrive.
    pub lost_packets: Counter,
    /// Times the camera was connected to again after it had been live or had failed.
    pub reconnects: Counter,
    /// Of a camera that is published to.
    pub published: PublishedCounters,
    /// What it told that it has noticed.
    pub events: Counter,
    /// Of a camera that is talked to.
    pub talk: TalkCounters,
    /// Of its viewers' data channels.
    pub channel: ChannelCounters,
}

/// What happened on data channels.
#[derive(Debug, Default)]
pub struct ChannelCounters {
    /// Messages of viewers.
    pub messages: Counter,
    /// Of these, those that were refused in words.
    pub refused: Counter,
    /// Of these, those that nobody had time for.
    pub lost: Counter,
    /// Messages for viewers that could not be sent.
    pub unsent: Counter,
    /// Files that were sent as a whole.
    pub files: Counter,
    /// Channels with another label, which were closed.
    pub foreign: Counter,
}

/// What happened to what was said to the people before a camera.
#[derive(Debug, Default)]
pub struct TalkCounters {
    /// Times that somebody could talk.
    pub begun: Counter,
    /// Times that the camera, or the loudspeaker, did not take it.
    pub failures: Counter,
    /// Packets of sound that came too late to be heard.
    pub late: Counter,
}

/// What happened to what is published to a camera.
#[derive(Debug, Default)]
pub struct PublishedCounters {
    /// Packets that the publisher was asked for again.
    pub nacks: Counter,
    /// Packets that were missed and came after all.
    pub repaired: Counter,
    /// Keyframes that it was asked for.
    pub plis: Counter,
    /// Packets that were one too many.
    pub flooded: Counter,
}

/// Events and bytes per second over a sliding window.
#[derive(Debug)]
pub struct RateMeter {
    window: Duration,
    samples: VecDeque<(Instant, u64)>,
    bytes: u64,
}

impl RateMeter {
    /// `window` is how far back the rate looks.
    pub fn new(window: Duration) -> Self {
        Self { window, samples: VecDeque::new(), bytes: 0 }
    }

    /// Notes one event of `bytes` bytes.
    pub fn note(&mut self, now: Instant, bytes: u64) {
        self.samples.push_back((now, bytes));
        self.bytes += bytes;
        self.forget(now);
    }

    /// Events and bits per second up to `now`; zeros with fewer than two events in the window.
    pub fn rates(&mut self, now: Instant) -> (f64, f64) {
        self.forget(now);
        let (Some((first, first_bytes)), Some((last, _))) = (self.samples.front(), self.samples.back()) else {
            return (0.0, 0.0);
        };
        let seconds = last.duration_since(*first).as_secs_f64();
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        // The first event opens the window: what lies in it are the intervals, one fewer than the events.
        let events = (self.samples.len() - 1) as f64;
        (events / seconds, (self.bytes - first_bytes) as f64 * 8.0 / seconds)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, bytes)) = self.samples.front()
            && now.saturating_duration_since(*at) > self.window
        {
            self.bytes -= bytes;
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_steady_stream() {
        let zero = Instant::now();
        let mut meter = RateMeter::new(Duration::from_secs(2));
        for frame in 0..100u32 {
            meter.note(zero + frame * Duration::from_millis(40), 1_000);
        }
        let (fps, bps) = meter.rates(zero + Duration::from_millis(99 * 40));
        assert!((fps - 25.0).abs() < 0.01, "{fps}");
        assert!((bps - 200_000.0).abs() < 100.0, "{bps}");
        assert_eq!(meter.rates(zero + Duration::from_secs(60)), (0.0, 0.0));
    }
}
