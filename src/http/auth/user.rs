//! The users, as the configuration names them.

use std::{fmt, str::FromStr};

use argon2::{Params, password_hash::phc};
use ring::digest::{SHA256, digest};
use thiserror::Error;

/// Longest name of a user, in bytes.
pub(super) const MAX_NAME: usize = 64;
/// Bounds of what one check of a password may take: memory in KiB, passes and lanes. `camgate password` asks for 19 MiB, 2
/// and 1 (OWASP's recommendation for argon2id).
const MAX_COST: [u32; 3] = [256 * 1024, 16, 16];
/// What a token's hash begins with.
const SHA_256: &str = "sha256:";
/// Random bytes of a token.
const TOKEN: usize = 32;

/// Somebody who may have something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Which no other user has.
    pub name: UserName,
    /// For people.
    pub password: Option<PasswordHash>,
    /// For programs.
    pub token: Option<TokenHash>,
    /// Which cameras are there for this user.
    pub cameras: Cameras,
    /// What may be done.
    pub actions: Vec<Action>,
}

/// `anna: watch, api; every camera`, for a person who looks whether that is what was meant.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(|action| action.name()).collect();
        let actions = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
        let cameras = match &self.cameras {
            Cameras::All => "every camera".to_owned(),
            Cameras::Only(names) if names.is_empty() => "no camera".to_owned(),
            Cameras::Only(names) => names.join(", "),
        };
        write!(f, "{}: {actions}; {cameras}", self.name)
    }
}

/// Some of the cameras.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cameras {
    /// Also those that come later.
    All,
    /// These names.
    Only(Vec<String>),
}

impl Cameras {
    /// Whether the camera of that name is one of them; whether there is one is another question.
    pub(super) fn has(&self, camera: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == camera),
        }
    }
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See the cameras and their states.
    Watch,
    /// Be the camera of those that are published to.
    Publish,
    /// Be heard where a camera is.
    Talk,
    /// Read what programs ask for: cameras, sessions, readiness.
    Api,
    /// Read the metrics.
    Metrics,
    /// Make links that show a camera to whoever has them.
    Share,
}

/// A user's name: 1 to 64 letters, digits, `.`, `_`, `-` and `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

/// An argon2id hash in the form of the Password Hashing Competition, `$argon2id$v=19$m=...`. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub(super) phc::PasswordHash);

/// The SHA-256 of a token; tokens are random, so that no slower hash is needed. Its `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// What is wrong with a part of a user, as the end of a sentence. Shows nothing of it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadUser {
    /// No name.
    #[error("it is empty, too long, or has other letters")]
    Name,
    /// No action.
    #[error("there is no such action")]
    Action,
    /// Not of the form `$argon2id$...`.
    #[error("it is no argon2id hash")]
    PasswordHash,
    /// Would take minutes or all memory.
    #[error("it asks for more than 256 MiB, 16 passes or 16 lanes")]
    Cost,
    /// Not of the form `sha256:...`.
    #[error("it is no sha256: and 64 hexadecimal digits")]
    TokenHash,
}

impl UserName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest name of a provider's user, in bytes.
const MAX_FOREIGN_NAME: usize = 128;

impl UserName {
    /// The name of somebody whom a provider of this kind knows. Has a colon in it, as no name of the configuration has.
    pub(super) fn of_provider(kind: &str, name: &str) -> Option<Self> {
        let fits = |c: char| !c.is_control() && !c.is_whitespace();
        let is_good = (1..=MAX_FOREIGN_NAME).contains(&name.len()) && name.chars().all(fits);
        is_good.then(|| Self(format!("{kind}:{name}")))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = BadUser;

    fn from_str(text: &str) -> Result<Self, BadUser> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let is_good = (1..=MAX_NAME).contains(&text.len()) && text.chars().all(fits);
        if is_good { Ok(Self(text.to_owned())) } else { Err(BadUser::Name) }
    }
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Watch, Self::Publish, Self::Talk, Self::Api, Self::Metrics, Self::Share];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Publish => "publish",
            Self::Talk => "talk",
            Self::Api => "api",
            Self::Metrics => "metrics",
            Self::Share => "share",
        }
    }
}

