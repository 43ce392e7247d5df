//! Why a camera cannot be watched, in words that say what to do about it.
//!
//! Made by `rtsp` and `capture`, shown by the supervisor in the camera's state and in the log. No message holds a
//! secret: texts that come from outside pass through [`redacted`].

use std::{fmt, io, time::Duration};

use thiserror::Error;

use super::capture::LaunchError;
use crate::media::CameraName;

mod code;

/// What stands between a camera and its viewers.
#[derive(Debug, Error)]
pub enum Error {
    /// The host name has no address.
    #[error("the host name {host} has no address ({reason}): check the host in url, and the name server")]
    Dns {
        /// The host of the URL.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nothing listens there.
    #[error("{peer} refuses connections: check the port in url, and that RTSP is switched on in the camera")]
    Refused {
        /// Host and port.
        peer: String,
    },
    /// No way to get there.
    #[error("{peer} cannot be reached ({reason}): check that the camera has power and network")]
    Unreachable {
        /// Host and port.
        peer: String,
        /// What the operating system said.
        reason: String,
    },
    /// There is no file descriptor for a connection, which is nothing that the camera could help.
    #[error(
        "{peer} cannot be connected to, because no file descriptor is left for it: raise camgate's limit (LimitNOFILE= under \
         systemd, ulimit -n), or lower [http] max_connections and [webrtc] max_tcp_connections"
    )]
    NoDescriptors {
        /// Host and port.
        peer: String,
    },
    /// An answer did not come in time.
    #[error("no answer from {peer} to {step} within {} s{}", limit.as_secs(), step.advice())]
    Timeout {
        /// Host and port, or the pipeline.
        peer: String,
        /// What was not answered.
        step: Step,
        /// How long was waited.
        limit: Duration,
    },
    /// Everything was agreed on, and then no media came.
    #[error("{peer} sends no picture and no sound: none came within {} s{hint}", limit.as_secs())]
    Silent {
        /// Host and port, or the pipeline.
        peer: String,
        /// How long was waited.
        limit: Duration,
        /// What to try; starts with a colon.
        hint: &'static str,
    },
    /// Frames came, but none to start decoding with.
    #[error("no keyframe came within {} s: set a shorter keyframe (I-frame) interval in the camera", limit.as_secs())]
    NoKeyframe {
        /// How long was waited.
        limit: Duration,
    },
    /// Keyframes came, and nothing that says how to decode them.
    #[error(
        "the camera sends keyframes without parameter sets (SPS and PPS), and none came within {} s: restart the camera, or \
         try another stream of it in url",
        limit.as_secs()
    )]
    NoParameterSets {
        /// How long was waited.
        limit: Duration,
    },
    /// Media came and then stopped, while the connection stayed.
    #[error("{peer} stopped sending (nothing came for {} s): check its power and network, or restart it", limit.as_secs())]
    Stalled {
        /// Host and port, or the pipeline.
        peer: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The camera does not accept the credentials.
    #[error("the camera refused the user name or password ({status}): check username and password of camera {camera}")]
    BadCredentials {
        /// Whose configuration to look at.
        camera: CameraName,
        /// 401 or 403.
        status: u16,
    },
    /// The camera wants credentials and there are none.
    #[error("the camera asks for a user name and a password ({status}): set username and password of camera {camera}")]
    NoCredentials {
        /// Whose configuration to look at.
        camera: CameraName,
        /// 401 or 403.
        status: u16,
    },
    /// The camera asks who we are in a way that nobody here understands.
    #[error(
        "the camera asks for a login in a way that camgate does not know ({asked}): allow Basic or Digest (MD5 or \
         SHA-256) for RTSP in the camera's settings"
    )]
    UnknownLogin {
        /// What it says about that.
        asked: String,
    },
    /// There is no such stream.
    #[error("the camera has no stream of that name (404): check the path in url")]
    NotFound,
    /// The camera cannot send the way it was asked to.
    #[error("the camera does not send over {tried} (461): set transport = \"{instead}\"")]
    Transport {
        /// The transport that was asked for.
        tried: &'static str,
        /// The one to try.
        instead: &'static str,
    },
    /// The camera agreed to another way than it was asked for, or does not say which.
    #[error("the camera does not say how it sends over {tried} ({reason}): set transport = \"{instead}\"")]
    UnclearTransport {
        /// The transport that was asked for.
        tried: &'static str,
        /// The one to try.
        instead: &'static str,
        /// What is wrong with its answer.
        reason: String,
    },
    /// There is video, but not H.264.
    #[error("the camera sends its video as {codec}, which is not supported: set the camera to H.264")]
    Codec {
        /// The codec's name.
        codec: String,
    },
    /// Neither video nor sound that could be passed on.
    #[error("the camera offers no H.264 video (it offers: {offered}): check the path in url")]
    NoVideo {
        /// What it offers instead.
        offered: String,
    },
    /// The camera serves others, and not us.
    #[error(
        "the camera takes no further connection ({step} was answered {status}), so that another program probably holds it: \
         close that (an app, a recorder, another gateway), or restart the camera"
    )]
    Full {
        /// What was refused.
        step: Step,
        /// 453 or 503.
        status: u16,
    },
    /// The camera answered with an error that has no sentence of its own.
    #[error("the camera answered {step} with status {status}: {}", status_advice(*status))]
    Status {
        /// What was answered.
        step: Step,
        /// RTSP status code.
        status: u16,
    },
    /// The camera sends its clients to another host.
    #[error("the camera sends its clients to {to} ({status}): if that is where you want it from, set url to that")]
    Moved {
        /// Without what may be secret.
        to: String,
        /// RTSP status code.
        status: u16,
    },
    /// The camera said something that cannot be understood.
    #[error("the conversation with the camera failed at {step}: {reason}")]
    Protocol {
        /// Where it happened.
        step: Step,
        /// What was wrong, one line.
        reason: String,
    },
    /// The camera hung up.
    #[error(
        "the camera closed the connection: if it does so again and again, close other programs that watch it, or restart it"
    )]
    HungUp,
    /// The camera hung up instead of an answer, which is how some refuse whom they have no room for.
    #[error("the camera closed the connection at {step}: close other programs that watch it, or restart it")]
    HungUpAt {
        /// What it did not answer.
        step: Step,
    },
    /// The pipeline's file cannot be used.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Built without GStreamer.
    #[error(
        "this build has no GStreamer, so it cannot run pipeline {pipeline}: build it with the feature gstreamer, or \
         give the camera a url"
    )]
    NoGstreamer {
        /// The pipeline's name.
        pipeline: String,
    },
    /// GStreamer refused to start or to go on.
    #[error("pipeline {pipeline}: {element}: {reason}{hint}")]
    Element {
        /// The pipeline's name.
        pipeline: String,
        /// The element that failed.
        element: String,
        /// What it said.
        reason: String,
        /// What to do; empty, or starts with a colon.
        hint: String,
        /// Names the cause for programs.
        code: &'static str,
    },
    /// The pipeline does not deliver what it must.
    #[error("pipeline {pipeline}: {reason}")]
    Pipeline {
        /// The pipeline's name.
        pipeline: String,
        /// What is wrong and what to do.
        reason: String,
        /// Names the cause for programs.
        code: &'static str,
    },
    /// Nothing here makes H.264 of pictures.
    #[error(
        "no H.264 encoder works on this machine ({reason}): install one with: apt install gstreamer1.0-plugins-ugly"
    )]
    NoEncoder {
        /// Why each does not.
        reason: String,
    },
    /// It is published to, and nobody does.
    #[error(
        "nobody publishes to this camera: open /publish/{camera} of the gateway in a browser, or point OBS at /whip/{camera}"
    )]
    NotPublished {
        /// The camera's name.
        camera: String,
    },
    /// Somebody did.
    #[error(
        "whoever published to this camera has gone: open /publish/{camera} of the gateway again, or start OBS again"
    )]
    PublisherGone {
        /// The camera's name.
        camera: String,
    },
    /// Nothing comes from it.
    #[error(
        "nothing has come from the publisher for {} s: check its network and that its camera is on, or open /publish/{camera} of \
         the gateway again",
        limit.as_secs()
    )]
    PublisherSilent {
        /// The camera's name.
        camera: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Packets come from it, and no picture comes of them.
    #[error(
        "no picture has come of what the publisher sends for {} s: if it has changed its codec, set H.264 in it and begin again, or \
         open /publish/{camera} of the gateway instead",
        limit.as_secs()
    )]
    PublisherUnreadable {
        /// The camera's name.
        camera: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Pictures come from it, and none to start decoding with.
    #[error(
        "the publisher has sent no keyframe for {} s, although it was asked for one: set a keyframe interval in it (2 s), or open \
         /publish/{camera} of the gateway instead",
        limit.as_secs()
    )]
    NoKeyframeFor {
        /// The camera's name.
        camera: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It has no loudspeaker, or does not show it.
    #[error(
        "the camera has no way back for sound (ONVIF audio backchannel): switch its loudspeaker and ONVIF on in its settings, try \
         its main stream in url, or set talk = \"off\""
    )]
    NoBackchannel,
    /// Its loudspeaker wants what nobody here can make.
    #[error(
        "the camera takes sound only as {offered}, which camgate cannot make: set the codec of its way back (audio output) to \
         G.711 in its settings"
    )]
    BackchannelCodec {
        /// What it takes.
        offered: String,
    },
    /// It does not let us.
    #[error(
        "the camera does not open its way back for sound (SETUP was answered {status}), so that somebody else probably talks to it: \
         close that (an app, another gateway), or restart the camera"
    )]
    BackchannelTaken {
        /// RTSP status code.
        status: u16,
    },
    /// The pipeline came to its end.
    #[error("pipeline {pipeline} has ended: a camera's pipeline must have a live source")]
    EndOfStream {
        /// The pipeline's name.
        pipeline: String,
    },
}

