//! What the viewer's side needs to know: its one port, and how viewers reach it from elsewhere.
//!
//! Texts from the section `[webrtc]` enter through the `FromStr` of [`Advertise`] and [`IceUrl`] and leave as values
//! that cannot be wrong: an address that nobody can send to, a host name with a port, and a URL that no browser would
//! accept are refused here. Names are not looked up here.

mod ice_server;
mod interfaces;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::Limits;

pub use self::ice_server::{Credential, IceServer, IceServerConfig, TurnLogin};
pub use self::interfaces::{BadInterfacePattern, InterfacePattern, Interfaces};

/// The settings of the WebRTC side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The one address for the media of all viewers; port 0 means any free port.
    pub listen: SocketAddr,
    /// Further addresses to offer as candidates, for a gateway behind NAT that forwards the port one to one.
    pub advertise: Vec<Advertise>,
    /// Which addresses of this machine are offered, where `listen` means all of them.
    pub interfaces: Interfaces,
    /// How much of ICE the gateway does itself.
    pub ice: IceMode,
    /// What viewers' browsers aim for.
    pub playout: Playout,
    /// STUN and TURN servers that viewers are told to use, and that the gateway asks for its own address.
    pub ice_servers: Vec<IceServerConfig>,
    /// Sessions at one time; a viewer above them gets 503, or 429 where it has too many itself.
    pub limits: Limits,
    /// TCP connections of viewers at one time.
    pub max_tcp_connections: usize,
    /// Connectivity checks that an address is sent for long where no viewer is known to be.
    pub checks_per_second: u32,
}

/// The kind of ICE agent (RFC 8445 section 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IceMode {
    /// Sends connectivity checks too, which opens the way through a NAT of its own.
    Full,
    /// Only answers the viewer's, and offers only host candidates: for a gateway with a public address.
    Lite,
}

/// How long viewers hold pictures back so that they come evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Playout {
    /// As long as each viewer's own jitter buffer makes it.
    Adaptive,
    /// As short as can be, also after a time when the network was bad.
    Realtime,
    /// Long enough for a network that pauses now and then.
    Smooth,
}

impl Playout {
    /// Least and most delay, for the extension that tells viewers of it
    /// (webrtc.org/experiments/rtp-hdrext/playout-delay); `None` leaves it to them.
    pub(super) fn bounds(self) -> Option<[Duration; 2]> {
        match self {
            Self::Adaptive => None,
            // Chromium was seen to hold pictures back by 300 to 450 ms for minutes after 20 s of a network that was too slow, and
            // by a second on a machine that was too busy.
            Self::Realtime => Some([Duration::ZERO, Duration::from_millis(150)]),
            // A Wi-Fi that scans pauses for 100 to 200 ms.
            Self::Smooth => Some([Duration::from_millis(250), Duration::from_millis(1_000)]),
        }
    }
}

/// An address of this gateway as viewers elsewhere see it, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Advertise {
    /// Offered as it is.
    Ip(IpAddr),
    /// Looked up when it is offered, so that a dynamic DNS name keeps working.
    Host(String),
}

impl FromStr for Advertise {
    type Err = BadAdvertise;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return if ip.is_unspecified() || ip.is_multicast() {
                Err(BadAdvertise::Unreachable)
            } else {
                Ok(Self::Ip(ip))
            };
        }
        if text.parse::<SocketAddr>().is_ok() || is_host_and_port(text) {
            return Err(BadAdvertise::Port);
        }
        if is_host_name(text) { Ok(Self::Host(text.into())) } else { Err(BadAdvertise::Name) }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Host(name) => f.write_str(name),
        }
    }
}

/// Why a text is not an [`Advertise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAdvertise {
    /// `0.0.0.0`, `::` and multicast groups are no place to send to.
    #[error("nobody can send to this address")]
    Unreachable,
    /// The port is always that of `[webrtc] listen`.
    #[error("the port does not belong here")]
    Port,
    /// Not an IP address and not a DNS name either.
    #[error("neither an IP address nor a host name")]
    Name,
}

/// `stun:host[:port]`, `stuns:`, `turn:host[:port][?transport=udp|tcp]` or `turns:` (RFC 7064, RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IceUrl(String);

impl IceUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and port of a server that answers STUN over UDP, which TURN servers do, too (RFC 8656 section 3).
    pub fn udp_server(&self) -> Option<(&str, u16)> {
        /// RFC 7064 and RFC 7065 section 3.2.
        const DEFAULT_PORT: u16 = 3478;
        let (scheme, rest) = self.0.split_once(':')?;
        let host = rest.strip_suffix("?transport=udp").unwrap_or(rest);
        if !matches!(scheme, "stun" | "turn") || host.contains('?') {
            return None;
        }
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (host, DEFAULT_PORT),
        };
        Some((host.trim_matches(['[', ']']), port))
    }

    /// Whether the server relays media, which it does only for who has a username and a credential.
    pub fn is_turn(&self) -> bool {
        self.0.starts_with("turn")
    }
}

