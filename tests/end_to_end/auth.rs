//! Who may see what, asked as strangers, users and programs ask.

use std::{process::Stdio, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use crate::{
    LIMIT,
    support::{
        camera::Camera,
        events::Events,
        gateway::Gateway,
        secrets,
        viewer::{Kind, Viewer},
    },
};

pub(crate) const PASSWORD: &str = "correct horse";

/// Runs `camgate` with these arguments and this standard input; what it prints.
pub(crate) async fn camgate(arguments: &[&str], input: &str) -> std::process::Output {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_camgate"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("camgate starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).await.expect("it reads");
    child.wait_with_output().await.expect("it ends")
}

/// The `[[user]]` of somebody whose password is [`PASSWORD`].
pub(crate) async fn user(name: &str, keys: &str) -> String {
    let output = camgate(&["password"], &format!("{PASSWORD}\n")).await;
    assert!(output.status.success(), "{output:?}");
    let hash = String::from_utf8(output.stdout).expect("a text");
    secrets::note(PASSWORD);
    format!("[[user]]\nname = \"{name}\"\npassword_hash = \"{}\"\n{keys}\n", hash.trim())
}

/// The `[[user]]` of a program, and its token.
pub(crate) async fn program(name: &str, keys: &str) -> (String, String) {
    let output = String::from_utf8(camgate(&["token"], "").await.stdout).expect("a text");
    let (token, hash) = output.split_once('\n').expect("two lines");
    let token = token.strip_prefix("token = ").expect("a token").to_owned();
    secrets::note(&token);
    (format!("[[user]]\nname = \"{name}\"\n{hash}{keys}\n"), token)
}

/// A gateway with the cameras `front` and `back`, both of which are `camera`, and with these users.
pub(crate) async fn gateway_with(camera: &Camera, users: &[String]) -> Gateway {
    let config = format!("{}\n{}\n{}", camera.toml("front"), camera.toml("back"), users.concat());
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await
}

fn request(gateway: &Gateway, method: Method, path: &str) -> RequestBuilder {
    gateway.http().request(method, gateway.url(path))
}

async fn get_as(gateway: &Gateway, name: &str, path: &str) -> Response {
    request(gateway, Method::GET, path).basic_auth(name, Some(PASSWORD)).send().await.expect("an answer")
}

/// All that a client sees of an answer but the time and what it asked for.
async fn seen(response: Response, asked_for: &str) -> (u16, Vec<(String, String)>, String) {
    let status = response.status().as_u16();
    let headers = response.headers().iter().filter(|(name, _)| *name != "date" && *name != "content-length");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("a text").to_owned())).collect();
    (status, headers, response.text().await.expect("a body").replace(asked_for, "..."))
}

pub(crate) const PATHS: [&str; 18] = [
    "/api/v1/cameras/front/snapshot.jpg",
    "/api/v1/cameras/front/clip.mp4",
    "/",
    "/watch/front",
    "/watch/attic",
    "/whep/front",
    "/whep/front/0123456789abcdef0123456789abcdef",
    "/whep/front/0123456789abcdef0123456789abcdef/events",
    "/api/v1/cameras",
    "/api/v1/sessions",
    "/api/v1/events",
    "/api/v1/user",
    "/api/v1/shares",
    "/api/v1/shares/0123456789abcdef",
    "/api/ws?src=front",
    "/metrics",
    "/readyz",
    "/no-such-page",
];

#[tokio::test]
async fn a_stranger_gets_nothing_but_the_login_page() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", "").await]).await;
    for path in PATHS.iter().chain(&["/assets/grid.js", "/assets/login%2Ejs", "/%68ealthz", "//healthz"]) {
        for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let response = request(&gateway, method.clone(), path).send().await.expect("an answer");
            assert_eq!(response.status(), 401, "{method} {path}");
            let challenge = response.headers()["www-authenticate"].to_str().expect("a text");
            assert!(challenge.contains("Basic realm=") && challenge.contains("Bearer"), "{challenge}");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let text = response.text().await.expect("a body");
            assert!(!text.contains("front") && !text.contains("back"), "{method} {path}: {text}");
        }
    }
    for path in [
        "/healthz",
        "/login",
        "/share",
        "/assets/login.js",
        "/assets/share.js",
        "/assets/words.js",
        "/assets/style.css",
    ] {
        assert_eq!(gateway.get(path).await.expect("an answer").status(), 200, "{path}");
    }
    for (authorization, status) in [
        ("Basic", 401),
        ("Basic YW5uYQ==", 401),
        ("Bearer", 401),
        ("Bearer x", 401),
        ("Digest username=anna", 401),
        ("Basic YW5uYTo=", 401),
    ] {
        let response = request(&gateway, Method::GET, "/whep/front").header("authorization", authorization);
        assert_eq!(response.send().await.expect("an answer").status(), status, "{authorization}");
    }
    assert!(gateway.find_log("nobody is answered without a password or a token users=1").is_some());
}

