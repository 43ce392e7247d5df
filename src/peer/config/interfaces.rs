//! Which network interfaces a setting means: by name, or by the network that an address is in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use glob::Pattern;
use ipnet::IpNet;

/// Which addresses of this machine are offered to viewers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Only these; empty for all that a viewer may be able to reach.
    pub include: Vec<InterfacePattern>,
    /// Never these.
    pub exclude: Vec<InterfacePattern>,
}

/// `eth0`, `docker*`, `192.168.0.0/16` or `2001:db8::5`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InterfacePattern {
    /// A name with the wildcards `*`, `?` and `[...]`.
    Name(Pattern),
    /// Addresses; one alone has the longest prefix.
    Network(IpNet),
}

impl InterfacePattern {
    /// Whether the interface `name` with this address is meant.
    pub fn matches(&self, name: &str, ip: IpAddr) -> bool {
        match self {
            Self::Name(pattern) => pattern.matches(name),
            Self::Network(network) => network.contains(&ip),
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = BadInterfacePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Network(ip.into()));
        }
        // Linux allows neither in a name; both are what a mistyped address has.
        if text.is_empty() || text.contains(['/', ':', ' ']) {
            return Err(BadInterfacePattern);
        }
        Pattern::new(text).map(Self::Name).map_err(|_| BadInterfacePattern)
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// A text is not an [`InterfacePattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither the name of an interface nor a network")]
pub struct BadInterfacePattern;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str, ip: &str) -> bool {
        pattern.parse::<InterfacePattern>().unwrap().matches(name, ip.parse().unwrap())
    }

    #[test]
    fn names_have_wildcards() {
        assert!(matches("eth0", "eth0", "192.0.2.1"));
        assert!(!matches("eth0", "eth01", "192.0.2.1"));
        assert!(matches("docker*", "docker0", "192.0.2.1"));
        assert!(matches("br-????????????", "br-0123456789ab", "192.0.2.1"));
        assert!(!matches("br-????????????", "br-lan", "192.0.2.1"));
    }

    #[test]
    fn networks_are_of_either_family() {
        assert!(matches("192.168.0.0/16", "x", "192.168.7.1"));
        assert!(!matches("192.168.0.0/16", "x", "192.169.7.1"));
        assert!(matches("2001:db8::/32", "x", "2001:db8::1"));
        assert!(!matches("2001:db8::/32", "x", "192.0.2.1"));
        assert!(matches("192.0.2.1", "x", "192.0.2.1"));
        assert!(!matches("192.0.2.1", "x", "192.0.2.2"));
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in ["", "192.168.0.0/33", "192.168.0/24", "eth 0", "[eth", "eth0/24", "fe80::1%eth0"] {
            assert_eq!(text.parse::<InterfacePattern>(), Err(BadInterfacePattern), "{text}");
        }
    }
}
