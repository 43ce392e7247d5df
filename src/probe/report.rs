//! What `camgate probe` says: lines for people, one JSON object for programs (docs/probe.md).

use std::fmt;

use serde::Serialize;

use super::{
    browsers::Browser,
    watch::{Track, Watch},
};
use crate::{
    media::{Reason, h264},
    source::visit::{Fate, Greeting},
};

/// Counts up when a field changes its meaning or goes away; new fields do not count.
const FORMAT: u32 = 1;

/// The result of probing a camera.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// The camera's URL without credentials and query, or its name in the configuration.
    pub camera: String,
    /// Whether it can be watched.
    pub outcome: Outcome,
    /// Why not, in a sentence: what the gateway would say, or what browsers make of the picture.
    pub reason: Option<String>,
    /// Names it for programs, where the gateway has it too: docs/why.md.
    pub code: Option<&'static str>,
    /// Settings to change, each a sentence's end: "set ...".
    pub advice: Vec<String>,
    /// `tcp` or `udp`, for RTSP.
    pub transport: Option<&'static str>,
    /// How the camera wants to be told a password; empty when it asks for none.
    pub authentication: Option<Vec<String>>,
    /// RTSP status of a DESCRIBE without credentials.
    pub status: Option<u16>,
    /// What the camera runs, as it says.
    pub server: Option<String>,
    /// When each step was done.
    pub steps: Steps,
    /// What the camera offers, and what came of it.
    pub tracks: Vec<TrackReport>,
    /// Who shows its picture.
    pub browsers: Vec<Browser>,
    /// What is odd, but keeps nobody from watching.
    pub notes: Vec<String>,
    /// What to paste into the configuration.
    pub entry: Option<String>,
}

/// Whether a camera can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In some browser at least.
    Playable,
    /// It answers, but browsers do not show what it sends.
    NotPlayable,
    /// There is nothing to show.
    Failed,
}

/// Milliseconds since the begin.
#[derive(Debug, Default, Serialize)]
pub struct Steps {
    /// The first TCP connection stood.
    pub connected_ms: Option<f64>,
    /// A DESCRIBE without credentials was answered.
    pub answered_ms: Option<f64>,
    /// A DESCRIBE on a second connection was answered with a description.
    pub described_ms: Option<f64>,
    /// PLAY was answered.
    pub playing_ms: Option<f64>,
    /// The first RTP packet came.
    pub first_packet_ms: Option<f64>,
    /// The first keyframe was complete.
    pub first_keyframe_ms: Option<f64>,
}

/// One media section. What does not apply or was not seen is missing.
#[derive(Debug, Default, Serialize)]
pub struct TrackReport {
    /// `video`, `audio`, `application`.
    pub media: String,
    /// As people know it.
    pub codec: String,
    /// `passed`, `transcoded`, `refused` or `unused`.
    pub fate: &'static str,
    /// What of it viewers do not get, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_rate: Option<u32>,
    /// Of sound, where the SDP says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Of H.264, out of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<&'static str>,
    /// Of H.264, such as `3.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Measured, on the camera's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// What the SDP says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_fps: Option<f32>,
    /// Measured, of RTP payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<f64>,
    /// Keyframes seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyframes: Option<u64>,
    /// Mean number of pictures from one to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_frames: Option<f64>,
    /// Mean time from one to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_s: Option<f64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_gop_s: Option<f64>,
    /// With one keyframe only: how long no second came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gop_longer_than_s: Option<f64>,
    /// Whether some were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b_frames: Option<bool>,
    /// Received.
    pub packets: u64,
    /// By gaps in the sequence numbers.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// How much faster the camera's clock runs than this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<f64>,
    /// What that may be off by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_within_ppm: Option<f64>,
    /// Steps of the RTP timestamps that time did not make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_jumps: Option<u32>,
    /// RTCP sender reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_reports: Option<u64>,
    /// By how much the camera's clock, as its reports have it, is ahead of this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_s: Option<f64>,
}

