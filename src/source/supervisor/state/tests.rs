use super::*;

const NONE: Failures = Failures { credentials: 0, others: 0 };
const ONE: Failures = Failures { credentials: 0, others: 1 };
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
use FailureKind::{Credentials, Passing, Setting};

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
    let short = [&again[..], &[(14, failed(Passing))]].concat();
    assert_eq!(play(&ALWAYS, zero, &short).0.deadline(), Some(zero + s(18)));
    let stable = [&again[..], &[(15, failed(Passing))]].concat();
    assert_eq!(play(&ALWAYS, zero, &stable).0.deadline(), Some(zero + s(16)));
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
    assert_eq!(later, (State::Idle { failures: Failures { credentials: 1, others: 0 } }, Action::None));
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
        (State::Connecting { failures: Failures { credentials: 0, others: 5 }, leave_at: None }, Action::Connect)
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
    ] {
        let (state, _) = play(&ON_DEMAND, zero, events);
        assert_eq!(state.on(Stop, zero + s(5), &ON_DEMAND), (State::Stopped, action));
    }
    for event in [Watched, Unwatched, FirstMedia, failed(Passing), Deadline, Stop] {
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
