//! `Link` headers (RFC 8288): ICE servers and extensions.

use axum::http::{HeaderName, HeaderValue, header};

use crate::peer::IceServer;

/// One `Link` per ICE server URL (WHEP section 4.6).
pub(super) fn ice_servers(servers: &[IceServer]) -> Vec<(HeaderName, HeaderValue)> {
    let link = |server: &IceServer, url: &str| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            let (username, credential) = (quoted(username), quoted(credential.expose()));
            link += &format!("; username={username}; credential={credential}; credential-type=\"password\"");
        }
        let mut value = HeaderValue::from_str(&link).ok()?;
        value.set_sensitive(server.credential.is_some());
        Some((header::LINK, value))
    };
    servers.iter().flat_map(|server| server.urls.iter().filter_map(move |url| link(server, url.as_str()))).collect()
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
