//! Which of this machine's addresses are offered to viewers as candidates (RFC 8445 section 5.1.1), and why others are not.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use if_addrs::{IfAddr, Interface};

use super::{InterfacePattern, Interfaces};

/// An address of this gateway that viewers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where viewers send to.
    pub address: SocketAddr,
    /// How it came to be known.
    pub origin: Origin,
}

/// How an address of this gateway is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `[webrtc] advertise`.
    Advertised,
    /// `[webrtc] listen` names it.
    Listen,
    /// This interface has it.
    Interface(String),
    /// A router outside maps it to `base`, as `server` saw it (server-reflexive).
    Reflexive {
        /// The address of ours.
        base: SocketAddr,
        /// The STUN server.
        server: SocketAddr,
    },
}

/// An address of this machine that viewers are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The address.
    pub ip: IpAddr,
    /// The interface that has it.
    pub interface: String,
    /// Why not.
    pub reason: Reason,
}

/// Why an address is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Only this machine reaches it, and others can be reached by more.
    Loopback,
    /// It means nothing without a zone (RFC 4007), which differs on every machine and which candidates cannot carry:
    /// browsers neither offer nor take such addresses.
    NeedsZone,
    /// A link-local IPv4 address of an interface that has a better one.
    LinkLocal,
    /// Not in `[webrtc] include_interfaces`.
    NotIncluded,
    /// In `[webrtc] exclude_interfaces`, by this entry.
    Excluded(InterfacePattern),
}

/// What became of every address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Offered, the most wanted first.
    pub offered: Vec<Candidate>,
    /// Not offered.
    pub left_out: Vec<LeftOut>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Advertised => write!(f, "{} (host, [webrtc] advertise)", self.address),
            Origin::Listen => write!(f, "{} (host, [webrtc] listen)", self.address),
            Origin::Interface(name) => write!(f, "{} (host, {name})", self.address),
            Origin::Reflexive { base, server } => {
                write!(f, "{} (srflx, of {} as {server} sees it)", self.address, base.ip())
            }
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.ip, self.interface, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("only this machine reaches it"),
            Self::NeedsZone => f.write_str("browsers cannot use an IPv6 link-local address"),
            Self::LinkLocal => f.write_str("link-local, and the interface has a better address"),
            Self::NotIncluded => f.write_str("not in [webrtc] include_interfaces"),
            Self::Excluded(pattern) => write!(f, "[webrtc] exclude_interfaces has {:?}", pattern.to_string()),
        }
    }
}

/// The addresses to offer: those `advertise`d first, then every usable one of the interfaces, all with the port of
/// `listen`. On a machine without a network it is the loopback address, for a browser on the same machine.
pub(super) fn gather(
    listen: SocketAddr,
    interfaces: &[Interface],
    selected: &Interfaces,
    advertise: &[IpAddr],
) -> Gathered {
    let mut gathered = Gathered::default();
    let at = |ip: IpAddr| SocketAddr::new(ip, listen.port());
    for ip in advertise {
        gathered.offer(at(*ip), Origin::Advertised);
    }
    if !listen.ip().is_unspecified() {
        gathered.offer(listen, Origin::Listen);
        return gathered;
    }
    for interface in interfaces {
        let (ip, name) = (interface.ip(), interface.name.clone());
        match reason_against(interface, interfaces, selected) {
            None => gathered.offer(at(ip), Origin::Interface(name)),
            Some(reason) => gathered.left_out.push(LeftOut { ip, interface: name, reason }),
        }
    }
    if gathered.offered.is_empty() {
        gathered.left_out.retain(|left_out| !left_out.ip.is_loopback());
        for interface in interfaces.iter().filter(|interface| interface.is_loopback()) {
            gathered.offer(at(interface.ip()), Origin::Interface(interface.name.clone()));
        }
    }
    gathered
}

impl Gathered {
    /// The addresses that are this machine's own.
    pub(super) fn bases(&self) -> impl Iterator<Item = SocketAddr> {
        let own = |candidate: &&Candidate| matches!(candidate.origin, Origin::Listen | Origin::Interface(_));
        self.offered.iter().filter(own).map(|candidate| candidate.address)
    }

    /// Both lists in one line.
    pub(super) fn summary(&self) -> String {
        let list = |items: Vec<String>| if items.is_empty() { "nothing".to_owned() } else { items.join(", ") };
        let offered = list(self.offered.iter().map(ToString::to_string).collect());
        let left_out = list(self.left_out.iter().map(ToString::to_string).collect());
        format!("viewers are offered {offered}; left out: {left_out}")
    }

    fn offer(&mut self, address: SocketAddr, origin: Origin) {
        if !self.offered.iter().any(|candidate| candidate.address == address) {
            self.offered.push(Candidate { address, origin });
        }
    }
}

/// Why an address is not offered, unless it is. Temporary IPv6 addresses cannot be told from others.
fn reason_against(interface: &Interface, all: &[Interface], selected: &Interfaces) -> Option<Reason> {
    let (ip, name) = (interface.ip(), &interface.name);
    if matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return Some(Reason::NeedsZone);
    }
    let named = |patterns: &[InterfacePattern]| patterns.iter().find(|pattern| pattern.matches(name, ip)).cloned();
    if let Some(pattern) = named(&selected.exclude) {
        return Some(Reason::Excluded(pattern));
    }
    if !selected.include.is_empty() {
        return named(&selected.include).is_none().then_some(Reason::NotIncluded);
    }
    if interface.is_loopback() {
        return Some(Reason::Loopback);
    }
    // Two machines on one cable have no other address; a link with DHCP has no use for it.
    let better =
        |other: &Interface| other.name == *name && matches!(&other.addr, IfAddr::V4(v4) if !v4.ip.is_link_local());
    let link_local = matches!(ip, IpAddr::V4(v4) if v4.is_link_local());
    (link_local && all.iter().any(better)).then_some(Reason::LinkLocal)
}

/// The address of ours that a datagram was sent to, as ICE knows it: it must be one of the candidates.
pub(super) fn local_address(candidates: &[Candidate], to: Option<IpAddr>, remote: SocketAddr) -> Option<SocketAddr> {
    let own = candidates.iter().filter(|candidate| !matches!(candidate.origin, Origin::Reflexive { .. }));
    let mut addresses = own.map(|candidate| candidate.address);
    let exact = addresses.clone().find(|address| Some(address.ip()) == to);
    exact.or_else(|| addresses.find(|address| address.is_ipv4() == remote.is_ipv4()))
}

#[cfg(test)]
mod tests;
