//! What a source needs to know about its camera.
//!
//! Made by `crate::config` from one `[[camera]]` of the configuration, read by the supervisor. Values that are equal
//! mean the same source, so that a reload can leave a camera alone whose entry did not change. An RTSP URL enters
//! through [`parse_url`], which refuses what the RTSP source cannot open and credentials inside the URL. No `Debug`
//! or `Display` here shows a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

pub use crate::{
    hub::{ClipLimits, GopLimits, Takeover},
    media::CameraName,
};

/// Everything about one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name, unique in the configuration.
    pub name: CameraName,
    /// Where the media comes from.
    pub input: Input,
    /// What becomes of the camera's sound.
    pub audio: Audio,
    /// Whether the camera is asked for what it notices (an ONVIF metadata track).
    pub events: bool,
    /// Bits per second of sound that is transcoded; `None` for what suits speech.
    pub audio_bitrate_bps: Option<u32>,
    /// When the source connects.
    pub start: Start,
    /// How long an on-demand camera stays connected after its last viewer left.
    pub linger: Duration,
    /// The bounds of the cache that shows a new viewer a picture at once.
    pub gop: GopLimits,
    /// How much of the past is kept for clips, if any.
    pub clip: Option<ClipLimits>,
    /// Whether, and how, the people before the camera can be talked to.
    pub talk: Option<Talk>,
}

/// How somebody is heard where a camera is.
#[derive(Debug, Clone, PartialEq)]
pub struct Talk {
    /// By what.
    pub to: Loudspeaker,
    /// How long one may talk at a time.
    pub limit: Duration,
}

/// What people before a camera hear.
#[derive(Debug, Clone, PartialEq)]
pub enum Loudspeaker {
    /// The camera's own, through the audio backchannel of ONVIF.
    Onvif,
    /// One that a GStreamer pipeline plays to.
    Pipeline(Pipeline),
}

/// A GStreamer pipeline and what is in it.
#[derive(Clone, PartialEq)]
pub struct Pipeline {
    /// The name in the configuration: the file without its folder and its `.launch`.
    pub name: String,
    /// The file that was found for it.
    pub file: PathBuf,
    /// Values for the placeholders in the file.
    pub with: BTreeMap<String, String>,
    /// Stands for what was in the file, which may be written anew while the gateway runs.
    pub content: u64,
}

