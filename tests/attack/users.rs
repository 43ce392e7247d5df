//! Credentials that are none, and what is another's.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;

use crate::{
    Row,
    pages::cookie,
    scene::{PASSWORD, Scene},
};

async fn status(scene: &Scene, path: &str, header: &str, value: &str) -> u16 {
    let request = scene.gateway.http().get(scene.gateway.url(path)).header(header, value);
    request.send().await.expect("an answer").status().as_u16()
}

/// Each letter of `secret` changed alone, twice, and some more.
fn changed(secret: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, [usual, other]) in (0..secret.len()).flat_map(|at| [[b'A', b'B'], [b'0', b'1']].map(|pair| (at, pair))) {
        let mut bytes = secret.as_bytes().to_vec();
        bytes[at] = if bytes[at] == usual { other } else { usual };
        all.push(String::from_utf8(bytes).expect("ASCII"));
    }
    all.extend([secret[1..].to_owned(), secret[..secret.len() - 1].to_owned(), format!("{secret}0"), String::new()]);
    all
}

pub(crate) async fn bad_credentials(scene: &Scene) -> Row {
    let cookie = cookie(scene).await;
    let (name, value) = cookie.split_once('=').expect("a pair");
    let (mut tried, mut let_in) = (0, Vec::new());
    let mut tries: Vec<_> = changed(value).into_iter().map(|value| ("cookie", format!("{name}={value}"))).collect();
    tries.extend(changed(&scene.token).into_iter().map(|token| ("authorization", format!("Bearer {token}"))));
    let token = &scene.token;
    tries.extend([
        ("authorization", format!("Basic {}", STANDARD.encode(format!("robot:{token}")))),
        ("authorization", format!("Basic {}", STANDARD.encode(format!(":{PASSWORD}")))),
        ("authorization", format!("Bearer {PASSWORD}")),
        ("authorization", format!("Bearer {value}")),
        ("authorization", format!("Bearer {token} {token}")),
        ("authorization", format!("Token {token}")),
        ("authorization", token.clone()),
        ("cookie", format!("{name}={token}")),
        ("cookie", format!("{name}=anna")),
        ("x-forwarded-user", "anna".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("remote-user", "anna".to_owned()),
    ]);
    for (header, value) in &tries {
        tried += 1;
        let status = status(scene, "/whep/front", header, value).await;
        if status != 401 && status != 429 {
            let_in.push(format!("{header}: {value}: {status}"));
        }
    }
    for (path, parameter) in ["token", "access_token", "password", "user"].iter().map(|name| ("/whep/front", name)) {
        tried += 1;
        let request = scene.gateway.http().get(scene.gateway.url(&format!("{path}?{parameter}={token}")));
        let status = request.send().await.expect("an answer").status();
        if status != 401 {
            let_in.push(format!("?{parameter}: {status}"));
        }
    }
    Row {
        attack: "tokens and cookies with a letter changed, cut, in other places, and what proxies would say",
        let_in_when: "anything but 401 and 429",
        tried,
        let_in,
    }
}

/// A login that is over is taken nowhere, however often it is sent again.
pub(crate) async fn ended_logins(scene: &Scene) -> Row {
    let cookie = cookie(scene).await;
    let gateway = &scene.gateway;
    assert_eq!(status(scene, "/whep/front", "cookie", &cookie).await, 200);
    let ended = gateway.http().post(gateway.url("/logout")).header("cookie", &cookie).header("origin", gateway.url(""));
    assert_eq!(ended.send().await.expect("an answer").status(), 204);
    let (mut tried, mut let_in) = (0, Vec::new());
    for path in
        ["/whep/front", "/api/v1/user", "/api/v1/cameras", "/api/v1/events", "/api/ws?src=front", "/assets/grid.js"]
    {
        for _ in 0..10 {
            tried += 1;
            let status = status(scene, path, "cookie", &cookie).await;
            if status != 401 {
                let_in.push(format!("{path}: {status}"));
            }
        }
    }
    Row { attack: "replay of a cookie after its logout", let_in_when: "anything but 401", tried, let_in }
}

/// All that differs between a name that somebody has and one that nobody has.
pub(crate) async fn known_names(scene: &Scene) -> Row {
    let gateway = &scene.gateway;
    let seen = async |name: &str, way: usize| {
        let request = match way {
            0 => gateway.http().get(gateway.url("/whep/front")).basic_auth(name, Some("a guess or two")),
            1 => gateway.http().get(gateway.url("/api/v1/cameras")).basic_auth(name, Some("")),
            _ => {
                let body = format!("{{\"name\":\"{name}\",\"password\":\"a guess or two\"}}");
                let request = gateway.http().post(gateway.url("/login")).header("origin", gateway.url(""));
                request.header("content-type", "application/json").body(body)
            }
        };
        let response = request.send().await.expect("an answer");
        let headers = response.headers().iter().filter(|(name, _)| *name != "date");
        let headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
        (response.status().as_u16(), headers, response.text().await.expect("a body"))
    };
    let (mut tried, mut let_in) = (0, Vec::new());
    for way in 0..3 {
        let (known, unknown) = (seen("anna", way).await, seen("anno", way).await);
        tried += 2;
        if known != unknown || known.0 != 401 {
            let_in.push(format!("{known:?} and {unknown:?}"));
        }
    }
    Row {
        attack: "names that somebody has and names that nobody has, with wrong passwords (the time that takes: docs/security.md)",
        let_in_when: "status, headers or text differ",
        tried,
        let_in,
    }
}

/// A link that was revoked, and what a link that was not does beyond its camera.
pub(crate) async fn ended_links(scene: &Scene) -> Row {
    let gateway = &scene.gateway;
    let ask = |method: Method, path: String| {
        gateway.http().request(method, gateway.url(&path)).basic_auth("anna", Some(PASSWORD))
    };
    let mut links = Vec::new();
    for _ in 0..2 {
        let wish = "{\"camera\":\"front\",\"seconds\":3600}";
        let made = ask(Method::POST, "/api/v1/shares".to_owned()).header("content-type", "application/json").body(wish);
        let made = made.send().await.expect("an answer").text().await.expect("a body");
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key} in {made}")).to_owned();
        links.push((text("id"), text("token")));
    }
    let [(revoked, dead), (_, alive)] = &links[..] else { panic!("two links") };
    let ended = ask(Method::DELETE, format!("/api/v1/shares/{revoked}")).send().await.expect("an answer");
    assert_eq!(ended.status(), 204);
    let (mut tried, mut let_in) = (0, Vec::new());
    let changed = changed(alive);
    let beyond = [
        "/whep/back",
        "/api/v1/cameras",
        "/api/v1/sessions",
        "/api/v1/shares",
        "/metrics",
        "/readyz",
        "/watch/back",
        "/api/v1/cameras/back/snapshot.jpg",
        "/api/v1/cameras/back/clip.mp4",
        "/whip/back",
        "/whip/front",
        "/whip/front/talk",
        "/publish/front",
    ];
    let dead = ["/whep/front", "/api/v1/user", "/api/ws?src=front"].iter().chain(&beyond).map(|path| (*path, dead));
    let tries = dead.chain(beyond.iter().map(|path| (*path, alive)));
    for (path, token) in tries.chain(changed.iter().map(|token| ("/whep/front", token))) {
        tried += 3;
        let joint = if path.contains('?') { '&' } else { '?' };
        let in_url = format!("{path}{joint}share={token}");
        let as_login = gateway.http().get(gateway.url(path)).header("cookie", format!("camgate_login={token}"));
        let as_header = gateway.http().get(gateway.url(path)).bearer_auth(token);
        for request in [as_header, gateway.http().get(gateway.url(&in_url)), as_login] {
            let status = request.send().await.expect("an answer").status();
            if !status.is_client_error() && !status.is_redirection() {
                let_in.push(format!("{path}: {status}"));
            }
        }
    }
    Row {
        attack: "a share link after its end, with a letter changed, and beyond its camera",
        let_in_when: "anything but 4xx and the way to the login page",
        tried,
        let_in,
    }
}