impl Report {
    pub(super) fn new(camera: String) -> Self {
        Self {
            format: FORMAT,
            camera,
            outcome: Outcome::Failed,
            reason: None,
            code: None,
            advice: Vec::new(),
            transport: None,
            authentication: None,
            status: None,
            server: None,
            steps: Steps::default(),
            tracks: Vec::new(),
            browsers: Vec::new(),
            notes: Vec::new(),
            entry: None,
        }
    }

    /// What the gateway would say.
    pub(super) fn say(&mut self, reason: &Reason) {
        self.reason = Some(reason.sentence.clone());
        self.code = Some(reason.code);
    }

    /// Fills in what was seen.
    pub(super) fn take(&mut self, watch: &Watch) {
        if let Some((_, Greeting { status, server, authentication, .. })) = &watch.greeting {
            self.status = Some(*status);
            self.server.clone_from(server);
            self.authentication = Some(authentication.clone());
        }
        let since = |at| watch.since_begin(at).map(tenths);
        self.steps = Steps {
            connected_ms: since(watch.connected),
            answered_ms: since(watch.greeting.as_ref().map(|(at, _)| *at)),
            described_ms: since(watch.described),
            playing_ms: since(watch.playing),
            first_packet_ms: since(watch.first_packet),
            first_keyframe_ms: since(watch.first_keyframe),
        };
        self.tracks = watch.tracks.iter().map(|track| TrackReport::of(track, watch)).collect();
    }

    /// The video that is used, or else the first.
    pub(super) fn video(&self) -> Option<&TrackReport> {
        let videos = || self.tracks.iter().filter(|track| track.media == "video");
        videos().find(|track| track.packets > 0).or_else(|| videos().next())
    }
}

impl TrackReport {
    fn of(track: &Track, watch: &Watch) -> Self {
        let offer = &track.offer;
        let sound = offer.media == "audio";
        let (fate, note) = match &offer.fate {
            Fate::Passed => ("passed", None),
            Fate::Transcoded(note) => ("transcoded", note.clone()),
            Fate::Refused(why) => ("refused", Some(why.clone())),
            Fate::Unused => ("unused", None),
        };
        let mut report = Self {
            media: offer.media.clone(),
            codec: offer.codec.clone(),
            fate,
            note,
            clock_rate: sound.then_some(offer.clock_rate_hz),
            channels: offer.channels,
            width: offer.size.map(|size| size.0),
            height: offer.size.map(|size| size.1),
            sdp_fps: offer.frame_rate,
            packets: track.packets,
            lost: track.lost,
            ..Self::default()
        };
        if track.packets > 0 {
            let drift = track.clock.drift();
            report.fps = track.frame_rate().filter(|_| !sound).map(tenths);
            report.bitrate_kbps = track.bit_rate().map(|rate| tenths(rate / 1_000.0));
            report.jitter_ms = Some(tenths(track.clock.jitter_ms()));
            report.drift_ppm = drift.map(|drift| drift.ppm.round());
            report.drift_within_ppm = drift.map(|drift| drift.within_ppm.ceil());
            report.clock_jumps = Some(track.clock.jumps);
            report.sender_reports = Some(track.reports);
            report.clock_ahead_s = track.camera_ahead_s.map(tenths);
        }
        if track.is_h264() {
            report.take_h264(watch, track.packets > 0);
        }
        report
    }

    fn take_h264(&mut self, watch: &Watch, was_sent: bool) {
        if let Some(format) = &watch.format {
            let id = format.profile_level_id();
            self.profile = Some(h264::Profile::of(id).name());
            self.level = Some(format!("{}.{}", id[2] / 10, id[2] % 10));
            (self.width, self.height) = (Some(format.width), Some(format.height));
        }
        if was_sent {
            let gop = watch.gop.mean();
            self.keyframes = Some(watch.gop.keyframes);
            self.gop_frames = gop.map(|(frames, _, _)| tenths(frames));
            self.gop_s = gop.map(|(_, seconds, _)| tenths(seconds));
            self.longest_gop_s = gop.map(|(_, _, longest)| tenths(longest));
            self.gop_longer_than_s = watch.open_gop_s().filter(|_| gop.is_none()).map(tenths);
            self.b_frames = Some(watch.has_b_frames);
        }
    }
}

pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.camera)?;
        let asks = match self.authentication.as_deref() {
            _ if self.status.is_none() => String::new(),
            Some([]) | None => "asks for no password".to_owned(),
            Some(kinds) => format!("asks for a password ({})", kinds.join(", ")),
        };
        let answer = [Some(asks), self.server.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let over = self.transport.map(|transport| format!("RTP over {}", transport.to_uppercase()));
        let steps = [
            ("connected", self.steps.connected_ms, None),
            ("answered", self.steps.answered_ms, Some(answer)),
            ("described", self.steps.described_ms, None),
            ("playing", self.steps.playing_ms, over),
            ("first packet", self.steps.first_packet_ms, None),
            ("first keyframe", self.steps.first_keyframe_ms, None),
        ];
        for (name, at, more) in steps {
            if let Some(at) = at {
                let line = format!("  {name:<15}{at:>7.0} ms   {}", more.unwrap_or_default());
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for track in &self.tracks {
            let name = match &*track.media {
                "video" => "picture",
                "audio" => "sound",
                _ => "other",
            };
            writeln!(f, "  {name:<15}{track}")?;
        }
        for Browser { family, verdict, why, source } in &self.browsers {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            writeln!(f, "  {family:<15}{}{why} [{source}]", verdict.words())?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        match &self.reason {
            Some(reason) => {
                let mut letters = reason.chars();
                let first = letters.next().map(char::to_uppercase).into_iter().flatten();
                writeln!(f, "{}{}.", first.collect::<String>(), letters.as_str())?;
            }
            None => writeln!(f, "It can be watched.")?,
        }
        for advice in &self.advice {
            writeln!(f, "In the camera: {advice}")?;
        }
        if let Some(entry) = &self.entry {
            write!(f, "\n{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TrackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![match (self.profile, &self.level) {
            (Some(profile), Some(level)) => format!("{} {profile} {level}", self.codec),
            _ => self.codec.clone(),
        }];
        let mut push = |part: Option<String>| parts.extend(part);
        push(self.clock_rate.map(|rate| format!("{rate} Hz")));
        push(self.channels.map(|channels| if channels == 1 { "mono".into() } else { format!("{channels} channels") }));
        push(self.width.zip(self.height).map(|(width, height)| format!("{width}x{height}")));
        let told = self.sdp_fps.map(|fps| format!(" (SDP: {fps})")).unwrap_or_default();
        push(self.fps.map(|fps| format!("{fps} fps{told}")));
        push(self.bitrate_kbps.map(|rate| format!("{rate:.0} kbit/s")));
        let longest = self.longest_gop_s.filter(|longest| Some(*longest) > self.gop_s.map(|mean| mean + 0.2));
        let longest = longest.map(|longest| format!(", at most {longest} s")).unwrap_or_default();
        push(
            self.gop_frames
                .zip(self.gop_s)
                .map(|(frames, seconds)| format!("a keyframe every {frames} frames ({seconds} s{longest})")),
        );
        push(self.gop_longer_than_s.map(|seconds| format!("no second keyframe within {seconds} s")));
        push(self.b_frames.map(|seen| if seen { "with B-frames".into() } else { "no B-frames".into() }));
        push(match self.fate {
            "transcoded" => Some("made into Opus".to_owned()),
            "unused" => Some("not used".to_owned()),
            "refused" => Some("not used".to_owned()),
            _ => None,
        });
        write!(f, "{}", parts.join(", "))?;
        if self.packets == 0 {
            return Ok(());
        }
        write!(f, "\n  {:<15}{} packets, {} lost", "", self.packets, self.lost)?;
        if let Some(jitter) = self.jitter_ms {
            write!(f, ", jitter {jitter} ms")?;
        }
        if let (Some(drift), Some(within)) = (self.drift_ppm, self.drift_within_ppm) {
            write!(f, ", clock drift {drift:.0} ppm (within {within:.0})")?;
        }
        if let Some(jumps) = self.clock_jumps.filter(|jumps| *jumps > 0) {
            write!(f, ", {jumps} jumps of its clock")?;
        }
        match self.sender_reports {
            Some(1) => write!(f, ", 1 sender report"),
            Some(count) => write!(f, ", {count} sender reports"),
            None => Ok(()),
        }
    }
}
