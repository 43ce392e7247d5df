//! What a viewer hears and asks by its data channel: the state of its camera, keyframes, pauses, snapshots and clips. The messages
//! are in docs/data-channel.md.
//!
//! One task per channel. It sends only what the viewer reads: while that does not, what is newest replaces what is older, files
//! stand still, and what the viewer says is dropped. Each message has the rights of the session: it ends with them.

mod file;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod message;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::{task::JoinHandle, time::interval};

use self::message::{Asked, Error, Noticed, State};
use super::{
    Context,
    auth::Caller,
    clip,
    clip::Clips,
    problem::Problem,
    snapshot::{self, Seating, Snapshots},
    waiting,
};
use crate::{
    hub::Camera,
    panics::{Part, Whose, caught_task},
    peer::{ChannelEnd, Ending, Message, Mouth, Said, SessionId, SessionStatus, Wish},
};

/// Messages that a viewer may send in a second, and at once: a person who presses every button, and a page that pauses and resumes.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const AT_ONCE: NonZeroU32 = NonZeroU32::new(30).expect("not zero");
/// What changes all the time, such as delays, is told this often.
const EVERY: Duration = Duration::from_secs(5);
/// Viewers that come and go are told this often at most.
const LEAST: Duration = Duration::from_millis(500);

/// Where files come from.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) snapshots: Snapshots,
    pub(super) clips: Clips,
}

/// Answers the data channel of `session` until it is over.
pub(super) fn open(context: &Context, caller: &Caller, files: Files, name: &str, session: SessionId, end: ChannelEnd) {
    let (Some(camera), Some(status)) = (context.hub.get(name), context.peers.session(session)) else { return };
    let (context, caller) = (context.clone(), caller.clone());
    let limiter = RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(AT_ONCE));
    let answering = Answering { context, caller, files, camera, status, mouth: end.mouth(), limiter, job: None };
    tokio::spawn(async move {
        let whose = answering.camera.clone();
        let _ = caught_task(Part::Http, Whose::camera(whose.name()), answering.run(end)).await;
    });
}

struct Answering {
    context: Context,
    caller: Caller,
    files: Files,
    camera: Arc<Camera>,
    status: Arc<SessionStatus>,
    mouth: Mouth,
    limiter: DefaultDirectRateLimiter,
    /// A file on its way.
    job: Option<(String, JoinHandle<()>)>,
}

impl Answering {
    async fn run(mut self, mut end: ChannelEnd) {
        let mut ended = self.status.ended();
        tokio::select! {
            // A sender that is gone means the same.
            () = async { drop(ended.wait_for(|ending: &Option<Ending>| ending.is_some()).await) } => {}
            () = self.converse(&mut end) => {}
        }
        if let Some((_, job)) = self.job.take() {
            job.abort();
        }
    }

    async fn converse(&mut self, end: &mut ChannelEnd) {
        while end.next().await != Some(Said::Opened) {}
        if !self.tell(&message::hello(self.camera.name().as_str())).await {
            return;
        }
        let (mut states, mut viewers) = (self.camera.status_changes(), self.camera.viewers());
        let mut events = self.camera.events();
        let mut regularly = interval(EVERY);
        let mut told: Option<(State, Instant)> = None;
        // Something has changed that is told soon.
        let mut is_due = false;
        loop {
            let is_regular = tokio::select! {
                said = end.next() => {
                    match said {
                        None => return,
                        Some(Said::Opened) => told = None,
                        Some(said) => {
                            if !self.answer(end, said).await {
                                return;
                            }
                            continue;
                        }
                    }
                    true
                }
                event = events.recv() => {
                    // Who is behind hears of the newest.
                    let Ok(event) = event else { continue };
                    if !self.tell(&Noticed::of(&event)).await {
                        return;
                    }
                    continue;
                }
                _ = regularly.tick() => true,
                _ = states.changed() => false,
                changed = viewers.changed() => {
                    let is_early = told.as_ref().is_some_and(|(_, at)| at.elapsed() < LEAST);
                    if changed.is_err() {
                        return;
                    }
                    if is_early {
                        // Not each time, or who comes and goes all the time would put it off for ever.
                        if !std::mem::replace(&mut is_due, true) {
                            regularly.reset_after(LEAST);
                        }
                        continue;
                    }
                    false
                }
            };
            is_due &= !is_regular;
            let state = self.state();
            if is_regular || told.as_ref().is_none_or(|(before, _)| *before != state) {
                if !self.tell(&state).await {
                    return;
                }
                told = Some((state, Instant::now()));
            }
        }
    }

