//! What a server's answer promises: which media it will send, and where it is to be reached.

use std::{fmt, net::IpAddr};

use serde::Serialize;
use webrtc::{error::Error, peer_connection::RTCSessionDescription};

/// A parsed answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) description: RTCSessionDescription,
    /// It will send a picture.
    pub(super) video: bool,
    /// It will send sound.
    pub(super) audio: bool,
    /// Each once, in the answer's order.
    pub(super) candidates: Vec<Candidate>,
}

/// An ICE candidate (RFC 8839 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// `udp` or `tcp`.
    pub transport: String,
    /// An IP address, or a host name (mDNS).
    pub address: String,
    /// Of the transport.
    pub port: u16,
    /// `host`, `srflx`, `prflx` or `relay`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Answer {
    /// # Errors
    /// When it is no SDP.
    pub(super) fn read(sdp: &str) -> Result<Self, Error> {
        let description = RTCSessionDescription::answer(sdp.to_owned())?;
        let parsed = description.unmarshal()?;
        let mut candidates: Vec<Candidate> = Vec::new();
        for attribute in parsed.media_descriptions.iter().flat_map(|media| &media.attributes) {
            let candidate = attribute.value.as_deref().filter(|_| attribute.key == "candidate");
            match candidate.and_then(Candidate::read) {
                Some(candidate) if !candidates.contains(&candidate) => candidates.push(candidate),
                _ => {}
            }
        }
        let sends = |kind: &str| {
            parsed.media_descriptions.iter().any(|media| {
                let refused = media.media_name.port.value == 0;
                let idle = media.has_attribute("inactive") || media.has_attribute("recvonly");
                media.media_name.media == kind && !refused && !idle
            })
        };
        let (video, audio) = (sends("video"), sends("audio"));
        Ok(Self { description, video, audio, candidates })
    }
}

impl Candidate {
    /// `foundation component transport priority address port typ type ...`; the second component of one that is not
    /// multiplexed is passed over.
    fn read(value: &str) -> Option<Self> {
        let words: Vec<_> = value.split_ascii_whitespace().collect();
        match words[..] {
            [_, "1", transport, _, address, port, "typ", kind, ..] => Some(Self {
                transport: transport.to_ascii_lowercase(),
                address: address.to_owned(),
                port: port.parse().ok()?,
                kind: kind.to_owned(),
            }),
            _ => None,
        }
    }

    /// The address, unless it is a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, address, port, kind } = self;
        match self.ip() {
            Some(IpAddr::V6(ip)) => write!(f, "{transport} [{ip}]:{port}")?,
            _ => write!(f, "{transport} {address}:{port}")?,
        }
        if kind == "host" { Ok(()) } else { write!(f, " {kind}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:96 H264/90000\r\na=sendonly\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.7 8189 typ host\r\n\
        a=candidate:1 2 udp 2130706430 192.0.2.7 8189 typ host\r\n\
        a=candidate:2 1 UDP 1694498815 2001:db8::1 8189 typ srflx raddr 10.0.0.1 rport 8189\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=inactive\r\n";

    #[test]
    fn an_answer_tells_its_media_and_candidates() {
        let answer = Answer::read(ANSWER).unwrap();
        assert_eq!((answer.video, answer.audio), (true, false));
        let shown: Vec<_> = answer.candidates.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["udp 192.0.2.7:8189", "udp [2001:db8::1]:8189 srflx"]);
    }

    #[test]
    fn a_direction_decides_who_sends() {
        let inactive = Answer::read(&ANSWER.replace("a=sendonly", "a=inactive")).unwrap();
        assert!(!inactive.video);
        assert!(Answer::read("hello").is_err());
    }
}
