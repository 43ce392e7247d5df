//! The messages themselves (docs/data-channel.md): JSON objects with the version and a type.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{
    hub::Camera,
    media::{CameraEvent, Kind, Reason},
    peer::SessionStatus,
};

/// What is said in a message of ours, and understood in one of a viewer's.
const VERSION: u32 = 1;
/// Longest name that a viewer may give a file, in bytes.
const MAX_ID: usize = 64;

/// What a viewer asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    Keyframe,
    Pause {
        tracks: Vec<Kind>,
        is_paused: bool,
    },
    /// `query` is as in the address of the same file over HTTP.
    Snapshot {
        id: String,
        query: String,
    },
    Clip {
        id: String,
        query: String,
    },
    Cancel {
        id: String,
    },
}

/// A message of a viewer's, before it is looked at.
#[derive(Deserialize)]
struct Raw {
    v: Option<u32>,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    tracks: Option<Vec<String>>,
    width: Option<u32>,
    height: Option<u32>,
    quality: Option<u32>,
    seconds: Option<f64>,
}

/// Reads a message. Members that nobody knows here are passed over, so that a newer page can say more.
///
/// # Errors
/// The message that refuses it.
pub(super) fn read(text: &str) -> Result<Asked, Error> {
    let raw: Raw = serde_json::from_str(text).map_err(|_| {
        Error::new(None, "unreadable", "A message is a JSON object with v, type and what the type has.")
    })?;
    let id = raw.id.clone().filter(|id| id.len() <= MAX_ID);
    let refused = |code, detail: &str| Error::new(id.clone(), code, detail);
    if raw.v != Some(VERSION) {
        return Err(refused("unknown-version", "This gateway speaks version 1: \"v\": 1."));
    }
    let named = || id.clone().ok_or_else(|| refused("no-id", "A file needs an id: a text of 64 bytes at most."));
    let mut query = form_urlencoded::Serializer::new(String::new());
    let sides = [("width", raw.width), ("height", raw.height), ("quality", raw.quality)];
    match raw.kind.as_deref() {
        Some("keyframe") => Ok(Asked::Keyframe),
        Some(kind @ ("pause" | "resume")) => {
            let tracks = raw.tracks.unwrap_or_else(|| vec!["video".to_owned(), "audio".to_owned()]);
            let tracks = tracks.iter().map(|track| match track.as_str() {
                "video" => Ok(Kind::Video),
                "audio" => Ok(Kind::Audio),
                _ => Err(refused("unknown-track", "tracks are \"video\" and \"audio\".")),
            });
            let tracks = tracks.take(2).collect::<Result<_, _>>()?;
            Ok(Asked::Pause { tracks, is_paused: kind == "pause" })
        }
        Some("snapshot") => {
            for (name, value) in sides.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
                query.append_pair(name, &value.to_string());
            }
            Ok(Asked::Snapshot { id: named()?, query: query.finish() })
        }
        Some("clip") => {
            if let Some(seconds) = raw.seconds {
                query.append_pair("seconds", &seconds.to_string());
            }
            Ok(Asked::Clip { id: named()?, query: query.finish() })
        }
        Some("cancel") => Ok(Asked::Cancel { id: named()? }),
        _ => Err(refused("unknown-type", "type is keyframe, pause, resume, snapshot, clip or cancel.")),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Hello<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    camera: &'a str,
}

/// The first message.
pub(super) fn hello(camera: &str) -> Hello<'_> {
    Hello { v: VERSION, kind: "hello", camera }
}

/// How the camera and the way to the viewer are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct State {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    state: &'static str,
    reason: Option<String>,
    code: Option<&'static str>,
    viewers: usize,
    /// Of a camera that is published to.
    published: bool,
    rtt_ms: Option<f64>,
    queueing_ms: f64,
    camera_to_screen_ms: Option<f64>,
}

impl State {
    pub(super) fn of(camera: &Camera, session: &SessionStatus, reason: Option<Reason>) -> Self {
        let ms = |time: Duration| (time.as_secs_f64() * 1e3).round();
        let (reason, code) = reason.map(|Reason { code, sentence }| (sentence, code)).unzip();
        Self {
            v: VERSION,
            kind: "state",
            state: camera.status().state.name(),
            reason,
            code,
            viewers: *camera.viewers().borrow(),
            published: camera.intake().is_occupied(),
            rtt_ms: session.rtt().map(ms),
            queueing_ms: ms(session.path().queueing),
            camera_to_screen_ms: session.screen_delay().map(ms),
        }
    }
}

