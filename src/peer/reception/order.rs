//! Puts the packets of one stream back into order, asks for those that are missing, and gives them up after a while. Pure:
//! time is an argument.
//!
//! In: sequence numbers and what belongs to them, as they arrive, retransmissions among them. Out: the same in order, each
//! with the number that is missing before it, and the numbers to ask for. Bounded in packets, bytes and time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// From the moment that a packet is missed to the first request for it: what only overtook another is not asked for.
const REORDERING: Duration = Duration::from_millis(10);
/// From a request to the next for the same packet: half as much again each time. More than the round trip in one country.
const RETRY: Duration = Duration::from_millis(60);
/// So often a packet is asked for: what fits into [`PATIENCE`].
const MAX_REQUESTS: u32 = 6;
/// So long a picture waits for a packet that is asked for. Viewers wait as much longer, once; beyond, a keyframe is the better
/// repair.
const PATIENCE: Duration = Duration::from_millis(500);
/// So long the others wait where nothing is sent again. Only what was overtaken comes later.
const SHORT_PATIENCE: Duration = Duration::from_millis(60);
/// Packets that may wait behind a missing one: half a second of 30 Mbit/s. When there are more, it is given up.
const MAX_WAITING: usize = 2_048;
/// The same in bytes.
const MAX_BYTES: usize = 4 << 20;
/// A larger gap is no loss but another beginning: nothing is asked for.
const MAX_GAP: u64 = 1_024;
/// Where numbers begin, so that what was sent before the first packet that came has one, too.
const BASE: u64 = 1 << 16;

/// A packet without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) received: Instant,
    pub(super) payload: Bytes,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    again: Instant,
    requests: u32,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Order {
    /// Whether what is asked for is sent again.
    repairs: bool,
    /// The next to be handed out.
    next: Option<u64>,
    highest: u64,
    waiting: BTreeMap<u64, Arrived>,
    bytes: usize,
    missing: BTreeMap<u64, Missing>,
    /// Given up since the last that was handed out.
    lost: u32,
}

impl Order {
    pub(super) fn new(repairs: bool) -> Self {
        Self {
            repairs,
            next: None,
            highest: BASE,
            waiting: BTreeMap::new(),
            bytes: 0,
            missing: BTreeMap::new(),
            lost: 0,
        }
    }

    /// Takes packet `number`. Returns whether it was missed.
    pub(super) fn push(&mut self, number: u16, packet: Arrived, now: Instant) -> bool {
        let Some(next) = self.next else {
            (self.next, self.highest) = (Some(BASE + u64::from(number)), BASE + u64::from(number));
            self.insert(self.highest, packet);
            return false;
        };
        let ahead = number.wrapping_sub(self.highest as u16).cast_signed();
        let number = self.highest.saturating_add_signed(ahead.into());
        if number < next || self.waiting.contains_key(&number) {
            return false;
        }
        if number <= self.highest {
            let missed = self.missing.remove(&number).is_some();
            self.insert(number, packet);
            return missed;
        }
        if number - self.highest > MAX_GAP {
            self.begin_again(number);
        } else {
            let (since, again) = (now, now + REORDERING);
            let missing = (self.highest + 1..number).map(|number| (number, Missing { since, again, requests: 0 }));
            self.missing.extend(missing);
        }
        self.highest = number;
        self.insert(number, packet);
        false
    }

    fn insert(&mut self, number: u64, packet: Arrived) {
        self.bytes += packet.payload.len();
        self.waiting.insert(number, packet);
    }

    /// Nothing of before is waited for any more.
    fn begin_again(&mut self, number: u64) {
        self.lost = self.lost.saturating_add(1);
        (self.waiting, self.missing) = Default::default();
        (self.next, self.bytes) = (Some(number), 0);
    }

