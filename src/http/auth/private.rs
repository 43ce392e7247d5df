//! Whom a gateway without users answers.

use std::net::IpAddr;

/// Whether an address is of this machine or of a private network: loopback, RFC 1918, unique local (RFC 4193) and
/// link-local addresses. The shared addresses of a provider's own NAT (RFC 6598) are not: strangers have them.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_networks_are_private() {
        let all = |addresses: &[&str]| -> Vec<bool> {
            addresses.iter().map(|text| is_private(text.parse().expect("an address"))).collect()
        };
        let private = [
            "127.0.0.1",
            "127.8.8.8",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.20",
            "169.254.7.7",
            "::1",
            "fd12:3456::1",
            "fc00::1",
            "fe80::1",
            "febf::1",
            "::ffff:192.168.1.20",
            "::ffff:127.0.0.1",
        ];
        assert_eq!(all(&private), [true; 14]);
        let public = [
            "8.8.8.8",
            "100.64.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.169.0.1",
            "0.0.0.0",
            "2001:db8::1",
            "fec0::1",
            "::ffff:8.8.8.8",
            "::ffff:100.64.0.1",
            "::192.168.1.20",
            "64:ff9b::192.168.1.20",
            "2002:c0a8:0114::1",
        ];
        assert_eq!(all(&public), [false; 13]);
    }
}
