//! Cross-origin access (Fetch standard, section 3.3): a player on any page may watch.
//!
//! Written out because tower-http's layer answers every OPTIONS itself, and WHEP clients read `Accept-Post` and `Link`
//! from that answer.

use axum::{
    http::{
        HeaderName, HeaderValue,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        },
    },
    response::Response,
};

/// For the answer to a preflight.
pub(super) const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE, OPTIONS"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
    // Chromium's upper bound.
    (ACCESS_CONTROL_MAX_AGE, "7200"),
];

/// For every answer.
pub(super) async fn expose(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}
