//! Tokens of an identity provider that are over, or that somebody else has made.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{
    Row,
    scene::{JWT_SECRET, Scene},
    support::identity::{ISSUER, sign_with_secret, unsigned},
};

/// Claims for the camera `front` that are good, and end in so many seconds from now.
fn claims(lasts: i64) -> Value {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let end = now.checked_add_signed(lasts).expect("a time");
    json!({ "iss": ISSUER, "aud": "camgate", "sub": "dora", "exp": end, "cameras": ["front"] })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims(600);
    claims[name] = value;
    claims
}

pub(crate) async fn forged(scene: &Scene) -> Row {
    let usual = json!({ "alg": "HS256", "typ": "JWT" });
    let secret = JWT_SECRET.as_bytes();
    let signed = |claims: &Value| sign_with_secret(&usual, claims, secret);
    let good = signed(&claims(600));
    let ask = async |token: &str| {
        let request = scene.gateway.http().get(scene.gateway.url("/whep/front")).bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask(&good).await, 200, "what follows is refused for what is wrong with it");
    // Beyond the half minute that clocks may differ by.
    let mut tokens: Vec<String> = [-31, -3_600, -86_400, -1_000_000_000].map(|lasts| signed(&claims(lasts))).to_vec();
    let later = claims(0)["exp"].as_u64().expect("a time") + 3_600;
    tokens.extend(
        [
            with("nbf", json!(later)),
            with("exp", Value::Null),
            with("exp", json!("tomorrow")),
            with("exp", json!(-1)),
            with("iss", json!("https://id.example.com/")),
            with("iss", Value::Null),
            with("aud", json!("other")),
            with("aud", json!([])),
            with("sub", Value::Null),
            with("sub", json!(["dora"])),
            with("sub", json!("")),
            with("cameras", json!({ "front": true })),
        ]
        .iter()
        .map(signed),
    );
    let (claims, other) = (claims(600), "another-secret-of-thirty-two-letters");
    tokens.push(sign_with_secret(&usual, &claims, other.as_bytes()));
    tokens.push(sign_with_secret(&usual, &claims, b""));
    for algorithm in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "", "hs256"] {
        let header = json!({ "alg": algorithm });
        tokens.push(sign_with_secret(&header, &claims, secret));
        tokens.push(format!("{}.", unsigned(&header, &claims)));
    }
    // Its own key, which whoever sends a token must not choose (RFC 8725 section 3.5).
    let header = json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "YW5vdGhlcg" }, "jku": "http://127.0.0.1/keys" });
    tokens.push(sign_with_secret(&header, &claims, other.as_bytes()));
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, tag) = (parts[0], parts[1], parts[2]);
    tokens.extend([
        format!("{head}.{body}"),
        format!("{body}.{head}.{tag}"),
        format!("{good}.{tag}"),
        good.replace('.', ".."),
    ]);
    tokens.extend((0..tag.len() - 1).map(|at| {
        let letter = if tag.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{head}.{body}.{}{letter}{}", &tag[..at], &tag[at + 1..])
    }));
    let mut let_in = Vec::new();
    for token in &tokens {
        let status = ask(token).await;
        if status != 401 && status != 429 {
            let_in.push(format!("{token}: {status}"));
        }
    }
    Row {
        attack: "tokens of the identity provider that are over or not good yet, for others, by others, unsigned, and changed",
        let_in_when: "anything but 401 and 429",
        tried: tokens.len(),
        let_in,
    }
}