    /// The next packet in order, and how many are missing before it.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(u32, Arrived)> {
        let next = self.next?;
        let (&first, _) = self.waiting.first_key_value()?;
        if first > next && !self.gives_up(now) {
            return None;
        }
        let packet = self.waiting.remove(&first)?;
        self.bytes -= packet.payload.len();
        self.lost = self.lost.saturating_add(u32::try_from(first - next).unwrap_or(u32::MAX));
        self.missing = self.missing.split_off(&first);
        self.next = Some(first + 1);
        Some((std::mem::take(&mut self.lost), packet))
    }

    fn gives_up(&self, now: Instant) -> bool {
        let is_full = self.waiting.len() > MAX_WAITING || self.bytes > MAX_BYTES;
        is_full || self.given_up_at().is_some_and(|due| due <= now)
    }

    fn given_up_at(&self) -> Option<Instant> {
        let patience = if self.repairs { PATIENCE } else { SHORT_PATIENCE };
        self.missing.first_key_value().map(|(_, missing)| missing.since + patience)
    }

    /// The numbers that are to be asked for now.
    pub(super) fn requests(&mut self, now: Instant) -> Vec<u16> {
        if !self.repairs {
            return Vec::new();
        }
        let due =
            self.missing.iter_mut().filter(|(_, missing)| missing.again <= now && missing.requests < MAX_REQUESTS);
        due.map(|(number, missing)| {
            missing.again = now + RETRY.mul_f64(1.5_f64.powi(missing.requests.cast_signed()));
            missing.requests += 1;
            *number as u16
        })
        .collect()
    }

    /// When [`requests`](Self::requests) or [`pop`](Self::pop) has something that it has not now.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asks = |missing: &&Missing| self.repairs && missing.requests < MAX_REQUESTS;
        let request = self.missing.values().filter(asks).map(|missing| missing.again).min();
        request.into_iter().chain(self.given_up_at()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line {
        order: Order,
        start: Instant,
    }

    impl Line {
        fn new(repairs: bool) -> Self {
            Self { order: Order::new(repairs), start: Instant::now() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn push(&mut self, number: u16, milliseconds: u64) -> bool {
            let (timestamp, payload) = (number.into(), vec![0; 1_000].into());
            let packet = Arrived { timestamp, marker: false, received: self.start, payload };
            self.order.push(number, packet, self.at(milliseconds))
        }

        fn requests_within(&mut self, milliseconds: u64) -> usize {
            let mut all = 0;
            for time in 0..milliseconds {
                all += self.order.requests(self.start + Duration::from_millis(time)).len();
            }
            all
        }

        /// What is handed out by then: numbers, and what is missing before each.
        fn pop(&mut self, milliseconds: u64) -> Vec<(u32, u32)> {
            let now = self.at(milliseconds);
            std::iter::from_fn(|| self.order.pop(now)).map(|(lost, packet)| (packet.timestamp, lost)).collect()
        }
    }

    #[test]
    fn packets_that_overtake_each_other_are_put_back_across_the_wrap() {
        let mut line = Line::new(true);
        for number in [65_534, 65_535, 1, 0, 1, 2] {
            line.push(number, 0);
        }
        assert_eq!(line.pop(0), [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]);
        assert!(!line.push(0, 1), "again");
        assert_eq!(line.pop(1), []);
        assert_eq!(line.order.poll_timeout(), None);
    }

    #[test]
    fn what_is_missing_is_asked_for_and_waited_for() {
        let mut line = Line::new(true);
        line.push(10, 0);
        line.push(13, 0);
        assert_eq!(line.pop(0), [(10, 0)]);
        let (now, soon) = (line.at(0), line.at(10));
        assert_eq!(line.order.requests(now), [0; 0]);
        assert_eq!(line.order.poll_timeout(), Some(soon));
        assert_eq!(line.order.requests(soon), [11, 12]);
        assert_eq!(line.order.requests(soon), [0; 0]);
        assert!(line.push(12, 50), "sent again");
        assert_eq!(line.pop(50), []);
        let later = line.at(70);
        assert_eq!(line.order.requests(later), [11]);
        assert!(line.push(11, 100));
        assert_eq!(line.pop(100), [(11, 0), (12, 0), (13, 0)]);
    }

    #[test]
    fn what_does_not_come_is_given_up() {
        let mut line = Line::new(true);
        for number in [1, 3, 4, 6] {
            line.push(number, 0);
        }
        assert_eq!(line.pop(499), [(1, 0)]);
        assert_eq!(line.pop(500), [(3, 1), (4, 0), (6, 1)]);
        assert_eq!(line.requests_within(1_000), 0, "nothing is missing any more");
        let mut line = Line::new(true);
        line.push(1, 0);
        line.push(3, 0);
        assert_eq!(line.requests_within(10_000), MAX_REQUESTS as usize);
    }

    #[test]
    fn where_nothing_is_sent_again_nothing_waits_for_long() {
        let mut line = Line::new(false);
        line.push(1, 0);
        line.push(3, 0);
        let later = line.at(59);
        assert_eq!((line.pop(59), line.order.requests(later)), (vec![(1, 0)], vec![]));
        assert_eq!(line.pop(60), [(3, 1)]);
    }

    #[test]
    fn a_flood_behind_a_gap_is_bounded() {
        let mut line = Line::new(true);
        line.push(0, 0);
        let mut out = line.pop(0).len();
        for number in 2..20_000 {
            line.push(number, 1);
            out += line.pop(1).len();
            assert!(line.order.waiting.len() <= MAX_WAITING + 1 && line.order.missing.len() <= MAX_GAP as usize);
        }
        assert!(out > 19_000, "{out}");
    }

    #[test]
    fn another_beginning_is_no_gap() {
        let mut line = Line::new(true);
        line.push(1, 0);
        line.push(20_000, 0);
        assert_eq!(line.pop(0).len(), 1, "of the second beginning");
        assert!(line.order.missing.is_empty());
    }
}
