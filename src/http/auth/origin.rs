//! Whether a page of our own sent a request: a browser adds our cookie, and what it knows of Basic, to requests that other
//! pages make (RFC 6265 section 8.2).

use axum::http::{HeaderMap, header};

/// W3C Fetch Metadata; browsers send it to trustworthy addresses, https and this machine, only.
const FETCH_SITE: &str = "sec-fetch-site";

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A page of ours.
    Own,
    /// A page of somebody else's.
    Foreign,
    /// No page, or a browser that does not tell.
    Unknown,
}

/// Reads it off `Sec-Fetch-Site`, which no proxy on the way makes wrong, or off `Origin` and `Host`. Another port of the same
/// host is foreign, though its cookies are ours; so is a page that came over plain HTTP to somebody whom the gateway is
/// `is_secure` for.
pub(super) fn origin(headers: &HeaderMap, is_secure: bool) -> Origin {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(FETCH_SITE) {
        return if matches!(site, "same-origin" | "none") { Origin::Own } else { Origin::Foreign };
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return Origin::Unknown };
    let ours = text(header::HOST.as_str()).unwrap_or_default();
    let (scheme, theirs) = origin.split_once("://").unwrap_or_default();
    if is_secure && scheme != "https" {
        return Origin::Foreign;
    }
    if !ours.is_empty() && theirs.eq_ignore_ascii_case(ours) { Origin::Own } else { Origin::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> Origin {
        let headers =
            fields.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value")));
        origin(&headers.collect(), false)
    }

    #[test]
    fn only_our_own_pages_are_ours() {
        let host = ("host", "cam.example.org:8080");
        assert_eq!(of(&[host]), Origin::Unknown);
        assert_eq!(of(&[host, ("origin", "http://cam.example.org:8080")]), Origin::Own);
        assert_eq!(of(&[("host", "CAM.example.org"), ("origin", "https://cam.example.org")]), Origin::Own);
        for foreign in [
            "http://cam.example.org",
            "http://cam.example.org:3000",
            "http://cam.example.org:8080.example.net",
            "http://example.net",
            "null",
            "",
        ] {
            assert_eq!(of(&[host, ("origin", foreign)]), Origin::Foreign, "{foreign}");
        }
        assert_eq!(of(&[("origin", "://")]), Origin::Foreign);
        assert_eq!(of(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://proxied")]), Origin::Own);
        for site in ["cross-site", "same-site"] {
            let own = ("origin", "http://cam.example.org:8080");
            assert_eq!(of(&[host, own, ("sec-fetch-site", site)]), Origin::Foreign, "{site}");
        }
        let secure =
            [(header::HOST, "cam".parse().expect("a value")), (header::ORIGIN, "http://cam".parse().expect("a value"))];
        assert_eq!(
            origin(&secure.into_iter().collect(), true),
            Origin::Foreign,
            "whoever is in between could write it"
        );
    }
}
