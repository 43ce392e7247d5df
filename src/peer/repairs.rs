//! How many packets a viewer may have sent again: NACKs are asked for by whoever likes, and cost us the traffic.

mod room;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use self::room::Room;

/// Retransmissions per second in the long run: 15 Mbit/s, more than the whole stream of most cameras.
const PER_SECOND: f64 = 1_500.0;
/// At once. More would be a burst into the very queue that has just overflowed.
const AT_ONCE: f64 = 200.0;
/// The same packet is not asked for again in earnest sooner than most of a round trip, which varies, or than this where that
/// is shorter or unknown.
const MIN_INTERVAL: Duration = Duration::from_millis(15);
/// Longest such interval; a viewer's report may claim anything.
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// Packets whose last retransmission is remembered.
const REMEMBERED: usize = 1_024;
/// A viewer that reports more loss than this gets each retransmission twice: Chromium, which does not know its round trip,
/// asks again only after 100 ms, and at 5 % each second of video has a packet that is lost and lost again.
const LOSSY: f64 = 0.02;
/// From a retransmission to its copy. What loses packets in runs, such as a full queue, is over it by then more often.
const COPY: Duration = Duration::from_millis(8);
/// Copies that wait.
const MAX_COPIES: usize = 256;

/// One viewer's budget.
#[derive(Debug)]
pub(super) struct Repairs {
    tokens: f64,
    refilled: Instant,
    last: HashMap<u16, Instant>,
    copies: VecDeque<(Instant, u16)>,
    pub(super) room: Room,
}

impl Repairs {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: AT_ONCE, refilled: now, last: HashMap::new(), copies: VecDeque::new(), room: Room::default() }
    }

    /// Those of `numbers` that are sent again now. What is not the viewer asks for once more.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        loss: Option<f64>,
        numbers: &[u16],
    ) -> Vec<u16> {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        (self.tokens, self.refilled) = ((self.tokens + elapsed * PER_SECOND).min(AT_ONCE), now);
        let interval = (rtt.unwrap_or_default() * 3 / 4).clamp(MIN_INTERVAL, MAX_INTERVAL);
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
            if loss.is_some_and(|loss| loss > LOSSY) && self.tokens >= 1.0 {
                self.tokens -= 1.0;
                self.copy(now + COPY, *number);
            }
        }
        granted
    }

    /// The packet with this number may be missing, too.
    pub(super) fn remind(&mut self, now: Instant, number: u16) {
        if self.copies.len() < MAX_COPIES {
            self.copies.push_front((now, number));
        }
    }

    fn copy(&mut self, at: Instant, number: u16) {
        if self.copies.len() < MAX_COPIES {
            self.copies.push_back((at, number));
        }
    }

    /// The next packet that is due once more, without having been asked for.
    pub(super) fn due(&mut self, now: Instant) -> Option<u16> {
        self.poll_timeout().filter(|at| *at <= now)?;
        self.copies.pop_front().map(|(_, number)| number)
    }

    /// When [`due`](Self::due) has something.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.copies.front().map(|(at, _)| *at)
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
        assert_eq!(repairs.grant(start, rtt, None, &[1, 2, 2, 1]), [1, 2]);
        assert!(repairs.grant(start + Duration::from_millis(40), rtt, None, &[1, 2]).is_empty());
        assert_eq!(repairs.grant(start + Duration::from_millis(70), rtt, None, &[2]), [2]);
    }

    #[test]
    fn a_flood_gets_no_more_than_the_budget() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        let numbers: Vec<u16> = (0..5_800).collect();
        let granted: usize = (0..1_000u32)
            .map(|round| {
                let now = start + round * Duration::from_millis(10);
                let copies = std::iter::from_fn(|| repairs.due(now)).count();
                copies + repairs.grant(now, None, Some(0.5), &numbers).len()
            })
            .sum();
        assert!(granted as f64 <= AT_ONCE + 10.0 * PER_SECOND, "{granted}");
        assert!(granted > 5_000, "{granted}");
    }

    #[test]
    fn who_loses_much_gets_each_twice() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        assert_eq!(repairs.grant(start, None, Some(0.01), &[1, 2]), [1, 2]);
        assert_eq!(repairs.poll_timeout(), None);
        assert_eq!(repairs.grant(start, None, Some(0.05), &[3, 4]), [3, 4]);
        assert_eq!((repairs.due(start), repairs.poll_timeout()), (None, Some(start + COPY)));
        let copies: Vec<_> = std::iter::from_fn(|| repairs.due(start + COPY)).collect();
        assert_eq!(copies, [3, 4]);
    }

    #[test]
    fn what_may_be_missing_goes_before_copies() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        repairs.grant(start, None, Some(0.05), &[3]);
        repairs.remind(start, 7);
        assert_eq!((repairs.due(start), repairs.due(start)), (Some(7), None));
    }
}
