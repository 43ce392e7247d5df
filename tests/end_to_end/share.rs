//! Links that show one camera: what they open, and what ends them.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    LIMIT,
    auth::{PASSWORD, PATHS, camgate, gateway_with, user},
    support::{
        camera::Camera,
        gateway::Gateway,
        network::{GATEWAY, Network},
        viewer::{Kind, Viewer},
    },
};

const SHARES: &str = "actions = [\"watch\", \"share\"]";

async fn ask(gateway: &Gateway, method: Method, path: &str, user: &str, body: Option<Value>) -> Response {
    let request = gateway.http().request(method, gateway.url(path)).basic_auth(user, Some(PASSWORD));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    request.send().await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
}

/// A link of anna's to `front`: its id and its token.
async fn link(gateway: &Gateway, viewers: Option<u32>) -> (String, String) {
    let wish = json!({ "camera": "front", "seconds": 3600, "viewers": viewers, "note": "plumber" });
    let response = ask(gateway, Method::POST, "/api/v1/shares", "anna", Some(wish)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let made = json_of(response).await;
    let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
    assert_eq!(made["url"], gateway.url(&format!("/share#{token}")));
    assert_eq!(made["whep"], gateway.whep("front"));
    assert!(made["qr"]["path"].as_str().is_some_and(|path| path.len() > 1_000));
    (id.to_owned(), token.to_owned())
}

async fn with_token(gateway: &Gateway, method: Method, path: &str, token: &str) -> Response {
    gateway.http().request(method, gateway.url(path)).bearer_auth(token).send().await.expect("an answer")
}

/// What a command of ours prints, run beside the gateway.
async fn run(gateway: &Gateway, arguments: &[&str]) -> std::process::Output {
    let config = gateway.dir().join("config.toml");
    camgate(&[arguments, &["--config", config.to_str().expect("a text")]].concat(), "").await
}

#[tokio::test]
async fn a_link_shows_one_camera_and_opens_nothing_else() {
    let camera = Camera::builder().start();
    let config = format!("{}\n{}\n{}", camera.toml("front"), camera.toml("back"), user("anna", SHARES).await);
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).env("RUST_LOG", "debug").spawn().await;
    let (id, token) = link(&gateway, None).await;
    for path in PATHS.iter().chain(&["/assets/grid.js"]) {
        for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
            let response = with_token(&gateway, method.clone(), path, &token).await;
            let expected = match (*path, method.as_str()) {
                ("/whep/front", "GET") | ("/api/v1/user", "GET") => 200,
                ("/api/v1/cameras/front/snapshot.jpg", "GET") => 200,
                ("/api/v1/cameras/front/clip.mp4", "GET") => 409,
                ("/api/v1/cameras/front/snapshot.jpg" | "/api/v1/cameras/front/clip.mp4", _) => 405,
                ("/whep/front", "POST") => 415,
                ("/whep/front" | "/api/v1/user", _) => 405,
                (path, "GET" | "POST") if path.starts_with("/whep/") && path.ends_with("/events") => 404,
                (path, _) if path.starts_with("/whep/") && path.ends_with("/events") => 405,
                (path, "POST") if path.starts_with("/whep/front/") => 405,
                (path, _) if path.starts_with("/whep/front/") => 404,
                _ => 403,
            };
            assert_eq!(response.status(), expected, "{method} {path}");
            let text = response.text().await.expect("a body");
            assert!(!text.contains("back") && !text.contains(&token), "{method} {path}: {text}");
        }
    }
    let other = with_token(&gateway, Method::GET, "/whep/back", &token).await;
    let none = with_token(&gateway, Method::GET, "/whep/none", &token).await;
    let (other, none) = ((other.status(), other.text().await.unwrap()), (none.status(), none.text().await.unwrap()));
    assert_eq!(other, (none.0, none.1.replace("none", "back")), "another camera is like none");
    assert_eq!(other.0, 404);
    let told = json_of(with_token(&gateway, Method::GET, "/api/v1/user", &token).await).await;
    assert_eq!((&told["link"]["camera"], &told["name"]), (&json!("front"), &Value::Null));

    let by_header = Viewer::builder(gateway.whep("front")).bearer(&token).join().await;
    let by_url = Viewer::join(format!("{}?share={token}", gateway.whep("front"))).await;
    assert!(by_url.resource().ends_with(&format!("?share={token}")), "its player has no header to send");
    assert!(!by_header.resource().contains("cgs_"));
    for viewer in [&by_header, &by_url] {
        viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    }
    let list = ask(&gateway, Method::GET, "/api/v1/shares", "anna", None).await;
    let list = list.text().await.expect("a body");
    let shares: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(
        (&shares[0]["id"], &shares[0]["watching"], &shares[0]["note"]),
        (&json!(id), &json!(2), &json!("plumber"))
    );
    let secret = &token[16..];
    assert!(!list.contains(secret), "{list}");
    let (mine, theirs) = (by_header.resource().to_owned(), by_url.resource().to_owned());
    assert_eq!((by_header.close().await, by_url.close().await), (200, 200));
    for gone in [mine, theirs] {
        assert_eq!(gateway.http().get(gone).bearer_auth(&token).send().await.expect("an answer").status(), 404);
    }
    let forged = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { "B" } else { "A" });
    for wrong in ["cgs_", "cgs_0123", &forged] {
        let answer = with_token(&gateway, Method::GET, "/whep/front", wrong).await;
        assert_eq!(answer.status(), 410, "{wrong}");
    }
    gateway.wait_log("login failed from 127.0.0.1: no such link", LIMIT).await;
    let log = gateway.log();
    assert!(log.contains("user anna shared a camera") && !log.contains(secret), "{log}");
}

