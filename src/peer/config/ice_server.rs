//! STUN and TURN servers, and how a viewer is let into a TURN server.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

use super::IceUrl;

/// One entry of `[webrtc] ice_servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerConfig {
    /// At least one.
    pub urls: Vec<IceUrl>,
    /// How viewers log in; there when one of `urls` is a TURN server.
    pub login: Option<TurnLogin>,
}

/// How a TURN server is told to let a viewer in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnLogin {
    /// Everybody with the same name and password.
    Fixed {
        /// The user.
        username: String,
        /// That user's password.
        credential: Credential,
    },
    /// Each viewer for a while, by what the server and the gateway both know (draft-uberti-behave-turn-rest-00, coturn's
    /// `use-auth-secret`).
    Shared {
        /// What both know.
        secret: Credential,
        /// A name that the server's log and quotas show.
        name: Option<String>,
        /// How long after it was made a login is taken.
        lifetime: Duration,
    },
}

/// One server as a browser's `RTCIceServer` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// At least one.
    pub urls: Vec<IceUrl>,
    /// There when and only when `credential` is; TURN needs both.
    pub username: Option<String>,
    /// The password that belongs to `username`.
    pub credential: Option<Credential>,
}

impl IceServerConfig {
    /// As a viewer that comes `now` is told of it.
    pub fn told(&self, now: SystemTime) -> IceServer {
        let (username, credential) = self.login.as_ref().map(|login| login.made(now)).unzip();
        IceServer { urls: self.urls.clone(), username, credential }
    }
}

impl TurnLogin {
    fn made(&self, now: SystemTime) -> (String, Credential) {
        match self {
            Self::Fixed { username, credential } => (username.clone(), credential.clone()),
            Self::Shared { secret, name, lifetime } => {
                // A clock before 1970 makes a login that has expired, which is what it has to be to such a server.
                let expiry = (now + *lifetime).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let username = name.as_ref().map_or_else(|| expiry.to_string(), |name| format!("{expiry}:{name}"));
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
                let tag = hmac::sign(&key, username.as_bytes());
                (username, Credential::new(STANDARD.encode(tag)))
            }
        }
    }
}

/// A password or secret of a TURN server. No log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Credential {
    /// Takes the text as it is.
    pub fn new(credential: impl Into<String>) -> Self {
        Self(credential.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(name: Option<&str>) -> IceServerConfig {
        let login = TurnLogin::Shared {
            secret: Credential::new("north"),
            name: name.map(str::to_owned),
            lifetime: Duration::from_secs(86_400),
        };
        IceServerConfig { urls: vec!["turn:turn.example.org".parse().unwrap()], login: Some(login) }
    }

    #[test]
    fn a_login_expires_and_is_signed_with_the_secret() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let told = shared(None).told(now);
        assert_eq!(told.username.as_deref(), Some("1700086400"));
        // printf 1700086400 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(told.credential.unwrap().expose(), "K+RlgFj3QLvB7WAVHfjfgMgyBeA=");
        let told = shared(Some("camgate")).told(now);
        assert_eq!(told.username.as_deref(), Some("1700086400:camgate"));
        // printf 1700086400:camgate | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(told.credential.unwrap().expose(), "N9IAVA4ofiFku0xyzcgJEqY4ua4=");
    }

    #[test]
    fn debug_hides_what_lets_somebody_in() {
        assert_eq!(format!("{:?}", Credential::new("hunter2")), "***");
        let shown = format!("{:?} {:?}", shared(None), shared(None).told(UNIX_EPOCH));
        assert!(!shown.contains("north"), "{shown}");
    }
}
