//! Shares: each shows one camera, for a while, to whoever has its link.
//!
//! A link has a [`ShareToken`]; what it shows stands in the file of shares ([`Shares`]), and nowhere else, so that a share
//! that is not there any more is over, also after a restart, and nobody who reads the file has a link.

mod shares;
mod token;

use std::{
    fmt,
    num::NonZeroU32,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(super) use self::shares::Recognised;
pub(in crate::http) use self::shares::Seat;
pub use self::{
    shares::{ShareError, Shares},
    token::ShareToken,
};

/// Bounds of how long a link may last.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Most viewers at one time that may be asked for; more is no bound.
const MAX_VIEWERS: u32 = 10_000;
/// Longest note, in characters.
const MAX_NOTE: usize = 80;

/// Names a share to those who manage it; says nothing of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareId(u64);

/// A share as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which no other share has.
    pub id: ShareId,
    /// The camera's name.
    pub camera: String,
    made: u64,
    expires: u64,
    /// How many may watch at one time; `None` for any number.
    pub viewers: Option<NonZeroU32>,
    /// Whether whoever has the link may be the camera, where it is published to.
    #[serde(default)]
    pub publish: bool,
    /// What its maker remembers it by.
    pub note: String,
    pub(in crate::http) by: Maker,
}

/// Who made a share. It is good as long as its maker could make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Maker {
    /// Whoever runs the gateway, on its machine.
    Operator,
    /// Somebody near, while there are no users.
    Anyone,
    /// The user of that name.
    User(String),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub(super) camera: String,
    pub(super) lasts: Duration,
    pub(super) viewers: Option<NonZeroU32>,
    pub(super) publish: bool,
    pub(super) note: String,
}

/// Why nothing can be shared so, as a sentence without its end.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadWish {
    /// Too short or too long.
    #[error("a link lasts for a minute at least and 366 days at most")]
    Lifetime,
    /// None or very many.
    #[error("a link is for 1 viewer at least and 10000 at most, or for any number without a bound")]
    Viewers,
    /// Too long, or not one line.
    #[error("a note is one line of 80 characters at most")]
    Note,
}

impl Wish {
    /// A link to `camera` for so long, for so many viewers at a time, with a note for whoever looks at the list.
    ///
    /// # Errors
    /// [`BadWish`].
    pub fn new(camera: &str, lasts: Duration, viewers: Option<u32>, note: &str) -> Result<Self, BadWish> {
        if !(SHORTEST..=LONGEST).contains(&lasts) {
            return Err(BadWish::Lifetime);
        }
        let bounded = |count| NonZeroU32::new(count).filter(|count| count.get() <= MAX_VIEWERS).ok_or(BadWish::Viewers);
        let viewers = viewers.map(bounded).transpose()?;
        if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
            return Err(BadWish::Note);
        }
        Ok(Self { camera: camera.to_owned(), lasts, viewers, publish: false, note: note.trim().to_owned() })
    }

    /// The same, whose link also lets somebody be the camera.
    pub fn publishing(self, publish: bool) -> Self {
        Self { publish, ..self }
    }
}

impl Share {
    /// When it was made.
    pub fn made(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.made)
    }

    /// When it ends by itself.
    pub fn expires(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.expires)
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for ShareId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = is_good.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or("a link's id has 16 hexadecimal digits")
    }
}

impl TryFrom<String> for ShareId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ShareId> for String {
    fn from(id: ShareId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_have_bounds() {
        let hour = Duration::from_secs(3_600);
        let wish = |lasts, viewers, note: &str| Wish::new("front", lasts, viewers, note).map(|wish| wish.note);
        assert_eq!(wish(hour, Some(1), " plumber "), Ok("plumber".to_owned()));
        assert_eq!(wish(hour, None, &"ä".repeat(80)), Ok("ä".repeat(80)));
        for lasts in [Duration::ZERO, Duration::from_secs(59), Duration::from_secs(367 * 86_400), Duration::MAX] {
            assert_eq!(wish(lasts, None, ""), Err(BadWish::Lifetime), "{lasts:?}");
        }
        assert_eq!(wish(hour, Some(0), ""), Err(BadWish::Viewers));
        assert_eq!(wish(hour, Some(10_001), ""), Err(BadWish::Viewers));
        assert_eq!(wish(hour, None, &"x".repeat(81)), Err(BadWish::Note));
        assert_eq!(wish(hour, None, "a\nlogin failed from 192.0.2.1: "), Err(BadWish::Note));
    }
}