#[tokio::test]
async fn a_session_by_a_link_is_out_of_reach_for_another_link() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", SHARES).await]).await;
    let ((_, mine), (_, theirs)) = (link(&gateway, None).await, link(&gateway, None).await);
    let viewer = Viewer::builder(gateway.whep("front")).bearer(&mine).join().await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    let status = async |token: &str, method: Method| {
        let request = gateway.http().request(method, viewer.resource()).bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((status(&theirs, Method::GET).await, status(&theirs, Method::DELETE).await), (404, 404));
    let anna = gateway.http().delete(viewer.resource()).basic_auth("anna", Some(PASSWORD)).send().await;
    assert_eq!(anna.expect("an answer").status(), 404);
    assert_eq!(status(&mine, Method::GET).await, 204);
    viewer.wait_more(Kind::Video, 10, LIMIT).await;
}

#[tokio::test]
async fn only_so_many_watch_by_a_link_and_who_goes_makes_room() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", SHARES).await]).await;
    let (_, token) = link(&gateway, Some(1)).await;
    let join = || Viewer::builder(gateway.whep("front")).bearer(&token).try_join();
    let all = futures_util::future::join_all((0..4).map(|_| join())).await;
    let (mut in_, out): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((in_.len(), out.len()), (1, 3), "also all at once");
    for refused in out.into_iter().filter_map(Result::err) {
        assert_eq!((refused.status, refused.retry_after.as_deref()), (503, Some("2")));
        assert!(refused.body.contains("one at a time"), "{}", refused.body);
    }
    let first = in_.pop().expect("one").expect("let in");
    first.wait_packets(Kind::Video, 1, LIMIT).await;
    assert_eq!(first.close().await, 200);
    let second = crate::support::wait::until("a place", LIMIT, || async { join().await.ok() }).await;
    second.wait_packets(Kind::Video, 1, LIMIT).await;
    second.hang_up().await;
    crate::support::wait::until("a place after a closed tab", LIMIT, || async { join().await.ok() }).await;
}