fn status_advice(status: u16) -> &'static str {
    match status {
        503 => "it may be starting, or serve another program already; close that, or restart the camera",
        400..=499 => "check the path in url, or try another stream of the camera",
        _ => "restart the camera, or try another stream of it in url",
    }
}

/// Where in the conversation with a camera something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening the TCP connection.
    Connect,
    /// Asking what streams there are.
    Describe,
    /// Asking for one stream.
    Setup,
    /// Asking to start.
    Play,
    /// Receiving media.
    Media,
    /// Starting a pipeline.
    Start,
}

impl Step {
    fn advice(self) -> &'static str {
        match self {
            Self::Connect => ": check the host in url, that the camera has power and network, and firewalls",
            Self::Describe => ": check that the port in url is the camera's RTSP port, or restart the camera",
            Self::Setup | Self::Play | Self::Media => ": the camera may have too many connections, or needs a restart",
            Self::Start => ": the device may be busy or gone",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Media => "the media",
            Self::Start => "the start",
        })
    }
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// May be gone in a moment.
    Passing,
    /// Nobody is there: whether that has changed, a TCP connection to the camera's port tells at next to no cost.
    Absent,
    /// The camera said no to who we are: trying often locks the account.
    Credentials,
    /// Stays until somebody changes the configuration or the camera.
    Setting,
}

