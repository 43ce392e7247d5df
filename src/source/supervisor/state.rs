//! When to connect to a camera, and when to leave it: a pure state machine. Time and chance are arguments.
//!
//! The driver next door feeds it [`Event`]s and carries out the [`Action`]s. [`State::deadline`] says when it wants to
//! be woken.

use std::time::{Duration, Instant};

use crate::source::{FailureKind, backoff, config::Start};

/// A connection that was live for this long was a good one: the next failure starts with the shortest wait again.
/// Longer than what a camera delivers that accepts everybody and then drops whom it has no room for.
const STABLE: Duration = Duration::from_secs(10);

/// A connection that was live for this long is made again at once when it fails. Cameras that drop a connection now and then
/// (an unanswered keepalive, a change of SSRC) are seen again before anybody notices, and one that drops every connection is
/// connected to once in this time.
const PROMPT: Duration = Duration::from_secs(3);

/// How long after it came back a camera may say no because it is still starting: many listen some seconds before RTSP works,
/// and answer 404 or 503 until then. Whoever says no for longer means it.
const BOOT: Duration = Duration::from_secs(60);

/// A camera that was away for less than this has not come back but flickers: the minute above does not begin anew.
const AWAY: Duration = Duration::from_secs(5);

/// From one knock to the next while somebody watches: what the picture comes later by is half of it. 2 knocks a second are at
/// most 4 packets a second, of 60 bytes.
const KNOCK_WATCHED: Duration = Duration::from_millis(500);
/// The same while nobody does, of a camera that is kept connected anyway: 1 or 2 packets a second.
const KNOCK_UNWATCHED: Duration = Duration::from_secs(2);

/// A viewer who arrives while a camera is being waited for makes it be tried at once, but not sooner than this after
/// the last try failed: a page that reloads every moment must not become a flood at the camera.
const VIEWER_RETRY: Duration = Duration::from_secs(2);

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) start: Start,
    pub(super) linger: Duration,
}

/// Tries in a row that failed, by what they failed with: a camera that restarts a few times must not make the first
/// refusal of its credentials wait as if it were the fifth, nor the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    credentials: u32,
    others: u32,
    /// When the camera listened again after it had been away, or began to fail after it had been live: from then on it may be
    /// starting.
    back: Option<Instant>,
}

impl Failures {
    /// With one more of `kind`, and how many of that kind there are now.
    fn and(mut self, kind: FailureKind) -> (Self, u32) {
        let count = match kind {
            FailureKind::Credentials => &mut self.credentials,
            FailureKind::Passing | FailureKind::Absent | FailureKind::Setting => &mut self.others,
        };
        *count = count.saturating_add(1);
        let count = *count;
        (self, count)
    }

    fn back_for(&self, now: Instant) -> Option<Duration> {
        self.back.map(|back| now.saturating_duration_since(back)).filter(|back| *back < BOOT)
    }
}

/// Where a camera's connection stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// On demand, and nobody is watching.
    Idle {
        /// Tries in a row that failed before.
        failures: Failures,
    },
    /// Reaching out; no media yet.
    Connecting {
        /// Tries in a row that failed before.
        failures: Failures,
        /// When it is given up because nobody is watching any more.
        leave_at: Option<Instant>,
    },
    /// Media flows.
    Live {
        /// Since when.
        since: Instant,
        /// Tries in a row that failed before; forgotten once it proves stable.
        failures: Failures,
        /// When it is left because nobody is watching any more.
        leave_at: Option<Instant>,
    },
    /// Waiting to try again.
    BackingOff {
        /// Tries in a row that failed.
        failures: Failures,
        /// What the last one failed with.
        kind: FailureKind,
        /// When it did.
        failed_at: Instant,
        /// When the next one is due.
        retry_at: Instant,
        /// From when on nobody wants it any more.
        leave_at: Option<Instant>,
    },
    /// Nobody is there. It is tried again when a knock is answered.
    Knocking {
        /// Tries in a row that failed; this one does not count.
        failures: Failures,
        /// Since when.
        since: Instant,
        /// From when on nobody wants it any more.
        leave_at: Option<Instant>,
    },
    /// The end.
    Stopped,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// Somebody is watching now, after nobody was.
    Watched,
    /// Nobody is watching any more.
    Unwatched,
    /// The first keyframe (or, without video, the first sound) was published.
    FirstMedia,
    /// The connection failed or could not be made; `chance` is a random number from 0 up to 1.
    Failed { kind: FailureKind, chance: f64 },
    /// A knock was answered; `chance` as above.
    Heard { chance: f64 },
    /// The time that [`State::deadline`] gave has come.
    Deadline,
    /// The rules are others than before.
    NewRules { watched: bool },
    /// The camera was removed or moved, or the program is ending.
    Stop,
}