#[tokio::test]
async fn a_link_that_ends_ends_what_plays() {
    let camera = Camera::builder().start();
    let gateway = gateway_with(&camera, &[user("anna", SHARES).await]).await;
    let mut tokens = Vec::new();
    for way in ["api", "command", "time"] {
        let (id, token) = link(&gateway, None).await;
        let viewer = Viewer::builder(gateway.whep("front")).bearer(&token).join().await;
        viewer.wait_packets(Kind::Video, 1, LIMIT).await;
        match way {
            "api" => {
                let path = format!("/api/v1/shares/{id}");
                let ended = async || ask(&gateway, Method::DELETE, &path, "anna", None).await.status().as_u16();
                assert_eq!((ended().await, ended().await), (204, 404));
            }
            "command" => {
                let output = run(&gateway, &["unshare", &id]).await;
                assert!(output.status.success(), "{output:?}");
                let output = run(&gateway, &["unshare", &id]).await;
                assert!(String::from_utf8_lossy(&output.stderr).contains("there is no link"), "{output:?}");
            }
            _ => {
                // A link lasts for a minute at least; the file says when it is over.
                let file = gateway.dir().join("state/shares.json");
                let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
                kept["shares"][0]["expires"] = json!(now);
                std::fs::write(file, kept.to_string()).unwrap();
            }
        }
        viewer.wait_gone(LIMIT).await;
        let answer = with_token(&gateway, Method::GET, "/whep/front", &token).await;
        assert_eq!(answer.status(), 410, "{way}");
        let text = answer.text().await.expect("a body");
        assert!(text.contains("link has ended") && !text.contains("front"), "{way}: {text}");
        tokens.push(token);
    }
    for token in tokens {
        assert_eq!(with_token(&gateway, Method::GET, "/api/v1/user", &token).await.status(), 410);
    }
}

#[tokio::test]
async fn a_link_of_the_command_works_while_the_gateway_runs_and_after_a_restart() {
    let camera = Camera::builder().start();
    let state = tempfile::tempdir().expect("a folder");
    let http = format!("state_dir = \"{}\"\npublic_url = \"https://cam.example.org/\"", state.path().display());
    let config = format!("{}\n{}", camera.toml("front"), user("anna", SHARES).await);
    let start = async || Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http(&http).config(&config).spawn().await;
    let first = start().await;
    let output = run(&first, &["share", "front", "--for", "2h", "--viewers", "3", "--note", "the plumber"]).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("a text");
    let token = text.lines().next().and_then(|line| line.strip_prefix("https://cam.example.org/share#"));
    let token = token.unwrap_or_else(|| panic!("{text}")).to_owned();
    assert!(text.contains("█▀▀▀▀▀█") || text.contains("▄▄▄▄▄▄▄"), "a QR code: {text}");
    assert!(text.contains("https://cam.example.org/whep/front") && text.contains(&format!("Bearer {token}")), "{text}");
    assert_eq!(with_token(&first, Method::GET, "/whep/front", &token).await.status(), 200);
    let list = String::from_utf8(run(&first, &["shares"]).await.stdout).expect("a text");
    assert!(list.contains("  front  until ") && list.contains("viewers: 3  the plumber"), "{list}");
    assert!(!list.contains(&token[16..]));
    let mine = ask(&first, Method::GET, "/api/v1/shares", "anna", None).await.text().await.expect("a body");
    assert_eq!(mine, "[]", "it is not anna's");
    drop(first);
    let second = start().await;
    let viewer = Viewer::builder(second.whep("front")).bearer(&token).join().await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    for (arguments, complaint) in [
        (["share", "frnt", "--for", "2h"], "there is no camera \"frnt\""),
        (["share", "front", "--for", "1s"], "a minute at least"),
    ] {
        let output = run(&second, &arguments).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && text.contains(complaint), "{text}");
    }
}

