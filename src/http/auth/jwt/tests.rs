//! Tokens that are signed here by hand, so that nothing is right because one library says so.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::json;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn jwt() -> Jwt {
    Jwt::new(&JwtConfig {
        issuer: "https://idp.example.org/".to_owned(),
        audience: "camgate".to_owned(),
        keys: JwtKeys::Secret(JwtSecret::new(SECRET).expect("long enough")),
        name_claim: "sub".to_owned(),
        cameras_claim: "cameras".to_owned(),
        actions_claim: "actions".to_owned(),
    })
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

fn claims() -> Value {
    json!({ "iss": "https://idp.example.org/", "aud": "camgate", "sub": "anna", "exp": now() + 600, "cameras": ["front"] })
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn hs256(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET.as_bytes())
}

async fn with(change: impl FnOnce(&mut Value)) -> Result<User, BadToken> {
    let mut claims = claims();
    change(&mut claims);
    jwt().verify(&hs256(&claims)).await.map(|(user, _)| (*user).clone())
}

#[tokio::test]
async fn claims_become_a_user() {
    let (user, ends) = jwt().verify(&hs256(&claims())).await.expect("a good token");
    assert_eq!((user.name.as_str(), &user.actions[..]), ("jwt:anna", &[Action::Watch][..]));
    assert_eq!(user.cameras, Cameras::Only(vec!["front".to_owned()]));
    let left = ends.duration_since(SystemTime::now()).expect("later").as_secs();
    assert!((600..=630).contains(&left), "{left}");
    let all = with(|claims| claims["cameras"] = json!("*")).await.expect("good");
    assert_eq!(all.cameras, Cameras::All);
    let some = with(|claims| claims["cameras"] = json!("front back")).await.expect("good");
    assert_eq!(some.cameras, Cameras::Only(vec!["front".to_owned(), "back".to_owned()]));
    let none = with(|claims| drop(claims.as_object_mut().expect("an object").remove("cameras"))).await.expect("good");
    assert_eq!(none.cameras, Cameras::Only(Vec::new()), "who is given none sees none");
    let api = with(|claims| claims["actions"] = json!("openid watch api share")).await.expect("good");
    assert_eq!(api.actions, [Action::Watch, Action::Api], "links outlive tokens");
    let aud = with(|claims| claims["aud"] = json!(["other", "camgate"])).await.expect("good");
    assert_eq!(aud.name.as_str(), "jwt:anna");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_keeps_it_out() {
    let refused = |change: fn(&mut Value)| async move { with(change).await.map(drop).expect_err("it is wrong") };
    let remove = |claims: &mut Value, name: &str| drop(claims.as_object_mut().expect("an object").remove(name));
    let _ = remove;
    assert_eq!(refused(|claims| claims["exp"] = json!(now() - 31)).await, BadToken::Time);
    assert_eq!(refused(|claims| claims["nbf"] = json!(now() + 60)).await, BadToken::Time);
    assert_eq!(refused(|claims| claims["iss"] = json!("https://idp.example.org")).await, BadToken::Issuer);
    assert_eq!(refused(|claims| claims["aud"] = json!("camgate2")).await, BadToken::Audience);
    assert_eq!(refused(|claims| claims["aud"] = json!([])).await, BadToken::Audience);
    for name in ["exp", "iss", "aud", "sub"] {
        let wrong = with(|claims| drop(claims.as_object_mut().expect("an object").remove(name))).await;
        assert_eq!(wrong.map(drop), Err(BadToken::Claims), "{name}");
    }
    for name in ["exp", "sub", "cameras", "actions"] {
        let wrong = with(|claims| claims[name] = json!({ "a": 1 })).await;
        assert!(matches!(wrong, Err(BadToken::Claims | BadToken::Malformed)), "{name}: {wrong:?}");
    }
    for name in ["", "a\nb", &"x".repeat(200)] {
        assert_eq!(with(|claims| claims["sub"] = json!(name)).await.map(drop), Err(BadToken::Claims), "{name}");
    }
}

#[tokio::test]
async fn no_other_algorithm_and_no_other_key_is_believed() {
    let jwt = jwt();
    let verify = async |token: &str| jwt.verify(token).await.map(drop);
    let header = |algorithm: &str| json!({ "alg": algorithm, "typ": "JWT" });
    assert_eq!(
        verify(&signed(&header("HS256"), &claims(), b"another secret, as long as ours is")).await,
        Err(BadToken::Signature)
    );
    for algorithm in ["none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", ""] {
        let token = signed(&header(algorithm), &claims(), SECRET.as_bytes());
        let wrong = verify(&token).await.expect_err(algorithm);
        assert!(matches!(wrong, BadToken::Malformed | BadToken::Signature), "{algorithm}: {wrong:?}");
        let unsigned = token.rsplit_once('.').expect("three parts").0;
        assert!(verify(&format!("{unsigned}.")).await.is_err(), "{algorithm}");
    }
    let good = hs256(&claims());
    assert_eq!(verify(&good).await, Ok(()));
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    for wrong in
        ["", "..", "a.b.c", message, &format!("{message}."), &format!("{good}A"), &format!("{good}.x"), &signature[1..]]
    {
        assert!(verify(wrong).await.is_err(), "{wrong}");
    }
    let others = format!("{}.{}.{signature}", part(&header("HS256")), part(&json!({ "sub": "root" })));
    assert_eq!(verify(&others).await, Err(BadToken::Signature));
    assert!(verify(&format!("{}.x.y", "a".repeat(MAX_TOKEN))).await.is_err());
    assert!(Jwt::is_meant(&good) && !Jwt::is_meant("0123") && !Jwt::is_meant("a.b") && !Jwt::is_meant("a.b.c.d"));
}

#[test]
fn a_secret_is_long_and_not_shown() {
    assert!(JwtSecret::new(&SECRET[1..]).is_none());
    assert_eq!(format!("{:?}", JwtSecret::new(SECRET)), "Some(***)");
}
