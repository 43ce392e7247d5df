//! `camgate play`: a headless viewer that plays any WHEP URL, measures what arrives, and names the step that failed.
//!
//! It does what a browser does, without decoding: asks for ICE servers, offers, connects, receives. Independent of the
//! gateway on purpose, down to the WebRTC stack's other half (the `webrtc` crate): what one side believes must not make
//! the other side look right.

mod answer;
mod codecs;
mod connection;
mod diagnosis;
mod link;
mod measure;
mod picture;
mod report;
mod runtime;
mod tls;
mod whep;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::time::{sleep, sleep_until, timeout_at};
use url::{Host, Url};
use webrtc::peer_connection::RTCPeerConnectionState;

pub use answer::Candidate;
pub use report::{Failure, Media, Pair, Report, Step, Steps};
pub use whep::Token;

use answer::Answer;
use connection::{Connection, Seen};
use diagnosis::Facts;
use link::IceServer;
use report::millis;
use whep::{Created, HttpError, Refused, Whep};

/// A picture that does not begin with a keyframe is given this long to bring one before one is asked for, as in browsers.
const KEYFRAME_PATIENCE: Duration = Duration::from_millis(200);
/// Then it is asked for again and again.
const KEYFRAME_AGAIN: Duration = Duration::from_secs(1);
/// Silence on all tracks after which the connection counts as broken. ICE itself notices after five seconds.
const SILENCE: Duration = Duration::from_secs(5);

/// What to play and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The WHEP endpoint; `http` or `https`, without credentials.
    pub url: Url,
    /// How long to watch, from the first picture on.
    pub watch: Duration,
    /// How long the first picture may take altogether, `Retry-After` included.
    pub patience: Duration,
    /// For the `Authorization` header.
    pub token: Option<Token>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// Plays until the time is over or `stop` completes, and ends the session at the server.
pub async fn play(options: &Options, stop: impl Future<Output = ()>) -> Report {
    let mut attempt = Attempt::new(options);
    let outcome = tokio::select! {
        outcome = attempt.run() => outcome,
        () = stop => attempt.interrupted(),
    };
    attempt.finish(outcome).await
}

/// One run, as far as it has come.
struct Attempt<'a> {
    options: &'a Options,
    report: Report,
    deadline: tokio::time::Instant,
    whep: Option<Whep>,
    connection: Option<Connection>,
    session: Option<Url>,
    posted_at: Instant,
    answered: Duration,
    server: Option<IpAddr>,
    wants_video: bool,
}

