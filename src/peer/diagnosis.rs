//! Why a session did not connect: from what both sides offered and what arrived, a sentence that says what to do.

use std::net::{IpAddr, SocketAddr};

use super::{Candidate, Origin, transport::Remote};
use crate::media::{CameraName, Reason};

/// Candidates of one side that are told; more help nobody.
const MAX_TOLD: usize = 12;

/// A session that is over, and not because its viewer said so.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its camera.
    pub camera: CameraName,
    /// Whether media ever went to the viewer.
    pub connected: bool,
    /// Why it is over.
    pub reason: Reason,
    /// What the gateway offered: transport, type, address.
    pub gateway_candidates: Vec<String>,
    /// What the viewer offered.
    pub viewer_candidates: Vec<String>,
}

/// What has come of a viewer's attempt to connect.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Where an authentic check of the viewer came from.
    pub(super) check: Option<Remote>,
    /// STUN that belongs to none of the session's credentials came.
    pub(super) foreign: bool,
    /// The viewer answered a check of ours.
    pub(super) answer: bool,
    /// The pair that was nominated.
    pub(super) path: Option<Remote>,
    /// DTLS came.
    pub(super) handshake: bool,
}

/// The likely reason why there is no connection. `theirs` are values of `a=candidate` (RFC 8839 section 5.1); `reaches` tells
/// whether this machine has a route to an address.
pub(super) fn why(seen: &Seen, ours: &[Candidate], theirs: &[String], reaches: impl Fn(SocketAddr) -> bool) -> Reason {
    let port = ours.first().map_or(0, |candidate| candidate.address.port());
    if let Some(path) = seen.path {
        return if seen.handshake {
            let sentence = format!(
                "ICE found a path ({path}), but the DTLS handshake on it was never finished: look for a VPN or tunnel in between \
                 that loses large packets"
            );
            Reason::new("handshake-unfinished", sentence)
        } else {
            let sentence = format!(
                "ICE found a path ({path}), but no DTLS packet of the viewer came by it: look for a firewall in between that \
                 filters DTLS on port {port}"
            );
            Reason::new("no-handshake", sentence)
        };
    }
    match seen.check {
        Some(from) if seen.answer => {
            let sentence = format!(
                "checks and answers went both ways ({from}), but the viewer did not choose this path: reload the page"
            );
            return Reason::new("path-not-chosen", sentence);
        }
        Some(from) if !reaches(from.address) => {
            let sentence = format!(
                "the viewer's checks arrived (from {from}), but the gateway's machine has no route back to {}: give it one, or a \
                 default gateway",
                from.address.ip()
            );
            return Reason::new("no-route-back", sentence);
        }
        Some(from) => {
            let sentence = format!(
                "the viewer's checks arrived (from {from}), but no answer came back to the gateway's, so that a firewall or router \
                 lets packets through in one direction only: open port {port} in both"
            );
            return Reason::new("one-way-network", sentence);
        }
        None if seen.foreign => {
            let sentence = "packets arrived, but none with this session's ICE credentials: reload the page";
            return Reason::new("foreign-packets", sentence);
        }
        None => {}
    }
    let nothing = "no UDP and no TCP packet of the viewer ever arrived";
    let mine: Vec<IpAddr> = ours.iter().map(|candidate| candidate.address.ip()).collect();
    if mine.is_empty() {
        let sentence = format!("{nothing}, as the gateway has no address to offer: set advertise under [webrtc]");
        return Reason::new("no-address", sentence);
    }
    if mine.iter().all(is_container) {
        let sentence = format!(
            "{nothing}, and the gateway offered only {}, which looks like a container's own address: add the host's address to \
             advertise under [webrtc]",
            list(&mine)
        );
        return Reason::new("container-address", sentence);
    }
    let told = addresses(theirs);
    if !told.is_empty() && told.iter().all(is_container) {
        let sentence = format!(
            "{nothing}, and the viewer offered only {}, which looks like a container's own address: open port {port} for it, or \
             run it in its host's network",
            list(&told)
        );
        return Reason::new("viewer-in-container", sentence);
    }
    let sentence = format!(
        "{nothing}: open port {port} for UDP or TCP in every firewall in between, and check that the viewer reaches {}",
        list(&mine)
    );
    Reason::new("network-blocked", sentence)
}

/// Our candidates for a person: each is offered on both transports, but what a STUN server saw is true of UDP only.
pub(super) fn gateway_candidates(ours: &[Candidate]) -> Vec<String> {
    let told = ours.iter().take(MAX_TOLD).map(|candidate| match candidate.origin {
        Origin::Reflexive { .. } => format!("udp {candidate}"),
        _ => format!("udp and tcp {candidate}"),
    });
    told.collect()
}

