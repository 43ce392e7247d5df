//! Whether somebody who need not say who they are is surely one of this gateway's own network: pages of strangers, in browsers
//! that are, are not.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::{HeaderMap, header};
use url::{Host, Url};

use super::{
    origin::{Origin, origin},
    private::is_private,
};
use crate::http::site::Site;

/// Names that only a network's own name server gives out (RFC 6762, RFC 8375, ICANN's resolution on `.internal`), and those of
/// common routers.
const OWN: [&str; 7] = [".local", ".home.arpa", ".internal", ".lan", ".home", ".localhost", ".fritz.box"];

/// From a private network, of a page of ours or of a program, and by a name that no stranger can have pointed at us: with DNS
/// rebinding a stranger's page is of the same origin as we are.
pub(in crate::http) fn is_from_near(
    address: IpAddr,
    headers: &HeaderMap,
    site: &Site,
    neighbours: &Neighbours,
) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    is_private(address)
        && !site.is_veiled
        && origin(headers, site.is_secure) != Origin::Foreign
        && neighbours.is_own_name(host)
}

/// The origin of a page (RFC 6454 section 6.2), such as `https://player.example.org`; `null`, that of files and of pages that are
/// locked in; or `*`, any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOrigin(String);

/// Why a text is none, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPageOrigin;

impl fmt::Display for BadPageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no scheme, host and port")
    }
}

impl FromStr for PageOrigin {
    type Err = BadPageOrigin;

    fn from_str(text: &str) -> Result<Self, BadPageOrigin> {
        if matches!(text, "*" | "null") {
            return Ok(Self(text.to_owned()));
        }
        let url = Url::parse(text).ok().filter(|url| url.has_host() && url.path().len() <= 1);
        let url = url.filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
        url.map(|url| Self(url.origin().ascii_serialization())).filter(|it| it.0 != "null").ok_or(BadPageOrigin)
    }
}

/// Under which names a gateway without users is found, and whose pages may use it.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Neighbours {
    names: Vec<String>,
    origins: Vec<PageOrigin>,
}

/// What may be a stranger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Strange {
    /// The name that we are asked by.
    Name(String),
    /// The page that asks.
    Page,
}

impl Neighbours {
    /// These names, in small letters, and pages of these origins, beside those of a private network.
    pub(super) fn new(names: impl Iterator<Item = String>, origins: Vec<PageOrigin>) -> Self {
        Self { names: names.map(|name| name.to_ascii_lowercase()).collect(), origins }
    }

    /// Whether a request is no stranger's: whoever leads a name of theirs to us has pages that are of our origin (DNS
    /// rebinding), and whoever has another page may ask us from there.
    ///
    /// # Errors
    /// What is strange about it.
    pub(super) fn check(&self, headers: &HeaderMap, site: &Site, is_preflight: bool) -> Result<(), Strange> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if let Some(host) = text(header::HOST).filter(|host| !self.is_own_name(host)) {
            return Err(Strange::Name(host.to_owned()));
        }
        let Some(theirs) = text(header::ORIGIN) else { return Ok(()) };
        let is_welcome = is_preflight || origin(headers, site.is_secure) == Origin::Own || self.is_welcome(theirs);
        if is_welcome { Ok(()) } else { Err(Strange::Page) }
    }

    fn is_welcome(&self, page: &str) -> bool {
        if self.origins.iter().any(|origin| origin.0 == "*" || origin.0.eq_ignore_ascii_case(page)) {
            return true;
        }
        let Ok(url) = Url::parse(page) else { return false };
        match url.host() {
            Some(Host::Ipv4(address)) => is_private(address.into()),
            Some(Host::Ipv6(address)) => is_private(address.into()),
            Some(Host::Domain(name)) => self.is_own_name(name),
            None => false,
        }
    }

    fn is_own_name(&self, host: &str) -> bool {
        // Of an IPv6 address the last colon may be its own; brackets tell.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => host,
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_number = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_number || is_local_name(&name) || self.names.contains(&name)
    }
}

