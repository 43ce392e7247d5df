//! What a source needs to know about its camera.
//!
//! Made by `crate::config` from one `[[camera]]` of the configuration, read by the supervisor. Values that are equal
//! mean the same source, so that a reload can leave a camera alone whose entry did not change. An RTSP URL enters
//! through [`parse_url`], which refuses what the RTSP source cannot open and credentials inside the URL. No `Debug`
//! or `Display` here shows a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

pub use crate::{hub::GopLimits, media::CameraName};

/// Everything about one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name, unique in the configuration.
    pub name: CameraName,
    /// Where the media comes from.
    pub input: Input,
    /// What becomes of the camera's sound.
    pub audio: Audio,
    /// Bits per second of sound that is transcoded; `None` for what suits speech.
    pub audio_bitrate_bps: Option<u32>,
    /// When the source connects.
    pub start: Start,
    /// How long an on-demand camera stays connected after its last viewer left.
    pub linger: Duration,
    /// The bounds of the cache that shows a new viewer a picture at once.
    pub gop: GopLimits,
}

impl Config {
    /// Whether a camera that is connected as `other` says is connected as this says, too.
    pub(super) fn is_same_source(&self, other: &Self) -> bool {
        self.input == other.input && self.audio == other.audio && self.audio_bitrate_bps == other.audio_bitrate_bps
    }
}

/// Where the media of a camera comes from.
#[derive(Clone, PartialEq)]
pub enum Input {
    /// An IP camera.
    Rtsp {
        /// An `rtsp://` URL with a host and without credentials.
        url: Url,
        /// What the camera asks for, if it asks.
        credentials: Option<Credentials>,
        /// How RTP travels.
        transport: Transport,
    },
    /// A GStreamer pipeline.
    Pipeline {
        /// The name in the configuration: the file without its folder and its `.launch`.
        name: String,
        /// The file that was found for it.
        file: PathBuf,
        /// Values for the placeholders in the file.
        with: BTreeMap<String, String>,
        /// Stands for what was in the file, which may be written anew while the gateway runs.
        content: u64,
    },
}

/// Without the path and query of the URL and without the values of `with`: cameras keep passwords there too.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp { url, credentials, transport } => f
                .debug_struct("Rtsp")
                .field("url", &redact_url(url.as_str()))
                .field("credentials", credentials)
                .field("transport", transport)
                .finish(),
            Self::Pipeline { name, file, with, .. } => f
                .debug_struct("Pipeline")
                .field("name", name)
                .field("file", file)
                .field("with", &with.keys().collect::<Vec<_>>())
                .finish(),
        }
    }
}

/// How RTP travels from an RTSP camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Interleaved in the RTSP connection: nothing is lost, and one port is enough for every firewall.
    Tcp,
    /// On two UDP ports of its own: less delay on a network that loses packets.
    Udp,
}

/// What becomes of a camera's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audio {
    /// Passed on untouched where browsers can play it, else transcoded to Opus while somebody listens.
    Auto,
    /// Passed on untouched or not at all.
    Passthrough,
    /// Not asked for.
    Off,
}

/// When a source connects to its camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With the first viewer.
    OnDemand,
    /// With the gateway.
    Always,
}

/// What a camera wants to know before it shows anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user of the camera.
    pub username: String,
    /// That user's password; may be empty, as it is on many cameras.
    pub password: Secret,
}

