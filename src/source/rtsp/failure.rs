//! What a retina error means to the person who owns the camera.
//!
//! retina's errors can be told apart only by their status code and their text; the texts used here are checked by
//! tests against real connections.

use std::io;

use super::Input;
use crate::{
    panics::{Caught, Part, Whose},
    source::{
        Error, Step,
        config::Transport,
        error::{is_out_of_descriptors, redacted},
    },
};

/// How retina's text begins when a socket could not be connected.
const CONNECT: &str = "Unable to connect to RTSP server: ";
/// What stands before the reason why it cannot log in.
const CHALLENGE: &str = "Can't understand WWW-Authenticate header: ";
/// What stands before the reason why it cannot read a description.
const DESCRIPTION: &str = "Unable to parse SDP: ";
/// What its texts about an answer to SETUP say where the answer's Transport cannot be used.
const TRANSPORT: [&str; 3] = ["Transport header", "channel", "server_port"];

impl Input {
    /// The failure at `step` in words; holds no secret.
    pub(super) fn failure(&self, error: &retina::Error, step: Step) -> Error {
        let text = error.to_string();
        let reason = redacted(&text).unwrap_or_else(|| "no reason given".into());
        match error.status_code() {
            Some(401) if text.contains(CHALLENGE) => Error::UnknownLogin { asked: asked(&reason) },
            Some(status @ (401 | 403)) => match self.credentials {
                Some(_) => Error::BadCredentials { camera: self.camera.clone(), status },
                None => Error::NoCredentials { camera: self.camera.clone(), status },
            },
            Some(404) => Error::NotFound,
            Some(461) => {
                let (tried, instead) = self.transports();
                Error::Transport { tried, instead }
            }
            Some(200..=299) if step == Step::Setup && TRANSPORT.iter().any(|words| reason.contains(words)) => {
                let (tried, instead) = self.transports();
                Error::UnclearTransport { tried, instead, reason }
            }
            // The request was granted, but the answer makes no sense.
            Some(200..=299) if step == Step::Describe && text.contains(DESCRIPTION) => unreadable(&reason),
            Some(200..=299) => Error::Protocol { step, reason },
            Some(status) if status == 453 || (status == 503 && step != Step::Describe) => Error::Full { step, status },
            Some(status) => Error::Status { step, status },
            None => self.without_status(&text, reason, step),
        }
    }

    /// DESCRIBE panicked. sdp-types 0.1.8 does behind a line of a media section that is no `key=value`.
    pub(super) fn undescribed(&self, panic: Caught) -> Error {
        if panic.is_in("sdp-types") {
            return unreadable("Unable to parse SDP: a line is no key=value");
        }
        let reason = panic.tell(Part::Camera, Whose::camera(&self.camera)).to_string();
        Error::Protocol { step: Step::Describe, reason }
    }

    /// The transport that is asked for, and the other one.
    fn transports(&self) -> (&'static str, &'static str) {
        match self.transport {
            Transport::Tcp => ("TCP", "udp"),
            Transport::Udp => ("UDP", "tcp"),
        }
    }

    fn without_status(&self, text: &str, reason: String, step: Step) -> Error {
        let first = text.lines().next().unwrap_or_default();
        if os_error(first).is_some_and(|error| is_out_of_descriptors(&error)) {
            return Error::NoDescriptors { peer: self.peer.clone() };
        }
        if let Some(cause) = text.strip_prefix(CONNECT) {
            let error = os_error(cause).unwrap_or_else(|| io::Error::other(cause.to_owned()));
            return Error::unconnected(&self.peer, &error);
        }
        let ended = first.contains("EOF while expecting") || first.contains("unexpected end of file");
        let reset = os_error(first)
            .is_some_and(|error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
        match step {
            Step::Setup | Step::Play if ended || reset => Error::HungUpAt { step },
            _ if ended || reset => Error::HungUp,
            _ => Error::Protocol { step, reason },
        }
    }
}

/// GStreamer reads all descriptions that are known to be refused here.
fn unreadable(reason: &str) -> Error {
    Error::Protocol { step: Step::Describe, reason: format!("{reason}; pipeline = \"rtspsrc\" may understand it") }
}

/// What is not understood of a challenge.
fn asked(reason: &str) -> String {
    let asked = reason.split_once(CHALLENGE).map_or(reason, |(_, asked)| asked);
    asked.trim_end_matches('.').to_owned()
}

/// The number that an operating system's error ends with: `... (os error 111)`.
fn os_error(text: &str) -> Option<io::Error> {
    let (_, number) = text.rsplit_once("(os error ")?;
    number.trim_end().strip_suffix(')')?.parse().ok().map(io::Error::from_raw_os_error)
}

/// Whether the error is about a single packet, after which the session goes on: a packet that makes no sense, of media or of
/// RTCP, or one after which retina's depacketizer starts afresh. The text then tells where the packet was.
pub(super) fn is_about_one_packet(error: &retina::Error) -> bool {
    error.status_code().is_none() && error.to_string().contains("\npkt: ")
}

/// Whether the packet is of another source than the track's, or so far from the order that it might be.
pub(super) fn is_foreign(error: &retina::Error) -> bool {
    let text = error.to_string();
    text.starts_with("wrong ssrc ") || text.starts_with("Out-of-order packet ")
}

/// Whether the camera has not answered a keepalive until the next one was due. retina then sends no more of them, and goes on
/// giving what comes.
pub(super) fn is_unanswered_keepalive(error: &retina::Error) -> bool {
    error.status_code().is_none() && error.to_string().contains("Server failed to respond to keepalive ")
}

/// Whether the camera answered what nobody had asked, as Tapo's do when they answer a keepalive with the number of the request
/// before it. What comes behind the answer is good.
pub(super) fn is_odd_answer(error: &retina::Error) -> bool {
    error.status_code().is_none() && error.to_string().contains("Unexpected RTSP response ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_are_read_back() {
        let kind = |text| os_error(text).map(|error| error.kind());
        assert_eq!(kind("Connection refused (os error 111)"), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind("Connection refused"), None);
        assert_eq!(kind("(os error x)"), None);
    }
}