impl Error {
    /// What it means for the next try.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::BadCredentials { .. } | Self::NoCredentials { .. } => FailureKind::Credentials,
            Self::NotFound
            | Self::Transport { .. }
            | Self::UnclearTransport { .. }
            | Self::Moved { .. }
            | Self::Codec { .. }
            | Self::NoVideo { .. }
            | Self::Launch(_)
            | Self::UnknownLogin { .. }
            | Self::NoGstreamer { .. }
            | Self::NoEncoder { .. }
            | Self::NoBackchannel
            | Self::BackchannelCodec { .. }
            | Self::Pipeline { .. } => FailureKind::Setting,
            Self::Dns { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { step: Step::Connect, .. }
            | Self::NotPublished { .. }
            | Self::PublisherGone { .. }
            | Self::PublisherSilent { .. } => FailureKind::Absent,
            Self::Timeout { .. }
            | Self::NoDescriptors { .. }
            | Self::Silent { .. }
            | Self::NoKeyframe { .. }
            | Self::NoKeyframeFor { .. }
            | Self::PublisherUnreadable { .. }
            | Self::NoParameterSets { .. }
            | Self::Stalled { .. }
            | Self::Status { .. }
            | Self::Protocol { .. }
            | Self::Full { .. }
            | Self::BackchannelTaken { .. }
            | Self::HungUp
            | Self::HungUpAt { .. }
            | Self::Element { .. }
            | Self::EndOfStream { .. } => FailureKind::Passing,
        }
    }

    /// Why there is no TCP connection to `peer`.
    pub(super) fn unconnected(peer: &str, error: &io::Error) -> Self {
        let peer = peer.to_owned();
        match error.kind() {
            _ if is_out_of_descriptors(error) => Self::NoDescriptors { peer },
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            _ => {
                let reason = redacted(&error.to_string()).unwrap_or_else(|| "no reason given".into());
                Self::Unreachable { peer, reason }
            }
        }
    }

    /// Whether the camera refused who we are.
    pub fn is_auth(&self) -> bool {
        self.kind() == FailureKind::Credentials
    }
}

