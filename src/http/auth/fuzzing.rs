//! Ways in for `fuzz/`.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use ring::hmac;

use super::{
    JwtConfig, JwtKeys, JwtSecret, PasswordHash, Shares, TokenHash, UserName,
    cookies::Cookies,
    credentials::{Credentials, MAX_PASSWORD, credentials as read},
    jwt::Jwt,
    near::{Neighbours, is_from_near},
    origin::origin,
    share::Recognised,
    state_dir::StateDir,
};
use crate::http::site::Site;

const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

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

/// Reads a text as the token of a link and of an identity provider, which nobody makes up, and as claims that the provider has
/// signed.
pub fn tokens(text: &str) {
    static KNOWN: OnceLock<(Shares, Jwt)> = OnceLock::new();
    let (shares, jwt) = KNOWN.get_or_init(|| {
        let keys = JwtKeys::Secret(JwtSecret::new(JWT_SECRET).expect("long enough"));
        let [name_claim, cameras_claim, actions_claim] = ["sub", "cameras", "scope"].map(str::to_owned);
        let [issuer, audience] = ["i", "a"].map(str::to_owned);
        let config = JwtConfig { issuer, audience, keys, name_claim, cameras_claim, actions_claim };
        (Shares::new(Arc::new(StateDir::forgotten())), Jwt::new(&config))
    });
    assert!(matches!(shares.recognise(text, SystemTime::now()), Recognised::Forged), "nobody has made a link");
    // A secret that is known is asked for nowhere else.
    assert!(jwt.verify(text).now_or_never().is_some_and(|user| user.is_err()), "nobody has signed it");
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(text));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, JWT_SECRET.as_bytes()), message.as_bytes());
    let signed = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    if let Some(Ok((user, _))) = jwt.verify(&signed).now_or_never() {
        assert!(user.name.as_str().starts_with("jwt:"), "{}", user.name);
    }
}

/// Whether a client with such fields would be answered without a password.
pub(in crate::http) fn neighbour(client: IpAddr, headers: &HeaderMap) {
    let neighbours = Neighbours::default();
    let is_near = is_from_near(client, headers, &Site::plain(), &neighbours);
    let _ = neighbours.check(headers, &Site::plain(), false);
    assert!(!is_near || super::private::is_private(client));
}
