//! The name of a camera, checked once at the door.
//!
//! A name arrives as text from the configuration or from the path of a request and leaves as a [`CameraName`] that
//! is safe in a URL path, a log line, a metric label and a file name without any escaping. Everything else is refused
//! with [`BadCameraName`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a camera, which is also its WHEP path: 1 to 64 of `a-z`, `0-9`, `_`, `-`.
///
/// Cloning copies a pointer, so that every task and session of a camera can hold its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraName(Arc<str>);

impl CameraName {
    /// The longest name in bytes: what fits a metric label and a page title without being cut.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CameraName {
    type Err = BadCameraName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() {
            return Err(BadCameraName::Empty);
        }
        if let Some(character) = name.chars().find(|c| !is_allowed(*c)) {
            return Err(BadCameraName::Character(character));
        }
        if name.len() > Self::MAX_LEN {
            return Err(BadCameraName::TooLong(name.len()));
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for CameraName {
    type Error = BadCameraName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<CameraName> for String {
    fn from(name: CameraName) -> Self {
        name.as_str().into()
    }
}

impl AsRef<str> for CameraName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for CameraName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CameraName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

fn is_allowed(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '_' | '-')
}

/// Why a text is not a [`CameraName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCameraName {
    /// The text has no character at all.
    #[error("the name is empty")]
    Empty,
    /// The first character that a name cannot have.
    #[error("{0:?} cannot be part of a name")]
    Character(char),
    /// The length in bytes of a text that has only good characters, but too many.
    #[error("the name has {0} characters, more than {max}", max = CameraName::MAX_LEN)]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_is_safe_everywhere() {
        for name in ["a", "front", "front-door_2", "0", &"x".repeat(64)] {
            assert_eq!(name.parse::<CameraName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        let bad = |name: &str| name.parse::<CameraName>().unwrap_err();
        assert_eq!(bad(""), BadCameraName::Empty);
        assert_eq!(bad("Front"), BadCameraName::Character('F'));
        assert_eq!(bad("../etc"), BadCameraName::Character('.'));
        assert_eq!(bad("tür"), BadCameraName::Character('ü'));
        assert_eq!(bad(&"x".repeat(65)), BadCameraName::TooLong(65));
    }

    #[test]
    fn is_checked_when_it_comes_through_serde() {
        let read = |name: &str| serde_json::from_value::<CameraName>(name.into());
        assert_eq!(read("front").unwrap().as_str(), "front");
        assert!(read("no spaces").is_err());
    }
}
