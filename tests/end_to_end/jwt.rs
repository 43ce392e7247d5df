//! Users of an identity provider, who send the tokens that it has signed.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{
        camera::Camera,
        gateway::Gateway,
        identity::{ISSUER, Provider, SigningKey, sign_with_secret, unsigned},
        viewer::{Kind, Viewer},
        wait::until,
    },
};

async fn gateway(camera: &Camera, provider: &str, rest: &str) -> Gateway {
    let jwt = format!("[http.jwt]\nissuer = \"{ISSUER}\"\naudience = \"camgate\"\njwks_url = \"{provider}\"\n");
    let config = format!("{jwt}{}\n{}\n{rest}", camera.toml("front"), camera.toml("back"));
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await
}

fn claims(lasts: i64) -> Value {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let exp = now.checked_add_signed(lasts).expect("a time");
    json!({ "iss": ISSUER, "aud": ["camgate"], "sub": "anna", "exp": exp, "cameras": ["front"] })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims(600);
    claims[name] = value;
    claims
}

async fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    gateway.http().get(gateway.url(path)).bearer_auth(token).send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_token_says_who_somebody_is_and_what_they_may_see() {
    let camera = Camera::builder().start();
    let (rsa, ec) = (SigningKey::rsa("one"), SigningKey::ec("two"));
    let provider = Provider::start(&[&rsa, &ec]).await;
    let gateway = gateway(&camera, &provider.url, "").await;
    assert_eq!(gateway.get("/whep/front").await.expect("an answer").status(), 401, "without users nobody else");
    for key in [&rsa, &ec] {
        let token = key.sign(&claims(600));
        for (path, expected) in
            [("/whep/front", 200), ("/whep/back", 404), ("/", 200), ("/api/v1/sessions", 403), ("/api/v1/shares", 403)]
        {
            assert_eq!(status(&gateway, path, &token).await, expected, "{path}");
        }
        let viewer = Viewer::builder(gateway.whep("front")).bearer(&token).join().await;
        viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    }
    let told = gateway.http().get(gateway.url("/api/v1/user")).bearer_auth(rsa.sign(&claims(600))).send().await;
    let told: Value = serde_json::from_str(&told.expect("an answer").text().await.expect("a body")).expect("JSON");
    assert_eq!(told, json!({ "name": "jwt:anna", "by_cookie": false, "actions": ["watch"] }));
    let robot = rsa.sign(&with("actions", json!("api metrics")));
    assert_eq!((status(&gateway, "/metrics", &robot).await, status(&gateway, "/whep/front", &robot).await), (200, 403));
    assert_eq!(provider.asked(), 1, "its keys are kept");
}

#[tokio::test]
async fn no_other_token_is_believed() {
    let camera = Camera::builder().start();
    let (rsa, ec, stranger) = (SigningKey::rsa("one"), SigningKey::ec("two"), SigningKey::ec("two"));
    let provider = Provider::start(&[&rsa, &ec]).await;
    let gateway = gateway(&camera, &provider.url, "").await;
    let header = |algorithm: &str, kid: &str| json!({ "alg": algorithm, "kid": kid, "typ": "JWT" });
    let public = rsa.published();
    let modulus = public["n"].as_str().expect("a text");
    let wrong = [
        ("another key of that name", stranger.sign(&claims(600))),
        ("over", rsa.sign(&claims(-60))),
        ("not yet", rsa.sign(&with("nbf", json!(u32::MAX)))),
        ("without an end", rsa.sign(&with("exp", Value::Null))),
        ("another issuer", rsa.sign(&with("iss", json!("https://id.example.net/")))),
        ("another audience", rsa.sign(&with("aud", json!("nas")))),
        ("no name", rsa.sign(&with("sub", json!("")))),
        ("a name for the log", rsa.sign(&with("sub", json!("a\nlogin failed from 192.0.2.1: ")))),
        ("no algorithm", format!("{}.", unsigned(&header("none", "one"), &claims(600)))),
        ("the public key as a secret", sign_with_secret(&header("HS256", "one"), &claims(600), modulus.as_bytes())),
        (
            "the key set as a secret",
            sign_with_secret(&header("HS256", "one"), &claims(600), public.to_string().as_bytes()),
        ),
        ("no secret", sign_with_secret(&header("HS256", "one"), &claims(600), b"")),
        ("the other's name", {
            let token = ec.sign(&claims(600));
            let (_, rest) = token.split_once('.').expect("three parts");
            format!("{}.{rest}", unsigned(&header("ES256", "one"), &json!(0)).split_once('.').expect("two").0)
        }),
        ("nothing", "..".to_owned()),
    ];
    for (what, token) in wrong {
        assert_eq!(status(&gateway, "/whep/front", &token).await, 401, "{what}");
    }
    assert_eq!(status(&gateway, "/whep/front", &rsa.sign(&claims(600))).await, 200);
    let log = gateway.log();
    assert!(log.contains("a token of the identity provider is refused from 127.0.0.1"), "{log}");
    assert!(!log.contains("login failed from 192.0.2.1"), "{log}");
}