impl<'a> Attempt<'a> {
    fn new(options: &'a Options) -> Self {
        let mut shown = options.url.clone();
        shown.set_query(None);
        Self {
            options,
            report: Report::new(shown.into()),
            deadline: tokio::time::Instant::now() + options.patience,
            whep: None,
            connection: None,
            session: None,
            posted_at: Instant::now(),
            answered: Duration::ZERO,
            server: None,
            wants_video: true,
        }
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let Options { url, token, insecure, .. } = self.options;
        let whep = self.whep.insert(Whep::new(url, token.as_ref(), *insecure).map_err(|error| http(&error))?);
        let mut servers = whep.ice_servers().await;
        let created = loop {
            let created = self.negotiate(&servers).await?;
            // The offer was made without them. Once is enough: credentials may differ each time.
            if servers.is_empty() && !created.ice_servers.is_empty() {
                self.note("The server names ICE servers only with its answer: they cost a second offer.");
                servers.clone_from(&created.ice_servers);
                self.end_session().await;
                continue;
            }
            break created;
        };
        let answer = Answer::read(&created.sdp).map_err(|error| diagnosis::no_answer(&created, &error))?;
        self.wants_video = answer.video;
        self.report.server_candidates.clone_from(&answer.candidates);
        if !answer.video && !answer.audio {
            let detail = "The server's answer takes no picture and no sound of the offer: it has no codec in common.";
            return Err(Failure::new(Step::Answer, detail));
        }
        let Some(connection) = &self.connection else { return Ok(()) };
        connection.accept(answer.description).await.map_err(|error| diagnosis::no_answer(&created, &error))?;
        let outcome = match self.wait_for_picture().await {
            Ok(()) => self.watch(answer.audio).await,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.with_the_server_s_words(failure).await),
        }
    }

    /// Some servers tell of a session that is over why it is so. One that never played is over when it is deleted.
    async fn with_the_server_s_words(&mut self, mut failure: Failure) -> Failure {
        let never_played = !matches!(failure.step, Step::Watch);
        let Some(session) = self.session.clone() else { return failure };
        if never_played {
            self.end_session().await;
        }
        let Some(whep) = &self.whep else { return failure };
        if let Some(reason) = whep.why_over(&session).await {
            failure.detail += &format!(" The server says: {reason}");
            self.session = None;
        }
        failure
    }

    /// Offers until there is a session; waits as the server asks for.
    async fn negotiate(&mut self, servers: &[IceServer]) -> Result<Created, Failure> {
        let loopback = is_loopback(&self.options.url).await;
        let local =
            |error: webrtc::error::Error| Failure::new(Step::Local, format!("No offer could be made: {error}."));
        if let Some(before) = self.connection.take() {
            before.close().await;
        }
        let connection = self.connection.insert(Connection::open(servers, loopback).await.map_err(local)?);
        let offer = connection.offer().await.map_err(local)?;
        let Some(whep) = &self.whep else { unreachable!("made before the connection") };
        let has_token = self.options.token.is_some();
        let begin = Instant::now();
        let mut before: Option<Refused> = None;
        loop {
            self.posted_at = Instant::now();
            let left = self.deadline.saturating_duration_since(tokio::time::Instant::now());
            let posted = match (whep.post(&offer, left).await, &before) {
                // The time was over while it was asked again; what it said before says more.
                (Err(HttpError::Silent { .. }), Some(before)) => return Err(diagnosis::refused(before, has_token)),
                (posted, _) => posted.map_err(|error| http(&error))?,
            };
            match posted {
                Ok(created) => {
                    self.answered = self.posted_at.elapsed();
                    self.report.steps.waited_ms += millis(self.posted_at - begin);
                    self.report.steps.answer_ms = Some(millis(self.answered));
                    self.server = created.from;
                    self.session.clone_from(&created.session);
                    self.look_at(&created);
                    return Ok(created);
                }
                Err(refused) => match refused.retry_after {
                    Some(after) if tokio::time::Instant::now() + after < self.deadline => {
                        before = Some(refused);
                        sleep(after).await;
                    }
                    _ => return Err(diagnosis::refused(&refused, has_token)),
                },
            }
        }
    }

    /// What a WHEP server must do and this one does not.
    fn look_at(&mut self, created: &Created) {
        if created.endpoint != self.options.url {
            let mut shown = created.endpoint.clone();
            shown.set_query(None);
            self.report.redirected_to = Some(shown.into());
        }
        if created.session.is_none() {
            self.note("The response has no Location: the session cannot be deleted, it ends by timeout.");
        }
        if created.status != hyper::StatusCode::CREATED {
            self.note(&format!("The response is {} instead of 201.", created.status.as_u16()));
        }
        let content_type = created.content_type.as_deref().unwrap_or_default();
        if !content_type.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case("application/sdp")) {
            self.note("The Content-Type of the answer is not application/sdp.");
        }
    }

    fn note(&mut self, sentence: &str) {
        if !self.report.notes.iter().any(|note| note == sentence) {
            self.report.notes.push(sentence.to_owned());
        }
    }

    async fn wait_for_picture(&self) -> Result<(), Failure> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let mut ask_at = None;
        loop {
            let (playing, state, keyframe_missing) = {
                let seen = connection.seen();
                let video = seen.video.as_ref().filter(|track| track.tells_keyframes());
                let missing = video.is_some_and(|track| track.first_keyframe_at.is_none());
                (is_playing(&seen, self.wants_video), seen.state, missing)
            };
            if playing {
                return Ok(());
            }
            let now = tokio::time::Instant::now();
            let over = now >= self.deadline
                || matches!(state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed);
            if over {
                let checks = connection.checks().await;
                let facts = Facts {
                    wants_video: self.wants_video,
                    answered: self.answered,
                    candidates: &self.report.server_candidates,
                    server: self.server,
                    checks,
                };
                return Err(diagnosis::stuck(&connection.seen(), facts));
            }
            let ask = *ask_at.get_or_insert(now + KEYFRAME_PATIENCE);
            if !keyframe_missing {
                ask_at = None;
            } else if now >= ask {
                connection.request_keyframe().await;
                ask_at = Some(now + KEYFRAME_AGAIN);
            }
            let wake = if keyframe_missing { ask.max(now).min(self.deadline) } else { self.deadline };
            // Either is a reason to look again.
            let _ = timeout_at(wake, connection.changed()).await;
        }
    }

    async fn watch(&mut self, with_sound: bool) -> Result<(), Failure> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let begin = Instant::now();
        let end = tokio::time::Instant::now() + self.options.watch;
        let mut heard_at = begin;
        let mut count = 0;
        while tokio::time::Instant::now() < end {
            let packets = {
                let seen = connection.seen();
                if matches!(seen.state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed) {
                    return Err(diagnosis::broke(&seen, begin.elapsed()));
                }
                [&seen.video, &seen.audio].into_iter().flatten().map(|track| track.packets).sum()
            };
            if packets != count {
                count = packets;
                heard_at = Instant::now();
            } else if heard_at.elapsed() > SILENCE {
                return Err(diagnosis::broke(&connection.seen(), heard_at - begin));
            }
            // Looks at most ten times a second: every packet is a change.
            sleep_until(end.min(tokio::time::Instant::now() + Duration::from_millis(100))).await;
        }
        let silent = with_sound && connection.seen().audio.is_none();
        if silent {
            self.note("The answer promises sound, but no packet of it arrived.");
        }
        Ok(())
    }

    /// Ctrl-C is no failure when there was a picture.
    fn interrupted(&self) -> Result<(), Failure> {
        let playing = self.connection.as_ref().is_some_and(|it| is_playing(&it.seen(), self.wants_video));
        if playing { Ok(()) } else { Err(Failure::new(Step::Interrupted, "Interrupted before there was a picture.")) }
    }

    async fn end_session(&mut self) {
        if let (Some(whep), Some(session)) = (&self.whep, self.session.take()) {
            let status = whep.delete(&session).await;
            if !status.is_some_and(|status| status.is_success()) {
                let answer = status.map_or_else(|| "no answer".to_owned(), |status| status.as_u16().to_string());
                self.note(&format!("The session could not be deleted: DELETE got {answer}."));
            }
        }
    }

    async fn finish(mut self, outcome: Result<(), Failure>) -> Report {
        if let Some(connection) = self.connection.take() {
            let pair = connection.pair().await;
            self.report.pair = pair.map(|(local, remote)| Pair { local, remote });
            self.measure(&connection.seen());
            self.end_session().await;
            connection.close().await;
        }
        self.report.played = outcome.is_ok();
        self.report.failure = outcome.err();
        self.report
    }

    fn measure(&mut self, seen: &Seen) {
        let since = |at: Option<Instant>| at.map(|at| millis(at.saturating_duration_since(self.posted_at)));
        let tracks = || [&seen.video, &seen.audio].into_iter().flatten();
        let steps = &mut self.report.steps;
        steps.ice_ms = since(seen.ice_connected_at);
        steps.connected_ms = since(seen.connected_at);
        steps.first_packet_ms = since(tracks().filter_map(|track| track.first_packet_at).min());
        steps.first_keyframe_ms = since(seen.video.as_ref().and_then(|track| track.first_keyframe_at));
        self.report.video = seen.video.as_ref().map(|track| Media::of(track, true));
        self.report.audio = seen.audio.as_ref().map(|track| Media::of(track, false));
    }
}

/// A keyframe and a frame after it; two frames where keyframes cannot be told, or of sound.
fn is_playing(seen: &Seen, wants_video: bool) -> bool {
    let track = if wants_video { &seen.video } else { &seen.audio };
    track.as_ref().is_some_and(
        |track| {
            if track.tells_keyframes() { track.frames_after_keyframe > 0 } else { track.frames > 1 }
        },
    )
}

fn http(error: &HttpError) -> Failure {
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let sentence = letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect::<String>());
    Failure::new(Step::Http, sentence.unwrap_or_default())
}

/// Whether the server is on this machine, where its media may be on the loopback address alone.
async fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, 0)).await;
            found.is_ok_and(|mut addresses| addresses.any(|address| address.ip().is_loopback()))
        }
        None => false,
    }
}
