//! An identity provider: signs tokens, and publishes its keys over HTTP.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Who it says that it is.
pub const ISSUER: &str = "https://id.example.org/";
/// Made once by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, since ring makes none; guards nothing.
const RSA: &[u8] = include_bytes!("../fixtures/jwt/rsa.pkcs8");

/// A key with its name.
pub enum SigningKey {
    Rsa(&'static str, Box<RsaKeyPair>),
    Ec(&'static str, Box<EcdsaKeyPair>),
}

impl SigningKey {
    pub fn rsa(name: &'static str) -> Self {
        Self::Rsa(name, Box::new(RsaKeyPair::from_pkcs8(RSA).expect("a key")))
    }

    /// A new one each time.
    pub fn ec(name: &'static str) -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Self::Ec(name, Box::new(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).expect("the same key")))
    }

    /// What of it is public (RFC 7517).
    pub fn published(&self) -> Value {
        match self {
            Self::Rsa(name, key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": base64(&public.n), "e": base64(&public.e) })
            }
            Self::Ec(name, key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "kid": name, "crv": "P-256", "x": base64(x), "y": base64(y) })
            }
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let (algorithm, name) = match self {
            Self::Rsa(name, _) => ("RS256", name),
            Self::Ec(name, _) => ("ES256", name),
        };
        let message = unsigned(&json!({ "alg": algorithm, "kid": name, "typ": "JWT" }), claims);
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(_, key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).expect("a signature");
                signature
            }
            Self::Ec(_, key) => key.sign(&random, message.as_bytes()).expect("a signature").as_ref().to_vec(),
        };
        format!("{message}.{}", base64(&signature))
    }
}

/// A token that is signed with a secret.
pub fn sign_with_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", base64(tag.as_ref()))
}

/// Header and claims, and no signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The provider's key set, served.
pub struct Provider {
    pub url: String,
    keys: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
    hangs: Arc<AtomicBool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let (set, asked, hangs) =
            (Arc::new(Mutex::new(Value::Null)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (shown, counter, stuck) = (set.clone(), asked.clone(), hangs.clone());
        let answer = move || {
            let (shown, stuck) = (shown.clone(), stuck.clone());
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                if stuck.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                (StatusCode::OK, shown.lock().unwrap().to_string())
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
        let router = Router::new().route("/keys", get(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let provider = Self { url, keys: set, asked, hangs, serving };
        provider.publish(keys);
        provider
    }

    /// These keys, and no others, from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys.iter().map(|key| key.published()).collect::<Vec<_>>() });
    }

    /// Takes requests and answers none.
    pub fn hang(&self, on: bool) {
        self.hangs.store(on, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
