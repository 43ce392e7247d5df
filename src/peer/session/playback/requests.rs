//! What viewers ask for: packets that they missed, and keyframes.

use std::time::{Duration, Instant};

use rtc::crypto::CryptoError;

use super::{Entry, KEYFRAME_INTERVAL, Playback};
use crate::{
    hub::Camera,
    peer::{batch::Batch, congestion::Congestion, outbound::Wire},
    rtp,
};

/// Longest wait between two bursts; also the calm after which the next one is the first again.
const MAX_REPLAY: Duration = Duration::from_secs(16);
/// Between two keyframes that a viewer asks for whose path does not carry the stream.
const ASKED_FULL: Duration = Duration::from_secs(5);
/// A keyframe of the camera's own that comes this soon is waited for.
const SOON: Duration = Duration::from_secs(1);

impl Playback {
    /// Sends again what the viewer missed; what is no longer known it will not get.
    pub(in crate::peer::session) fn retransmit(
        &mut self,
        now: Instant,
        ssrc: u32,
        numbers: &[u16],
        out: &mut Batch,
    ) -> Result<(), CryptoError> {
        self.status.nacks.add(numbers.len() as u64);
        self.send_first_again(now);
        if !self.is_video(ssrc) || !self.is_started() {
            return Ok(());
        }
        // What is sent twice is of no help where there is no room for it once.
        let is_full = self.congestion.as_ref().is_some_and(Congestion::leaves_out);
        let loss = self.status.loss().filter(|_| !is_full);
        // What has no room now would be lost again; the viewer asks for it once more.
        let room = self.congestion.as_ref().map_or(usize::MAX, |path| path.allowance(now)) / rtp::MAX_PAYLOAD;
        let numbers = &numbers[..numbers.len().min(room)];
        let granted = self.repairs.grant(now, self.status.rtt(), loss, numbers);
        self.repeat(now, &granted, out)
    }

    /// Sends these packets once more, as far as they are known.
    pub(super) fn repeat(&mut self, now: Instant, numbers: &[u16], out: &mut Batch) -> Result<(), CryptoError> {
        let (Some(video), Some(protector)) = (&mut self.video, &mut self.protector) else { return Ok(()) };
        let mut wire = Wire { now, clocks: self.clocks, protector, congestion: self.congestion.as_mut(), out };
        for number in numbers {
            if video.again(*number, &mut wire)? {
                self.status.retransmissions.add(1);
            }
        }
        Ok(())
    }

    /// The viewer's decoder is lost: ask the source where it can make a keyframe, else play it the cached GOP, unless the
    /// next keyframe is near anyhow.
    pub(in crate::peer::session) fn on_keyframe_request(&mut self, now: Instant, camera: &Camera) {
        let since = self.last_keyframe.map(|last| now.saturating_duration_since(last));
        let recently = since.is_some_and(|since| since < self.replay_interval);
        if recently {
            self.send_first_again(now);
        } else {
            self.first = None;
        }
        // Nor is a path that carries too little helped by more: its next keyframe comes as soon as it carries it.
        let is_full = self.congestion.as_ref().is_some_and(Congestion::leaves_out);
        let busy = self.entry != Entry::Done || self.is_sending();
        // A camera that makes keyframes only when asked would show it nothing for ever. But each costs all the others.
        let asked = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASKED_FULL);
        if recently || busy || self.video.is_none() || (is_full && asked) {
            return;
        }
        self.asked = Some(now);
        if camera.request_keyframe() || is_full {
            return;
        }
        let join = camera.join();
        let age = join.gop.first().map(|first| now.saturating_duration_since(first.captured));
        let due = camera.snapshot(now).gop.zip(age).map(|(gop, age)| gop.saturating_sub(age));
        let soon = due.is_some_and(|due| due > Duration::ZERO && due < SOON);
        if !soon && !join.gop.is_empty() {
            let calm = since.is_none_or(|since| since > MAX_REPLAY);
            self.replay_interval = if calm { KEYFRAME_INTERVAL } else { (self.replay_interval * 2).min(MAX_REPLAY) };
            self.entry = Entry::WithNextPicture;
        }
    }
}