/// Something that the camera has noticed.
#[derive(Debug, Serialize)]
pub(super) struct Noticed<'a> {
    v: u32,
    #[serde(rename = "type")]
    type_: &'static str,
    kind: Option<&'static str>,
    active: Option<bool>,
    topic: &'a str,
    operation: Option<&'a str>,
    time: Option<&'a str>,
    source: BTreeMap<&'a str, &'a str>,
    data: BTreeMap<&'a str, &'a str>,
}

impl<'a> Noticed<'a> {
    pub(super) fn of(event: &'a CameraEvent) -> Self {
        let map = |items: &'a [(String, String)]| items.iter().map(|(name, value)| (&**name, &**value)).collect();
        Self {
            v: VERSION,
            type_: "event",
            kind: event.kind(),
            active: event.is_active(),
            topic: &event.topic,
            operation: event.operation.as_deref(),
            time: event.time.as_deref(),
            source: map(&event.source),
            data: map(&event.data),
        }
    }
}

/// Why something that a viewer asked for is not done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Error {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    code: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<f64>,
}

impl Error {
    pub(super) fn new(id: Option<String>, code: &str, detail: &str) -> Self {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        Self { v: VERSION, kind: "error", id, code, detail, retry_after_seconds: None }
    }

    pub(super) fn with_retry(mut self, after: Option<Duration>) -> Self {
        self.retry_after_seconds = after.map(|after| after.as_secs_f64());
        self
    }
}

/// What is said of a file.
#[derive(Debug, Serialize)]
pub(super) struct OfFile<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<&'a str>,
}

fn of_file<'a>(kind: &'static str, id: &'a str) -> OfFile<'a> {
    OfFile { v: VERSION, kind, id, name: None, media_type: None, size: None, sha256: None }
}

/// A file begins; its pieces follow.
pub(super) fn file(id: &str) -> OfFile<'_> {
    of_file("file", id)
}

/// All of its pieces were sent.
pub(super) fn done(id: &str) -> OfFile<'_> {
    of_file("done", id)
}

/// No more of its pieces will be.
pub(super) fn cancelled(id: &str) -> OfFile<'_> {
    of_file("cancelled", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let asked = |text: &str| read(text).expect("a good message");
        assert_eq!(asked(r#"{"v":1,"type":"keyframe","more":[]}"#), Asked::Keyframe);
        let both = vec![Kind::Video, Kind::Audio];
        assert_eq!(asked(r#"{"v":1,"type":"pause"}"#), Asked::Pause { tracks: both, is_paused: true });
        let sound = Asked::Pause { tracks: vec![Kind::Audio], is_paused: false };
        assert_eq!(asked(r#"{"v":1,"type":"resume","tracks":["audio"]}"#), sound);
        let snapshot = Asked::Snapshot { id: "a".into(), query: "width=640&quality=70".into() };
        assert_eq!(asked(r#"{"v":1,"type":"snapshot","id":"a","width":640,"quality":70}"#), snapshot);
        let clip = Asked::Clip { id: "b".into(), query: "seconds=2.5".into() };
        assert_eq!(asked(r#"{"v":1,"type":"clip","id":"b","seconds":2.5}"#), clip);
    }

    #[test]
    fn what_is_not_is_refused_in_words() {
        let code = |text: &str| read(text).expect_err("a bad message").code;
        assert_eq!(code("{"), "unreadable");
        assert_eq!(code("[1]"), "unreadable");
        assert_eq!(code(r#"{"v":2,"type":"keyframe"}"#), "unknown-version");
        assert_eq!(code(r#"{"type":"keyframe"}"#), "unknown-version");
        assert_eq!(code(r#"{"v":1,"type":"reboot"}"#), "unknown-type");
        assert_eq!(code(r#"{"v":1,"type":"pause","tracks":["smell"]}"#), "unknown-track");
        assert_eq!(code(r#"{"v":1,"type":"clip"}"#), "no-id");
        assert_eq!(code(&format!(r#"{{"v":1,"type":"clip","id":"{}"}}"#, "x".repeat(65))), "no-id");
        assert_eq!(code(r#"{"v":1,"type":"snapshot","id":"a","width":-1}"#), "unreadable");
    }
}
