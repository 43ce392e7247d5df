//! Keeps one camera connected when it must be: carries out what the state machine in `state` decides.
//!
//! In: viewers coming and going, failures, media, the end of the program. Out: connections opened and closed, the
//! camera's published state, log lines. Owns the camera's one [`Producer`] across reconnects, so that the viewers'
//! timelines go on. How to connect is a [`Connector`]'s business.

mod state;
mod vigil;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::state::{Action, Event, Rules, State};
use super::{Config, Error, FailureKind, config::Audio, door::Door, feed::Feed};
use crate::{
    hub::{Camera, CameraState, Producer},
    media::Reason,
};

/// How long a connection may take to end after it was asked to. Longer than what a connector allows itself (RTSP
/// TEARDOWN 3 s, stopping a pipeline 5 s); when hit, the connection is dropped as it is.
const LEAVE_LIMIT: Duration = Duration::from_secs(6);

/// From one knock at a camera that is away to the next because a viewer has come: they are answered with what it tells, and a
/// page that asks again and again makes ten a second of it at most.
const KNOCK_FOR_VIEWER: Duration = Duration::from_millis(100);

/// One way to reach a camera.
pub(super) trait Connector {
    /// Connects and publishes into `feed` until the connection fails, or until `leave` is cancelled and it was ended
    /// properly. Cleans up in both cases.
    fn open(
        &mut self,
        feed: &mut Feed<'_>,
        leave: &CancellationToken,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Where to knock while nobody is there; `None` for what has no door.
    fn door(&self) -> Option<Door> {
        None
    }

    /// Whether [`arrival`](Self::arrival) tells when somebody is there, so that nobody needs to knock.
    fn is_announced(&self) -> bool {
        false
    }

    /// Completes when somebody is there, of whom nobody was.
    fn arrival(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Why a camera is not kept connected any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was removed, or the program is ending.
    Stopped,
    /// By now the settings say another way to it.
    Moved,
}

/// Runs one camera as `config` says until `shutdown`, or until `settings` say another way to the camera.
pub(super) async fn drive(
    config: Config,
    settings: &mut watch::Receiver<Config>,
    producer: &mut Producer,
    shutdown: &CancellationToken,
    connector: impl Connector,
) -> Ended {
    let camera = producer.camera().clone();
    let mute = config.audio == Audio::Off;
    let outside = Outside {
        viewers: camera.viewers(),
        watched: false,
        rules: rules(&config),
        config,
        settings,
        has_moved: false,
        shutdown: shutdown.clone(),
    };
    let report = Report { camera, told: None, away: None };
    let door = connector.door();
    Supervisor { outside, producer, connector, door, knocked: tokio::time::Instant::now(), report, tries: 0, mute }
        .run()
        .await
}

fn rules(config: &Config) -> Rules {
    Rules { start: config.start, linger: config.linger }
}

struct Supervisor<'a, C> {
    outside: Outside<'a>,
    producer: &'a mut Producer,
    connector: C,
    door: Option<Door>,
    /// When the camera was knocked at, or tried, last.
    knocked: tokio::time::Instant,
    report: Report,
    tries: u64,
    /// The camera's sound is not wanted.
    mute: bool,
}

impl<C: Connector> Supervisor<'_, C> {
    async fn run(mut self) -> Ended {
        self.outside.watched = *self.outside.viewers.borrow_and_update() > 0;
        let (mut state, _) = State::new(&self.outside.rules, self.outside.watched);
        loop {
            state = match state {
                State::Connecting { .. } => self.connection(state).await,
                State::Idle { .. } | State::BackingOff { .. } => {
                    let event = self.outside.next(state.deadline()).await;
                    state.on(event, now(), &self.outside.rules).0
                }
                State::Knocking { .. } => self.knocking(state).await,
                // Left inside `connection`, before it returns.
                State::Live { .. } | State::Stopped => break,
            };
            match state {
                State::Idle { .. } => self.report.publish(CameraState::Idle),
                State::BackingOff { retry_at, .. } => self.report.waiting(retry_at),
                State::Knocking { .. } | State::Connecting { .. } | State::Live { .. } | State::Stopped => {}
            }
        }
        if self.outside.has_moved {
            self.report.publish(CameraState::Idle);
            return Ended::Moved;
        }
        self.report.publish(CameraState::Stopped);
        Ended::Stopped
    }

