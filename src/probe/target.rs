//! Which camera is meant: a URL as people have it, often with a password in it.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::source::config::{BadUrl, Secret, parse_url, redact_url};

/// A camera's URL without credentials, and those that were in it.
#[derive(Debug)]
pub struct Target {
    /// As `source::config::parse_url` makes it.
    pub url: Url,
    /// User name and password that stood in the URL.
    pub login: Option<(String, Secret)>,
}

/// Why a text is no URL of a camera. No message shows a password.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// Not what RTSP cameras have.
    #[error("{0}")]
    Url(#[from] BadUrl),
    /// An `@` that may end a password or belong to the path.
    #[error(
        "cannot tell whether {shown} has a password in it: give the URL without, and the user by --username; an @ of the \
         path is written %40"
    )]
    Ambiguous {
        /// Without what may be secret.
        shown: String,
    },
}

impl Target {
    /// Takes `rtsp://user:password@host/path` apart; either part may be missing.
    ///
    /// # Errors
    /// What the RTSP source cannot open.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        if let Ok(mut url) = Url::parse(text) {
            let userinfo = (url.username().to_owned(), url.password().map(str::to_owned));
            // Both fail only for URLs without a host, which have no userinfo.
            if (!userinfo.0.is_empty() || userinfo.1.is_some())
                && url.set_username("").is_ok()
                && url.set_password(None).is_ok()
            {
                let login = Some((decoded(&userinfo.0), Secret::new(decoded(&userinfo.1.unwrap_or_default()))));
                return Ok(Self { url: parse_url(url.as_str())?, login });
            }
            let before = text.rsplit_once('@').and_then(|(before, _)| before.split_once("://"));
            if before.is_some_and(|(_, before)| before.contains(':')) {
                return Err(BadTarget::Ambiguous { shown: redact_url(text) });
            }
            return Ok(Self { url: parse_url(text)?, login: None });
        }
        // A password with / or # or ? in it, as people copy them; redact_url reads it the same way.
        let apart = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
        let Some((scheme, (userinfo, host))) = apart else { return Ok(Self { url: parse_url(text)?, login: None }) };
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let url = parse_url(&format!("{scheme}://{host}"))?;
        Ok(Self { url, login: Some((decoded(user), Secret::new(decoded(password)))) })
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<(String, String)>) {
        let Target { url, login } = Target::parse(text).unwrap_or_else(|error| panic!("{error}"));
        (url.into(), login.map(|(user, password)| (user, password.expose().to_owned())))
    }

    #[test]
    fn credentials_are_taken_out() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        let cases = [
            ("rtsp://cam:8554/live?ch=1", ("rtsp://cam:8554/live?ch=1", None)),
            ("rtsp://admin:hunter2@cam/live", ("rtsp://cam/live", login("admin", "hunter2"))),
            ("rtsp://admin:p%40ss@cam/live", ("rtsp://cam/live", login("admin", "p@ss"))),
            ("rtsp://admin:p@ss@cam/live", ("rtsp://cam/live", login("admin", "p@ss"))),
            ("rtsp://admin:p/s#s?@cam/live", ("rtsp://cam/live", login("admin", "p/s#s?"))),
            ("rtsp://admin@cam/live", ("rtsp://cam/live", login("admin", ""))),
            ("rtsp://cam/stream@1", ("rtsp://cam/stream@1", None)),
        ];
        for (text, (url, login)) in cases {
            assert_eq!(parts(text), (url.to_owned(), login), "{text}");
        }
    }

    #[test]
    fn what_is_refused_shows_no_password() {
        for text in ["rtsp://admin:12/hunter2@cam/live", "rtsps://admin:hunter2@cam/live", "admin:hunter2@cam", "cam"] {
            let error = Target::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
