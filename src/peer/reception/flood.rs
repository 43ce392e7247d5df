//! How much a publisher may send. Pure: time is an argument.

use std::time::{Duration, Instant};

/// For how long is counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Packets in a window: ten times what a browser sends of 1080p with sound. More is dropped unread, and counted.
const MAX_PACKETS: u32 = 20_000;
/// The same in bytes: 160 Mbit/s.
const MAX_BYTES: usize = 20_000_000;

/// One publisher's measure.
#[derive(Debug)]
pub(super) struct Flood {
    since: Instant,
    packets: u32,
    bytes: usize,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, packets: 0, bytes: 0 }
    }

    /// Whether there is room for a packet of this size, which is counted.
    pub(super) fn allows(&mut self, bytes: usize, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.packets <= MAX_PACKETS && self.bytes <= MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_waits_for_the_next_second() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        let allowed = |flood: &mut Flood, bytes, at| (0..100_000).filter(|_| flood.allows(bytes, at)).count();
        assert_eq!(allowed(&mut flood, 100, start), MAX_PACKETS as usize);
        assert_eq!(allowed(&mut flood, 2_000, start + WINDOW), 10_000);
        assert!(flood.allows(1_200, start + 2 * WINDOW));
    }
}
