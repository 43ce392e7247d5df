//! The gateway as those who ask see it: whom a request comes from, over what, and below which path, through reverse proxies.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::Next,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use tracing::warn;

use super::{
    proxy::{self, BasePath, Proxies},
    rate::Client,
};

/// Where no route leads: requests that are not below the base path.
const NOWHERE: &str = "/-";
/// Answered everywhere: supervisors need not know the base path.
const HEALTH: &str = "/healthz";

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
    /// Over TLS, up to a proxy at least.
    pub(super) is_secure: bool,
    /// A proxy that nobody has named in the configuration says that it asks for somebody else.
    pub(super) is_veiled: bool,
}

impl Site {
    /// One of the gateway's paths, such as `/login`, as a browser has to ask for it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Empty, or with a slash in front and none behind.
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

/// Where all requests come in.
#[derive(Debug)]
pub(super) struct Entrance {
    proxies: Proxies,
    base: BasePath,
    /// Whether the log has a line about a proxy that is not trusted.
    has_warned: AtomicBool,
}

impl Entrance {
    pub(super) fn new(proxies: Proxies, base: BasePath) -> Self {
        Self { proxies, base, has_warned: AtomicBool::new(false) }
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
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(site);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::http::proxy::ProxyHeaders;

    fn entrance(base: &str) -> Entrance {
        let trusted = vec!["10.0.0.1".parse().expect("an address")];
        Entrance::new(Proxies::new(trusted, ProxyHeaders::XForwarded), base.parse().expect("a path"))
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
