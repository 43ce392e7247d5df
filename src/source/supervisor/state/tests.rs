use super::*;

const NONE: Failures = Failures { credentials: 0, others: 0, back: None };
const ONE: Failures = Failures { others: 1, ..NONE };
const LINGER: Duration = Duration::from_secs(10);
const ON_DEMAND: Rules = Rules { start: Start::OnDemand, linger: LINGER };
const ALWAYS: Rules = Rules { start: Start::Always, linger: LINGER };

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failed(kind: FailureKind) -> Event {
    Event::Failed { kind, chance: 0.0 }
}

/// Plays events, each with its second, and returns where it ended and the last action.
fn play(rules: &Rules, zero: Instant, events: &[(u64, Event)]) -> (State, Action) {
    let mut at = State::new(rules, false);
    for (second, event) in events {
        at = at.0.on(*event, zero + s(*second), rules);
    }
    at
}

use Event::{Deadline, FirstMedia, Stop, Unwatched, Watched};
use FailureKind::{Absent, Credentials, Passing, Setting};

const HEARD: Event = Event::Heard { chance: 0.0 };

#[test]
fn on_demand_waits_for_the_first_viewer_and_always_does_not() {
    assert_eq!(State::new(&ON_DEMAND, false), (State::Idle { failures: NONE }, Action::None));
    let connecting = (State::Connecting { failures: NONE, leave_at: None }, Action::Connect);
    assert_eq!(State::new(&ON_DEMAND, true), connecting);
    assert_eq!(State::new(&ALWAYS, false), connecting);
    assert_eq!(play(&ON_DEMAND, Instant::now(), &[(0, Watched)]), connecting);
}

#[test]
fn first_media_makes_it_live() {
    let zero = Instant::now();
    let live = State::Live { since: zero + s(1), failures: NONE, leave_at: None };
    assert_eq!(play(&ON_DEMAND, zero, &[(0, Watched), (1, FirstMedia)]), (live, Action::None));
    assert_eq!(live.on(FirstMedia, zero + s(2), &ON_DEMAND), (live, Action::None));
}

#[test]
fn the_last_viewer_is_outlived_by_the_linger_time() {
    let zero = Instant::now();
    let watched = [(0, Watched), (1, FirstMedia), (20, Unwatched)];
    let (state, _) = play(&ON_DEMAND, zero, &watched);
    assert_eq!(state.deadline(), Some(zero + s(30)));
    assert_eq!(state.on(Deadline, zero + s(29), &ON_DEMAND), (state, Action::None));
    let idle = State::Idle { failures: NONE };
    assert_eq!(state.on(Deadline, zero + s(30), &ON_DEMAND), (idle, Action::Disconnect));
}

#[test]
fn a_viewer_who_comes_back_cancels_leaving() {
    let zero = Instant::now();
    let (state, action) = play(&ON_DEMAND, zero, &[(0, Watched), (1, FirstMedia), (20, Unwatched), (25, Watched)]);
    assert_eq!((state.deadline(), action), (None, Action::None));
}

#[test]
fn a_camera_that_nobody_waits_for_is_given_up_while_connecting() {
    let zero = Instant::now();
    let (state, action) = play(&ON_DEMAND, zero, &[(0, Watched), (1, Unwatched), (11, Deadline)]);
    assert_eq!((state, action), (State::Idle { failures: NONE }, Action::Disconnect));
    let (state, _) = play(&ON_DEMAND, zero, &[(0, Watched), (1, Unwatched), (2, Watched)]);
    assert_eq!(state, State::Connecting { failures: NONE, leave_at: None });
}

#[test]
fn always_never_leaves() {
    let zero = Instant::now();
    let (state, _) = play(&ALWAYS, zero, &[(1, FirstMedia), (2, Watched), (3, Unwatched)]);
    assert_eq!(state.deadline(), None);
    let (state, action) = play(&ALWAYS, zero, &[(0, failed(Passing)), (1, Deadline)]);
    assert_eq!((state, action), (State::Connecting { failures: ONE, leave_at: None }, Action::Connect));
}

#[test]
fn failures_in_a_row_wait_longer_each_time() {
    let zero = Instant::now();
    let (state, action) = play(&ALWAYS, zero, &[(0, failed(Passing))]);
    assert_eq!((state.deadline(), action), (Some(zero + s(1)), Action::None));
    let (state, _) = play(&ALWAYS, zero, &[(0, failed(Passing)), (1, Deadline), (2, failed(Setting))]);
    assert_eq!(state.deadline(), Some(zero + s(4)));
    let early = state.on(Deadline, zero + s(3), &ALWAYS);
    assert_eq!(early, (state, Action::None));
}

