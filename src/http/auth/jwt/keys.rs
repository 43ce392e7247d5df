//! The keys that an identity provider signs with: a shared secret, or a set that it publishes (RFC 7517), fetched when it is
//! needed and again when it is old or lacks a key.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::http::{Request, Uri, header};
use http_body_util::Empty;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use tokio::sync::Mutex as Turn;
use tracing::{info, warn};

use crate::http::auth::outward::{Outward, Unanswered};

/// A set that is older is fetched again, while it is used: a key that the provider has given up is not believed for longer.
const FRESH: Duration = Duration::from_secs(600);
/// Of a provider that has not answered for so long nothing is believed.
const LAST: Duration = Duration::from_secs(86_400);
/// Between two requests to the provider, whatever strangers ask for.
const PAUSE: Duration = Duration::from_secs(10);
/// Keys of one provider. Two or three are usual.
const MAX_KEYS: usize = 64;

/// A key, and the one algorithm that it is for: whoever sends a token has no say in that.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The provider has none of that name.
    Unknown,
    /// The provider does not say which it has.
    Unheard,
}

pub(super) enum Keys {
    Secret(Arc<Key>),
    Published(Arc<Published>),
}

pub(super) struct Published {
    url: Uri,
    outward: Outward,
    known: Mutex<Known>,
    turn: Turn<()>,
}

#[derive(Default)]
struct Known {
    keys: Vec<(Option<String>, Arc<Key>)>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self::Secret(Arc::new(Key { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }))
    }

    pub(super) fn published(url: Uri, outward: Outward) -> Self {
        Self::Published(Arc::new(Published { url, outward, known: Mutex::default(), turn: Turn::default() }))
    }

    /// The key of that name; without a name the only one.
    pub(super) async fn find(&self, name: Option<&str>) -> Result<Arc<Key>, NoKey> {
        match self {
            Self::Secret(key) => Ok(key.clone()),
            Self::Published(published) => published.find(name).await,
        }
    }
}

impl Published {
    /// Who has a key that is known never waits. Who has not waits once for all who ask meanwhile.
    async fn find(self: &Arc<Self>, name: Option<&str>) -> Result<Arc<Key>, NoKey> {
        let now = Instant::now();
        let (key, is_due) = {
            let known = self.lock();
            (known.find(name, now), known.is_due(now))
        };
        if let Some(key) = key {
            if is_due {
                let published = self.clone();
                tokio::spawn(async move { published.fetch().await });
            }
            return Ok(key);
        }
        self.fetch().await;
        let known = self.lock();
        let why = if known.is_heard(now) { NoKey::Unknown } else { NoKey::Unheard };
        known.find(name, now).ok_or(why)
    }

    /// Asks the provider, if it has not been asked just now.
    async fn fetch(&self) {
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        {
            let mut known = self.lock();
            if known.tried.is_some_and(|tried| now.saturating_duration_since(tried) < PAUSE) {
                return;
            }
            known.tried = Some(now);
        }
        match self.ask().await {
            Ok(keys) => {
                info!(keys = keys.len(), "asked the identity provider for its keys");
                let mut known = self.lock();
                known.keys = keys;
                known.fetched = Some(now);
            }
            Err(why) => warn!("[http.jwt] jwks_url: no keys from the identity provider: {why}; the last ones stay"),
        }
    }

    async fn ask(&self) -> Result<Vec<(Option<String>, Arc<Key>)>, String> {
        let request = Request::get(&self.url).header(header::ACCEPT, "application/jwk-set+json, application/json");
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let answer = self.outward.ask(request).await.map_err(|why: Unanswered| why.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status().as_u16()));
        }
        let keys = usable(answer.body());
        if keys.is_empty() {
            Err("its answer has no RSA or P-256 key to check signatures with".to_owned())
        } else {
            Ok(keys)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Known {
    fn find(&self, name: Option<&str>, now: Instant) -> Option<Arc<Key>> {
        if !self.is_heard(now) {
            return None;
        }
        match (name, self.keys.as_slice()) {
            (Some(name), keys) => {
                keys.iter().find(|(known, _)| known.as_deref() == Some(name)).map(|(_, key)| key.clone())
            }
            (None, [(_, key)]) => Some(key.clone()),
            (None, _) => None,
        }
    }

    fn is_heard(&self, now: Instant) -> bool {
        self.fetched.is_some_and(|fetched| now.saturating_duration_since(fetched) < LAST)
    }

    fn is_due(&self, now: Instant) -> bool {
        let longer_ago = |time: Option<Instant>, by| time.is_none_or(|time| now.saturating_duration_since(time) >= by);
        longer_ago(self.fetched, FRESH) && longer_ago(self.tried, PAUSE)
    }
}

/// What we can check signatures with of a key set; the rest of it may be anything.
fn usable(set: &[u8]) -> Vec<(Option<String>, Arc<Key>)> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let all = serde_json::from_slice(set).map_or_else(|_| Vec::new(), |set: Set| set.keys);
    let keys = all.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    keys.filter_map(|jwk| Some((jwk.common.key_id.clone(), Arc::new(key(&jwk)?)))).take(MAX_KEYS).collect()
}

/// Never a secret: a published one is none.
fn key(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let is_other = match jwk.common.key_algorithm {
        None => false,
        Some(KeyAlgorithm::RS256) => algorithm != Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm != Algorithm::ES256,
        Some(_) => true,
    };
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures && !is_other)?;
    Some(Key { algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_for_our_signatures_are_taken() {
        let set = r#"{ "keys": [
            { "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "use": "sig", "x5c": ["..."], "more": { "of": 1 } },
            { "kty": "EC", "kid": "e", "crv": "P-256", "x": "AQAB", "y": "AQAB", "alg": "ES256" },
            { "kty": "RSA", "kid": "enc", "n": "AQAB", "e": "AQAB", "use": "enc" },
            { "kty": "RSA", "kid": "pss", "n": "AQAB", "e": "AQAB", "alg": "PS256" },
            { "kty": "EC", "kid": "p384", "crv": "P-384", "x": "AQAB", "y": "AQAB" },
            { "kty": "oct", "kid": "secret", "k": "AQAB" },
            { "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "AQAB" },
            { "kty": "new" }, 7
        ] }"#;
        let keys = usable(set.as_bytes());
        let found: Vec<_> = keys.iter().map(|(name, key)| (name.as_deref(), key.algorithm)).collect();
        assert_eq!(found, [(Some("r"), Algorithm::RS256), (Some("e"), Algorithm::ES256)]);
        for none in ["", "[]", "{}", "{\"keys\":7}", "{\"keys\":[]}"] {
            assert!(usable(none.as_bytes()).is_empty(), "{none}");
        }
    }

    #[test]
    fn old_keys_are_believed_for_a_day() {
        let (now, name) = (Instant::now(), Some("r".to_owned()));
        let key = Arc::new(Key { algorithm: Algorithm::RS256, key: DecodingKey::from_secret(b"x") });
        let known = Known { keys: vec![(name, key)], fetched: Some(now), tried: Some(now) };
        assert!(known.find(Some("r"), now).is_some() && known.find(None, now).is_some());
        assert!(known.find(Some("s"), now).is_none() && !known.is_due(now));
        assert!(known.find(Some("r"), now + FRESH).is_some() && known.is_due(now + FRESH));
        assert!(known.find(Some("r"), now + LAST).is_none());
    }
}
