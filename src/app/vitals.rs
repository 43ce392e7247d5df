//! What is to be seen of the whole program at one moment: what must move, and what it is at in a line.

use std::time::Duration;

use crate::{
    http::Context,
    hub::{Camera, CameraState},
    peer::Phase,
    systemd::{Look, Sign},
};

/// For a thread that serves viewers: it goes round twice a second, and no round takes long.
const THREAD_PATIENCE: Duration = Duration::from_secs(10);
/// For a live camera: three times what its source waits for a picture before it gives the connection up. When that has not
/// happened by then, the source itself is stuck.
const CAMERA_PATIENCE: Duration = Duration::from_secs(30);
/// Names of cameras in the line.
const NAMED: usize = 5;

/// Looks at the threads, the cameras that are live, and the viewers.
pub(super) fn look(context: &Context) -> Look {
    let cameras = context.hub.cameras();
    let states: Vec<_> = cameras.iter().map(|camera| (camera.as_ref(), camera.status().state)).collect();
    let threads = context.peers.rounds().into_iter();
    let threads = threads.map(|(of, count)| Sign { of, count, patience: THREAD_PATIENCE });
    let viewers = context.peers.sessions().iter().filter(|session| session.phase() == Phase::Connected).count();
    Look { signs: threads.chain(signs(&states)).collect(), status: line(&states, viewers) }
}

/// Of the cameras that are live: one that is away, or that nobody watches, rests.
fn signs(cameras: &[(&Camera, CameraState)]) -> Vec<Sign> {
    let live = cameras.iter().filter(|(_, state)| *state == CameraState::Live);
    let sign = |(camera, _): &(&Camera, CameraState)| {
        // What cannot be used has arrived all the same.
        let counters = &camera.counters;
        let count = counters.units.total() + counters.unusable.total() + counters.unheard.total();
        Sign { of: format!("camera {}", camera.name()), count, patience: CAMERA_PATIENCE }
    };
    live.map(sign).collect()
}

fn line(cameras: &[(&Camera, CameraState)], viewers: usize) -> String {
    let live = cameras.iter().filter(|(_, state)| *state == CameraState::Live).count();
    let away = cameras.iter().filter(|(_, state)| matches!(state, CameraState::BackingOff { .. }));
    let mut away: Vec<_> = away.map(|(camera, _)| camera.name().as_str()).collect();
    let more = away.len().saturating_sub(NAMED);
    away.truncate(NAMED);
    let away = match (away.join(", "), more) {
        (names, _) if names.is_empty() => names,
        (names, 0) => format!(" (not available: {names})"),
        (names, more) => format!(" (not available: {names} and {more} more)"),
    };
    let (all, plural) = (cameras.len(), if viewers == 1 { "" } else { "s" });
    format!("{live} of {all} cameras live{away}, {viewers} viewer{plural}")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::*;
    use crate::{hub::GopLimits, media::Reason};

    fn camera(name: &str) -> Arc<Camera> {
        let limits = GopLimits { max_bytes: 0, max_age: Duration::ZERO };
        Camera::new(name.parse().expect("a name"), limits)
    }

    #[test]
    fn media_of_live_cameras_must_move() {
        let (live, idle) = (camera("front"), camera("back"));
        live.counters.units.add(3);
        live.counters.unusable.add(4);
        live.counters.unheard.add(5);
        let states = [(live.as_ref(), CameraState::Live), (idle.as_ref(), CameraState::Idle)];
        let sign = Sign { of: "camera front".to_owned(), count: 12, patience: CAMERA_PATIENCE };
        assert_eq!(signs(&states), [sign]);
    }

    #[test]
    fn the_line_tells_what_is_away() {
        let cameras: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].map(camera).into();
        let reason = Reason::new("camera-unreachable", "it is off");
        let away = || CameraState::BackingOff { reason: reason.clone(), retry_at: Instant::now() };
        let states = |state: &dyn Fn(usize) -> CameraState| -> Vec<_> {
            cameras.iter().enumerate().map(|(index, camera)| (camera.as_ref(), state(index))).collect()
        };
        assert_eq!(line(&[], 0), "0 of 0 cameras live, 0 viewers");
        let one = states(&|index| if index == 1 { away() } else { CameraState::Live });
        assert_eq!(line(&one[..3], 1), "2 of 3 cameras live (not available: b), 1 viewer");
        let most = states(&|index| if index == 0 { CameraState::Idle } else { away() });
        assert_eq!(line(&most, 2), "0 of 8 cameras live (not available: b, c, d, e, f and 2 more), 2 viewers");
    }
}
