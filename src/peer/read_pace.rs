//! How often the port is read: at once while little comes, and what has gathered meanwhile when a crowd reports.
//!
//! To wake a thread for one datagram costs more than to read it. A browser sends 10 to 20 reports a second, so that 100 of
//! them were a third of all that the gateway did.

use std::time::{Duration, Instant};

/// Longest that a datagram waits to be read, besides what the system takes. It adds to the time a lost packet is missed for.
const GATHERING: Duration = Duration::from_millis(4);
/// Reads that follow each other without a pause: those of a few viewers that connect.
const BURST: u32 = 32;

/// Paces reads in steps of [`GATHERING`] once a [`BURST`] is used up (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct ReadPace {
    /// When the burst is whole again.
    whole: Instant,
}

impl ReadPace {
    pub(super) fn new(now: Instant) -> Self {
        Self { whole: now }
    }

    /// There was a read at `now`. Returns how long to wait before the next.
    pub(super) fn after_read(&mut self, now: Instant) -> Duration {
        self.whole = self.whole.max(now) + GATHERING;
        self.whole.saturating_duration_since(now + GATHERING * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_datagrams_are_read_at_once() {
        let start = Instant::now();
        let mut pace = ReadPace::new(start);
        assert!((0..BURST).all(|_| pace.after_read(start).is_zero()), "those of a handshake");
        let later = start + Duration::from_secs(1);
        assert!((0..1_000).all(|read| pace.after_read(later + GATHERING * read).is_zero()), "no more than one in 4 ms");
    }

    #[test]
    fn many_are_gathered() {
        let start = Instant::now();
        let (mut pace, mut now, mut reads) = (ReadPace::new(start), start, 0);
        while now < start + Duration::from_secs(1) {
            // There is always something to read.
            now += pace.after_read(now);
            reads += 1;
        }
        assert_eq!(reads, 250 + BURST);
    }
}
