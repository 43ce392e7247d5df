//! What `camgate play` says at the end: a table for people, one JSON object for programs (docs/play.md).

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{answer::Candidate, measure::Track};
use crate::media::h264;

/// Counts up when a field changes its meaning or goes away; new fields do not count.
const FORMAT: u32 = 1;

/// The result of playing a WHEP URL.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// What was asked for, without the query, which may hold a secret.
    pub url: String,
    /// Where redirects led, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirected_to: Option<String>,
    /// A picture that moves arrived; or sound, where the server sends no picture.
    pub played: bool,
    /// The step that failed, if one did.
    pub failure: Option<Failure>,
    /// When each step was done.
    pub steps: Steps,
    /// Where ICE may reach the server, by its answer.
    pub server_candidates: Vec<Candidate>,
    /// The candidate pair in use.
    pub pair: Option<Pair>,
    /// What arrived of the picture.
    pub video: Option<Media>,
    /// What arrived of the sound.
    pub audio: Option<Media>,
    /// What is odd, but no failure: a WHEP rule that the server does not keep, sound that did not come.
    pub notes: Vec<String>,
}

/// Milliseconds from the POST that was answered, unless said otherwise.
#[derive(Debug, Default, Serialize)]
pub struct Steps {
    /// From the first POST to that one: what the server's `Retry-After` took.
    pub waited_ms: f64,
    /// The answer was there.
    pub answer_ms: Option<f64>,
    /// ICE found a pair.
    pub ice_ms: Option<f64>,
    /// DTLS was through, too.
    pub connected_ms: Option<f64>,
    /// The first RTP packet.
    pub first_packet_ms: Option<f64>,
    /// The last packet of the first keyframe.
    pub first_keyframe_ms: Option<f64>,
}

/// Both ends of the connection.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// Ours.
    pub local: Candidate,
    /// The server's.
    pub remote: Candidate,
}

/// The steps of playing, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Sockets and an offer of our own.
    Local,
    /// Name lookup, TCP, TLS, an HTTP response.
    Http,
    /// The server said no.
    Refused,
    /// An answer that can be used.
    Answer,
    /// A way through the network.
    Ice,
    /// Encryption.
    Dtls,
    /// The first packet.
    Media,
    /// The first keyframe.
    Keyframe,
    /// Further frames.
    Frames,
    /// To be still there at the end.
    Watch,
    /// Ctrl-C before there was a picture.
    Interrupted,
}

/// The step that failed and why.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// Which.
    pub step: Step,
    /// A sentence.
    pub detail: String,
}

impl Failure {
    pub(super) fn new(step: Step, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into() }
    }
}

/// What arrived on one track.
#[derive(Debug, Serialize)]
pub struct Media {
    /// The encoding name, such as `H264` or `opus`.
    pub codec: String,
    /// What the answer says about it.
    pub fmtp: String,
    /// Of H.264, out of the stream itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Of H.264, such as `3.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// In pixels, out of the stream itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_rate: Option<u32>,
    /// Of sound, by the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Frames of a picture, packets of sound.
    pub frames: u64,
    /// None where they cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyframes: Option<u64>,
    /// Mean number of frames from one keyframe to the next; none before the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_frames: Option<f64>,
    /// The same in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_ms: Option<f64>,
    /// Frames per second of a picture, its first second left out.
    pub fps: Option<f64>,
    /// Of RTP payload, the first second left out.
    pub bitrate_kbps: Option<f64>,
    /// Received.
    pub packets: u64,
    /// Never received, repair included.
    pub lost: u64,
    /// Received behind a later one: reordered, or sent again.
    pub late: u64,
    /// Interarrival jitter at the end (RFC 3550 section 6.4.1).
    pub jitter_ms: f64,
    /// Intervals between frames over three times the usual one, and over that plus 150 ms.
    pub gaps: u64,
    /// The longest interval between two frames.
    pub longest_gap_ms: f64,
}

