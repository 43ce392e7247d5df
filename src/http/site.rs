//! The gateway as those who ask see it: whom a request comes from, over what, and below which path, through reverse proxies.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header,
        uri::{Authority, PathAndQuery},
    },
    middleware::Next,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use tracing::warn;

use super::{
    FrameAncestor,
    auth::is_local_name,
    problem::Problem,
    proxy::{self, BasePath, Proxies},
    rate::Client,
};
use crate::panics::{Part, Whose, caught_task};

/// Where no route leads: requests that are not below the base path.
const NOWHERE: &str = "/-";
/// Answered everywhere: supervisors need not know the base path.
const HEALTH: &str = "/healthz";

/// What browsers are told by default: a month, which is over before anybody who goes back to HTTP has given up.
const HSTS: Duration = Duration::from_secs(30 * 86_400);
/// Fetch standard, section 3.7.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A connection, as an extension of each of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) peer: IpAddr,
    pub(super) is_secure: bool,
}

/// What the one who asks sees of the gateway, as an extension of each request.
#[derive(Clone, Debug)]
pub(super) struct Site {
    base: Arc<str>,
    frames: Arc<str>,
    /// Over TLS, up to a proxy at least.
    pub(super) is_secure: bool,
    /// A proxy that nobody has named in the configuration says that it asks for somebody else.
    pub(super) is_veiled: bool,
}

impl Site {
    /// Asked for directly, over plain HTTP.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn plain() -> Self {
        Self { base: "".into(), frames: "'self'".into(), is_secure: false, is_veiled: false }
    }

    /// One of the gateway's paths, such as `/login`, as a browser has to ask for it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Who may show pages of it in frames (CSP's `frame-ancestors`).
    pub(super) fn frames(&self) -> &str {
        &self.frames
    }

    /// Empty, or with a slash in front and none behind.
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

/// Where all requests come in.
#[derive(Debug)]
pub(super) struct Entrance {
    proxies: Arc<Proxies>,
    base: BasePath,
    frames: Arc<str>,
    /// For how long browsers are to come by HTTPS only, if the configuration says so.
    hsts: Option<Duration>,
    /// Whether the log has a line about a proxy that is not trusted.
    has_warned: AtomicBool,
}

impl Entrance {
    /// `frames` may show our pages, beside ourselves.
    pub(super) fn new(proxies: Arc<Proxies>, base: BasePath, frames: &[FrameAncestor], hsts: Option<Duration>) -> Self {
        let frames = frames.iter().map(FrameAncestor::as_str);
        let frames = std::iter::once("'self'").chain(frames).collect::<Vec<_>>().join(" ").into();
        Self { proxies, base, frames, hsts, has_warned: AtomicBool::new(false) }
    }

    /// Who asks, and what they see; the request is afterwards as they have sent it.
    fn look(&self, connection: Connection, request: &mut Request) -> (Client, Site) {
        let headers = request.headers_mut();
        let told = self.proxies.listen_to(connection.peer, headers);
        let is_veiled = told.is_none() && proxy::is_passed_on(headers);
        if is_veiled && !self.has_warned.swap(true, Ordering::Relaxed) {
            let peer = connection.peer.to_canonical();
            warn!(
                "{peer} passes requests on for others and is not in [http] trusted_proxies: all of them count as {peer}"
            );
        }
        proxy::strip(headers);
        let told = told.unwrap_or_default();
        if let Some(host) = told.host.and_then(|host| HeaderValue::from_str(&host).ok()) {
            headers.insert(header::HOST, host);
        }
        let site = Site {
            base: format!("{}{}", told.prefix.as_str(), self.base.as_str()).into(),
            frames: self.frames.clone(),
            is_secure: told.is_secure.unwrap_or(connection.is_secure),
            is_veiled,
        };
        (Client(told.client.unwrap_or(connection.peer).to_canonical()), site)
    }

    /// The address of a request below the base path; `None` for one that is not.
    fn below_base(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let rest = path.strip_prefix(self.base.as_str())?;
        match rest.chars().next() {
            Some('/') => rest.parse().ok(),
            None | Some('?') => format!("/{rest}").parse().ok(),
            Some(_) => None,
        }
    }
}

/// The middleware around everything, routing included.
pub(super) async fn enter(State(entrance): State<Arc<Entrance>>, mut request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().copied() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // HTTP/2 has the host in the address (RFC 9113 section 8.3.1).
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        request.headers_mut().insert(header::HOST, host);
    }
    let (client, site) = entrance.look(connection, &mut request);
    match entrance.below_base(request.uri()) {
        Some(uri) => *request.uri_mut() = uri,
        None if request.uri().path() == HEALTH => {}
        None if request.uri().path() == "/" => {
            let no_store = AppendHeaders([(header::CACHE_CONTROL, "no-store")]);
            return (no_store, Redirect::temporary(&site.path("/"))).into_response();
        }
        None => *request.uri_mut() = Uri::from_static(NOWHERE),
    }
    let hsts = connection.is_secure.then(|| hsts(entrance.hsts, request.headers())).flatten();
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(site);
    let answered = caught_task(Part::Request, Whose::NOBODYS, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|panic| Problem::internal(panic).into_response());
    let fields = response.headers_mut();
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Players on other pages ask with CORS, which this does not concern.
    fields.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    // Pages have a whole one.
    let no_frames = HeaderValue::from_static("frame-ancestors 'none'");
    fields.entry(header::CONTENT_SECURITY_POLICY).or_insert(no_frames);
    if let Some(hsts) = hsts {
        fields.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}