/// Without the values of `with`.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name)
            .field("file", &self.file)
            .field("with", &self.with.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Config {
    /// Whether a camera that is connected as `other` says is connected as this says, too.
    pub(super) fn is_same_source(&self, other: &Self) -> bool {
        self.input == other.input
            && self.events == other.events
            && self.audio == other.audio
            && self.audio_bitrate_bps == other.audio_bitrate_bps
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
    /// Somebody publishes to it.
    Whip {
        /// What becomes of a second publisher.
        takeover: Takeover,
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
            Self::Whip { takeover } => f.debug_struct("Whip").field("takeover", takeover).finish(),
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
    let (scheme, rest) = text.trim().split_once(':').unwrap_or_default();
    if !rest.starts_with("//") && !scheme.eq_ignore_ascii_case("rtsp") {
        return Err(BadUrl::NoScheme { shown: shown() });
    }
    if rest.strip_prefix("//").and_then(|rest| rest.strip_prefix(scheme)).is_some_and(|rest| rest.starts_with("://")) {
        return Err(BadUrl::TwoSchemes { shown: shown() });
    }
    let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or_default();
    let url = Url::parse(text).map_err(|reason| match reason {
        // Of what stands before the last @, which may be anything, nothing can be told but that it is there.
        _ if rest.contains('@') => BadUrl::Credentials { shown: shown() },
        url::ParseError::InvalidPort | url::ParseError::EmptyHost if authority.matches(':').count() > 1 => {
            BadUrl::Brackets { shown: shown() }
        }
        _ => BadUrl::Unparsable { shown: shown(), reason },
    })?;
    if url.scheme() != "rtsp" {
        return Err(BadUrl::Scheme { shown: shown() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials { shown: shown() });
    }
    // What stands before a / that nobody escaped looks like a host and a port: `rtsp://admin:12/34@192.168.1.20/`.
    if rest.split('@').skip(1).any(begins_with_address) {
        return Err(BadUrl::Credentials { shown: shown() });
    }
    match url.fragment() {
        None => {}
        Some(fragment) if fragment.contains('@') => return Err(BadUrl::Credentials { shown: shown() }),
        Some(_) => return Err(BadUrl::Fragment { shown: shown() }),
    }
    match url.host_str() {
        None | Some("") => Err(BadUrl::NoHost { shown: shown() }),
        // Bytes that no name and no address has are escaped by the URL standard.
        Some(host) if host.contains('%') => Err(BadUrl::NoHost { shown: shown() }),
        Some(_) => Ok(url),
    }
}

/// Whether an IPv4 address comes first, or an IPv6 address in brackets.
fn begins_with_address(text: &str) -> bool {
    let end = text.find(['/', '?', '#', ':']).unwrap_or(text.len());
    text[..end].parse::<Ipv4Addr>().is_ok() || text.starts_with('[')
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
    /// A host, or a path, alone.
    #[error("found {shown:?}, allowed: {ALLOWED_URL}; rtsp:// comes first")]
    NoScheme {
        /// The text without its secrets.
        shown: String,
    },
    /// A URL that was pasted behind what stood there already.
    #[error("found {shown:?}, where rtsp:// stands twice, allowed: {ALLOWED_URL}")]
    TwoSchemes {
        /// The text without its secrets.
        shown: String,
    },
    /// An IPv6 address that runs into its port.
    #[error("found {shown:?}, allowed: {ALLOWED_URL}, an IPv6 address in brackets: rtsp://[fd00::20]:554/path")]
    Brackets {
        /// The text without its secrets.
        shown: String,
    },
    /// What stands behind a `#` is never sent.
    #[error(
        "found {shown:?} with a # in it, allowed: {ALLOWED_URL}; write %23 where a # belongs to the path, and leave out what \
         other programs read behind one"
    )]
    Fragment {
        /// The URL without its secrets.
        shown: String,
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
    #[error(
        "found {shown:?}, allowed: {ALLOWED_URL}; they have their own keys, username and password, where no character has to \
         be escaped"
    )]
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
            "rtsp://cam:/stream1",
            " rtsp://cam/stream 1 ",
            "rtsp://cam/user=admin&password=p@ss&channel=1.sdp",
        ] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn refuses_what_the_rtsp_source_cannot_open() {
        assert!(matches!(parse_url("rtsps://cam/"), Err(BadUrl::Scheme { .. })));
        assert!(matches!(parse_url("cam/stream1"), Err(BadUrl::NoScheme { .. })));
        assert!(matches!(parse_url("cam:554/stream1"), Err(BadUrl::NoScheme { .. })));
        assert!(matches!(parse_url("rtsp://rtsp://cam/"), Err(BadUrl::TwoSchemes { .. })));
        assert!(matches!(parse_url("rtsp://fd00::20/"), Err(BadUrl::Brackets { .. })));
        assert!(matches!(parse_url("rtsp://fd00::20:554/"), Err(BadUrl::Brackets { .. })));
        assert!(matches!(parse_url("rtsp://cam/stream1#backchannel=0"), Err(BadUrl::Fragment { .. })));
        assert!(matches!(parse_url("rtsp://cam:rtsp/"), Err(BadUrl::Unparsable { .. })));
        assert!(matches!(parse_url("rtsp://my cam/"), Err(BadUrl::Unparsable { .. })));
        assert!(matches!(parse_url("rtsp://k\u{fc}che/"), Err(BadUrl::NoHost { .. })));
        assert!(matches!(parse_url("rtsp://admin:12/34@192.168.1.20/"), Err(BadUrl::Credentials { .. })));
        assert!(matches!(parse_url("rtsp://admin:1#2@cam/"), Err(BadUrl::Credentials { .. })));
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
