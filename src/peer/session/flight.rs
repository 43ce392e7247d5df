//! Gets the DTLS handshake through a network that loses packets.
//!
//! The handshaker of `rtc` 0.21 repeats a flight after 1 s, and no more once the viewer has repeated its own: any datagram with
//! a handshake record stops its timer (rtc-dtls, `handshaker.rs`, `wait`), so that a viewer whose ServerHello was lost asks for
//! it in vain until it gives up. So our last flight is kept here and sent again as it was: once by itself, since a viewer that
//! loses it notices only by a timer, and whenever the viewer repeats a datagram and gets no other answer to it. What has
//! arrived already the viewer drops as a replay (RFC 6347 section 4.1.2.6).

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::peer::dtls::Position;

/// From a flight to its copy: before the media that follows the last one, which cannot be read without it.
const ECHO: Duration = Duration::from_millis(5);
/// How often flights may be sent again in all: a viewer's repetitions are not authentic, and are answered with more than they
/// have. Chromium gives up sooner.
const MAX_COPIES: u32 = 24;
/// Datagrams of one flight. Ours has two.
const MAX_FLIGHT: usize = 8;

/// Our last flight of a handshake.
#[derive(Debug, Default)]
pub(super) struct LastFlight {
    datagrams: Vec<BytesMut>,
    /// Whether the viewer has sent something since, so that what we send next is another flight.
    answered: bool,
    /// How far the viewer's handshake has come.
    newest: Option<Position>,
    /// When the flight is sent again.
    again: Option<Instant>,
    copies: u32,
    /// What is being sent again.
    due: Vec<(Instant, BytesMut)>,
}

impl LastFlight {
    /// A datagram came from the viewer; whether it shows that our last flight was lost.
    pub(super) fn on_datagram(&mut self, datagram: &[u8], now: Instant) -> bool {
        self.answered = true;
        let Some(position) = Position::of(datagram) else { return false };
        let repeated = self.newest.is_some_and(|newest| position <= newest);
        if !repeated {
            self.newest = Some(position);
            return false;
        }
        if self.datagrams.is_empty() {
            return false;
        }
        self.again = Some(now);
        true
    }

    /// A datagram goes to the viewer.
    pub(super) fn on_transmit(&mut self, datagram: &BytesMut, now: Instant) {
        if std::mem::take(&mut self.answered) {
            self.datagrams.clear();
        } else if self.again.is_none() {
            // A repetition of `rtc`'s own.
            return;
        }
        if self.datagrams.len() < MAX_FLIGHT {
            self.datagrams.push(datagram.clone());
        }
        self.again = Some(now + ECHO);
    }

    /// Something that [`poll_timeout`](Self::poll_timeout) named is due.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.again.is_some_and(|again| now >= again) {
            self.again = None;
            if self.copies < MAX_COPIES {
                self.copies += 1;
                self.due = self.datagrams.iter().rev().map(|datagram| (now, datagram.clone())).collect();
            }
        }
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again
    }

    /// The next datagram to send again, and since when.
    pub(super) fn poll_transmit(&mut self) -> Option<(Instant, BytesMut)> {
        self.due.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram with one fragment of a handshake message.
    fn datagram(message: u8) -> BytesMut {
        let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13];
        bytes.extend([11, 0, 0, 1, 0, message, 0, 0, 0, 0, 0, 1, 7]);
        BytesMut::from(&bytes[..])
    }

    fn sent_again(last: &mut LastFlight, now: Instant) -> Vec<BytesMut> {
        last.on_timeout(now);
        std::iter::from_fn(|| last.poll_transmit()).map(|(_, datagram)| datagram).collect()
    }

    #[test]
    fn a_flight_is_sent_twice_and_then_whenever_the_viewer_asks_again() {
        let now = Instant::now();
        let mut last = LastFlight::default();
        assert!(!last.on_datagram(&datagram(0), now));
        let flight = vec![datagram(5), datagram(6)];
        flight.iter().for_each(|datagram| last.on_transmit(datagram, now));
        assert_eq!(sent_again(&mut last, now), Vec::<BytesMut>::new());
        assert_eq!(sent_again(&mut last, now + ECHO), flight);
        assert_eq!(last.poll_timeout(), None);
        assert!(last.on_datagram(&datagram(0), now + 2 * ECHO));
        assert_eq!(sent_again(&mut last, now + 2 * ECHO), flight);
    }

    #[test]
    fn another_flight_takes_the_place_of_the_last() {
        let now = Instant::now();
        let mut last = LastFlight::default();
        last.on_datagram(&datagram(0), now);
        last.on_transmit(&datagram(5), now);
        assert!(!last.on_datagram(&datagram(1), now));
        last.on_transmit(&datagram(6), now);
        assert_eq!(sent_again(&mut last, now + ECHO), [datagram(6)]);
        // What `rtc` repeats by itself is no new flight.
        last.on_transmit(&datagram(7), now);
        assert_eq!(last.poll_timeout(), None);
    }

    #[test]
    fn a_viewer_that_asks_for_ever_is_not_answered_for_ever() {
        let now = Instant::now();
        let mut last = LastFlight::default();
        last.on_datagram(&datagram(0), now);
        last.on_transmit(&datagram(5), now);
        let copies: usize = (0..1_000)
            .map(|_| {
                last.on_datagram(&datagram(0), now);
                sent_again(&mut last, now + ECHO).len()
            })
            .sum();
        assert_eq!(copies, MAX_COPIES as usize);
    }
}
