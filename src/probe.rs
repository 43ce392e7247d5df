//! `camgate probe`: what a camera offers, whether browsers can show it, and what to change where they cannot.
//!
//! In: an RTSP URL, or a camera of the configuration. Out: a [`Report`], and on request a file for a bug report without
//! secrets. Talks to cameras as the gateway does (`source::visit`), and fails with the same words.

mod browsers;
mod bug_report;
mod clock;
mod entry;
mod habits;
mod masked;
mod pipeline;
mod redact;
mod report;
mod target;
mod watch;

use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use url::Url;

pub use browsers::{Browser, Verdict};
pub use entry::Entry;
pub use report::{Outcome, Report, Steps, TrackReport};
pub use target::{BadTarget, Target};

use crate::{
    hub::Formats,
    media::{Reason, VideoFormat, h264::Profile},
    source::{
        self, Error,
        config::{Input, Transport},
        visit::{Host, visit},
    },
};
use browsers::Picture;
use masked::masked;
use redact::Redactor;
use watch::{Limits, Watch};

/// Ctrl-C.
const INTERRUPTED: &str = "interrupted before anything came";
/// A GOP that newcomers notice: with the gateway's cache they see a picture at once, but a burst of so much video first.
const LONG_GOP_S: f64 = 4.0;
/// The longest that the gateway keeps by itself (gop_cache_seconds).
const CACHED_GOP_S: f64 = 30.0;
/// Faster or slower clocks than this are no crystal's.
const DRIFT_PPM: f64 = 500.0;
/// Within which sender reports come: the interval is 5 s, stretched by chance to 6.2 s (RFC 3550 section 6.3.1).
const REPORTS_S: f64 = 7.0;
/// A camera whose clock is further off does not know the time.
const CLOCK_OFF_S: f64 = 60.0;

/// How long to look at a camera.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// From the first packet on.
    pub watch: Duration,
    /// How long to wait for a second keyframe.
    pub patience: Duration,
    /// Whether the other transport is tried when the camera refuses the one that was asked for.
    pub either_transport: bool,
}

/// What came of probing.
#[derive(Debug)]
pub struct Probed {
    /// For people and programs.
    pub report: Report,
    /// The text of a file for a bug report, without user names, passwords and addresses.
    pub bug_report: String,
    /// The camera asks for credentials, and there were none.
    pub wants_credentials: bool,
}

/// Looks at a camera until enough was seen or `stop` completes.
pub async fn probe(camera: &source::Config, options: &Options, stop: impl Future<Output = ()>) -> Probed {
    let leave = CancellationToken::new();
    let stopping = async {
        stop.await;
        leave.cancel();
        std::future::pending().await
    };
    let looking = async {
        match &camera.input {
            Input::Rtsp { url, credentials, transport } => {
                let host = Host {
                    name: camera.name.clone(),
                    url: url.clone(),
                    credentials: credentials.clone(),
                    transport: *transport,
                    audio: camera.audio,
                };
                rtsp(host, options, &leave).await
            }
            Input::Pipeline { .. } | Input::Whip { .. } => pipeline::probe(camera, options, &leave).await,
        }
    };
    tokio::select! {
        probed = looking => probed,
        () = stopping => unreachable!("it never ends"),
    }
}

async fn rtsp(mut host: Host, options: &Options, leave: &CancellationToken) -> Probed {
    let limits = Limits { watch: options.watch, patience: options.patience.max(options.watch) };
    let (mut watch, mut result) = look(&host, limits, leave).await;
    let mut note = None;
    if options.either_transport && matches!(result, Err(Error::Transport { .. } | Error::UnclearTransport { .. })) {
        let (refused, other) = match host.transport {
            Transport::Tcp => ("TCP", Transport::Udp),
            Transport::Udp => ("UDP", Transport::Tcp),
        };
        note = Some(format!("the camera does not send over {refused}"));
        host.transport = other;
        (watch, result) = look(&host, limits, leave).await;
    }
    watch.habits.finish();
    let mut report = Report::new(without_query(&host.url));
    report.transport = Some(transport_name(host.transport));
    report.take(&watch);
    report.notes.extend(note);
    report.notes.extend(notes(&report, &watch, host.transport));
    conclude(&mut report, &watch, result.as_ref().err());
    let answers = result.is_ok() || report.outcome == Outcome::NotPlayable;
    report.entry = answers.then(|| {
        let username = host.credentials.as_ref().map(|credentials| credentials.username.as_str());
        Entry { name: &host.name, url: &host.url, username, transport: host.transport }.toml()
    });
    let bug_report = bug_report::text(&report, Some(&watch), &Redactor::of(&host));
    Probed { report, bug_report, wants_credentials: matches!(result, Err(Error::NoCredentials { .. })) }
}

async fn look(host: &Host, limits: Limits, leave: &CancellationToken) -> (Watch, Result<(), Error>) {
    let mut watch = Watch::new(limits, Instant::now(), SystemTime::now());
    let result = visit(host, leave, &mut |at, event| watch.note(at, event)).await;
    (watch, result)
}

