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
    let path = session.path();
    if path.leaves_out {
        let sentence = "the viewer's network does not carry all that the camera sends, so that pictures are left out: use a stream \
                        of the camera with a lower bit rate, or a better network";
        return Some(Reason::new("network-too-slow", sentence));
    }
    if session.awaits_keyframe() {
        let soon =
            || Reason::new("waiting-for-keyframe", "the picture begins with the camera's next keyframe: wait for it");
        return Some(camera.keyframe_note(now).unwrap_or_else(soon));
    }
    None
}