/// A text that no log, message or `Debug` ever shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as it is.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads the URL of an RTSP camera.
///
/// # Errors
///
/// Everything but `rtsp://host[:port]/path` without credentials. The error shows the URL without its secrets.
pub fn parse_url(text: &str) -> Result<Url, BadUrl> {
    let shown = || redact_url(text);
    let url = Url::parse(text).map_err(|reason| BadUrl::Unparsable { shown: shown(), reason })?;
    if url.scheme() != "rtsp" {
        return Err(BadUrl::Scheme { shown: shown() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials { shown: shown() });
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(BadUrl::NoHost { shown: shown() });
    }
    Ok(url)
}

/// What is wrong with the URL of an RTSP camera. Each message says what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL.
    #[error("found {shown:?} ({reason}), allowed: {ALLOWED_URL}")]
    Unparsable {
        /// The text without its secrets.
        shown: String,
        /// What the URL standard says about it.
        reason: url::ParseError,
    },
    /// A scheme that the RTSP source does not speak.
    #[error(
        "found {shown:?}, allowed: {ALLOWED_URL}; what plain RTSP cannot do (rtsps, http, rtmp, srt) a pipeline can: \
         write pipeline = \"...\" in place of url"
    )]
    Scheme {
        /// The URL without its secrets.
        shown: String,
    },
    /// A username or a password before the host, where every log and process list would show it.
    #[error("found {shown:?}, allowed: {ALLOWED_URL}; they have their own keys, username and password")]
    Credentials {
        /// The URL without its secrets.
        shown: String,
    },
    /// Nothing to connect to.
    #[error("found {shown:?}, which names no host, allowed: {ALLOWED_URL}")]
    NoHost {
        /// The URL without its secrets.
        shown: String,
    },
}

const ALLOWED_URL: &str = "rtsp://host[:port]/path without credentials";

/// A text that may be a URL with only its scheme and host: `rtsp://***@host/...`.
///
/// Works on broken URLs too, where secrets hide in odd places: a password may contain `/`, `#`, `?` and `@`, so that
/// all before the last `@` is taken for credentials, and a path or query may carry a password on its own.
pub fn redact_url(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (host, path) = match rest.find(['/', '?', '#', '\\']) {
        Some(end) if end + 1 < rest.len() => (&rest[..end], "/..."),
        Some(end) => (&rest[..end], "/"),
        None => (rest, ""),
    };
    format!("{scheme}{user}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_urls_of_real_cameras() {
        for url in [
            "rtsp://192.168.1.20/stream1",
            "rtsp://cam.lan:8554/h264Preview_01_main",
            "rtsp://[fe80::1]/",
            "rtsp://cam",
            "RTSP://cam/cam/realmonitor?channel=1&subtype=0",
        ] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn refuses_what_the_rtsp_source_cannot_open() {
        assert!(matches!(parse_url("rtsps://cam/"), Err(BadUrl::Scheme { .. })));
        assert!(matches!(parse_url("cam/stream1"), Err(BadUrl::Unparsable { .. })));
        assert!(matches!(parse_url("rtsp:///stream1"), Err(BadUrl::NoHost { .. })));
        assert!(matches!(parse_url("rtsp:cam"), Err(BadUrl::NoHost { .. })));
    }

    #[test]
    fn no_refusal_shows_a_password() {
        for url in [
            "rtsp://admin:hunter2@cam/stream1",
            "rtsp://admin:hun/ter2#?hunter2@cam/stream1",
            "rtsp://admin:p@hunter2@cam/stream1",
            "http://admin:hunter2@cam/",
            "admin:hunter2@cam/stream1",
            "rtmp://cam/live?password=hunter2",
            "http://cam/user=admin_password=hunter2_channel=1",
        ] {
            let Err(refusal) = parse_url(url) else { panic!("{url} was accepted") };
            assert!(!format!("{refusal} {refusal:?}").contains("ter2"), "{refusal}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let rtsp = Input::Rtsp {
            url: parse_url("rtsp://cam/user=admin_password=hunter2").unwrap(),
            credentials: Some(Credentials { username: "viewer".into(), password: Secret::new("hunter2") }),
            transport: Transport::Tcp,
        };
        let pipeline = Input::Pipeline {
            name: "rtsps".into(),
            file: "rtsps.launch".into(),
            with: [("password".to_owned(), "hunter2".to_owned())].into(),
            content: 0,
        };
        let shown = format!("{rtsp:?} {pipeline:?} {}", Secret::new("hunter2"));
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
}