    fn state(&self) -> State {
        let reason = waiting::why(&self.status, &self.camera, Instant::now());
        // What is wrong with a camera, such as its address, is not for strangers.
        let reason = reason.filter(|_| !self.caller.is_guest());
        State::of(&self.camera, &self.status, reason)
    }

    /// Returns whether somebody hears it.
    async fn tell(&self, what: &impl serde::Serialize) -> bool {
        // They are structs of texts and numbers, which can be written.
        let text = serde_json::to_string(what).unwrap_or_default();
        self.mouth.send(Message::Text(text)).await
    }

    async fn refuse(&self, error: Error) -> bool {
        self.camera.counters.channel.refused.add(1);
        self.tell(&error).await
    }

    /// Returns whether the viewer is still there.
    async fn answer(&mut self, end: &ChannelEnd, said: Said) -> bool {
        if self.limiter.check().is_err() {
            return self
                .refuse(Error::new(None, "too-fast", "Too many messages: send fewer than ten in a second."))
                .await;
        }
        let asked = match said {
            Said::Text(text) => message::read(&text),
            _ => Err(Error::new(None, "unreadable", "A message is a text of 4096 bytes at most, with a JSON object.")),
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => return self.refuse(error).await,
        };
        match asked {
            Asked::Keyframe => end.wish(Wish::Keyframe),
            Asked::Pause { tracks, is_paused } => {
                tracks.iter().for_each(|kind| end.wish(Wish::Paused(*kind, is_paused)));
            }
            Asked::Cancel { id } => {
                if let Some((_, job)) = self.job.take_if(|(busy, _)| *busy == id) {
                    job.abort();
                    return self.tell(&message::cancelled(&id)).await;
                }
            }
            Asked::Snapshot { id, query } => return self.begin(id, query, false).await,
            Asked::Clip { id, query } => return self.begin(id, query, true).await,
        }
        true
    }

    /// Makes a file and sends it, beside everything else.
    async fn begin(&mut self, id: String, query: String, is_clip: bool) -> bool {
        if self.job.as_ref().is_some_and(|(_, job)| !job.is_finished()) {
            let error = Error::new(Some(id), "busy", "Another file is on its way: wait for it, or cancel it.");
            return self.refuse(error).await;
        }
        let (context, caller, files) = (self.context.clone(), self.caller.clone(), self.files.clone());
        let (camera, mouth, name) = (self.camera.clone(), self.mouth.clone(), self.camera.name().to_string());
        let job_id = id.clone();
        let work = async move {
            let made = if is_clip {
                let clip = clip::taken(&context, &caller, &files.clips, &name, Some(&query), Seating::Taken).await;
                clip.map(|(film, place)| (file::clip(&name, film), Some(place)))
            } else {
                let snapshot =
                    snapshot::taken(&context, &caller, &files.snapshots, &name, Some(&query), Seating::Taken).await;
                snapshot.map(|(jpeg, captured)| (file::snapshot(&name, jpeg, captured), None))
            };
            match made {
                Ok((file, _place)) => {
                    if file.send(&job_id, &mouth).await {
                        camera.counters.channel.files.add(1);
                    }
                }
                Err(problem) => {
                    camera.counters.channel.refused.add(1);
                    let text = serde_json::to_string(&refusal(job_id, &problem)).unwrap_or_default();
                    mouth.send(Message::Text(text)).await;
                }
            }
        };
        let whose = self.camera.clone();
        let job = tokio::spawn(async move {
            let _ = caught_task(Part::Http, Whose::camera(whose.name()), work).await;
        });
        self.job = Some((id, job));
        true
    }
}

fn refusal(id: String, problem: &Problem) -> Error {
    let error = Error::new(Some(id), problem.code(), problem.detail());
    error.with_retry(problem.retry_after())
}
