//! How long a viewer is to wait for what it has asked for again, before it shows the picture that lacks it.
//!
//! A browser's jitter buffer leaves room for one round trip at most, when it knows it, and then takes a packet that has to
//! be asked for twice for a picture that stands still. So it is told to show pictures later while packets are lost
//! (header extension playout-delay, webrtc.org/experiments/rtp-hdrext/playout-delay), and at once as soon as none are.

use std::time::{Duration, Instant};

/// More of the packets lost than this is not an accident.
const LOSSY: f64 = 0.02;
/// Less than this is calm.
const CALM: f64 = 0.01;
/// For how long it must be calm before pictures are shown at once again. Every change is a picture shown too long or not at
/// all.
const FORGET: Duration = Duration::from_secs(10);
/// After how long Chromium asks again, as long as it does not know its round trip.
const BLIND: Duration = Duration::from_millis(100);
/// From a loss to its discovery by the next packet, which may be the next picture's, and what the browser takes to notice.
const DISCOVERY: Duration = Duration::from_millis(60);
/// So much every jitter buffer has by itself.
const LEAST: Duration = Duration::from_millis(120);
/// More is not a live picture any more. A viewer's report may claim any round trip.
const MOST: Duration = Duration::from_millis(500);
/// Steps in which it changes: round trips vary.
const STEP: Duration = Duration::from_millis(20);
/// One viewer's.
#[derive(Debug, Default)]
pub(in crate::peer) struct Room {
    delay: Duration,
    /// Whether the viewer has been told anything but to show pictures at once.
    told: bool,
    /// When packets were lost last.
    lossy: Option<Instant>,
    knows_round_trip: bool,
}

impl Room {
    /// The viewer measures its round trip, and asks again after that.
    pub(in crate::peer) fn on_reference(&mut self) {
        self.knows_round_trip = true;
    }

    /// The viewer reports this share of its packets as lost since its last report.
    pub(in crate::peer) fn on_report(&mut self, now: Instant, loss: f64, rtt: Option<Duration>) {
        if loss > LOSSY || loss > CALM && !self.delay.is_zero() {
            self.lossy = Some(now);
            let rtt = rtt.unwrap_or_default();
            let again = if self.knows_round_trip { rtt } else { BLIND.max(rtt) };
            let wanted = (rtt + again + DISCOVERY).min(MOST);
            if wanted >= LEAST && wanted > self.delay + STEP {
                (self.delay, self.told) = (wanted, true);
            }
        } else if self.lossy.is_some_and(|at| now.saturating_duration_since(at) > FORGET) {
            self.delay = Duration::ZERO;
        }
    }

    /// How much later than at once; `None` while nothing needs to be said.
    pub(in crate::peer) fn delay(&self) -> Option<Duration> {
        self.told.then_some(self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pictures_wait_while_packets_are_lost() {
        let start = Instant::now();
        let mut room = Room::default();
        room.on_report(start, 0.015, Some(80 * MS));
        assert_eq!(room.delay(), None);
        room.on_report(start, 0.05, Some(80 * MS));
        assert_eq!(room.delay(), Some(240 * MS));
        room.on_report(start + FORGET / 2, 0.0, Some(80 * MS));
        assert_eq!(room.delay(), Some(240 * MS));
        room.on_report(start + FORGET + STEP, 0.0, Some(80 * MS));
        assert_eq!(room.delay(), Some(Duration::ZERO), "at once, which has to be said");
    }

    #[test]
    fn a_viewer_that_knows_its_round_trip_asks_again_sooner() {
        let mut room = Room::default();
        room.on_reference();
        room.on_report(Instant::now(), 0.1, Some(10 * MS));
        assert_eq!(room.delay(), None, "a jitter buffer has that much");
        room.on_report(Instant::now(), 0.1, Some(80 * MS));
        assert_eq!(room.delay(), Some(220 * MS));
        room.on_report(Instant::now(), 0.1, Some(90 * MS));
        assert_eq!(room.delay(), Some(220 * MS), "not for so little");
        room.on_report(Instant::now(), 0.1, Some(Duration::from_secs(9)));
        assert_eq!(room.delay(), Some(MOST));
    }
}
