//! What SDP says about ICE (RFC 8839), in an offer and in the fragments of it that trickle in later (RFC 8840).

use std::{fmt, net::IpAddr, str::FromStr};

/// Remote candidates that are used. A laptop with every kind of network and two TURN servers has about a dozen.
const MAX_CANDIDATES: usize = 20;
/// Longest candidate that is kept, in bytes. With a name of 253 and every extension in use one has about 450.
pub const MAX_CANDIDATE: usize = 512;
/// Shortest and longest user name fragment (RFC 8839 section 5.4).
pub(super) const UFRAG: std::ops::RangeInclusive<usize> = 4..=256;
/// Shortest and longest password (RFC 8839 section 5.4).
pub(super) const PWD: std::ops::RangeInclusive<usize> = 22..=256;

/// One side's ICE user name fragment and password; they change together, with every restart.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// In the clear in every connectivity check.
    pub ufrag: String,
    /// What checks are authenticated with.
    pub pwd: String,
}

/// Without the password: whoever has it can talk a viewer's media away.
impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.ufrag)
    }
}

impl IceCredentials {
    /// Of the whole description or of its first section that has them.
    pub(super) fn of(sdp: &str) -> Option<Self> {
        let first = |name: &str| attributes(sdp, name).next().map(str::to_owned);
        Some(Self { ufrag: first("ice-ufrag")?, pwd: first("ice-pwd")? })
    }
}

/// What a viewer tells about its side of ICE after its offer: `application/trickle-ice-sdpfrag` (RFC 8840 section 9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceFragment {
    /// Whose candidates these are. New ones restart ICE; without any the candidates are for what there is.
    pub credentials: Option<IceCredentials>,
    /// Values of `a=candidate`, as they came.
    pub candidates: Vec<String>,
}

impl FromStr for IceFragment {
    /// What is wrong with it, as the end of a sentence.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut letters = line.chars();
            if !(letters.next().is_some_and(|letter| letter.is_ascii_lowercase()) && letters.next() == Some('=')) {
                let shown: String = line.chars().take(40).collect();
                return Err(format!("the line {shown:?} is not SDP"));
            }
        }
        let only = |name: &str, length: std::ops::RangeInclusive<usize>| {
            let mut values = attributes(text, name);
            let first = values.next();
            match first {
                Some(value) if values.any(|other| other != value) => Err(format!("it has two different a={name}")),
                Some(value) if !length.contains(&value.len()) || !value.chars().all(is_ice_char) => {
                    Err(format!("a={name} is not {} to {} letters, digits, + or /", length.start(), length.end()))
                }
                _ => Ok(first.map(str::to_owned)),
            }
        };
        let credentials = match (only("ice-ufrag", UFRAG)?, only("ice-pwd", PWD)?) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials { ufrag, pwd }),
            (None, None) => None,
            (Some(_), None) => return Err("it has a=ice-ufrag without a=ice-pwd".to_owned()),
            (None, Some(_)) => return Err("it has a=ice-pwd without a=ice-ufrag".to_owned()),
        };
        let candidates =
            attributes(text, "candidate").filter(|value| is_candidate_length(value)).map(str::to_owned).collect();
        Ok(Self { credentials, candidates })
    }
}

/// RFC 8839 section 5.1. Padding is not allowed there, but some clients use all of base64.
fn is_ice_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

/// What is longer is no candidate of a browser's, and would be kept, logged and told as it came.
pub(super) fn is_candidate_length(candidate: &str) -> bool {
    candidate.len() <= MAX_CANDIDATE
}

/// The values of the attributes of that name, wherever they stand.
pub(super) fn attributes<'a>(sdp: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let value = move |line: &'a str| line.trim_end().strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':');
    sdp.lines().filter_map(value).map(str::trim)
}

/// Those of a viewer's candidates that are of use to us and that somebody honest has, beside `known` ones. Every pair of
/// candidates is checked again and again, so that what is left bounds how many packets they can make us send.
pub(super) fn useful_candidates(candidates: &[String], known: usize) -> impl Iterator<Item = &str> {
    let useful = candidates.iter().map(String::as_str).filter(|candidate| is_useful(candidate));
    useful.take(MAX_CANDIDATES.saturating_sub(known))
}

/// UDP to an address that datagrams can be sent to, and not for RTCP alone. Names (`.local`, RFC 8828) are learned as
/// peer-reflexive candidates.
fn is_useful(candidate: &str) -> bool {
    let mut words = candidate.split_ascii_whitespace().skip(1);
    let rtp = words.next() == Some("1");
    let (transport, _priority, address, port) = (words.next(), words.next(), words.next(), words.next());
    let udp = transport.is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
    let port = port.and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0);
    let unicast = address.and_then(|address| address.parse::<IpAddr>().ok()).is_some_and(|address| {
        let broadcast = address == IpAddr::from([255, 255, 255, 255]);
        !(address.is_unspecified() || address.is_multicast() || broadcast)
    });
    rtp && udp && port && unicast
}

