//! Whose pages may show ours in a frame, as Home Assistant's dashboards do.

use std::{fmt, str::FromStr};

/// `https://home.example.org`, `https://*.example.org`, `http://192.168.1.5:8123` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameAncestor(String);

/// Why a text is none, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrameAncestor;

impl FrameAncestor {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FrameAncestor {
    type Err = BadFrameAncestor;

    /// A host-source with its scheme (CSP, section 2.3.1), or `*`.
    fn from_str(text: &str) -> Result<Self, BadFrameAncestor> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-*:[]".contains(c);
        let is_source = host.is_some_and(|host| !host.is_empty() && host.len() <= 300 && host.chars().all(is_plain));
        if text == "*" || is_source { Ok(Self(text.to_owned())) } else { Err(BadFrameAncestor) }
    }
}

impl fmt::Display for BadFrameAncestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it does not begin with http:// or https://, or has more than a host and a port")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_gets_into_the_policy() {
        for good in
            ["*", "https://home.example.org", "https://*.example.org", "http://192.168.1.5:*", "http://[fd12::1]:8123"]
        {
            assert!(good.parse::<FrameAncestor>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "home",
            "'self'",
            "https://",
            "https://a/b",
            "https://a; script-src *",
            "https://a https://b",
            "https:*",
        ] {
            assert_eq!(bad.parse::<FrameAncestor>(), Err(BadFrameAncestor), "{bad}");
        }
    }
}