/// What the driver has to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    None,
    /// Connect.
    Connect,
    /// End the connection properly.
    Disconnect,
}

impl State {
    /// Where a camera begins.
    pub(super) fn new(rules: &Rules, watched: bool) -> (Self, Action) {
        match rules.start {
            Start::OnDemand if !watched => (Self::Idle { failures: Failures::default() }, Action::None),
            Start::OnDemand | Start::Always => connect(Failures::default(), None),
        }
    }

    /// When [`Event::Deadline`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Idle { .. } | Self::Stopped => None,
            Self::Connecting { leave_at, .. } | Self::Live { leave_at, .. } | Self::Knocking { leave_at, .. } => {
                leave_at
            }
            Self::BackingOff { retry_at, .. } => Some(retry_at),
        }
    }

    /// How often to knock; [`Event::Heard`] is due when it is answered.
    pub(super) fn knock_every(&self, watched: bool) -> Option<Duration> {
        let every = if watched { KNOCK_WATCHED } else { KNOCK_UNWATCHED };
        matches!(self, Self::Knocking { .. }).then_some(every)
    }

    /// The state after `event`. An event that means nothing to a state changes nothing.
    pub(super) fn on(self, event: Event, now: Instant, rules: &Rules) -> (Self, Action) {
        match (self, event) {
            (Self::Stopped, _) => (Self::Stopped, Action::None),
            (Self::Connecting { .. } | Self::Live { .. }, Event::Stop) => (Self::Stopped, Action::Disconnect),
            (Self::Idle { .. } | Self::BackingOff { .. } | Self::Knocking { .. }, Event::Stop) => {
                (Self::Stopped, Action::None)
            }

            (state, Event::Watched) => state.watched(now),
            (state, Event::Unwatched) => (state.unwatched(now, rules), Action::None),
            (state, Event::Deadline) => state.due(now),
            (state, Event::NewRules { watched }) => match (rules.start, watched) {
                (_, true) => (state, Action::None),
                (Start::Always, false) if matches!(state, Self::Idle { .. }) => state.watched(now),
                (Start::Always | Start::OnDemand, false) => (state.unwatched(now, rules), Action::None),
            },

            (Self::Connecting { failures, leave_at }, Event::FirstMedia) => {
                (Self::Live { since: now, failures, leave_at }, Action::None)
            }
            (Self::Connecting { failures, leave_at }, Event::Failed { kind, chance }) => {
                (back_off(failures, kind, chance, leave_at, now), Action::None)
            }
            (Self::Live { since, failures, leave_at }, Event::Failed { kind, chance }) => {
                let failures = remembered(failures, since, now);
                let state = if kind == FailureKind::Passing && now.saturating_duration_since(since) >= PROMPT {
                    let failures = Failures { back: failures.back.or(Some(now)), ..failures };
                    Self::BackingOff { failures, kind, failed_at: now, retry_at: now, leave_at }
                } else {
                    back_off(failures, kind, chance, leave_at, now)
                };
                (state, Action::None)
            }
            (Self::Knocking { failures, since, leave_at }, Event::Heard { chance }) => {
                heard(failures, since, chance, leave_at, now)
            }
            (
                state @ (Self::Idle { .. } | Self::BackingOff { .. } | Self::Knocking { .. } | Self::Live { .. }),
                Event::FirstMedia | Event::Failed { .. },
            ) => (state, Action::None),
            (state, Event::Heard { .. }) => (state, Action::None),
        }
    }

    fn watched(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Idle { failures } => connect(failures, None),
            Self::Connecting { failures, .. } => (Self::Connecting { failures, leave_at: None }, Action::None),
            Self::Live { since, failures, .. } => (Self::Live { since, failures, leave_at: None }, Action::None),
            Self::BackingOff { failures, kind, failed_at, retry_at, .. } => {
                let soonest = failed_at + VIEWER_RETRY;
                if kind != FailureKind::Credentials && soonest <= now {
                    return connect(failures, None);
                }
                let retry_at = if kind == FailureKind::Credentials { retry_at } else { retry_at.min(soonest) };
                (Self::BackingOff { failures, kind, failed_at, retry_at, leave_at: None }, Action::None)
            }
            Self::Knocking { failures, since, .. } => {
                (Self::Knocking { failures, since, leave_at: None }, Action::None)
            }
            Self::Stopped => (self, Action::None),
        }
    }

    fn unwatched(self, now: Instant, rules: &Rules) -> Self {
        let leave_at = match rules.start {
            Start::OnDemand => Some(now + rules.linger),
            Start::Always => None,
        };
        match self {
            Self::Connecting { failures, .. } => Self::Connecting { failures, leave_at },
            Self::Live { since, failures, .. } => Self::Live { since, failures, leave_at },
            Self::BackingOff { failures, kind, failed_at, retry_at, .. } => {
                Self::BackingOff { failures, kind, failed_at, retry_at, leave_at }
            }
            Self::Knocking { failures, since, .. } => Self::Knocking { failures, since, leave_at },
            Self::Idle { .. } | Self::Stopped => self,
        }
    }

    fn due(self, now: Instant) -> (Self, Action) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return (self, Action::None);
        }
        match self {
            Self::Connecting { failures, .. } => (Self::Idle { failures }, Action::Disconnect),
            Self::Live { since, failures, .. } => {
                (Self::Idle { failures: remembered(failures, since, now) }, Action::Disconnect)
            }
            Self::BackingOff { failures, leave_at: Some(leave_at), .. } if leave_at <= now => {
                (Self::Idle { failures }, Action::None)
            }
            Self::BackingOff { failures, leave_at, .. } => connect(failures, leave_at),
            Self::Knocking { failures, .. } => (Self::Idle { failures }, Action::None),
            Self::Idle { .. } | Self::Stopped => (self, Action::None),
        }
    }
}

