//! What follows from a viewer's loss, besides what it asks for.

use std::time::Instant;

use super::Playback;

impl Playback {
    /// The viewer measures its round trip.
    pub(in crate::peer::session) fn on_reference(&mut self) {
        self.repairs.room.on_reference();
    }

    /// The viewer reports this share of its pictures' packets as lost.
    pub(in crate::peer::session) fn on_loss(&mut self, now: Instant, loss: f64) {
        self.repairs.room.on_report(now, loss, self.status.rtt());
        if let (Some(video), Some(delay)) = (&mut self.video, self.repairs.room.delay()) {
            video.set_least_delay(delay);
        }
    }

    /// A viewer asks for what it missed between two packets, so never for the first: it goes with the first that is missed.
    pub(super) fn send_first_again(&mut self, now: Instant) {
        if let Some(first) = self.first.take() {
            self.repairs.remind(now, first);
        }
    }
}
