//! What the addresses of this gateway begin with for those outside.

use std::{fmt, str::FromStr};

use thiserror::Error;
use url::Url;

use super::ShareToken;

/// `https://cam.example.org` or `https://example.org/cameras`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is none, as the end of a sentence.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadBaseUrl {
    /// Not http or https, or no URL.
    #[error("it is no http:// or https:// address")]
    Scheme,
    /// More than a host and a path.
    #[error("it has credentials, a query or a fragment")]
    Rest,
}

impl BaseUrl {
    /// The address of a link. The token stands in the fragment: browsers send that to nobody, so that no log of a proxy and
    /// no `Referer` has it, and yet the address can be reloaded, kept and given to OBS.
    pub fn link(&self, token: &ShareToken) -> String {
        format!("{self}/share#{}", token.expose())
    }

    /// The WHEP endpoint of a camera.
    pub fn whep(&self, camera: &str) -> String {
        format!("{self}/whep/{camera}")
    }

    /// The WHIP endpoint of a camera.
    pub fn whip(&self, camera: &str) -> String {
        format!("{self}/whip/{camera}")
    }

    /// The name or number of its machine.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let url = Url::parse(text).map_err(|_| BadBaseUrl::Scheme)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BadBaseUrl::Scheme);
        }
        let is_bare = url.username().is_empty() && url.password().is_none();
        if is_bare && url.query().is_none() && url.fragment().is_none() { Ok(Self(url)) } else { Err(BadBaseUrl::Rest) }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_begin_with_it() {
        let base = |text: &str| text.parse::<BaseUrl>().map(|base| base.whep("front"));
        assert_eq!(base("https://cam.example.org"), Ok("https://cam.example.org/whep/front".to_owned()));
        assert_eq!(base("http://[::1]:8080/cams/"), Ok("http://[::1]:8080/cams/whep/front".to_owned()));
        for bad in ["", "cam.example.org", "ftp://a", "javascript:alert(1)", "/cams", "http://"] {
            assert_eq!(base(bad), Err(BadBaseUrl::Scheme), "{bad}");
        }
        for bad in ["http://a?b", "http://a/#b", "http://u@a", "http://u:p@a/"] {
            assert_eq!(base(bad), Err(BadBaseUrl::Rest), "{bad}");
        }
    }
}
