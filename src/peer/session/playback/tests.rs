//! When what waits is looked at again, and when it begins again.

use super::*;
use crate::peer::{SessionId, Visitor};

/// A picture waits.
fn playback(now: Instant) -> Playback {
    let status = SessionStatus::new(SessionId::random(), "front".parse().expect("a name"), Visitor::here());
    let unit =
        Unit { number: 0, kind: Kind::Video, keyframe: true, ticks: 0, captured: now, payloads: Vec::new(), bytes: 0 };
    Playback {
        status: Arc::new(status),
        protector: None,
        video: None,
        audio: None,
        departing: None,
        waiting: [Waiting { unit: Arc::new(unit), timestamp: 0 }].into(),
        congested: false,
        pacer: Pacer::new(now),
        congestion: None,
        resume: now,
        entry: Entry::Done,
        next: 1,
        awaiting_keyframe: false,
        paused: [false; 2],
        last_keyframe: Some(now),
        asked: None,
        replay_interval: KEYFRAME_INTERVAL,
        repairs: Repairs::new(now),
        first: None,
        next_report: now + REPORT_INTERVAL,
        clocks: None,
    }
}

#[test]
fn a_full_way_is_not_looked_at_before_the_next_report() {
    let now = Instant::now();
    let mut playback = playback(now);
    assert_eq!(playback.poll_timeout(), Some(now));
    playback.set_congested(true);
    assert_eq!((playback.next_burst(), playback.poll_timeout()), (None, Some(now + REPORT_INTERVAL)));
    playback.set_congested(false);
    assert_eq!(playback.next_burst(), Some(now));
}

#[test]
fn a_beginning_is_not_put_off_by_another() {
    let now = Instant::now();
    let mut playback = playback(now);
    assert!(!playback.restart(now), "it has not begun");
    playback.protector = Some(crate::peer::srtp::tests::protector(crate::peer::engine::Protection::Gcm));
    assert!(playback.restart(now));
    assert!(!playback.restart(now + START_DELAY / 2));
    assert_eq!(playback.entry, Entry::At(now + START_DELAY));
}
