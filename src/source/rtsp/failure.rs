//! What a retina error means to the person who owns the camera.
//!
//! retina's errors can be told apart only by their status code and their text; the texts used here are checked by
//! tests against real connections.

use std::io;

use super::Input;
use crate::source::{Error, Step, config::Transport, error::redacted};

/// How retina's text begins when a socket could not be connected.
const CONNECT: &str = "Unable to connect to RTSP server: ";
/// What stands before the reason why it cannot log in.
const CHALLENGE: &str = "Can't understand WWW-Authenticate header: ";

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
            Some(461) => match self.transport {
                Transport::Tcp => Error::Transport { tried: "TCP", instead: "udp" },
                Transport::Udp => Error::Transport { tried: "UDP", instead: "tcp" },
            },
            // The request was granted, but the answer makes no sense.
            Some(200..=299) => Error::Protocol { step, reason },
            Some(status) if status == 453 || (status == 503 && step != Step::Describe) => Error::Full { step, status },
            Some(status) => Error::Status { step, status },
            None => self.without_status(&text, reason, step),
        }
    }

    fn without_status(&self, text: &str, reason: String, step: Step) -> Error {
        if let Some(cause) = text.strip_prefix(CONNECT) {
            let kind = os_error(cause).map(|error| error.kind());
            return match kind {
                Some(io::ErrorKind::ConnectionRefused) => Error::Refused { peer: self.peer.clone() },
                _ => Error::Unreachable {
                    peer: self.peer.clone(),
                    reason: redacted(cause).unwrap_or_else(|| "no reason given".into()),
                },
            };
        }
        let first = text.lines().next().unwrap_or_default();
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

/// Whether the error is about a single packet, after which the session goes on: retina's depacketizer starts afresh
/// with the next one. The text then tells the packet's sequence number.
pub(super) fn is_about_one_packet(error: &retina::Error) -> bool {
    error.status_code().is_none() && error.to_string().contains("\nseq: ")
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