/// For how long the host that was asked for is to be asked by HTTPS only (RFC 6797). It counts for all ports of a host, so
/// that by itself the gateway says it of a public name only that it has for itself: one without a port. Never of an address.
fn hsts(configured: Option<Duration>, headers: &HeaderMap) -> Option<HeaderValue> {
    let authority: Authority = headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let is_alone = authority.port().is_none() && !is_local_name(host);
    let age = configured.or_else(|| is_alone.then_some(HSTS)).filter(|_| !is_address)?;
    HeaderValue::from_str(&format!("max-age={}", age.as_secs())).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::http::proxy::ProxyHeaders;

    fn entrance(base: &str) -> Entrance {
        let trusted = vec!["10.0.0.1".parse().expect("an address")];
        Entrance::new(
            Arc::new(Proxies::new(trusted, ProxyHeaders::XForwarded)),
            base.parse().expect("a path"),
            &[],
            None,
        )
    }

    #[test]
    fn paths_below_the_base_path_are_ours() {
        let below = |base: &str, uri: &str| {
            let uri = entrance(base).below_base(&uri.parse().expect("an address"));
            uri.map(|uri| uri.to_string())
        };
        assert_eq!(below("", "/watch/front?x=1").as_deref(), Some("/watch/front?x=1"));
        assert_eq!(below("", "https://cam/watch/front").as_deref(), Some("/watch/front"), "as HTTP/2 has it");
        assert_eq!(below("/cams", "/cams/watch/a%2Fb?x=/cams").as_deref(), Some("/watch/a%2Fb?x=/cams"));
        assert_eq!(below("/cams", "/cams").as_deref(), Some("/"));
        assert_eq!(below("/cams", "/cams?x").as_deref(), Some("/?x"));
        assert_eq!(below("/cams", "/cams/").as_deref(), Some("/"));
        for other in ["/", "/watch/front", "/camsx", "/Cams/", "/x/cams/", "*"] {
            assert_eq!(below("/cams", other), None, "{other}");
        }
    }

    #[test]
    fn only_a_name_that_is_ours_alone_is_to_be_asked_by_https_by_default() {
        let of = |configured: Option<u64>, host: &str| {
            let headers = [(header::HOST, host.parse().expect("a value"))].into_iter().collect();
            let value = hsts(configured.map(Duration::from_secs), &headers);
            value.map(|value| value.to_str().expect("a text").to_owned())
        };
        let month = Some("max-age=2592000".to_owned());
        assert_eq!(of(None, "cam.example.org"), month);
        for shared in ["cam.example.org:8443", "nas", "nas.local", "NAS.Fritz.lan.", "cam.home.arpa", "localhost"] {
            assert_eq!(of(None, shared), None, "{shared}");
            assert_eq!(of(Some(7), shared).as_deref(), Some("max-age=7"), "{shared}");
        }
        for address in ["192.0.2.1", "192.0.2.1:443", "[2001:db8::1]", "[2001:db8::1]:8443"] {
            assert_eq!((of(None, address), of(Some(7), address)), (None, None), "{address}");
        }
        assert_eq!(of(Some(0), "cam.example.org").as_deref(), Some("max-age=0"), "taken back");
    }

    #[test]
    fn a_request_is_seen_as_it_came_to_the_proxy() {
        let seen = |peer: [u8; 4]| {
            let request = Request::builder()
                .header("host", "10.0.0.2:8080")
                .header("x-forwarded-for", "192.0.2.7")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "example.org")
                .header("x-forwarded-prefix", "/home");
            let mut request = request.body(Body::empty()).expect("a request");
            let connection = Connection { peer: peer.into(), is_secure: false };
            let (Client(client), site) = entrance("/cams").look(connection, &mut request);
            let host = request.headers()["host"].to_str().expect("a text").to_owned();
            assert_eq!(request.headers().len(), 1, "nobody reads the rest again");
            (client.to_string(), site.is_secure, site.is_veiled, site.path("/login"), host)
        };
        let proxied = ("192.0.2.7".to_owned(), true, false, "/home/cams/login".to_owned(), "example.org".to_owned());
        assert_eq!(seen([10, 0, 0, 1]), proxied);
        let direct = ("10.0.0.3".to_owned(), false, true, "/cams/login".to_owned(), "10.0.0.2:8080".to_owned());
        assert_eq!(seen([10, 0, 0, 3]), direct);
    }
}