#[tokio::test]
async fn keys_change_and_strangers_make_the_provider_no_work() {
    let camera = Camera::builder().start();
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let provider = Provider::start(&[&old]).await;
    let gateway = gateway(&camera, &provider.url, "").await;
    let flood = (0..300).map(|number| {
        let header = json!({ "alg": "RS256", "kid": number.to_string() });
        let token = format!("{}.AAAA", unsigned(&header, &claims(600)));
        let gateway = &gateway;
        async move { status(gateway, "/whep/front", &token).await }
    });
    let answers = futures_util::future::join_all(flood).await;
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    let asked = provider.asked();
    assert!((1..=3).contains(&asked), "{asked} times for 300 tokens");
    assert_eq!(status(&gateway, "/whep/front", &old.sign(&claims(600))).await, 200);
    provider.publish(&[&new]);
    let token = new.sign(&claims(600));
    let known = || async { (status(&gateway, "/whep/front", &token).await == 200).then_some(()) };
    until("the new key is known", Duration::from_secs(40), known).await;
    assert_eq!(status(&gateway, "/whep/front", &old.sign(&claims(600))).await, 401, "the old one is given up");
    assert!(provider.asked() <= asked + 4, "{} times", provider.asked());
}

#[tokio::test]
async fn a_provider_that_hangs_keeps_nobody_else_waiting() {
    let camera = Camera::builder().start();
    let key = SigningKey::ec("one");
    let provider = Provider::start(&[&key]).await;
    provider.hang(true);
    let gateway = gateway(&camera, &provider.url, &user("bert", "").await).await;
    let waits = async { gateway.http().get(gateway.whep("front")).bearer_auth(key.sign(&claims(600))).send().await };
    let others = async {
        until("the provider is asked", LIMIT, || async { (provider.asked() > 0).then_some(()) }).await;
        for _ in 0..3 {
            let bert = gateway.http().get(gateway.whep("front")).basic_auth("bert", Some(PASSWORD)).send().await;
            assert_eq!(bert.expect("an answer").status(), 200);
        }
        assert_eq!(gateway.get("/whep/front").await.expect("an answer").status(), 401);
    };
    tokio::pin!(waits);
    tokio::select! {
        biased;
        () = others => {}
        answer = &mut waits => panic!("the others had to wait: {answer:?}"),
    }
    let answer = waits.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.expect("a body").contains("does not answer"));
    gateway.wait_log("no keys from the identity provider: it does not answer within 5s", LIMIT).await;
}

#[tokio::test]
async fn what_a_token_has_opened_ends_with_it() {
    let camera = Camera::builder().start();
    let key = SigningKey::rsa("one");
    let provider = Provider::start(&[&key]).await;
    let gateway = gateway(&camera, &provider.url, "").await;
    // Clocks may differ by 30 s.
    let token = key.sign(&claims(-22));
    let viewer = Viewer::builder(gateway.whep("front")).bearer(&token).join().await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    viewer.wait_gone(LIMIT).await;
    let gone = || async { (status(&gateway, "/whep/front", &token).await == 401).then_some(()) };
    until("the token is over", LIMIT, gone).await;
}