fn connect(failures: Failures, leave_at: Option<Instant>) -> (State, Action) {
    (State::Connecting { failures, leave_at }, Action::Connect)
}

fn back_off(before: Failures, kind: FailureKind, chance: f64, leave_at: Option<Instant>, now: Instant) -> State {
    match kind {
        FailureKind::Absent => return State::Knocking { failures: before, since: now, leave_at },
        FailureKind::Passing | FailureKind::Setting => {
            if let Some(back) = before.back_for(now) {
                let retry_at = now + backoff::booting(back, chance);
                return State::BackingOff { failures: before, kind, failed_at: now, retry_at, leave_at };
            }
        }
        FailureKind::Credentials => {}
    }
    let (failures, in_a_row) = before.and(kind);
    let retry_at = now + backoff::delay(kind, in_a_row, chance);
    State::BackingOff { failures, kind, failed_at: now, retry_at, leave_at }
}

/// Somebody listens again, after nobody did from `since` on.
fn heard(before: Failures, since: Instant, chance: f64, leave_at: Option<Instant>, now: Instant) -> (State, Action) {
    let flickers = now.saturating_duration_since(since) < AWAY;
    let back = before.back.filter(|_| flickers).unwrap_or(now);
    let failures = Failures { back: Some(back), ..before };
    if failures.back_for(now).is_some() {
        return connect(failures, leave_at);
    }
    // It has listened and not listened by turns for a minute, and came to nothing each time.
    let kind = FailureKind::Passing;
    let (failures, in_a_row) = failures.and(kind);
    let retry_at = since + backoff::delay(kind, in_a_row, chance);
    if retry_at <= now {
        return connect(failures, leave_at);
    }
    (State::BackingOff { failures, kind, failed_at: since, retry_at, leave_at }, Action::None)
}

/// Failures that still count after a connection that was live since `since`.
fn remembered(failures: Failures, since: Instant, now: Instant) -> Failures {
    if now.saturating_duration_since(since) >= STABLE { Failures::default() } else { failures }
}

#[cfg(test)]
mod tests;