/// What a user does to another's session, with its address.
pub(crate) async fn others_sessions(scene: &Scene) -> Row {
    let gateway = &scene.gateway;
    let session = scene.viewer.resource().replace(&gateway.url(""), "");
    let id = session.rsplit('/').next().expect("an id").to_owned();
    let mut paths = vec![session.clone(), format!("/whep/back/{id}"), format!("/whep/attic/{id}")];
    // One digit of an id after the other, for who knows most of it.
    for at in 0..id.len() {
        let mut digits: Vec<char> = id.chars().collect();
        digits[at] = if digits[at] == '0' { '1' } else { '0' };
        paths.push(format!("/whep/front/{}", digits.iter().collect::<String>()));
    }
    let restart = "a=ice-ufrag:zjkk\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n";
    let (mut tried, mut let_in) = (0, Vec::new());
    for path in paths {
        // The first has the camera and not the session, the other has neither; the owner's changed ids are nobody's.
        for token in [&scene.token, &scene.other_token] {
            for (method, end, content_type, body) in [
                (Method::GET, "", "text/plain", ""),
                (Method::DELETE, "", "text/plain", ""),
                (Method::PATCH, "", "application/trickle-ice-sdpfrag", restart),
                (Method::GET, "/events", "text/plain", ""),
                (Method::POST, "/events", "application/json", "[\"active\"]"),
                (Method::POST, "/quality", "application/json", "{}"),
            ] {
                let request = gateway.http().request(method.clone(), gateway.url(&format!("{path}{end}")));
                let request = request.bearer_auth(token).header("content-type", content_type).header("if-match", "*");
                let status = request.body(body).send().await.expect("an answer").status();
                tried += 1;
                if status != 404 {
                    let_in.push(format!("{method} {path}{end}: {status}"));
                }
            }
        }
    }
    Row {
        attack: "another user's session by its address, and addresses close to it",
        let_in_when: "anything but 404",
        tried,
        let_in,
    }
}