#[tokio::test]
async fn a_preflight_is_answered_and_told_no_secret() {
    let camera = Camera::builder().start();
    let servers =
        "ice_servers = [{ urls = [\"turn:turn.example.org\"], username = \"camgate\", credential = \"hunter22\" }]";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .webrtc(servers)
        .config(format!("{}\n{}", camera.toml("front"), user("anna", "").await))
        .spawn()
        .await;
    let preflight = request(&gateway, Method::OPTIONS, "/whep/front")
        .header("origin", "http://player.example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = preflight.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
    assert!(!answer.headers().contains_key("link"), "{answer:?}");
    let asked = request(&gateway, Method::OPTIONS, "/whep/front").basic_auth("anna", Some(PASSWORD));
    let told = asked.send().await.expect("an answer");
    assert!(told.headers()["link"].to_str().unwrap().contains("turn:turn.example.org"));
    let refused = request(&gateway, Method::POST, "/whep/front").header("origin", "http://player.example.org");
    let refused = refused.send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["access-control-allow-origin"]),
        (401, &"*".parse().unwrap())
    );
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    assert!(!challenge.contains("Basic"), "a script's browser is not to ask its user: {challenge}");
}

#[tokio::test]
async fn a_guest_cannot_tell_a_hidden_camera_from_none() {
    let camera = Camera::builder().start();
    let guest = user("guest", "cameras = [\"front\"]\nactions = [\"watch\", \"api\", \"metrics\"]").await;
    let gateway = gateway_with(&camera, &[guest]).await;
    let session = "0123456789abcdef0123456789abcdef";
    for path in
        ["/watch/NAME", "/whep/NAME", "/whep/NAME/", "/whep/NAME/ID", "/whep/NAME/ID/events", "/whep/NAME/ID/events/ID"]
    {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let ask = async |name: &str| {
                let path = path.replace("NAME", name).replace("ID", session);
                let request = request(&gateway, method.clone(), &path).basic_auth("guest", Some(PASSWORD));
                let response = request.header("content-type", "application/sdp").body("v=0").send().await;
                seen(response.expect("an answer"), name).await
            };
            let (hidden, absent) = (ask("back").await, ask("attic").await);
            assert_eq!(hidden, absent, "{method} {path}");
        }
    }
    let own = get_as(&gateway, "guest", "/whep/front").await;
    assert_eq!(own.status(), 200);
    for path in ["/api/v1/cameras", "/metrics", "/readyz"] {
        let text = get_as(&gateway, "guest", path).await.text().await.expect("a body");
        assert!(!text.contains("\"back\""), "{path}: {text}");
    }
    let cameras = get_as(&gateway, "guest", "/api/v1/cameras").await.text().await.expect("a body");
    let cameras: Value = serde_json::from_str(&cameras).expect("JSON");
    assert_eq!((cameras.as_array().map(Vec::len), &cameras[0]["name"]), (Some(1), &json!("front")));
}