    /// The state after somebody was there again, or after what happened meanwhile.
    async fn knocking(&mut self, state: State) -> State {
        let watched = self.outside.watched;
        let every = state.knock_every(watched);
        let (report, knocked) = (&mut self.report, &mut self.knocked);
        let answered = async {
            match (&self.door, every) {
                (Some(door), Some(every)) => {
                    // Whoever has just come waits for no more than that, and who comes and goes all the time delays no knock.
                    let gap = if watched { KNOCK_FOR_VIEWER } else { every };
                    let first = (*knocked + gap).max(tokio::time::Instant::now());
                    let noted = || *knocked = tokio::time::Instant::now();
                    door.answered(first, every, noted, |error| report.unheard(&error)).await;
                }
                _ => self.connector.arrival().await,
            }
        };
        let event = tokio::select! {
            biased;
            event = self.outside.next(state.deadline()) => event,
            () = answered => Event::Heard { chance: rand::random() },
        };
        state.on(event, now(), &self.outside.rules).0
    }

    /// One connection, from the first packet to the last. Returns the state after it.
    async fn connection(&mut self, state: State) -> State {
        self.tries += 1;
        if self.tries > 1 {
            self.report.camera.counters.reconnects.add(1);
        }
        self.report.publish(CameraState::Connecting);
        let (state, failure) = self.session(state).await;
        self.knocked = tokio::time::Instant::now();
        self.report.camera.forget_gop();
        match (failure, state) {
            (Some(error), State::BackingOff { retry_at, .. }) => self.report.failed(&error, retry_at),
            (Some(error), State::Knocking { .. }) => self.report.failed(&error, now()),
            (_, State::Idle { .. }) => self.report.left(),
            _ => {}
        }
        state
    }

    /// The state after the connection, and what it failed with.
    async fn session(&mut self, mut state: State) -> (State, Option<Error>) {
        let leave = CancellationToken::new();
        let (live, mut went_live) = oneshot::channel();
        let mut feed = Feed::new(self.producer, live, self.mute);
        let returns = self.door.is_some() || self.connector.is_announced();
        let mut session = pin!(self.connector.open(&mut feed, &leave));
        let (camera, door) = (self.report.camera.clone(), self.door.clone());
        let mut absence = pin!(async {
            match &door {
                Some(door) => vigil::absence(&camera, door).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let live = matches!(state, State::Live { .. });
            let (event, failure) = tokio::select! {
                biased;
                event = self.outside.next(state.deadline()) => (event, None),
                Ok(()) = &mut went_live, if !live => (Event::FirstMedia, None),
                ended = &mut session => {
                    let error = ended.err().unwrap_or(Error::HungUp);
                    (failed(&error, returns), Some(error))
                }
                error = &mut absence, if live => (failed(&error, true), Some(error)),
            };
            let action;
            (state, action) = state.on(event, now(), &self.outside.rules);
            if event == Event::FirstMedia {
                self.report.live();
            }
            if action == Action::Disconnect {
                // Whoever comes while it is being left must not be shown its last pictures as if they were live.
                self.report.publish(CameraState::Idle);
                self.report.camera.forget_gop();
                leave.cancel();
                if timeout(LEAVE_LIMIT, &mut session).await.is_err() {
                    self.report.left_too_slowly();
                }
            }
            if !matches!(state, State::Connecting { .. } | State::Live { .. }) {
                return (state, failure);
            }
        }
    }
}

/// Where nobody can knock and nobody is announced, only another try tells.
fn failed(error: &Error, returns: bool) -> Event {
    let kind = match error.kind() {
        FailureKind::Absent if !returns => FailureKind::Passing,
        kind => kind,
    };
    Event::Failed { kind, chance: rand::random() }
}

/// What a connection is interrupted by.
struct Outside<'a> {
    viewers: watch::Receiver<usize>,
    watched: bool,
    rules: Rules,
    /// What the connection is made by.
    config: Config,
    settings: &'a mut watch::Receiver<Config>,
    /// The settings say another way to the camera.
    has_moved: bool,
    shutdown: CancellationToken,
}

impl Outside<'_> {
    /// The next thing that happens, at the latest when `deadline` has come.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped before it is ready.
    async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut due = pin!(due);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Event::Stop,
                // It never fails: the producer keeps the camera, which owns the sender.
                changed = self.viewers.changed() => {
                    let watched = changed.is_ok() && *self.viewers.borrow_and_update() > 0;
                    if watched != self.watched {
                        self.watched = watched;
                        return if watched { Event::Watched } else { Event::Unwatched };
                    }
                }
                Ok(()) = self.settings.changed() => {
                    if let Some(event) = self.on_settings() {
                        return event;
                    }
                }
                () = &mut due => return Event::Deadline,
            }
        }
    }

    fn on_settings(&mut self) -> Option<Event> {
        let config = self.settings.borrow_and_update().clone();
        if !config.is_same_source(&self.config) {
            self.has_moved = true;
            return Some(Event::Stop);
        }
        let rules = rules(&config);
        let is_news = rules != self.rules;
        self.rules = rules;
        is_news.then_some(Event::NewRules { watched: self.watched })
    }
}

