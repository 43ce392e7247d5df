//! What a request's `Authorization` says (RFC 9110 section 11.6.2).

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Longest user name and password, in bytes.
pub(super) const MAX_PASSWORD: usize = 1_024;

/// Credentials as they came. Without `Debug`, so that nothing prints them.
pub(super) enum Credentials {
    /// A user's name and password (RFC 7617).
    Basic(String, String),
    /// A token (RFC 6750).
    Bearer(String),
    /// Something else, or nothing that can be read.
    Unusable,
}

/// The credentials of a request that has some.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(read(value.to_str().ok()).unwrap_or(Credentials::Unusable))
}

fn read(value: Option<&str>) -> Option<Credentials> {
    let (scheme, value) = value?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(Credentials::Bearer(value.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    (text.len() <= MAX_PASSWORD).then(|| Credentials::Basic(name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().expect("a value"));
        match credentials(&headers)? {
            Credentials::Basic(name, password) => Some((name, password)),
            Credentials::Bearer(token) => Some(("the token".to_owned(), token)),
            Credentials::Unusable => Some(("unusable".to_owned(), String::new())),
        }
    }

    #[test]
    fn both_schemes_are_read_and_nothing_else() {
        let both = |name: &str, secret: &str| Some((name.to_owned(), secret.to_owned()));
        assert_eq!(of("Basic YW5uYTpodW50ZXIyOm1vcmU="), both("anna", "hunter2:more"));
        assert_eq!(of("basic YW5uYTo="), both("anna", ""));
        assert_eq!(of("bearer 0123"), both("the token", "0123"));
        for bad in ["Basic", "Basic !", "Basic YW5uYQ==", "Digest x", "", "Basic /w=="] {
            assert_eq!(of(bad), both("unusable", ""), "{bad}");
        }
        let long = STANDARD.encode(format!("anna:{}", "x".repeat(MAX_PASSWORD)));
        assert_eq!(of(&format!("Basic {long}")), both("unusable", ""));
        assert!(credentials(&HeaderMap::new()).is_none());
    }
}