impl Media {
    pub(super) fn of(track: &Track, is_video: bool) -> Self {
        let sound = |value| (!is_video).then_some(value);
        let profile = track.profile_level_id;
        let gop = track.gop();
        let rate = track.rate().filter(|_| is_video);
        Self {
            codec: track.codec.clone(),
            fmtp: track.fmtp.clone(),
            profile: profile.map(|id| h264::Profile::of(id).name().to_owned()),
            level: profile.map(|[_, _, level]| format!("{}.{}", level / 10, level % 10)),
            width: track.size.map(|(width, _)| width),
            height: track.size.map(|(_, height)| height),
            clock_rate: sound(track.clock_rate).filter(|rate| *rate > 1),
            channels: (!is_video).then_some(track.channels),
            frames: track.frames,
            keyframes: track.tells_keyframes().then_some(track.keyframes),
            gop_frames: gop.map(tenths),
            gop_ms: gop.zip(rate).map(|(frames, rate)| tenths(frames / rate * 1_000.0)),
            fps: rate.map(tenths),
            bitrate_kbps: track.bitrate().map(|bits| tenths(bits / 1_000.0)),
            packets: track.packets,
            lost: track.lost(),
            late: track.late,
            jitter_ms: millis(track.jitter()),
            gaps: track.gaps,
            longest_gap_ms: millis(track.longest_gap),
        }
    }
}

/// Milliseconds to a tenth.
pub(super) fn millis(time: Duration) -> f64 {
    tenths(time.as_secs_f64() * 1_000.0)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Report {
    pub(super) fn new(url: String) -> Self {
        Self {
            format: FORMAT,
            url,
            redirected_to: None,
            played: false,
            failure: None,
            steps: Steps::default(),
            server_candidates: Vec::new(),
            pair: None,
            video: None,
            audio: None,
            notes: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.redirected_to.as_ref().unwrap_or(&self.url))?;
        let steps = [
            ("answer", self.steps.answer_ms),
            ("ICE", self.steps.ice_ms),
            ("connected", self.steps.connected_ms),
            ("first packet", self.steps.first_packet_ms),
            ("first keyframe", self.steps.first_keyframe_ms),
        ];
        if self.steps.waited_ms > 0.0 {
            writeln!(f, "  {:<15}{:>9.0} ms", "waited", self.steps.waited_ms)?;
        }
        for (name, at) in steps {
            match (name, at, &self.pair) {
                ("ICE", Some(at), Some(Pair { local, remote })) => {
                    writeln!(f, "  {name:<15}{at:>9.0} ms   {local} to {remote}")?;
                }
                (_, Some(at), _) => writeln!(f, "  {name:<15}{at:>9.0} ms")?,
                (_, None, _) => {}
            }
        }
        for (name, media) in [("picture", &self.video), ("sound", &self.audio)] {
            if let Some(media) = media {
                writeln!(f, "  {name:<15}{media}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        match &self.failure {
            Some(failure) => write!(f, "{}", failure.detail),
            None => write!(f, "It plays."),
        }
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.codec)?;
        if let (Some(profile), Some(level)) = (&self.profile, &self.level) {
            write!(f, " {profile} {level}")?;
        }
        if let (Some(width), Some(height)) = (self.width, self.height) {
            write!(f, ", {width}x{height}")?;
        }
        if let Some(fps) = self.fps {
            write!(f, ", {fps} fps")?;
        }
        if let Some(frames) = self.gop_frames {
            write!(f, ", a keyframe every {frames} frames")?;
        }
        if let Some(time) = self.gop_ms {
            write!(f, " ({:.1} s)", time / 1_000.0)?;
        }
        if let Some(rate) = self.bitrate_kbps {
            write!(f, ", {rate:.0} kbit/s")?;
        }
        let Self { frames, packets, lost, late, jitter_ms, gaps, longest_gap_ms, .. } = self;
        let noun = if *gaps == 1 { "gap" } else { "gaps" };
        let frames = if self.clock_rate.is_none() { format!("{frames} frames in ") } else { String::new() };
        write!(f, "\n  {:<15}{frames}{packets} packets, {lost} lost, {late} late", "")?;
        write!(f, ", jitter {jitter_ms} ms, {gaps} {noun}, longest interval {longest_gap_ms:.0} ms")
    }
}