/// Tells people: the camera's state, and one log line per change and not per try.
struct Report {
    camera: Arc<Camera>,
    /// The failure that the log already has.
    told: Option<Reason>,
    /// Since when the camera has been away.
    away: Option<Instant>,
}

impl Report {
    fn publish(&self, state: CameraState) {
        self.camera.set_state(state);
    }

    fn live(&mut self) {
        self.publish(CameraState::Live);
        self.told = None;
        let formats = self.camera.formats().clone();
        let picture = formats.video.map(|video| format!("{}x{}", video.width, video.height));
        let sound = formats.audio.map(|audio| audio.codec.encoding_name());
        match self.away.take() {
            None => info!(camera = %self.camera.name(), picture, sound, "live"),
            Some(since) => {
                let away_s = now().saturating_duration_since(since).as_secs();
                info!(camera = %self.camera.name(), picture, sound, away_s, "live again");
            }
        }
    }

    fn left(&self) {
        info!(camera = %self.camera.name(), "nobody is watching any more: left the camera");
    }

    fn left_too_slowly(&self) {
        warn!(camera = %self.camera.name(), limit_s = LEAVE_LIMIT.as_secs(), "leaving the camera took too long");
    }

    fn failed(&mut self, error: &Error, retry_at: Instant) {
        self.away.get_or_insert_with(now);
        let reason = Reason::new(error.code(), error.to_string());
        let retry_in_s = retry_at.saturating_duration_since(now()).as_secs_f32();
        if self.told.as_ref() == Some(&reason) {
            debug!(camera = %self.camera.name(), code = reason.code, %reason, retry_in_s, "still not available");
        } else {
            warn!(camera = %self.camera.name(), code = reason.code, %reason, retry_in_s, "not available");
            self.told = Some(reason.clone());
        }
        self.publish(CameraState::BackingOff { reason, retry_at });
    }

    /// A knock was not answered. That is news when the reason is another one than before; the words of one reason differ.
    fn unheard(&mut self, error: &Error) {
        if self.told.as_ref().is_none_or(|told| told.code != error.code()) {
            self.failed(error, now());
        } else {
            debug!(camera = %self.camera.name(), code = error.code(), reason = %error, "still not available");
        }
    }

    /// A viewer may have made the next try earlier.
    fn waiting(&self, retry_at: Instant) {
        if let Some(reason) = self.told.clone() {
            self.publish(CameraState::BackingOff { reason, retry_at });
        }
    }
}

/// On tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
