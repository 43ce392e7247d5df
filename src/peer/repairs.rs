//! How many packets a viewer may have sent again: NACKs are asked for by whoever likes, and cost us the traffic.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Retransmissions per second in the long run: 15 Mbit/s, more than the whole stream of most cameras.
const PER_SECOND: f64 = 1_500.0;
/// At once. More would be a burst into the very queue that has just overflowed.
const AT_ONCE: f64 = 200.0;
/// The same packet is not sent again sooner than a round trip, or than this where that is shorter or unknown.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Longest such interval; a viewer's report may claim anything.
const MAX_INTERVAL: Duration = Duration::from_millis(500);
/// Packets whose last retransmission is remembered.
const REMEMBERED: usize = 1_024;

/// One viewer's budget.
#[derive(Debug)]
pub(super) struct Repairs {
    tokens: f64,
    refilled: Instant,
    last: HashMap<u16, Instant>,
}

impl Repairs {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: AT_ONCE, refilled: now, last: HashMap::new() }
    }

    /// Those of `numbers` that are sent again now. What is not the viewer asks for once more.
    pub(super) fn grant(&mut self, now: Instant, rtt: Option<Duration>, numbers: &[u16]) -> Vec<u16> {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        (self.tokens, self.refilled) = ((self.tokens + elapsed * PER_SECOND).min(AT_ONCE), now);
        let interval = rtt.unwrap_or(MIN_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL);
        if self.last.len() >= REMEMBERED {
            self.last.retain(|_, at| now.saturating_duration_since(*at) < interval);
        }
        let mut granted = Vec::new();
        for number in numbers {
            let recently = self.last.get(number).is_some_and(|at| now.saturating_duration_since(*at) < interval);
            if recently || self.tokens < 1.0 || self.last.len() >= REMEMBERED {
                continue;
            }
            self.tokens -= 1.0;
            self.last.insert(*number, now);
            granted.push(*number);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_within_a_round_trip_are_one() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        let rtt = Some(Duration::from_millis(80));
        assert_eq!(repairs.grant(start, rtt, &[1, 2, 2, 1]), [1, 2]);
        assert!(repairs.grant(start + Duration::from_millis(40), rtt, &[1, 2]).is_empty());
        assert_eq!(repairs.grant(start + Duration::from_millis(90), rtt, &[2]), [2]);
    }

    #[test]
    fn a_flood_gets_no_more_than_the_budget() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        let numbers: Vec<u16> = (0..5_800).collect();
        let granted: usize = (0..1_000u32)
            .map(|round| repairs.grant(start + round * Duration::from_millis(10), None, &numbers).len())
            .sum();
        assert!(granted as f64 <= AT_ONCE + 10.0 * PER_SECOND, "{granted}");
        assert!(granted > 5_000, "{granted}");
    }
}
