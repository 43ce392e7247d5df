//! What a viewer's RTCP makes a session do.

use std::time::{Instant, SystemTime};

use tracing::warn;

use super::Session;
use crate::peer::{
    batch::Batch,
    feedback::{Feedback, reference_seen, round_trip},
};

impl Session {
    pub(super) fn on_feedback(&mut self, feedback: Feedback, now: Instant, wall: SystemTime, out: &mut Batch) {
        self.heard = true;
        let Some(playback) = self.media.playback() else { return };
        match feedback {
            Feedback::Lost { ssrc, sequence_numbers } => {
                let played = playback.retransmit(now, ssrc, &sequence_numbers, out);
                self.check(played);
            }
            Feedback::KeyframeWanted => {
                self.status.plis.add(1);
                playback.on_keyframe_request(now, &self.camera);
            }
            Feedback::Reference { reporter, time } => {
                playback.on_reference();
                if let Some(ssrc) = playback.ssrc() {
                    self.stirred = true;
                    self.connection.send_rtcp(now, vec![Box::new(reference_seen(ssrc, reporter, time))]);
                }
            }
            Feedback::Arrivals(arrivals) => {
                let played = playback.on_arrivals(now, &arrivals, out);
                self.check(played);
                self.tell_leaving_out(now);
            }
            Feedback::Report { fraction_lost, last_sender_report, delay, ssrc, .. } => {
                if let Some(rtt) = round_trip(wall, last_sender_report, delay) {
                    self.status.set_rtt(rtt);
                }
                if playback.is_video(ssrc) {
                    self.status.set_loss(fraction_lost);
                    playback.on_loss(now, fraction_lost.into());
                }
            }
        }
    }

    /// Once in a session: a network at its limit goes to and fro.
    fn tell_leaving_out(&mut self, now: Instant) {
        let Some(reason) = self.status.path().reason(self.camera().snapshot(now).bitrate_bps) else { return };
        if !std::mem::replace(&mut self.told_too_slow, true) {
            let status = &self.status;
            warn!(camera = %status.camera, session = ?status.id, code = reason.code, %reason, "pictures are left out");
        }
    }
}
