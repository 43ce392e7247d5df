//! Why a session that is there shows no picture, or not all of it.

use std::time::Instant;

use crate::{
    hub::{Camera, CameraState},
    media::Reason,
    peer::{Phase, SessionStatus},
};

/// `None` when nothing is known that is in its way.
pub(super) fn why(session: &SessionStatus, camera: &Camera, now: Instant) -> Option<Reason> {
    match session.phase() {
        Phase::New => {
            let sentence = "nothing has come from the viewer yet: if it stays so, the session's end tells why";
            return Some(Reason::new("not-connected-yet", sentence));
        }
        Phase::Connecting => {
            let sentence =
                "the viewer's packets arrive, and it is not connected yet: if it stays so, the session's end tells why";
            return Some(Reason::new("not-connected-yet", sentence));
        }
        Phase::Connected | Phase::Closed => {}
    }
    let status = camera.status();
    if status.state != CameraState::Live {
        return status.reason;
    }
    if let Some(reason) = session.path().reason(camera.snapshot(now).bitrate_bps) {
        return Some(reason);
    }
    if session.awaits_keyframe() {
        let soon =
            || Reason::new("waiting-for-keyframe", "the picture begins with the camera's next keyframe: wait for it");
        return Some(camera.keyframe_note(now).unwrap_or_else(soon));
    }
    None
}