impl FromStr for Action {
    type Err = BadUser;

    fn from_str(text: &str) -> Result<Self, BadUser> {
        Self::ALL.into_iter().find(|action| action.name() == text).ok_or(BadUser::Action)
    }
}

impl FromStr for PasswordHash {
    type Err = BadUser;

    fn from_str(text: &str) -> Result<Self, BadUser> {
        let hash = phc::PasswordHash::new(text).map_err(|_| BadUser::PasswordHash)?;
        let is_whole = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
        let params = Params::try_from(&hash).map_err(|_| BadUser::PasswordHash)?;
        let costs = [params.m_cost(), params.t_cost(), params.p_cost()];
        match is_whole {
            false => Err(BadUser::PasswordHash),
            true if costs.iter().zip(MAX_COST).any(|(cost, max)| *cost > max) => Err(BadUser::Cost),
            true => Ok(Self(hash)),
        }
    }
}

impl PasswordHash {
    /// Memory in KiB, passes and lanes.
    pub(super) fn costs(&self) -> [u32; 3] {
        // It has been read once.
        Params::try_from(&self.0).map_or([0; 3], |params| [params.m_cost(), params.t_cost(), params.p_cost()])
    }

    /// What a check's time grows with.
    pub(super) fn work(&self) -> u64 {
        let [memory, passes, _] = self.costs();
        u64::from(memory) * u64::from(passes)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl TokenHash {
    /// Of a token as it is sent.
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

impl FromStr for TokenHash {
    type Err = BadUser;

    fn from_str(text: &str) -> Result<Self, BadUser> {
        let digits = text.strip_prefix(SHA_256).filter(|digits| digits.len() == 64 && digits.is_ascii());
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.ok_or(BadUser::TokenHash)?.as_bytes().chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(0).zip(digit(1)).map(|(high, low)| high << 4 | low).ok_or(BadUser::TokenHash)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A new token of 256 random bits, and its hash as the configuration takes it.
pub fn make_token() -> (String, String) {
    let token = hexadecimal(&rand::random::<[u8; TOKEN]>());
    let hash = format!("{SHA_256}{}", hexadecimal(&TokenHash::of(&token).0));
    (token, hash)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let (token, hash) = make_token();
        assert_eq!(hash.parse(), Ok(TokenHash::of(&token)));
        assert_ne!(make_token().0, token);
        for bad in ["", "sha256:", "sha256:00", &hash[7..], &hash.replace("sha256", "sha512"), &format!("{hash}0")] {
            assert_eq!(bad.parse::<TokenHash>(), Err(BadUser::TokenHash), "{bad}");
        }
        assert_eq!(format!("sha256:{}", "0g".repeat(32)).parse::<TokenHash>(), Err(BadUser::TokenHash));
    }

    #[test]
    fn only_argon2id_within_bounds_is_a_password_hash() {
        let hash = |text: &str| text.parse::<PasswordHash>().map(drop);
        let rest = "$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
        assert_eq!(hash(&format!("$argon2id$v=19$m=19456,t=2,p=1{rest}")), Ok(()));
        assert_eq!(hash(&format!("$argon2i$v=19$m=19456,t=2,p=1{rest}")), Err(BadUser::PasswordHash));
        assert_eq!(hash("$argon2id$v=19$m=19456,t=2,p=1"), Err(BadUser::PasswordHash));
        assert_eq!(hash("hunter22"), Err(BadUser::PasswordHash));
        assert_eq!(hash(&format!("$argon2id$v=19$m=4194304,t=2,p=1{rest}")), Err(BadUser::Cost));
        assert_eq!(hash(&format!("$argon2id$v=19$m=19456,t=2000,p=1{rest}")), Err(BadUser::Cost));
    }

    #[test]
    fn names_fit_into_a_log_and_before_a_colon() {
        for good in ["anna", "Anna.B", "anna@example.org", &"x".repeat(64)] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in ["", "an na", "anna:", "an\nna", "änna", &"x".repeat(65)] {
            assert_eq!(bad.parse::<UserName>(), Err(BadUser::Name), "{bad}");
        }
    }
}
