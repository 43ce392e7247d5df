//! Which of this machine's addresses are offered to viewers as host candidates (RFC 8445 section 5.1.1).

use std::net::{IpAddr, SocketAddr};

use if_addrs::{IfAddr, Interface};

/// Bridges and virtual cables of containers and virtual machines: nobody reaches a camera gateway through them, and
/// every one costs each viewer connectivity checks.
const VIRTUAL: [&str; 6] = ["docker", "br-", "veth", "virbr", "cni", "flannel"];

/// The addresses to offer: those `advertise`d first, then every usable one of the interfaces, all with the port of
/// `listen`. On a machine without a network it is the loopback address, for a browser on the same machine.
pub(super) fn gather(listen: SocketAddr, interfaces: &[Interface], advertise: &[IpAddr]) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip, listen.port());
    let mut found: Vec<SocketAddr> = advertise.iter().copied().map(at).collect();
    if !listen.ip().is_unspecified() {
        found.push(listen);
    } else {
        let usable = interfaces.iter().filter(|interface| is_usable(interface)).map(Interface::ip);
        found.extend(usable.map(at));
        if found.is_empty() {
            found.extend(interfaces.iter().filter(|interface| interface.is_loopback()).map(Interface::ip).map(at));
        }
    }
    let mut seen = Vec::with_capacity(found.len());
    found.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    found
}

/// Link-local addresses need a scope that only one machine knows; temporary IPv6 addresses cannot be told from others.
fn is_usable(interface: &Interface) -> bool {
    let link_local = match &interface.addr {
        IfAddr::V4(v4) => v4.ip.is_link_local(),
        IfAddr::V6(v6) => v6.ip.is_unicast_link_local(),
    };
    let is_virtual = VIRTUAL.iter().any(|prefix| interface.name.starts_with(prefix));
    !interface.is_loopback() && !link_local && !is_virtual
}

/// The address of ours that a datagram was sent to, as ICE knows it: it must be one of the candidates.
pub(super) fn local_address(candidates: &[SocketAddr], to: Option<IpAddr>, remote: SocketAddr) -> Option<SocketAddr> {
    let exact = candidates.iter().find(|candidate| Some(candidate.ip()) == to);
    exact.or_else(|| candidates.iter().find(|candidate| candidate.is_ipv4() == remote.is_ipv4())).copied()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, addr: IfAddr) -> Interface {
        Interface { name: name.to_owned(), addr, index: None, oper_status: IfOperStatus::Up, is_p2p: false }
    }

    fn v4(name: &str, ip: [u8; 4]) -> Interface {
        let netmask = Ipv4Addr::new(255, 255, 255, 0);
        interface(name, IfAddr::V4(Ifv4Addr { ip: ip.into(), netmask, prefixlen: 24, broadcast: None }))
    }

    fn v6(name: &str, ip: &str) -> Interface {
        let ip: Ipv6Addr = ip.parse().expect("an address");
        let netmask = Ipv6Addr::UNSPECIFIED;
        interface(name, IfAddr::V6(Ifv6Addr { ip, netmask, prefixlen: 64, broadcast: None }))
    }

    fn house() -> Vec<Interface> {
        vec![
            v4("lo", [127, 0, 0, 1]),
            v4("eth0", [192, 168, 1, 5]),
            v6("eth0", "2001:db8::5"),
            v6("eth0", "fe80::5"),
            v4("docker0", [172, 17, 0, 1]),
            v4("wlan0", [169, 254, 3, 4]),
        ]
    }

    fn gathered(listen: &str, interfaces: &[Interface], advertise: &[IpAddr]) -> Vec<String> {
        let listen = listen.parse().expect("an address");
        gather(listen, interfaces, advertise).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_usable_address_of_both_families() {
        assert_eq!(gathered("0.0.0.0:8189", &house(), &[]), ["192.168.1.5:8189", "[2001:db8::5]:8189"]);
    }

    #[test]
    fn advertised_addresses_come_first_and_once() {
        let advertise = [IpAddr::from([203, 0, 113, 7]), [192, 168, 1, 5].into()];
        let expected = ["203.0.113.7:8189", "192.168.1.5:8189", "[2001:db8::5]:8189"];
        assert_eq!(gathered("[::]:8189", &house(), &advertise), expected);
    }

    #[test]
    fn a_machine_without_network_serves_itself() {
        assert_eq!(gathered("0.0.0.0:1", &[v4("lo", [127, 0, 0, 1])], &[]), ["127.0.0.1:1"]);
        assert_eq!(gathered("127.0.0.1:1", &house(), &[]), ["127.0.0.1:1"]);
    }

    #[test]
    fn a_forwarded_datagram_counts_for_a_candidate_of_its_family() {
        let candidates = ["203.0.113.7:1".parse().expect("v4"), "[2001:db8::5]:1".parse().expect("v6")];
        let remote = "198.51.100.1:5".parse().expect("remote");
        assert_eq!(local_address(&candidates, Some([10, 0, 0, 2].into()), remote), Some(candidates[0]));
        assert_eq!(local_address(&candidates[1..], None, remote), None);
    }
}