/// Whether a name means nothing in the public name system: one without a dot, or of a domain that is not there.
pub(in crate::http) fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty() && (!name.contains('.') || OWN.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_name_of_the_internet_may_be_a_strangers() {
        let (none, named) =
            (Neighbours::default(), Neighbours::new(["Cam.example.org".to_owned()].into_iter(), Vec::new()));
        for own in [
            "192.168.1.5:8080",
            "[fd12::1]:8080",
            "[::1]",
            "localhost:8080",
            "nas",
            "nas:80",
            "Nas.Fritz.Box",
            "pi.local.",
        ] {
            assert!(none.is_own_name(own), "{own}");
        }
        for strange in ["", "cam.example.org", "1.2.3.4.example.org:8080", "local.example.org", "xlan.de", ":80"] {
            assert!(!none.is_own_name(strange), "{strange}");
        }
        assert!(named.is_own_name("CAM.example.org:8080"));
        assert!(!named.is_own_name("example.org"));
    }

    #[test]
    fn who_is_near_is_a_person_in_a_private_network() {
        let headers = |fields: &[(&'static str, &str)]| -> HeaderMap {
            fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
                .collect()
        };
        let is_from_near =
            |address, headers: &HeaderMap| is_from_near(address, headers, &Site::plain(), &Neighbours::default());
        let (home, away) = (IpAddr::from([192, 168, 1, 20]), IpAddr::from([203, 0, 113, 7]));
        let (host, name) = (("host", "192.168.1.5:8080"), ("host", "rebound.example.org:8080"));
        let own = ("origin", "http://192.168.1.5:8080");
        assert!(is_from_near(home, &headers(&[host])) && is_from_near(home, &headers(&[host, own])));
        assert!(!is_from_near(away, &headers(&[host])));
        assert!(!is_from_near(home, &headers(&[host, ("origin", "http://example.org")])));
        assert!(!is_from_near(home, &headers(&[name, ("origin", "http://rebound.example.org:8080")])));
        assert!(!is_from_near(home, &headers(&[])));
    }

    #[test]
    fn pages_of_strangers_are_not_welcome() {
        let origins =
            ["https://player.example.org", "http://[2001:db8::1]:8080/"].map(|it| it.parse().expect("an origin"));
        let neighbours = Neighbours::new(std::iter::empty(), origins.to_vec());
        let check = |host: &str, page: &str, is_preflight| {
            let fields = [(header::HOST, host), (header::ORIGIN, page)];
            let headers = fields.map(|(name, value)| (name, value.parse().expect("a value"))).into_iter().collect();
            neighbours.check(&headers, &Site::plain(), is_preflight)
        };
        let home = "192.168.1.5:8080";
        for near in [
            "http://192.168.1.5:8080",
            "http://192.168.1.9",
            "http://homeassistant.local:8123",
            "http://localhost:3000",
            "https://player.example.org",
            "https://PLAYER.example.org",
            "http://[2001:db8::1]:8080",
            "http://[fd12::1]",
        ] {
            assert_eq!(check(home, near, false), Ok(()), "{near}");
        }
        for strange in [
            "https://example.org",
            "http://player.example.org",
            "https://player.example.org:8443",
            "https://player.example.org.example.net",
            "http://203.0.113.7",
            "http://[2001:db8::1]",
            "http://192.168.1.5.example.org",
            "null",
            "",
        ] {
            assert_eq!(check(home, strange, false), Err(Strange::Page), "{strange}");
            assert_eq!(check(home, strange, true), Ok(()), "it is told that the way is there");
        }
        assert_eq!(
            check("example.org:8080", "http://example.org:8080", false),
            Err(Strange::Name("example.org:8080".to_owned())),
            "rebound"
        );
        let all = Neighbours::new(std::iter::empty(), vec!["*".parse().expect("any")]);
        assert!(all.is_welcome("https://example.org") && all.is_welcome("null"));
        for bad in ["", "player.example.org", "https://", "https://a/b", "https://a?b", "https://u@a", "data:x"] {
            assert_eq!(bad.parse::<PageOrigin>(), Err(BadPageOrigin), "{bad}");
        }
    }
}