#[test]
fn only_a_stable_stream_resets_the_waits() {
    let zero = Instant::now();
    let again = [(0, failed(Passing)), (1, Deadline), (2, failed(Passing)), (4, Deadline), (5, FirstMedia)];
    let short = [&again[..], &[(7, failed(Passing))]].concat();
    assert_eq!(play(&ALWAYS, zero, &short).0.deadline(), Some(zero + s(11)));
    let failures = |at| match play(&ALWAYS, zero, &[&again[..], &[(at, failed(Passing))]].concat()).0 {
        State::BackingOff { failures, .. } => failures.others,
        other => panic!("{other:?}"),
    };
    assert_eq!((failures(14), failures(15)), (2, 0));
}

#[test]
fn a_connection_that_was_live_is_made_again_at_once() {
    let zero = Instant::now();
    let dropped = [(0, FirstMedia), (3, failed(Passing))];
    let (state, _) = play(&ALWAYS, zero, &dropped);
    assert_eq!(state.deadline(), Some(zero + s(3)));
    assert_eq!(state.on(Deadline, zero + s(3), &ALWAYS).1, Action::Connect);
    let (state, _) = play(&ALWAYS, zero, &[(0, FirstMedia), (2, failed(Passing))]);
    assert_eq!(state.deadline(), Some(zero + s(3)), "but not a camera that drops every connection");
    let (state, _) = play(&ALWAYS, zero, &[(0, FirstMedia), (60, failed(Credentials))]);
    assert_eq!(state.deadline(), Some(zero + s(120)), "and never one that refuses the password");
}

#[test]
fn where_nobody_is_it_knocks_instead_of_trying() {
    let zero = Instant::now();
    let (state, _) = play(&ALWAYS, zero, &[(0, failed(Absent))]);
    assert_eq!((state.deadline(), state.knock_every(true)), (None, Some(KNOCK_WATCHED)));
    assert_eq!(state.knock_every(false), Some(KNOCK_UNWATCHED), "and less often when nobody watches");
    for event in [Deadline, FirstMedia, failed(Passing), Watched, Unwatched] {
        assert_eq!(state.on(event, zero + s(3_600), &ALWAYS), (state, Action::None));
    }
    assert_eq!(state.on(HEARD, zero + s(3_600), &ALWAYS).1, Action::Connect);
    for (other, _) in [State::new(&ALWAYS, false), play(&ALWAYS, zero, &[(0, failed(Passing))])] {
        assert_eq!((other.knock_every(true), other.on(HEARD, zero, &ALWAYS)), (None, (other, Action::None)));
    }
}

#[test]
fn an_absent_camera_that_nobody_waits_for_is_given_up() {
    let zero = Instant::now();
    let (state, _) = play(&ON_DEMAND, zero, &[(0, Watched), (1, failed(Absent)), (5, Unwatched)]);
    assert_eq!(state.deadline(), Some(zero + s(15)));
    assert_eq!(state.on(Deadline, zero + s(15), &ON_DEMAND), (State::Idle { failures: NONE }, Action::None));
    assert_eq!(state.on(Watched, zero + s(9), &ON_DEMAND).0.deadline(), None);
}

#[test]
fn a_camera_that_is_booting_is_tried_often_for_a_minute() {
    let zero = Instant::now();
    let returned = [(0, failed(Absent)), (100, HEARD)];
    for (at, next) in [(100, 100.5), (110, 111.0), (140, 144.0), (159, 164.0)] {
        let (state, _) = play(&ALWAYS, zero, &[&returned[..], &[(at, failed(Setting))]].concat());
        let next = zero + Duration::from_secs_f64(next);
        let off = state.deadline().map(|due| due.max(next) - due.min(next));
        assert!(off.is_some_and(|off| off < s(1)), "{at}: {state:?}");
    }
    let (state, _) = play(&ALWAYS, zero, &[&returned[..], &[(160, failed(Setting))]].concat());
    assert_eq!(state.deadline(), Some(zero + s(161)), "then as any other");
    let (state, _) = play(&ALWAYS, zero, &[&returned[..], &[(101, failed(Credentials))]].concat());
    assert_eq!(state.deadline(), Some(zero + s(161)), "one that refuses the password is not");
    let dropped = [(0, FirstMedia), (60, failed(Passing)), (60, Deadline), (60, failed(Setting))];
    let soon = play(&ALWAYS, zero, &dropped).0.deadline();
    assert_eq!(soon, Some(zero + s(60) + Duration::from_millis(500)), "one that never was away is");
}

#[test]
fn a_camera_that_flickers_is_not_hammered() {
    let zero = Instant::now();
    let (mut state, _) = play(&ALWAYS, zero, &[(0, failed(Absent))]);
    let mut tries = Vec::new();
    for second in 10..600 {
        let now = zero + s(second);
        let mut action;
        (state, action) = state.on(HEARD, now, &ALWAYS);
        if action == Action::None {
            (state, action) = state.on(Deadline, now, &ALWAYS);
        }
        if action == Action::Connect {
            tries.push(second);
            (state, _) = state.on(failed(Absent), now, &ALWAYS);
        }
    }
    let later = tries.iter().filter(|second| **second >= 100).count();
    assert!(tries.len() - later >= 50 && later < 25, "{tries:?}");
}