/// The viewer's candidates for a person: transport, type, address.
pub(super) fn viewer_candidates(theirs: &[String]) -> Vec<String> {
    let told = theirs.iter().filter_map(|candidate| {
        let words: Vec<&str> = candidate.split_ascii_whitespace().collect();
        let [transport, _priority, address, port, "typ", kind] = words.get(2..8)? else { return None };
        let port: u16 = port.parse().ok()?;
        let address = address.parse().map_or_else(
            |_| format!("{}:{port}", if address.ends_with(".local") { "a hidden address" } else { "a name" }),
            |ip| SocketAddr::new(ip, port).to_string(),
        );
        let plain = |word: &str| word.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        Some(format!("{} {} {address}", plain(transport).to_lowercase(), plain(kind)))
    });
    told.take(MAX_TOLD).collect()
}

fn addresses(theirs: &[String]) -> Vec<IpAddr> {
    theirs.iter().filter_map(|candidate| candidate.split_ascii_whitespace().nth(4)?.parse().ok()).collect()
}

/// Docker's default pools of this range begin with 172.17.0.0/16, and no other machine can reach them; 172.16.0.0/16 is a
/// network of people's own.
fn is_container(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 172 && (17..32).contains(&v4.octets()[1]))
}

fn list(addresses: &[IpAddr]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for address in addresses.iter().map(ToString::to_string) {
        if !shown.contains(&address) && shown.len() < 4 {
            shown.push(address);
        }
    }
    shown.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Transport;

    fn ours(address: &str) -> Vec<Candidate> {
        vec![Candidate { address: address.parse().expect("an address"), origin: Origin::Listen }]
    }

    fn theirs(address: &str) -> Vec<String> {
        vec![format!("1 1 udp 2113937151 {address} 5000 typ host generation 0")]
    }

    fn remote() -> Remote {
        Remote { transport: Transport::Udp, address: ([192, 0, 2, 1], 5_000).into() }
    }

    #[test]
    fn nothing_arrived_names_the_port_and_the_addresses() {
        let why = |mine, its| why(&Seen::default(), &ours(mine), &theirs(its), |_| true).sentence;
        let sentence = why("192.168.1.5:8189", "192.168.1.9");
        assert!(sentence.contains("open port 8189 for UDP or TCP") && sentence.contains("192.168.1.5"), "{sentence}");
        let sentence = why("172.17.0.2:8189", "192.168.1.9");
        assert!(sentence.contains("172.17.0.2") && sentence.contains("advertise"), "{sentence}");
        let sentence = why("192.168.1.5:8189", "172.18.0.3");
        assert!(sentence.contains("the viewer offered only 172.18.0.3"), "{sentence}");
        let sentence = why("172.16.0.5:8189", "172.16.0.9");
        assert!(sentence.contains("open port 8189") && !sentence.contains("container"), "{sentence}");
    }

    #[test]
    fn how_far_it_came_is_told() {
        let (ours, theirs) = (ours("192.168.1.5:8189"), theirs("192.168.1.9"));
        let code = |seen: Seen, reaches: bool| why(&seen, &ours, &theirs, |_| reaches).code;
        let mut seen = Seen { check: Some(remote()), ..Seen::default() };
        assert_eq!((code(seen, true), code(seen, false)), ("one-way-network", "no-route-back"));
        seen.answer = true;
        assert_eq!(code(seen, true), "path-not-chosen");
        seen.path = Some(remote());
        assert_eq!(code(seen, true), "no-handshake");
        seen.handshake = true;
        assert_eq!(code(seen, true), "handshake-unfinished");
        assert_eq!(code(Seen { foreign: true, ..Seen::default() }, true), "foreign-packets");
    }

    #[test]
    fn candidates_are_told_by_type_and_names_are_not() {
        let offered = ["192.0.2.7".to_owned(), "abcd-1.local".to_owned()].map(|address| theirs(&address).remove(0));
        assert_eq!(viewer_candidates(&offered), ["udp host 192.0.2.7:5000", "udp host a hidden address:5000"]);
        let port = theirs("abcd-1.local").remove(0).replace("5000", &"5".repeat(60));
        assert!(viewer_candidates(&["nonsense".to_owned(), port]).is_empty());
        let base: SocketAddr = ([192, 168, 1, 5], 8189).into();
        let seen = Candidate {
            address: ([203, 0, 113, 7], 8189).into(),
            origin: Origin::Reflexive { base, server: ([198, 51, 100, 20], 3478).into() },
        };
        let told = gateway_candidates(&[ours("192.168.1.5:8189").remove(0), seen]);
        assert!(told[0].starts_with("udp and tcp 192.168.1.5") && told[1].starts_with("udp 203.0.113.7"), "{told:?}");
    }
}
