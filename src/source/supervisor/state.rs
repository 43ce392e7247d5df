//! When to connect to a camera, and when to leave it: a pure state machine. Time and chance are arguments.
//!
//! The driver next door feeds it [`Event`]s and carries out the [`Action`]s. [`State::deadline`] says when it wants to
//! be woken.

use std::time::{Duration, Instant};

use crate::source::{FailureKind, backoff, config::Start};

/// A connection that was live for this long was a good one: the next failure starts with the shortest wait again.
/// Longer than what a camera delivers that accepts everybody and then drops whom it has no room for.
const STABLE: Duration = Duration::from_secs(10);

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
}

impl Failures {
    /// With one more of `kind`, and how many of that kind there are now.
    fn and(mut self, kind: FailureKind) -> (Self, u32) {
        let count = match kind {
            FailureKind::Credentials => &mut self.credentials,
            FailureKind::Passing | FailureKind::Setting => &mut self.others,
        };
        *count = count.saturating_add(1);
        let count = *count;
        (self, count)
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
            Self::Connecting { leave_at, .. } | Self::Live { leave_at, .. } => leave_at,
            Self::BackingOff { retry_at, .. } => Some(retry_at),
        }
    }

    /// The state after `event`. An event that means nothing to a state changes nothing.
    pub(super) fn on(self, event: Event, now: Instant, rules: &Rules) -> (Self, Action) {
        match (self, event) {
            (Self::Stopped, _) => (Self::Stopped, Action::None),
            (Self::Connecting { .. } | Self::Live { .. }, Event::Stop) => (Self::Stopped, Action::Disconnect),
            (Self::Idle { .. } | Self::BackingOff { .. }, Event::Stop) => (Self::Stopped, Action::None),

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
                (back_off(remembered(failures, since, now), kind, chance, leave_at, now), Action::None)
            }
            (
                state @ (Self::Idle { .. } | Self::BackingOff { .. } | Self::Live { .. }),
                Event::FirstMedia | Event::Failed { .. },
            ) => (state, Action::None),
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
            Self::Idle { .. } | Self::Stopped => (self, Action::None),
        }
    }
}

fn connect(failures: Failures, leave_at: Option<Instant>) -> (State, Action) {
    (State::Connecting { failures, leave_at }, Action::Connect)
}

fn back_off(before: Failures, kind: FailureKind, chance: f64, leave_at: Option<Instant>, now: Instant) -> State {
    let (failures, in_a_row) = before.and(kind);
    let retry_at = now + backoff::delay(kind, in_a_row, chance);
    State::BackingOff { failures, kind, failed_at: now, retry_at, leave_at }
}

/// Failures that still count after a connection that was live since `since`.
fn remembered(failures: Failures, since: Instant, now: Instant) -> Failures {
    if now.saturating_duration_since(since) >= STABLE { Failures::default() } else { failures }
}

#[cfg(test)]
mod tests;