/// To be a camera, to be heard there, and to have its files, without the right or without the camera.
pub(crate) async fn no_rights(scene: &Scene) -> Row {
    const OFFER: &str = include_str!("../support/publisher/chromium.sdp");
    let gateway = &scene.gateway;
    let session = scene.viewer.resource().replace(&gateway.url(""), "");
    let id = session.rsplit('/').next().expect("an id").to_owned();
    let files = |camera: &str| ["snapshot.jpg", "clip.mp4"].map(|file| format!("/api/v1/cameras/{camera}/{file}"));
    let (mut tried, mut let_in) = (0, Vec::new());
    // Who has the camera `back` and may watch it; who may publish `phone`, and not be heard anywhere; nobody.
    let callers = [
        (Some(&scene.other_token), vec!["front", "phone", "back", "attic"], vec!["front", "phone", "attic"]),
        (Some(&scene.token), vec!["back", "attic"], vec!["back", "attic"]),
        (None, vec!["front", "phone", "back", "attic"], vec!["front", "phone", "back", "attic"]),
    ];
    for (token, not_publish, not_watch) in callers {
        let mut tries = Vec::new();
        for camera in ["front", "phone", "back", "attic"] {
            tries.push((Method::POST, format!("/whip/{camera}/talk")));
        }
        for camera in not_publish {
            for path in [format!("/whip/{camera}"), format!("/whip/{camera}/{id}"), format!("/whip/{camera}/talk/{id}")]
            {
                tries.extend(
                    [Method::POST, Method::GET, Method::PATCH, Method::DELETE].map(|method| (method, path.clone())),
                );
            }
        }
        tries.extend(not_watch.into_iter().flat_map(files).map(|path| (Method::GET, path)));
        for (method, path) in tries {
            let request = gateway.http().request(method.clone(), gateway.url(&path));
            let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
            let request = request.header("content-type", "application/sdp").header("if-match", "*").body(OFFER);
            let status = request.send().await.expect("an answer").status();
            tried += 1;
            if !status.is_client_error() {
                let_in.push(format!("{method} {path}: {status}"));
            }
        }
    }
    Row {
        attack: "publishing, talking, snapshots and clips without the right or the camera",
        let_in_when: "anything but 4xx",
        tried,
        let_in,
    }
}
