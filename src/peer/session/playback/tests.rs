//! When what waits is looked at again.

use super::*;
use crate::peer::SessionId;

#[test]
fn a_full_way_is_not_looked_at_before_the_next_report() {
    let now = Instant::now();
    let status = SessionStatus::new(SessionId::random(), "front".parse().expect("a name"));
    let unit =
        Unit { number: 0, kind: Kind::Video, keyframe: true, ticks: 0, captured: now, payloads: Vec::new(), bytes: 0 };
    let mut playback = Playback {
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
        last_keyframe: Some(now),
        replay_interval: KEYFRAME_INTERVAL,
        repairs: Repairs::new(now),
        first: None,
        next_report: now + REPORT_INTERVAL,
        clocks: None,
    };
    assert_eq!(playback.poll_timeout(), Some(now));
    playback.set_congested(true);
    assert_eq!((playback.next_burst(), playback.poll_timeout()), (None, Some(now + REPORT_INTERVAL)));
    playback.set_congested(false);
    assert_eq!(playback.next_burst(), Some(now));
}