#[tokio::test]
async fn a_guest_hears_of_no_hidden_camera() {
    let camera = Camera::builder().start();
    let guest = user("guest", "cameras = \"front\"\nactions = [\"watch\", \"metrics\"]").await;
    let gateway = gateway_with(&camera, &[guest, user("anna", "").await]).await;
    let mut events = Events::open_as(&gateway.url("/api/v1/events"), "guest", PASSWORD).await;
    let (_, all) = events.next(LIMIT).await;
    assert_eq!((all["cameras"].as_array().map(Vec::len), &all["cameras"][0]["name"]), (Some(1), &json!("front")));
    let watching = |name| Viewer::builder(gateway.whep(name)).basic_auth("anna", PASSWORD).join();
    let _back = watching("back").await;
    let _front = watching("front").await;
    loop {
        let (name, news) = events.next(LIMIT).await;
        assert_eq!((name.as_str(), &news["camera"]["name"]), ("camera", &json!("front")), "{news}");
        if news["camera"]["viewers"] == 1 {
            break;
        }
    }
    let metrics = get_as(&gateway, "guest", "/metrics").await.text().await.expect("a body");
    // "back" is watched too, which the guest does not hear of.
    assert!(metrics.contains("camgate_viewer_sessions_total{camera=\"front\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("\"back\""), "{metrics}");
}

/// The status that a WebSocket for a camera is refused with, or the first thing it says about an offer.
async fn signalling(gateway: &Gateway, camera: &str, headers: &[(&'static str, String)]) -> Result<String, u16> {
    let url = gateway.url(&format!("/api/ws?src={camera}")).replace("http://", "ws://");
    let mut request = url.into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    let (mut socket, _) = connect_async(request).await.map_err(|error| match error {
        tungstenite::Error::Http(answer) => answer.status().as_u16(),
        other => panic!("{other}"),
    })?;
    let offer = json!({ "type": "webrtc/offer", "value": "v=0" }).to_string();
    socket.send(Message::text(offer)).await.expect("the socket is open");
    loop {
        match tokio::time::timeout(LIMIT, socket.next()).await.expect("an answer") {
            Some(Ok(Message::Text(text))) => return Ok(text.replace(camera, "...")),
            Some(Ok(_)) => {}
            end => panic!("{end:?}"),
        }
    }
}

#[tokio::test]
async fn a_signalling_socket_is_for_users_and_their_cameras() {
    let camera = Camera::builder().start();
    let (robot, token) = program("robot", "actions = [\"watch\", \"api\"]").await;
    let gateway = gateway_with(&camera, &[user("guest", "cameras = \"front\"").await, robot]).await;
    let basic = |password: &str| ("authorization", format!("Basic {}", STANDARD.encode(format!("guest:{password}"))));
    assert_eq!(signalling(&gateway, "front", &[]).await, Err(401));
    assert_eq!(signalling(&gateway, "front", &[basic("hunter22")]).await, Err(401));
    let own = signalling(&gateway, "front", &[basic(PASSWORD)]).await.expect("a socket");
    assert!(own.contains("not a usable SDP"), "{own}");
    let hidden = signalling(&gateway, "back", &[basic(PASSWORD)]).await.expect("a socket");
    assert!(hidden.contains("There is no camera named"), "{hidden}");
    assert_eq!(signalling(&gateway, "attic", &[basic(PASSWORD)]).await, Ok(hidden));
    // A browser adds a password that it knows to the WebSockets of any page.
    let foreign = ("origin", "http://player.example.org".to_owned());
    assert_eq!(signalling(&gateway, "front", &[basic(PASSWORD), foreign.clone()]).await, Err(403));
    let ours = ("origin", gateway.url(""));
    assert!(signalling(&gateway, "front", &[basic(PASSWORD), ours]).await.is_ok());
    let bearer = ("authorization", format!("Bearer {token}"));
    assert!(signalling(&gateway, "back", &[bearer, foreign]).await.is_ok());
}

#[tokio::test]
async fn nobody_reaches_another_users_session() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", "").await, user("bert", "").await]).await;
    let viewer = Viewer::builder(gateway.whep("front")).basic_auth("anna", PASSWORD).join().await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    let session = reqwest::Url::parse(viewer.resource()).expect("a URL").path().to_owned();
    let fragment = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
    let ask = async |name: &str, method: Method, path: &str| {
        let request = request(&gateway, method, path).basic_auth(name, Some(PASSWORD));
        let request = request.header("content-type", "application/trickle-ice-sdpfrag").header("if-match", "*");
        request.body(fragment).send().await.expect("an answer").status().as_u16()
    };
    let stream = request(&gateway, Method::POST, &format!("{session}/events")).basic_auth("anna", Some(PASSWORD));
    let stream = stream.send().await.expect("an answer");
    assert_eq!(stream.status(), 201);
    let stream = stream.headers()["location"].to_str().unwrap().to_owned();
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(ask("bert", method.clone(), &session).await, 404, "{method}");
    }
    for (method, path) in
        [(Method::POST, format!("{session}/events")), (Method::GET, stream.clone()), (Method::DELETE, stream)]
    {
        assert_eq!(ask("bert", method.clone(), &path).await, 404, "{method} {path}");
    }
    assert_eq!(ask("anna", Method::PATCH, &session).await, 204);
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    assert_eq!(ask("anna", Method::DELETE, &session).await, 200);
    assert_eq!(ask("bert", Method::GET, &session).await, 404);
}

