//! What a reverse proxy says of the requests that it passes on: whom they come from, and what its address looked like.
//!
//! Anybody can send these header fields, so that only proxies in `[http] trusted_proxies` are believed, and of the two
//! families of fields only the one that `[http] proxy_headers` names: a proxy passes on what its clients send of the other.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::{AddrParseError, IpNet};

/// Whoever a proxy does not name (RFC 7239 section 6.2, 6.3): of no private network, and one customer together.
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Addresses of reverse proxies: one, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Which header fields proxies are believed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What pages, sessions and the API are below: nothing, or a path such as `/cams`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// Why a text is no [`BasePath`], as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBasePath;

/// The proxies that are believed, and by what.
#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Vec<Network>,
    headers: ProxyHeaders,
}

/// What a trusted proxy says of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Whom it comes from. Without it, from the proxy itself.
    pub(super) client: Option<IpAddr>,
    /// Whether it came over TLS.
    pub(super) is_secure: Option<bool>,
    /// The host, and the port unless it is that of the scheme.
    pub(super) host: Option<String>,
    /// What the proxy took off the path.
    pub(super) prefix: BasePath,
}

impl FromStr for Network {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let net = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
        net.map(Self)
    }
}

impl BasePath {
    /// Longest, in bytes.
    const MAX: usize = 256;

    /// Empty, or with a slash in front and none behind.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = BadBasePath;

    /// It goes into pages and header fields, so that nothing in it needs to be escaped.
    fn from_str(text: &str) -> Result<Self, BadBasePath> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_plain);
        let is_path = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
        let is_good = path.is_empty() || (is_path && path.len() <= Self::MAX);
        if is_good { Ok(Self(path.to_owned())) } else { Err(BadBasePath) }
    }
}

impl fmt::Display for BadBasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it does not begin with a slash, or has other letters than a-z, A-Z, 0-9, -, _, . and ~")
    }
}

impl Proxies {
    pub(super) fn new(trusted: Vec<Network>, headers: ProxyHeaders) -> Self {
        Self { trusted, headers }
    }

    /// What is said of a request from `peer`; `None` when it is not to be believed.
    pub(super) fn listen_to(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Told> {
        if !self.trusts(peer) {
            return None;
        }
        Some(match self.headers {
            ProxyHeaders::XForwarded => self.x_forwarded(headers),
            ProxyHeaders::Forwarded => self.forwarded(headers),
        })
    }

    /// Whether this is the address of a proxy that is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.0.contains(&address))
    }

    /// The right-most address that is no trusted proxy's: what stands to the left of it anybody may have written.
    fn client<'a>(&self, nodes: impl DoubleEndedIterator<Item = &'a str>) -> Option<(usize, IpAddr)> {
        let mut found = None;
        for (behind, node) in nodes.rev().enumerate() {
            let address = node_address(node).unwrap_or(UNKNOWN);
            found = Some((behind, address));
            if !self.trusts(address) {
                break;
            }
        }
        found
    }

    fn x_forwarded(&self, headers: &HeaderMap) -> Told {
        // Proxies append; the first is what the browser's own connection looked like.
        let first = |name| entries(headers, &name).first().map(|text| text.trim().to_owned());
        let nodes = entries(headers, &X_FORWARDED_FOR);
        Told {
            client: self.client(nodes.iter().copied()).map(|(_, address)| address),
            is_secure: first(X_FORWARDED_PROTO).map(|scheme| is_secure(&scheme)),
            host: first(X_FORWARDED_HOST).filter(|host| !host.is_empty()),
            prefix: first(X_FORWARDED_PREFIX).and_then(|prefix| prefix.parse().ok()).unwrap_or_default(),
        }
    }

    fn forwarded(&self, headers: &HeaderMap) -> Told {
        let fields = headers.get_all(header::FORWARDED).iter().filter_map(|field| field.to_str().ok());
        let hops: Vec<&str> = fields.flat_map(|field| outside_quotes(field, ',')).collect();
        let nodes: Vec<String> = hops.iter().map(|hop| parameter(hop, "for").unwrap_or_default()).collect();
        let Some((behind, client)) = self.client(nodes.iter().map(String::as_str)) else { return Told::default() };
        // The proxy that saw the client saw its request's host and scheme too.
        let hop = hops[hops.len() - 1 - behind];
        Told {
            client: Some(client),
            is_secure: parameter(hop, "proto").map(|scheme| is_secure(&scheme)),
            host: parameter(hop, "host"),
            prefix: BasePath::default(),
        }
    }
}

/// Whether a request says that it was passed on for somebody else.
pub(super) fn is_passed_on(headers: &HeaderMap) -> bool {
    [X_FORWARDED_FOR, X_REAL_IP, header::FORWARDED].iter().any(|name| headers.contains_key(name))
}

/// Takes away what has been read, so that nobody believes it a second time.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PREFIX, X_REAL_IP, header::FORWARDED]
    {
        headers.remove(name);
    }
}

/// The entries of a list that may be spread over several fields.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    // What cannot be read is an entry all the same.
    let fields = headers.get_all(name).iter().map(|field| field.to_str().unwrap_or_default());
    fields.flat_map(|field| field.split(',')).collect()
}

fn is_secure(scheme: &str) -> bool {
    ["https", "wss"].iter().any(|secure| scheme.eq_ignore_ascii_case(secure))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn node_address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let bare = bracketed.unwrap_or(node);
    let address = bare.parse().ok().or_else(|| bare.rsplit_once(':')?.0.parse().ok())?;
    Some(IpAddr::to_canonical(&address))
}