#[test]
fn refused_credentials_wait_long_whoever_comes() {
    let zero = Instant::now();
    let refused = [(0, Watched), (1, failed(Credentials))];
    let (state, _) = play(&ON_DEMAND, zero, &refused);
    assert_eq!(state.deadline(), Some(zero + s(61)));
    let (state, action) = play(&ON_DEMAND, zero, &[&refused[..], &[(5, Unwatched), (30, Watched)]].concat());
    assert_eq!((state.deadline(), action), (Some(zero + s(61)), Action::None));
    assert_eq!(state.on(Deadline, zero + s(61), &ON_DEMAND).1, Action::Connect);
}

#[test]
fn each_kind_of_failure_counts_for_itself() {
    let zero = Instant::now();
    let mixed = [(0, failed(Passing)), (1, Deadline), (1, failed(Passing)), (3, Deadline), (3, failed(Credentials))];
    let (state, _) = play(&ALWAYS, zero, &mixed);
    assert_eq!(state.deadline(), Some(zero + s(63)));
    let (state, _) = play(&ALWAYS, zero, &[&mixed[..], &[(63, Deadline), (63, failed(Passing))]].concat());
    assert_eq!(state.deadline(), Some(zero + s(67)));
}

#[test]
fn refused_credentials_are_remembered_after_everybody_left() {
    let zero = Instant::now();
    let left = [(0, Watched), (1, failed(Credentials)), (5, Unwatched)];
    let (state, _) = play(&ON_DEMAND, zero, &left);
    assert_eq!(state.on(Deadline, zero + s(15), &ON_DEMAND), (state, Action::None));
    assert_eq!(state.on(Watched, zero + s(20), &ON_DEMAND).1, Action::None);
    let later = state.on(Deadline, zero + s(61), &ON_DEMAND);
    assert_eq!(later, (State::Idle { failures: Failures { credentials: 1, ..NONE } }, Action::None));
    let (state, _) =
        play(&ON_DEMAND, zero, &[&left[..], &[(61, Deadline), (70, Watched), (70, failed(Credentials))]].concat());
    assert_eq!(state.deadline(), Some(zero + s(70 + 120)));
}

#[test]
fn a_viewer_shortens_an_ordinary_wait() {
    let zero = Instant::now();
    let mut waiting = vec![(0, Watched), (0, failed(Passing))];
    for second in [1, 3, 7, 15] {
        waiting.extend([(second, Deadline), (second, failed(Passing))]);
    }
    waiting.push((15, Unwatched));
    let (state, _) = play(&ON_DEMAND, zero, &waiting);
    assert_eq!(state.deadline(), Some(zero + s(31)));
    let soon = state.on(Watched, zero + s(16), &ON_DEMAND);
    assert_eq!((soon.0.deadline(), soon.1), (Some(zero + s(17)), Action::None));
    let (state, action) = state.on(Watched, zero + s(17), &ON_DEMAND);
    assert_eq!(
        (state, action),
        (State::Connecting { failures: Failures { others: 5, ..NONE }, leave_at: None }, Action::Connect)
    );
}

#[test]
fn stop_is_final_and_disconnects_what_is_connected() {
    let zero = Instant::now();
    for (events, action) in [
        (&[][..], Action::None),
        (&[(0, Watched)], Action::Disconnect),
        (&[(0, Watched), (1, FirstMedia)], Action::Disconnect),
        (&[(0, Watched), (1, failed(Passing))], Action::None),
        (&[(0, Watched), (1, failed(Absent))], Action::None),
    ] {
        let (state, _) = play(&ON_DEMAND, zero, events);
        assert_eq!(state.on(Stop, zero + s(5), &ON_DEMAND), (State::Stopped, action));
    }
    for event in [Watched, Unwatched, FirstMedia, failed(Passing), HEARD, Deadline, Stop] {
        assert_eq!(State::Stopped.on(event, zero, &ON_DEMAND), (State::Stopped, Action::None));
    }
}

#[test]
fn what_means_nothing_changes_nothing() {
    let zero = Instant::now();
    let idle = State::Idle { failures: ONE };
    for event in [Unwatched, FirstMedia, failed(Passing), Deadline] {
        assert_eq!(idle.on(event, zero, &ON_DEMAND), (idle, Action::None));
    }
    let (waiting, _) = play(&ALWAYS, zero, &[(0, failed(Passing))]);
    for event in [FirstMedia, failed(Credentials)] {
        assert_eq!(waiting.on(event, zero, &ALWAYS), (waiting, Action::None));
    }
}