/// "Too many open files", of the process and of the machine: Linux, all architectures.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Whether it is this machine that has no file descriptor left.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code))
}

/// The first line of a text from outside, without what a URL may hide in it and what would move a terminal's cursor. `None`
/// when nothing is left.
pub(super) fn redacted(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?.replace(char::is_control, "");
    let words = line.split(' ').map(|word| match word.find("://") {
        Some(at) => {
            let scheme = word[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |before| before + 1);
            format!("{}{}", &word[..scheme], crate::source::config::redact_url(&word[scheme..]))
        }
        None => word.to_owned(),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_do() {
        let camera: CameraName = "front".parse().unwrap();
        let refused = Error::BadCredentials { camera, status: 401 };
        assert!(refused.is_auth());
        assert_eq!(
            refused.to_string(),
            "the camera refused the user name or password (401): check username and password of camera front"
        );
        let codec = Error::Codec { codec: "H.265".into() };
        assert_eq!(codec.kind(), FailureKind::Setting);
        assert!(codec.to_string().ends_with("set the camera to H.264"));
        let late = Error::Timeout { peer: "cam:554".into(), step: Step::Describe, limit: Duration::from_secs(10) };
        assert!(late.to_string().starts_with("no answer from cam:554 to DESCRIBE within 10 s: check"), "{late}");
    }

    #[test]
    fn a_lack_of_descriptors_is_not_laid_at_the_cameras_door() {
        for (code, kind, words) in [
            (24, FailureKind::Passing, "LimitNOFILE"),
            (23, FailureKind::Passing, "LimitNOFILE"),
            (111, FailureKind::Absent, "refuses connections"),
            (113, FailureKind::Absent, "check that the camera has power"),
        ] {
            let error = Error::unconnected("cam:554", &io::Error::from_raw_os_error(code));
            assert!(error.kind() == kind && error.to_string().contains(words), "{code}: {error}");
        }
    }

    #[test]
    fn urls_in_foreign_texts_lose_their_secrets() {
        let text = "\nCould not open \"rtsp://admin:hunter2@cam/live?password=hunter2\" now\nconn: more";
        let shown = redacted(text).unwrap();
        assert_eq!(redacted("\u{1b}[2J is said").as_deref(), Some("[2J is said"));
        assert!(!shown.contains("hunter2") && shown.contains("rtsp://***@cam/..."), "{shown}");
        assert_eq!(redacted(" \n\n"), None);
    }
}