/// The value of a parameter of one element of `Forwarded`, such as `for="[2001:db8::1]";proto=https`.
fn parameter(element: &str, name: &str) -> Option<String> {
    let parameters = outside_quotes(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = parameters.into_iter().find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.map_or_else(|| value.to_owned(), |quoted| quoted.replace('\\', "")))
}

/// Splits at a separator that is not within quotes.
fn outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c: char| {
        let escapes = is_quoted && !is_escaped && c == '\\';
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = escapes;
        c == separator && !is_quoted
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().expect("a header field's value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    fn proxies(headers: ProxyHeaders) -> Proxies {
        let trusted = ["127.0.0.1", "10.1.0.0/16", "fd00::/8"].map(|text| text.parse().expect("a network"));
        Proxies::new(trusted.to_vec(), headers)
    }

    fn client(fields: &[(&'static str, &str)]) -> Option<IpAddr> {
        let told = proxies(ProxyHeaders::XForwarded).listen_to(address("::ffff:127.0.0.1"), &headers(fields));
        told.expect("a trusted proxy").client
    }

    #[test]
    fn the_right_most_address_that_is_no_proxys_wins() {
        let of = |list: &str| client(&[("x-forwarded-for", list)]);
        assert_eq!(of("192.0.2.1"), Some(address("192.0.2.1")));
        assert_eq!(of("10.0.0.1, 192.0.2.1"), Some(address("192.0.2.1")), "the client wrote the first");
        assert_eq!(of("127.0.0.1, 192.0.2.1, 10.1.2.3, fd00::2"), Some(address("192.0.2.1")), "through three proxies");
        assert_eq!(of("10.1.2.3"), Some(address("10.1.2.3")), "a proxy asks for itself");
        assert_eq!(of("192.0.2.1:4711"), Some(address("192.0.2.1")));
        assert_eq!(of("[2001:db8::1]:4711"), Some(address("2001:db8::1")));
        assert_eq!(of("::ffff:192.0.2.1"), Some(address("192.0.2.1")));
        let lines = [("x-forwarded-for", "192.0.2.9"), ("x-forwarded-for", "192.0.2.1, 10.1.2.3")];
        assert_eq!(client(&lines), Some(address("192.0.2.1")), "over several lines");
        assert_eq!(client(&[]), None);
    }

    #[test]
    fn what_cannot_be_read_is_nobody_in_particular() {
        for bad in ["unknown", "", "192.0.2.1, _hidden", "127.0.0.1, ,", "10.0.0.1, localhost", "10.0.0.1, 127.0.0.1.5"]
        {
            assert_eq!(client(&[("x-forwarded-for", bad)]), Some(UNKNOWN), "{bad}");
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        let fields = headers(&[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https")]);
        for stranger in ["192.0.2.1", "10.2.0.1", "::1"] {
            assert_eq!(proxies(ProxyHeaders::XForwarded).listen_to(address(stranger), &fields), None, "{stranger}");
        }
        assert!(is_passed_on(&fields) && !is_passed_on(&headers(&[("host", "x")])));
        let mut fields = fields;
        strip(&mut fields);
        assert!(fields.is_empty());
    }

    #[test]
    fn a_proxy_tells_what_it_looks_like() {
        let fields = headers(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "HTTPS, http"),
            ("x-forwarded-host", "cam.example.org:8443"),
            ("x-forwarded-prefix", "/cams/"),
            ("forwarded", "for=10.1.0.9;host=evil.example.org"),
        ]);
        let told = proxies(ProxyHeaders::XForwarded).listen_to(address("10.1.0.1"), &fields).expect("it is trusted");
        assert_eq!((told.is_secure, told.host.as_deref()), (Some(true), Some("cam.example.org:8443")));
        assert_eq!((told.client, told.prefix.as_str()), (Some(address("192.0.2.1")), "/cams"));
    }

    #[test]
    fn the_other_family_of_fields_is_not_listened_to() {
        let forwarded = "for=\"[2001:db8::1]:47011\";proto=http;host=evil, for=192.0.2.1;host=\"cam:8443\";Proto=https, \
                         for=10.1.0.9;proto=http;by=\"a,b;c\\\"d\"";
        let fields =
            headers(&[("x-forwarded-for", "10.1.0.7"), ("x-forwarded-prefix", "/x"), ("forwarded", forwarded)]);
        let told = proxies(ProxyHeaders::Forwarded).listen_to(address("10.1.0.1"), &fields).expect("it is trusted");
        let host = Some("cam:8443".to_owned());
        let prefix = BasePath::default();
        assert_eq!(told, Told { client: Some(address("192.0.2.1")), is_secure: Some(true), host, prefix });
        let hidden = headers(&[("forwarded", "for=10.0.0.1, for=_hidden;proto=https, proto=https")]);
        let told = proxies(ProxyHeaders::Forwarded).listen_to(address("10.1.0.1"), &hidden).expect("it is trusted");
        assert_eq!(told.client, Some(UNKNOWN));
    }

    #[test]
    fn a_base_path_is_plain() {
        for (text, path) in [("/cams", "/cams"), ("/a/b-c_d.e~1/", "/a/b-c_d.e~1"), ("/", ""), ("", "")] {
            assert_eq!(text.parse(), Ok(BasePath(path.to_owned())), "{text}");
        }
        let long = format!("/{}", "x".repeat(256));
        for bad in ["cams", "//cams", "/a//b", "/..", "/a/./b", "/a\"b", "/ä", "/a b", "/a?b", "/a%2fb", &long] {
            assert_eq!(bad.parse::<BasePath>(), Err(BadBasePath), "{bad}");
        }
    }
}