#[tokio::test]
async fn a_user_may_do_what_the_actions_say() {
    let camera = Camera::builder().start();
    let (robot, token) = program("robot", "actions = [\"api\"]").await;
    let (scraper, scraping) = program("scraper", "actions = [\"metrics\"]").await;
    let gateway = gateway_with(&camera, &[user("anna", "").await, robot, scraper]).await;
    let status = async |path: &str, who: &str| {
        let request = request(&gateway, Method::GET, path);
        let request = match who {
            "anna" => request.basic_auth("anna", Some(PASSWORD)),
            "robot" => request.bearer_auth(&token),
            _ => request.bearer_auth(&scraping),
        };
        request.send().await.expect("an answer").status().as_u16()
    };
    for (path, [anna, robot, scraper]) in [
        ("/", [200, 403, 403]),
        ("/watch/front", [200, 403, 403]),
        ("/watch/attic", [404, 403, 403]),
        ("/whep/front", [200, 403, 403]),
        ("/whep/attic", [404, 403, 403]),
        ("/api/ws?src=front", [426, 403, 403]),
        ("/api/v1/cameras", [200, 200, 403]),
        ("/api/v1/sessions", [403, 200, 403]),
        ("/api/v1/user", [200, 200, 200]),
        ("/api/v1/shares", [403, 403, 403]),
        ("/readyz", [403, 200, 200]),
        ("/metrics", [403, 403, 200]),
        ("/no-such-page", [404, 404, 404]),
    ] {
        for (who, expected) in [("anna", anna), ("robot", robot), ("scraper", scraper)] {
            assert_eq!(status(path, who).await, expected, "{who} {path}");
        }
    }
}

#[tokio::test]
async fn a_program_plays_with_its_token() {
    let camera = Camera::builder().start();
    let (robot, token) = program("robot", "").await;
    let gateway = gateway_with(&camera, &[robot]).await;
    let play = async |token: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_camgate"));
        command.args(["play", "--seconds", "1", &gateway.whep("front")]).env("WHEP_TOKEN", token);
        command.output().await.expect("camgate play ends")
    };
    let output = play(&token).await;
    assert!(output.status.success(), "{output:?}");
    let output = play("0123").await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("401"), "{output:?}");
    assert!(!gateway.log().contains(&token) && !gateway.log().contains("0123"));
}

#[tokio::test]
async fn where_nobody_has_a_password_the_login_page_says_so() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[program("robot", "").await.0]).await;
    let login = request(&gateway, Method::GET, "/").header("accept", "text/html").send().await.expect("an answer");
    assert_eq!((login.url().path(), login.status().as_u16()), ("/login", 404));
    let page = login.text().await.expect("a page");
    assert!(page.contains("No passwords here") && !page.contains("<form"), "{page}");
}

