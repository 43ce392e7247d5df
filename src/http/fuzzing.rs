//! Ways in for `fuzz/`: what strangers write into headers and messages.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    auth::fuzzing::neighbour,
    proxy::{BasePath, Proxies, ProxyHeaders, strip},
};
pub use super::{
    auth::fuzzing::{credentials, tokens},
    channel::fuzzing::channel_message,
    signalling::fuzzing::signalling,
};

const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Fields of a request, `name: value` each, that a proxy which is trusted passes on.
pub fn passed_on(fields: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in fields.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    for family in [ProxyHeaders::XForwarded, ProxyHeaders::Forwarded] {
        let proxies =
            Proxies::new("127.0.0.1 10.0.0.0/8".split(' ').filter_map(|it| it.parse().ok()).collect(), family);
        let Some(told) = proxies.listen_to(PROXY, &headers) else { unreachable!("it is trusted") };
        assert_eq!(told.prefix.as_str().parse(), Ok::<BasePath, _>(told.prefix.clone()), "it goes into pages");
        if let Some(client) = told.client {
            neighbour(client, &headers);
        }
    }
    strip(&mut headers);
    assert_eq!(Proxies::new(Vec::new(), ProxyHeaders::XForwarded).listen_to(PROXY, &headers), None);
}
