//! Which of the pictures that wait are not sent because the path turned out to be too narrow.

use std::time::Instant;

use rtc::{crypto::CryptoError, rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc};

use super::{Playback, Waiting};
use crate::peer::{batch::Batch, outbound::Departing};

impl Playback {
    /// Of the pictures that wait only the first `keep` will be sent, and `more` that do not wait neither.
    pub(super) fn leave_out(&mut self, keep: usize, more: usize) {
        self.status.skipped_units.add((self.waiting.len().saturating_sub(keep) + more) as u64);
        self.waiting.truncate(keep);
    }

    /// Bytes of pictures that wait.
    pub(super) fn backlog(&self) -> usize {
        let waiting = self.waiting.iter().map(|waiting| waiting.unit.bytes);
        waiting.chain(self.departing.iter().map(Departing::left)).sum()
    }

    /// What the viewer says of the packets that were sent to it. Pictures that the path turns out not to carry in time are
    /// left out, from the end, before they have begun to leave.
    pub(in crate::peer::session) fn on_arrivals(
        &mut self,
        now: Instant,
        arrivals: &TransportLayerCc,
        out: &mut Batch,
    ) -> Result<(), CryptoError> {
        let Some(congestion) = &mut self.congestion else { return Ok(()) };
        congestion.on_feedback(now, arrivals);
        let mut room = congestion.room(now).saturating_sub(self.departing.as_ref().map_or(0, Departing::left));
        let fits = |waiting: &&Waiting| {
            let fits = waiting.unit.keyframe || waiting.unit.bytes <= room;
            room = room.saturating_sub(waiting.unit.bytes);
            fits
        };
        let keep = self.waiting.iter().take_while(fits).count();
        let is_shorter = keep < self.waiting.len();
        if is_shorter {
            congestion.left_out(now);
        }
        self.status.set_path(congestion.state());
        if is_shorter {
            self.leave_out(keep, 0);
            self.awaiting_keyframe = true;
        }
        self.send_waiting(now, out)
    }
}
