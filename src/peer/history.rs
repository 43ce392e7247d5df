//! What was sent on one stream, for retransmission: not the packets but which unit they were cut from, so that all
//! viewers of a camera share one copy of the payloads.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::hub::Unit;

/// How many packets back a viewer may ask. At 3 Mbit/s these are 11 seconds, more than any browser waits; a GOP of 10 s
/// that was sent as a burst fits whole. Half of the sequence number space would be ambiguous (RFC 3550 A.1), this is far below.
const MAX_PACKETS: usize = 4_096;
/// For how many seconds: Chromium asks ten times at most, each a round trip or 100 ms after the last. A viewer that is sent
/// less than others would else hold on to units that are nobody's any more.
const MAX_AGE: u8 = 4;

/// One sent unit.
#[derive(Debug)]
struct Sent {
    first: u16,
    timestamp: u32,
    unit: Arc<Unit>,
    /// In whole seconds.
    age: u8,
}

/// A packet to send again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// Whether it is a keyframe's first.
    pub(super) opens: bool,
    /// Of a picture's last packet: when it was captured.
    pub(super) captured: Option<Instant>,
    pub(super) payload: Bytes,
}

/// The units behind the newest packets of one stream.
#[derive(Debug, Default)]
pub(super) struct History {
    sent: VecDeque<Sent>,
    packets: usize,
}

impl History {
    /// `unit` was sent under the sequence numbers from `first` on.
    pub(super) fn push(&mut self, first: u16, timestamp: u32, unit: Arc<Unit>) {
        self.packets += unit.payloads.len();
        self.sent.push_back(Sent { first, timestamp, unit, age: 0 });
        while self.packets > MAX_PACKETS {
            self.forget_oldest();
        }
    }

    /// A second has passed.
    pub(super) fn grow_older(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.age += 1);
        while self.sent.front().is_some_and(|oldest| oldest.age >= MAX_AGE) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.sent.pop_front() {
            self.packets -= oldest.unit.payloads.len();
        }
    }

    /// The packet that had this sequence number; `None` when it is too old or was never sent.
    pub(super) fn find(&self, sequence_number: u16) -> Option<Again> {
        // Lost packets are almost always among the newest.
        let sent = self.sent.iter().rev().find(|sent| sent.index(sequence_number).is_some())?;
        let index = sent.index(sequence_number)?;
        Some(Again {
            timestamp: sent.timestamp,
            marker: index + 1 == sent.unit.payloads.len(),
            opens: index == 0,
            captured: (index + 1 == sent.unit.payloads.len()).then_some(sent.unit.captured),
            payload: sent.unit.payloads[index].clone(),
        })
    }
}

impl Sent {
    fn index(&self, sequence_number: u16) -> Option<usize> {
        let index = usize::from(sequence_number.wrapping_sub(self.first));
        (index < self.unit.payloads.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;

    fn unit(packets: usize) -> Arc<Unit> {
        let payloads: Vec<_> = (0..packets).map(|i| Bytes::from(vec![i as u8; 3])).collect();
        Arc::new(Unit {
            number: 0,
            kind: Kind::Video,
            keyframe: true,
            ticks: 0,
            captured: Instant::now(),
            bytes: packets * 3,
            payloads,
        })
    }

    #[test]
    fn finds_packets_across_the_wrap() {
        let mut history = History::default();
        let first = unit(4);
        let captured = Some(first.captured);
        history.push(65_534, 100, first);
        history.push(2, 200, unit(1));
        let again = history.find(1).expect("the last of the first unit");
        assert_eq!(
            again,
            Again { timestamp: 100, marker: true, opens: false, captured, payload: Bytes::from(vec![3u8; 3]) }
        );
        assert_eq!(history.find(65_535).map(|again| again.marker), Some(false));
        assert_eq!(history.find(2).map(|again| again.timestamp), Some(200));
        assert_eq!(history.find(3), None);
        assert_eq!(history.find(65_533), None);
    }

    #[test]
    fn is_bounded() {
        let mut history = History::default();
        let unit = unit(100);
        for index in 0..1_000u16 {
            history.push(index.wrapping_mul(100), 0, unit.clone());
        }
        assert!(history.packets <= MAX_PACKETS);
        assert_eq!(history.sent.len(), MAX_PACKETS / 100);
    }

    #[test]
    fn nobody_asks_after_seconds() {
        let mut history = History::default();
        history.push(0, 0, unit(3));
        history.grow_older();
        history.push(3, 0, unit(2));
        (1..MAX_AGE).for_each(|_| history.grow_older());
        assert_eq!((history.packets, history.find(0), history.find(3).is_some()), (2, None, true));
        history.grow_older();
        assert_eq!((history.packets, history.sent.len()), (0, 0));
    }
}
