//! Whether somebody who need not say who they are is surely one of this gateway's own network.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::{
    origin::{Origin, origin},
    private::is_private,
};
use crate::http::{BaseUrl, site::Site};

/// Names that only a network's own name server gives out (RFC 6762, RFC 8375, ICANN's resolution on `.internal`), and those of
/// common routers.
const OWN: [&str; 7] = [".local", ".home.arpa", ".internal", ".lan", ".home", ".localhost", ".fritz.box"];

/// From a private network, of a page of ours or of a program, and by a name that no stranger can have pointed at us: with DNS
/// rebinding a stranger's page is of the same origin as we are.
pub(in crate::http) fn is_from_near(
    address: IpAddr,
    headers: &HeaderMap,
    site: &Site,
    public: Option<&BaseUrl>,
) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    is_private(address)
        && !site.is_veiled
        && origin(headers, site.is_secure) != Origin::Foreign
        && is_own_name(host, public)
}

fn is_own_name(host: &str, public: Option<&BaseUrl>) -> bool {
    // Of an IPv6 address the last colon may be its own; brackets tell.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_number = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_own = !name.is_empty() && (!name.contains('.') || OWN.iter().any(|end| name.ends_with(end)));
    is_number || is_own || public.is_some_and(|public| public.host().eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_name_of_the_internet_may_be_a_strangers() {
        let public: BaseUrl = "https://cam.example.org/".parse().expect("a URL");
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
            assert!(is_own_name(own, None), "{own}");
        }
        for strange in ["", "cam.example.org", "1.2.3.4.example.org:8080", "local.example.org", "xlan.de", ":80"] {
            assert!(!is_own_name(strange, None), "{strange}");
        }
        assert!(is_own_name("CAM.example.org:8080", Some(&public)));
        assert!(!is_own_name("example.org", Some(&public)));
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
            |address, headers: &HeaderMap, public| is_from_near(address, headers, &Site::plain(), public);
        let (home, away) = (IpAddr::from([192, 168, 1, 20]), IpAddr::from([203, 0, 113, 7]));
        let (host, name) = (("host", "192.168.1.5:8080"), ("host", "rebound.example.org:8080"));
        let own = ("origin", "http://192.168.1.5:8080");
        assert!(is_from_near(home, &headers(&[host]), None) && is_from_near(home, &headers(&[host, own]), None));
        assert!(!is_from_near(away, &headers(&[host]), None));
        assert!(!is_from_near(home, &headers(&[host, ("origin", "http://example.org")]), None));
        assert!(!is_from_near(home, &headers(&[name, ("origin", "http://rebound.example.org:8080")]), None));
        assert!(!is_from_near(home, &headers(&[]), None));
    }
}