#[tokio::test]
async fn who_guesses_is_told_to_wait_and_named_in_the_log() {
    let camera = Camera::builder().start();
    let gateway =
        gateway_with(&camera, &[user("anna", "").await, user("watchman", "actions = [\"metrics\"]").await]).await;
    let guess = async |name: &str, password: &str| {
        let request = request(&gateway, Method::GET, "/whep/front").basic_auth(name, Some(password));
        request.send().await.expect("an answer")
    };
    assert_eq!(get_as(&gateway, "anna", "/whep/front").await.status(), 200);
    let mut answers = Vec::new();
    for number in 0..30 {
        let response = guess("anna", &format!("guess {number}")).await;
        if response.status() == 429 {
            assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        }
        answers.push(response.status().as_u16());
    }
    assert_eq!(answers[..10], [401; 10]);
    assert!(answers.contains(&429) && answers.iter().all(|status| matches!(status, 401 | 429)), "{answers:?}");
    let wrong = answers.iter().filter(|status| **status == 401).count();
    let metrics = request(&gateway, Method::GET, "/metrics").basic_auth("watchman", Some(PASSWORD)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("a body");
    assert!(metrics.contains(&format!("camgate_failed_logins_total {wrong}\n")), "{metrics}");
    let line = gateway.find_log("login failed").expect("a line for fail2ban");
    assert!(line.contains("login failed from 127.0.0.1: wrong password for user anna"), "{line}");
    guess("root\nlogin failed from 192.0.2.1: wrong password for user anna", "hunter22").await;
    guess("hunter22", "").await;
    for _ in 0..30 {
        let response = request(&gateway, Method::GET, "/metrics").bearer_auth("hunter22").send().await;
        assert_eq!(response.expect("an answer").status(), 401);
    }
    let log = gateway.log();
    let lines = log.matches("unknown token from 127.0.0.1").count();
    assert!((1..30).contains(&lines), "one a second: {lines}");
    assert!(log.contains("login failed from 127.0.0.1: wrong password for an unknown user"), "{log}");
    assert!(!log.contains("192.0.2.1") && !log.contains("hunter22") && !log.contains("guess"), "{log}");
}

/// This machine is allowed a hundred times what the configuration says.
#[tokio::test]
async fn logins_are_among_what_an_address_may_ask_for() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http("rate_limit_per_second = 1\nrate_limit_burst = 1")
        .config(user("anna", "").await)
        .spawn()
        .await;
    let log_in = || async {
        let response = request(&gateway, Method::POST, "/login").send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    };
    let answers = futures_util::future::join_all((0..400).map(|_| log_in())).await;
    assert_eq!(answers[0].0, 403, "not of our page");
    assert!(answers.iter().any(|(status, text)| *status == 429 && text.contains("rate-limit")));
    assert_eq!(gateway.get("/login").await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_answered_like_a_wrong_password() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", "").await]).await;
    let ask = async |name: &str| {
        let request = request(&gateway, Method::GET, "/whep/front").basic_auth(name, Some("hunter22"));
        seen(request.send().await.expect("an answer"), name).await
    };
    assert_eq!(ask("anna").await, ask("bert").await);
    let log_in = async |name: &str| {
        let body = json!({ "name": name, "password": "hunter22" }).to_string();
        let request = request(&gateway, Method::POST, "/login").header("origin", gateway.url(""));
        let response = request.header("content-type", "application/json").body(body).send().await;
        seen(response.expect("an answer"), name).await
    };
    let answers = (log_in("anna").await, log_in("bert").await);
    assert_eq!(answers.0, answers.1);
    assert_eq!(answers.0.0, 401);
    assert!(!answers.0.1.iter().any(|(name, _)| name == "www-authenticate" || name == "set-cookie"));
}

#[tokio::test]
async fn a_hash_is_made_from_standard_input() {
    let output = camgate(&["password"], "short\n").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("fewer than 8 characters"), "{output:?}");
    let unix = user("anna", "").await;
    assert!(unix.contains("$argon2id$v=19$m=19456,t=2,p=1$") && !unix.contains(PASSWORD), "{unix}");
}

/// What a user defined is not needed for, and what the words at the start say.
#[tokio::test]
async fn without_users_everybody_near_may_have_everything() {
    let camera = Camera::builder().start();
    let near = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http_listen("0.0.0.0:0")
        .config(camera.toml("front"))
        .spawn()
        .await;
    near.wait_log("there is no [[user]], so only this machine and private networks are answered", LIMIT).await;
    for path in ["/", "/watch/front", "/whep/front", "/api/v1/sessions", "/metrics", "/readyz"] {
        assert_eq!(near.get(path).await.expect("an answer").status(), 200, "{path}");
    }
    let user: Value = near.get_json("/api/v1/user").await;
    assert_eq!(
        user,
        json!({ "name": null, "by_cookie": false, "actions": ["watch", "publish", "talk", "api", "metrics", "share"] })
    );
    let open = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http("allow_anonymous = true").spawn().await;
    open.wait_log("[http] allow_anonymous: everybody who reaches", Duration::from_secs(5)).await;
}