#[tokio::test]
async fn who_may_share_shares_their_cameras_and_sees_their_own_links() {
    let camera = Camera::builder().start();
    let only_back = format!("cameras = [\"back\"]\n{SHARES}");
    let users = [user("anna", SHARES).await, user("bert", &only_back).await, user("guest", "").await];
    let gateway = gateway_with(&camera, &users).await;
    let (id, _) = link(&gateway, None).await;
    let make = async |user: &str, wish: Value| ask(&gateway, Method::POST, "/api/v1/shares", user, Some(wish)).await;
    let wish = |camera: &str| json!({ "camera": camera, "seconds": 3600 });
    assert_eq!(make("guest", wish("front")).await.status(), 403, "watching is not sharing");
    assert_eq!(make("bert", wish("back")).await.status(), 201);
    let hidden = json_of(make("bert", wish("front")).await).await;
    let none = json_of(make("bert", wish("attic")).await).await;
    assert_eq!(hidden.to_string(), none.to_string().replace("attic", "front"), "a hidden camera is like none");
    let list = json_of(ask(&gateway, Method::GET, "/api/v1/shares", "bert", None).await).await;
    assert_eq!((list.as_array().map(Vec::len), &list[0]["camera"]), (Some(1), &json!("back")));
    let other = ask(&gateway, Method::DELETE, &format!("/api/v1/shares/{id}"), "bert", None).await;
    assert_eq!(other.status(), 404, "anna's is not there for bert");
    for (bad, word) in [
        (json!({ "camera": "front", "seconds": 1 }), "minute"),
        (json!({ "camera": "front", "seconds": 60, "viewers": 0 }), "1 viewer"),
        (json!({ "camera": "front", "seconds": 60, "note": "a\nb" }), "note"),
        (json!({ "camera": "front", "seconds": 60, "base": "javascript:alert(1)" }), "base"),
        (json!({ "camera": "front", "seconds": -1 }), "JSON object"),
        (json!({ "camera": "front", "seconds": 60, "by": "operator" }), "JSON object"),
    ] {
        let answer = make("anna", bad.clone()).await;
        assert_eq!(answer.status(), 400, "{bad}");
        assert!(answer.text().await.expect("a body").contains(word), "{bad}");
    }
}

#[tokio::test]
async fn without_users_links_are_made_from_near_by_pages_of_ours_only() {
    let camera = Camera::builder().start();
    let gateway = crate::gateway(&camera, "").await;
    let wish = json!({ "camera": "front", "seconds": 3600 }).to_string();
    let post = async |headers: &[(&str, &str)]| {
        let request = gateway.http().post(gateway.url("/api/v1/shares")).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(wish.clone()).send().await.expect("an answer")
    };
    let own = gateway.url("");
    assert_eq!(post(&[]).await.status(), 201);
    assert_eq!(post(&[("origin", &own)]).await.status(), 201);
    assert_eq!(post(&[("origin", "http://example.org")]).await.status(), 403, "another's page");
    let rebound = [("origin", "http://example.org"), ("host", "example.org")];
    assert_eq!(post(&rebound).await.status(), 421, "another's page under a name for this machine");
    let list = gateway.get("/api/v1/shares").await.expect("an answer");
    assert!(!list.headers().contains_key("access-control-allow-origin"));
    let list = json_of(list).await;
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let id = list[0]["id"].as_str().expect("an id");
    let end = async |origin: &str| {
        let request = gateway.http().delete(gateway.url(&format!("/api/v1/shares/{id}"))).header("origin", origin);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((end("http://example.org").await, end(&own).await), (403, 204));
}

#[test]
fn a_link_lets_a_stranger_in_where_there_are_no_users() {
    let network = Network::new();
    let config = "[[camera]]\nname = \"front\"\nurl = \"rtsp://192.0.2.1/\"\n";
    let builder = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).on(&network, "gateway").config(config);
    let gateway = network.inside("gateway", builder.http_listen("0.0.0.0:8080").spawn());
    let output = network.inside("gateway", run(&gateway, &["share", "front", "--for", "1h"]));
    let text = String::from_utf8(output.stdout).expect("a text");
    let token = text.lines().next().and_then(|line| line.split_once("/share#")).expect("a link").1.to_owned();
    let status = |path: &str, token: Option<&str>| {
        let url = format!("http://{GATEWAY}:8080{path}");
        network.inside("turn", async {
            let request = reqwest::Client::builder().no_proxy().build().expect("an HTTP client").get(&url);
            let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
            let limit = Duration::from_secs(10);
            request.timeout(limit).send().await.expect("an answer").status().as_u16()
        })
    };
    assert_eq!(status("/whep/front", Some(&token)), 200);
    assert_eq!(status(&format!("/whep/front?share={token}"), None), 200);
    assert_eq!((status("/share", None), status("/assets/player.js", None)), (200, 200));
    for path in ["/", "/watch/front", "/whep/front", "/api/v1/cameras", "/api/v1/shares", "/metrics", "/assets/grid.js"]
    {
        assert_eq!(status(path, None), 403, "{path}");
        if path != "/whep/front" {
            assert_eq!(status(path, Some(&token)), 403, "{path} with the link");
        }
    }
    assert_eq!(status("/whep/front", Some("cgs_0123")), 410);
}
