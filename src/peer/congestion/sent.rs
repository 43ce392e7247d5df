//! What is on its way to the viewer: when each packet left and how large it was, by transport-wide sequence number.

use std::collections::VecDeque;

/// Packets remembered: three seconds of 3 Mbit/s. Feedback comes every 50 to 250 ms (Chromium), so that what is older was
/// lost with its feedback. 8 kB at most, made as it is needed.
const MAX: usize = 1_024;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Microseconds since the session began; wraps after 71 minutes.
    at: u32,
    bytes: u16,
}

impl Packet {
    /// When it left, in microseconds since the session began; `now` on the same clock.
    pub(super) fn departure(&self, now: i64) -> i64 {
        now - i64::from((now as u32).wrapping_sub(self.at))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.into()
    }
}

/// Packets whose fate is not known.
#[derive(Debug, Default)]
pub(super) struct Sent {
    next: u16,
    packets: VecDeque<Packet>,
}

impl Sent {
    /// Numbers a packet that leaves now.
    pub(super) fn number(&mut self, now: i64, bytes: usize) -> u16 {
        if self.packets.len() == MAX {
            self.packets.pop_front();
        }
        self.packets.push_back(Packet { at: now as u32, bytes: u16::try_from(bytes).unwrap_or(u16::MAX) });
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// The packet of that number, once; those before it are forgotten with it, because viewers report in order.
    pub(super) fn take(&mut self, number: u16) -> Option<Packet> {
        let back = usize::from(self.next.wrapping_sub(number));
        let index = self.packets.len().checked_sub(back).filter(|_| back > 0)?;
        self.packets.drain(..=index).next_back()
    }

    /// In the order they left.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_found_once_across_both_wraps() {
        let start = i64::from(u32::MAX) - 2_000;
        let mut sent = Sent { next: 65_534, ..Sent::default() };
        let numbers: Vec<_> = (0..5).map(|index| sent.number(start + index * 1_000, 100 + index as usize)).collect();
        assert_eq!(numbers, [65_534, 65_535, 0, 1, 2]);
        let now = start + 9_000;
        let third = sent.take(0).expect("it was sent");
        assert_eq!((third.departure(now), third.bytes()), (start + 2_000, 102));
        assert_eq!(sent.take(0), None);
        assert_eq!(sent.take(65_535), None, "passed over");
        assert_eq!(sent.take(3), None, "never sent");
        assert_eq!(sent.in_flight().map(Packet::bytes).collect::<Vec<_>>(), [103, 104]);
    }

    #[test]
    fn is_bounded() {
        let mut sent = Sent::default();
        for at in 0..10_000 {
            sent.number(at, 1_200);
        }
        assert_eq!(sent.packets.len(), MAX);
        assert_eq!(sent.take(10_000 - 1 - MAX as u16), None);
        assert!(sent.take(10_000 - MAX as u16).is_some());
    }
}
