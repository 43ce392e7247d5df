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
        v4("eth0", [169, 254, 3, 4]),
    ]
}

fn patterns(texts: &[&str]) -> Vec<InterfacePattern> {
    texts.iter().map(|text| text.parse().expect("a pattern")).collect()
}

fn selected(include: &[&str], exclude: &[&str]) -> Interfaces {
    Interfaces { include: patterns(include), exclude: patterns(exclude) }
}

fn offered(listen: &str, interfaces: &[Interface], selected: &Interfaces, advertise: &[IpAddr]) -> Vec<String> {
    let gathered = gather(listen.parse().expect("an address"), interfaces, selected, advertise);
    gathered.offered.iter().map(|candidate| candidate.address.to_string()).collect()
}

#[test]
fn every_usable_address_of_both_families_and_a_reason_for_the_others() {
    let gathered = gather(([0, 0, 0, 0], 8189).into(), &house(), &selected(&[], &["docker*"]), &[]);
    let offered: Vec<_> = gathered.offered.iter().map(ToString::to_string).collect();
    assert_eq!(offered, ["192.168.1.5:8189 (host, eth0)", "[2001:db8::5]:8189 (host, eth0)"]);
    let left_out: Vec<_> = gathered.left_out.iter().map(ToString::to_string).collect();
    let expected = [
        "127.0.0.1 (lo): only this machine reaches it",
        "fe80::5 (eth0): browsers cannot use an IPv6 link-local address",
        "172.17.0.1 (docker0): [webrtc] exclude_interfaces has \"docker*\"",
        "169.254.3.4 (eth0): link-local, and the interface has a better address",
    ];
    assert_eq!(left_out, expected);
}

#[test]
fn include_and_exclude_lists_take_names_and_networks() {
    let of = |include: &[&str], exclude: &[&str]| offered("[::]:1", &house(), &selected(include, exclude), &[]);
    assert_eq!(of(&["docker0"], &[]), ["172.17.0.1:1"]);
    assert_eq!(of(&["192.168.0.0/16", "172.16.0.0/12"], &["docker*"]), ["192.168.1.5:1"]);
    assert_eq!(of(&["eth*"], &["2001:db8::/32", "169.254.0.0/16"]), ["192.168.1.5:1"]);
    assert_eq!(of(&["lo"], &[]), ["127.0.0.1:1"]);
}

#[test]
fn two_machines_on_one_cable_find_each_other() {
    let cable = [v4("lo", [127, 0, 0, 1]), v4("eth0", [169, 254, 3, 4]), v6("eth0", "fe80::5")];
    assert_eq!(offered("0.0.0.0:1", &cable, &Interfaces::default(), &[]), ["169.254.3.4:1"]);
}

#[test]
fn advertised_addresses_come_first_and_once() {
    let advertise = [IpAddr::from([203, 0, 113, 7]), [192, 168, 1, 5].into()];
    let expected = ["203.0.113.7:8189", "192.168.1.5:8189", "[2001:db8::5]:8189"];
    assert_eq!(offered("[::]:8189", &house(), &selected(&[], &["docker*"]), &advertise), expected);
}

#[test]
fn a_machine_without_network_serves_itself() {
    let nowhere = [v4("lo", [127, 0, 0, 1])];
    assert_eq!(offered("0.0.0.0:1", &nowhere, &Interfaces::default(), &[]), ["127.0.0.1:1"]);
    assert_eq!(offered("0.0.0.0:1", &house(), &selected(&[], &["*"]), &[]), ["127.0.0.1:1"]);
    assert_eq!(offered("127.0.0.1:1", &house(), &Interfaces::default(), &[]), ["127.0.0.1:1"]);
}

#[test]
fn a_forwarded_datagram_counts_for_a_candidate_of_its_family() {
    let advertised =
        |address: &str| Candidate { address: address.parse().expect("an address"), origin: Origin::Advertised };
    let candidates = [advertised("203.0.113.7:1"), advertised("[2001:db8::5]:1")];
    let remote = "198.51.100.1:5".parse().expect("remote");
    assert_eq!(local_address(&candidates, Some([10, 0, 0, 2].into()), remote), Some(candidates[0].address));
    assert_eq!(local_address(&candidates[1..], None, remote), None);
}