impl FromStr for IceUrl {
    type Err = BadIceUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').ok_or(BadIceUrl::Scheme)?;
        let is_turn = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(BadIceUrl::Scheme),
        };
        if rest.contains('@') {
            return Err(BadIceUrl::Credentials);
        }
        if rest.starts_with("//") {
            return Err(BadIceUrl::Slashes);
        }
        let host = match rest.split_once('?') {
            None => rest,
            Some((host, "transport=udp" | "transport=tcp")) if is_turn => host,
            Some(_) => return Err(BadIceUrl::Query),
        };
        if is_host_with_optional_port(host) { Ok(Self(text.into())) } else { Err(BadIceUrl::Host) }
    }
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an [`IceUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIceUrl {
    /// Not one of the four schemes.
    #[error("not a STUN or TURN URL")]
    Scheme,
    /// `stun://host`, which browsers refuse.
    #[error("no // after the scheme")]
    Slashes,
    /// A username or password in the URL.
    #[error("username and credential have their own keys")]
    Credentials,
    /// Anything behind `?` but the transport of a TURN server.
    #[error("only a TURN URL may end with ?transport=udp or ?transport=tcp")]
    Query,
    /// The host is missing or cannot be one, or the port is not a number from 1 to 65535.
    #[error("no usable host and port")]
    Host,
}

fn is_host_with_optional_port(text: &str) -> bool {
    is_host_name(text)
        || text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
        || is_bracketed(text)
        || is_host_and_port(text)
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host_fits = is_host_name(host) || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || is_bracketed(host);
        host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn is_bracketed(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()))
}

/// Dots between labels of 1 to 63 letters, digits, `-` and `_` (Docker's service names have `_`). A name whose last
/// label is a number is a mistyped IPv4 address to every resolver (WHATWG URL, "ends in a number").
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let ends_in_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(is_label) && !ends_in_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertises_addresses_and_names() {
        let parse = |text: &str| text.parse::<Advertise>();
        assert_eq!(parse("203.0.113.7"), Ok(Advertise::Ip([203, 0, 113, 7].into())));
        assert!(matches!(parse("2001:db8::7"), Ok(Advertise::Ip(_))));
        assert_eq!(parse("cam.example.org"), Ok(Advertise::Host("cam.example.org".into())));
        assert_eq!(parse("0.0.0.0"), Err(BadAdvertise::Unreachable));
        assert_eq!(parse("203.0.113.7:8189"), Err(BadAdvertise::Port));
        assert_eq!(parse("cam.example.org:8189"), Err(BadAdvertise::Port));
        for text in ["", "203.0.113.777", "http://cam", "a b", "-a", "a..b"] {
            assert_eq!(parse(text), Err(BadAdvertise::Name), "{text}");
        }
    }

    #[test]
    fn accepts_the_ice_urls_that_browsers_accept() {
        for url in [
            "stun:stun.example.org",
            "stun:192.0.2.1:3478",
            "stuns:[2001:db8::1]:5349",
            "turn:turn.example.org:3478?transport=tcp",
            "turns:turn.example.org",
        ] {
            assert_eq!(url.parse::<IceUrl>().unwrap().is_turn(), url.starts_with("turn"), "{url}");
        }
    }

    #[test]
    fn tells_where_stun_is_answered_over_udp() {
        let server = |text: &str| {
            let url = text.parse::<IceUrl>().unwrap();
            url.udp_server().map(|(host, port)| (host.to_owned(), port))
        };
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(server("stun:stun.example.org"), at("stun.example.org", 3478));
        assert_eq!(server("stun:192.0.2.1:19302"), at("192.0.2.1", 19302));
        assert_eq!(server("turn:[2001:db8::1]"), at("2001:db8::1", 3478));
        assert_eq!(server("turn:[2001:db8::1]:99?transport=udp"), at("2001:db8::1", 99));
        assert_eq!(server("turn:turn.example.org?transport=tcp"), None);
        assert_eq!(server("turns:turn.example.org"), None);
        assert_eq!(server("stuns:stun.example.org:5349"), None);
    }

    #[test]
    fn refuses_other_ice_urls() {
        let bad = |text: &str| text.parse::<IceUrl>().unwrap_err();
        assert_eq!(bad("stun.example.org"), BadIceUrl::Scheme);
        assert_eq!(bad("http:example.org"), BadIceUrl::Scheme);
        assert_eq!(bad("stun://example.org"), BadIceUrl::Slashes);
        assert_eq!(bad("turn:me:pw@example.org"), BadIceUrl::Credentials);
        assert_eq!(bad("stun:example.org?transport=udp"), BadIceUrl::Query);
        assert_eq!(bad("turn:example.org:0"), BadIceUrl::Host);
        assert_eq!(bad("turn:example.org:99999"), BadIceUrl::Host);
        assert_eq!(bad("stun:"), BadIceUrl::Host);
    }
}