/// Whether it can be watched, and why not.
fn conclude(report: &mut Report, watch: &Watch, error: Option<&Error>) {
    if let Some(error) = error {
        report.say(&Reason::new(error.code(), error.to_string()));
        report.outcome = match error {
            Error::Codec { codec } => {
                report.browsers = browsers::none(codec);
                report.advice.push(
                    "set the video codec (\"encode mode\") of this stream to H.264, or use another stream of it in url"
                        .to_owned(),
                );
                Outcome::NotPlayable
            }
            Error::NoVideo { .. } | Error::NoKeyframe { .. } | Error::NoParameterSets { .. } => Outcome::NotPlayable,
            _ => Outcome::Failed,
        };
        return;
    }
    let Some(track) = report.video().filter(|track| track.packets > 0) else {
        let sound = report.tracks.iter().any(|track| track.media == "audio" && track.packets > 0);
        report.outcome = if sound { Outcome::Playable } else { Outcome::Failed };
        report.reason = (!sound).then(|| INTERRUPTED.to_owned());
        return;
    };
    let Some(format) = &watch.format else {
        report.outcome = Outcome::NotPlayable;
        report.reason = Some("the H.264 parameter sets of the camera cannot be read".to_owned());
        return;
    };
    let b_frames = track.b_frames == Some(true);
    judge(report, format, b_frames);
}

/// By what browsers make of its picture.
fn judge(report: &mut Report, format: &VideoFormat, b_frames: bool) {
    let profile = Profile::of(format.profile_level_id());
    let picture = Picture { profile, size: (format.width, format.height), b_frames };
    let (browsers, advice) = browsers::judge(&picture);
    report.advice.extend(advice);
    report.outcome = match browsers.iter().any(|browser| browser.verdict == Verdict::Plays) {
        true => Outcome::Playable,
        false => Outcome::NotPlayable,
    };
    let refused = browsers.iter().find(|browser| browser.verdict != Verdict::Plays);
    if let Some(browser) = refused.filter(|_| report.outcome == Outcome::NotPlayable) {
        // What viewers are told of the picture, where they are.
        match (Formats { video: Some(format.clone()), b_frames, ..Formats::default() }).video_note() {
            Some(note) => report.say(&note),
            None => report.reason = Some(format!("browsers do not show it well: {}", browser.why)),
        }
    }
    report.browsers = browsers;
}

fn notes(report: &Report, watch: &Watch, transport: Transport) -> Vec<String> {
    let mut notes = Vec::new();
    let watched_s = watch.video().map_or(0.0, |track| track.clock.span_s());
    if report.authentication.as_ref().is_some_and(|kinds| kinds.iter().any(|kind| kind == "Basic")) {
        notes.push("Basic authentication: whoever listens on the network can read the password".to_owned());
    }
    for track in &report.tracks {
        notes.extend(track.note.clone());
        let name = if track.media == "video" { "picture" } else { "sound" };
        if track.lost > 0 && transport == Transport::Udp {
            let lost = track.lost;
            notes.push(format!("{lost} packets of the {name} were lost: with transport = \"tcp\" none are"));
        }
        if track.sender_reports == Some(0) && track.media == "video" && watched_s >= REPORTS_S {
            notes.push("no sender reports came: picture and sound are kept together by their arrival".to_owned());
        }
        let drift = track.drift_ppm.zip(track.drift_within_ppm);
        if let Some((ppm, _)) = drift.filter(|(ppm, within)| ppm.abs() - within > DRIFT_PPM) {
            let way = if ppm > 0.0 { "faster" } else { "slower" };
            notes.push(format!("the clock of the {name} runs {:.0} ppm {way} than true time", ppm.abs()));
        }
        if track.clock_jumps.is_some_and(|jumps| jumps > 0) {
            notes.push(format!("the clock of the {name} jumps: the camera's firmware may be at fault"));
        }
    }
    let off = report.video().and_then(|track| track.clock_ahead_s).filter(|ahead| ahead.abs() > CLOCK_OFF_S);
    if let Some(ahead) = off {
        let way = if ahead > 0.0 { "ahead" } else { "behind" };
        let off = humantime::format_duration(Duration::from_secs_f64(ahead.abs().min(1e10).round()));
        notes.push(format!("the camera's clock is {off} {way}: set its time (NTP); watching does not depend on it"));
    }
    let gop = report.video().and_then(|track| track.longest_gop_s.or(track.gop_longer_than_s));
    match gop {
        Some(seconds) if seconds > CACHED_GOP_S => notes.push(format!(
            "keyframes are {seconds} s apart and more: whoever joins waits for the next one; set a keyframe (I-frame) \
             interval of 1 to 2 s in the camera"
        )),
        Some(seconds) if seconds > LONG_GOP_S => notes.push(format!(
            "keyframes are {seconds} s apart: a picture that is lost comes back late; set a keyframe (I-frame) interval \
             of 1 to 2 s in the camera"
        )),
        _ => {}
    }
    notes
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    masked(shown.as_str()).0
}