/// The fragment that answers a restart (WHEP section 4.5.3): of `answer` what frames ICE in it, and the new credentials
/// and candidates (values of `a=candidate`).
pub(super) fn restarted(answer: &str, credentials: &IceCredentials, candidates: &[String]) -> String {
    let (session, sections) = answer.split_once("\r\nm=").unwrap_or((answer, ""));
    let is_framing = |line: &&str| {
        let names = ["a=ice-lite", "a=ice-options:", "a=ice-pacing:", "a=group:"];
        names.iter().any(|name| line.starts_with(name))
    };
    let mut lines: Vec<String> = session.lines().filter(is_framing).map(str::to_owned).collect();
    // The first section that is alive carries the transport of the whole bundle (RFC 9143 section 7.2.1).
    let is_alive = |section: &&str| section.split(' ').nth(1) != Some("0");
    if let Some(section) = sections.split("\r\nm=").find(is_alive) {
        let mut first = section.lines();
        lines.extend(first.next().map(|line| format!("m={line}")));
        lines.extend(first.filter(|line| line.starts_with("a=mid:") || is_framing(line)).map(str::to_owned));
    }
    lines.push(format!("a=ice-ufrag:{}", credentials.ufrag));
    lines.push(format!("a=ice-pwd:{}", credentials.pwd));
    lines.extend(candidates.iter().map(|candidate| format!("a=candidate:{candidate}")));
    lines.push("a=end-of-candidates\r\n".to_owned());
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";

    #[test]
    fn a_fragment_is_read_with_and_without_its_frame() {
        let framed = format!(
            "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n{CREDENTIALS}\
             a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
        );
        let fragment: IceFragment = framed.parse().expect("a fragment");
        assert_eq!(fragment.credentials.as_ref().map(|it| it.ufrag.as_str()), Some("EsAw"));
        assert_eq!(fragment.candidates, ["1 1 udp 2122260223 192.0.2.1 61764 typ host"]);
        assert!(!format!("{fragment:?}").contains("P2uY"));
        let bare: IceFragment = "a=candidate:1 1 udp 1 192.0.2.1 6 typ host".parse().expect("a fragment");
        assert_eq!((bare.credentials, bare.candidates.len()), (None, 1));
    }

    #[test]
    fn a_candidate_without_end_is_passed_over() {
        let good = "1 1 udp 2122260223 192.0.2.1 61764 typ host";
        let long = format!("{good} generation {}", "0".repeat(MAX_CANDIDATE));
        let fragment: IceFragment =
            format!("a=candidate:{long}\r\na=candidate:{good}\r\n").parse().expect("a fragment");
        assert_eq!(fragment.candidates, [good]);
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        for bad in [
            "",
            "\r\n",
            "let me in",
            "{\"candidate\":1}",
            "a=ice-ufrag:EsAw",
            "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            "a=ice-ufrag:EsA\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            "a=ice-ufrag:EsAw\na=ice-pwd:short",
            "a=ice-ufrag:Es w\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            "a=ice-ufrag:EsAw\na=ice-ufrag:Other\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        ] {
            assert!(bad.parse::<IceFragment>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_answer_to_a_restart_keeps_the_frame_of_the_answer() {
        let answer = "v=0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n\
            a=mid:a\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n\
            a=ice-options:trickle\r\na=ice-ufrag:old1\r\na=sendonly\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n";
        let credentials = IceCredentials { ufrag: "new1".to_owned(), pwd: "secret".to_owned() };
        let fragment = restarted(answer, &credentials, &["1 1 udp 1 192.0.2.1 6 typ host".to_owned()]);
        let expected = "a=group:BUNDLE 0 1\r\na=ice-lite\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n\
            a=ice-options:trickle\r\na=ice-ufrag:new1\r\na=ice-pwd:secret\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 6 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(fragment, expected);
    }

    #[test]
    fn candidates_that_nobody_honest_has_are_left_out() {
        let good = "1 1 udp 2122260223 192.168.1.7 51000 typ host";
        let candidates = [
            "1 1 udp 1 192.0.2.1 0 typ host",
            "1 1 udp 1 0.0.0.0 5 typ host",
            "1 1 udp 1 ff02::1 5 typ host",
            "1 1 udp 1 255.255.255.255 5 typ host",
            "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
            "1 1 udp 1 0b1c.local 5 typ host",
            "1 2 udp 1 192.0.2.1 5 typ host",
            "",
            good,
        ];
        let candidates = candidates.map(str::to_owned);
        assert_eq!(useful_candidates(&candidates, 0).collect::<Vec<_>>(), [good]);
        let flood = vec![good.to_owned(); 1_000];
        assert_eq!(useful_candidates(&flood, 0).count(), MAX_CANDIDATES);
        assert_eq!(useful_candidates(&flood, MAX_CANDIDATES - 1).count(), 1);
        assert_eq!(useful_candidates(&flood, MAX_CANDIDATES + 5).count(), 0);
    }
}
