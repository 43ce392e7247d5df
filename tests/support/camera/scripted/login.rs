//! Asks for a password by Digest with MD5, without `qop` (RFC 2069), as most cameras do.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use http_auth::{PasswordClient, PasswordParams};

use super::rtsp::Request;

const REALM: &str = "camera";

pub(super) struct Login {
    pub(super) user: String,
    password: Mutex<String>,
    nonce: AtomicU32,
}

impl Login {
    pub(super) fn new(user: String, password: String) -> Self {
        Self { user, password: Mutex::new(password), nonce: AtomicU32::new(0x5eed) }
    }

    pub(super) fn password(&self) -> String {
        self.password.lock().unwrap().clone()
    }

    pub(super) fn set_password(&self, password: &str) {
        *self.password.lock().unwrap() = password.into();
    }

    pub(super) fn new_nonce(&self) {
        self.nonce.fetch_add(1, Ordering::SeqCst);
    }

    fn challenge(&self) -> String {
        format!("Digest realm=\"{REALM}\", nonce=\"{:08x}\"", self.nonce.load(Ordering::SeqCst))
    }

    /// What the refusal asks for, or nothing if the request may pass.
    pub(super) fn refusal(&self, request: &Request) -> Option<String> {
        let given = request.header("Authorization");
        let field = |name: &str| {
            let (_, rest) = given.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let challenge = self.challenge();
        if field("nonce").is_some_and(|nonce| !challenge.contains(&format!("nonce=\"{nonce}\""))) {
            return Some(challenge + ", stale=true");
        }
        let mut client = PasswordClient::try_from(&*challenge).expect("a challenge of ours");
        let right = client.respond(&PasswordParams {
            username: &self.user,
            password: &self.password(),
            uri: field("uri").unwrap_or_default(),
            method: &request.method,
            body: Some(&[]),
        });
        let right = right.expect("an answer to our challenge");
        let is_right = field("response").is_some_and(|given| right.contains(&format!("response=\"{given}\"")))
            && field("username") == Some(&self.user);
        (!is_right).then_some(challenge)
    }
}
