//! A way in for `fuzz/`.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, HeaderValue, header};

use super::{
    PasswordHash, TokenHash, UserName,
    cookies::Cookies,
    credentials::{Credentials, MAX_PASSWORD, credentials as read},
    origin::origin,
    state_dir::StateDir,
};

/// Reads the three values as `Authorization`, `Cookie` and `Origin`, and the first as everything that the configuration says
/// of a user. Nobody makes up a cookie.
pub fn credentials(authorization: &[u8], cookie: &[u8], site: &[u8]) {
    static COOKIES: OnceLock<Cookies> = OnceLock::new();
    let fields = [(header::AUTHORIZATION, authorization), (header::COOKIE, cookie), (header::ORIGIN, site)];
    let value = |(name, value): (_, &[u8])| Some((name, HeaderValue::from_bytes(value).ok()?));
    let mut headers: HeaderMap = fields.into_iter().filter_map(value).collect();
    headers.insert(header::HOST, HeaderValue::from_static("cam.example.org"));
    if let Some(Credentials::Basic(name, password)) = read(&headers) {
        assert!(name.len() + password.len() < MAX_PASSWORD && !name.contains(':'));
    }
    let _ = (origin(&headers, false), origin(&headers, true));
    let cookies = COOKIES
        .get_or_init(|| Cookies::new(Duration::from_secs(3_600), Arc::new(StateDir::forgotten()), SystemTime::now()));
    assert!(cookies.read(&headers, SystemTime::now()).is_none(), "nobody has logged in");
    if let Ok(text) = std::str::from_utf8(authorization) {
        let _ = text.parse::<PasswordHash>();
        let _ = text.parse::<TokenHash>().map(|hash| assert_ne!(hash, TokenHash::of(text)));
        let _ = text.parse::<UserName>().map(|name| assert_eq!(name.as_str(), text));
    }
}
