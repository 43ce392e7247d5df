//! Tokens of an identity provider (JWT, RFC 7519): who somebody is and what they may do, by claims that it has signed.
//!
//! Which algorithm a token is checked with is said by the key, never by the token; issuer, audience and an end are required.

mod keys;
mod signature;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::Uri;
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde_json::{Map, Value};
use thiserror::Error;

use self::keys::{Keys, NoKey};
use super::{Action, Cameras, User, UserName, outward::Outward};

/// Bytes of a token. Those of big companies have some kilobytes; our header fields end at 16 KiB or so.
const MAX_TOKEN: usize = 16 * 1024;
/// By how much the clocks of provider and gateway may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// For the provider to say its keys.
const PROVIDER_DEADLINE: Duration = Duration::from_secs(5);
/// Stands in front of the names of its users, so that they are nobody else's: no user of the configuration has a colon.
const PREFIX: &str = "jwt";

/// `[http.jwt]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// Which `iss` has to be.
    pub issuer: String,
    /// Which has to be in `aud`.
    pub audience: String,
    /// What tokens are signed with.
    pub keys: JwtKeys,
    /// The claim with the user's name.
    pub name_claim: String,
    /// The claim with the cameras that are there for the user; without it there is none.
    pub cameras_claim: String,
    /// The claim with what the user may do; without it, watch.
    pub actions_claim: String,
}

/// What tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// HS256.
    Secret(JwtSecret),
    /// RS256 and ES256, with keys that the provider publishes here.
    Published(Uri),
}

/// A secret that a provider shares. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSecret(String);

impl JwtSecret {
    /// Of this text, if it is long enough (RFC 7518 section 3.2: as long as the hash).
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= 32).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a token is none of a user. Shows nothing of it: it goes into the log.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum BadToken {
    #[error("it is no JWT signed by RS256, ES256 or, with a secret, HS256")]
    Malformed,
    #[error("the identity provider has no such key")]
    Key,
    #[error("the identity provider does not tell its keys")]
    Unheard,
    #[error("its signature is wrong, or of another algorithm than its key")]
    Signature,
    #[error("it is over, or not good yet")]
    Time,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it lacks a claim, or one is not what it has to be")]
    Claims,
}

/// Knows the users of a provider.
pub(super) struct Jwt {
    keys: Keys,
    config: JwtConfig,
}

impl Jwt {
    /// Whether it is made by these settings.
    pub(super) fn is_of(&self, config: &JwtConfig) -> bool {
        self.config == *config
    }

    pub(super) fn new(config: &JwtConfig) -> Self {
        signature::install();
        let keys = match &config.keys {
            JwtKeys::Secret(secret) => Keys::secret(secret.0.as_bytes()),
            JwtKeys::Published(url) => Keys::published(url.clone(), Outward::new(PROVIDER_DEADLINE)),
        };
        Self { keys, config: config.clone() }
    }

    /// Whether a text is meant to be a JWT: three parts with dots between.
    pub(super) fn is_meant(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// The user whom a token is of, and until when.
    pub(super) async fn verify(&self, token: &str) -> Result<(Arc<User>, SystemTime), BadToken> {
        if token.len() > MAX_TOKEN {
            return Err(BadToken::Malformed);
        }
        let header = decode_header(token).map_err(|_| BadToken::Malformed)?;
        let key = self.keys.find(header.kid.as_deref()).await.map_err(|why| match why {
            NoKey::Unknown => BadToken::Key,
            NoKey::Unheard => BadToken::Unheard,
        })?;
        let mut rules = Validation::new(key.algorithm);
        rules.leeway = LEEWAY.as_secs();
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.config.issuer]);
        rules.set_audience(&[&self.config.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims =
            decode::<Map<String, Value>>(token, &key.key, &rules).map_err(|error| reason(error.kind()))?.claims;
        self.user(&claims).ok_or(BadToken::Claims)
    }

    fn user(&self, claims: &Map<String, Value>) -> Option<(Arc<User>, SystemTime)> {
        let name = UserName::of_provider(PREFIX, claims.get(&self.config.name_claim)?.as_str()?)?;
        let cameras = words(claims.get(&self.config.cameras_claim))?;
        let cameras = if cameras.iter().any(|name| name == "*") { Cameras::All } else { Cameras::Only(cameras) };
        let actions = match claims.get(&self.config.actions_claim) {
            // Links outlive a token.
            Some(claim) => words(Some(claim))?
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|a| *a != Action::Share)
                .collect(),
            None => vec![Action::Watch],
        };
        let ends = claims.get("exp")?.as_f64().filter(|seconds| *seconds >= 0.0)?;
        let ends = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(ends).ok()?)?.checked_add(LEEWAY)?;
        Some((Arc::new(User { name, password: None, token: None, cameras, actions }), ends))
    }
}

/// A list of texts, or one with spaces between words, as `scope` is (RFC 8693 section 4.2).
fn words(claim: Option<&Value>) -> Option<Vec<String>> {
    match claim {
        None => Some(Vec::new()),
        Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(list)) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}

fn reason(kind: &ErrorKind) -> BadToken {
    match kind {
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => BadToken::Time,
        ErrorKind::InvalidIssuer => BadToken::Issuer,
        ErrorKind::InvalidAudience => BadToken::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => BadToken::Claims,
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => BadToken::Signature,
        _ => BadToken::Malformed,
    }
}

#[cfg(test)]
mod tests;
