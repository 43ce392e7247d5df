//! Spreads what is more than a few packets (a large keyframe, the cached GOP for a newcomer) so that it overflows neither
//! the viewer's socket buffer nor a queue on the way.

use std::time::{Duration, Instant};

/// How often a burst goes on. A picture of 300 kB leaves within 24 ms.
const TICK: Duration = Duration::from_millis(4);
/// What a burst may send per tick, in bytes: 100 Mbit/s. Linux gives a browser's UDP socket a buffer of 208 kB of
/// kernel memory, which about 90 packets fill; a burst of 2 MB at once lost a sixth of itself in it (Chromium, loopback).
const BYTES_PER_TICK: usize = 50_000;

/// What it may send per tick on the slowest path: two packets.
const LEAST: usize = 2_400;

/// Decides when the next part of a burst may leave.
#[derive(Debug)]
pub(super) struct Pacer {
    next: Instant,
    budget: usize,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, budget: 0 }
    }

    /// Opens the next tick if it is due, for `rate` bits per second where that is less than it would be.
    pub(super) fn refill(&mut self, now: Instant, rate: f64) {
        if now >= self.next {
            self.budget = ((rate / 8.0 * TICK.as_secs_f64()) as usize).clamp(LEAST, BYTES_PER_TICK);
            self.next = now + TICK;
        }
    }

    /// Whether another packet of `bytes` may leave now.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let may = self.budget > 0;
        self.budget = self.budget.saturating_sub(bytes);
        may
    }

    /// How long a burst of `bytes` takes.
    pub(super) fn span(bytes: usize) -> Duration {
        TICK.mul_f64(bytes as f64 / BYTES_PER_TICK as f64)
    }

    /// When [`refill`](Self::refill) has something to do.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_lets_its_budget_through() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        assert!(!pacer.take(1));
        pacer.refill(start, f64::INFINITY);
        assert!(pacer.take(BYTES_PER_TICK - 1));
        assert!(pacer.take(1_000_000));
        assert!(!pacer.take(1));
        pacer.refill(start + TICK / 2, f64::INFINITY);
        assert!(!pacer.take(1));
        pacer.refill(start + TICK, f64::INFINITY);
        assert!(pacer.take(1));
    }
    #[test]
    fn a_slow_path_gets_less_at_a_time() {
        let start = Instant::now();
        let taken = |rate| {
            let mut pacer = Pacer::new(start);
            pacer.refill(start, rate);
            std::iter::from_fn(|| pacer.take(1_200).then_some(1_200)).sum::<usize>()
        };
        assert_eq!([taken(10e6), taken(1e3)], [6_000, 2_400]);
        assert!(taken(1e9) >= BYTES_PER_TICK);
    }
}
