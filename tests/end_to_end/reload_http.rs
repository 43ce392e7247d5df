//! Users, addresses and bounds of HTTP that change while everything runs.

use std::net::TcpListener;

use reqwest::{Response, StatusCode, header};
use serde_json::json;

use crate::{
    LIMIT,
    auth::{PASSWORD, gateway_with, program, user},
    gateway,
    support::{
        browser::Browser,
        camera::Camera,
        events::Events,
        gateway::{Gateway, client},
        viewer::{Kind, Viewer},
        wait::until,
    },
    tls::certificate,
};

fn small() -> Camera {
    Camera::builder().size(320, 240).fps(15).gop(30).bitrate_kbps(200).start()
}

async fn ask(gateway: &Gateway, path: &str, name: &str, password: &str) -> Response {
    gateway.http().get(gateway.url(path)).basic_auth(name, Some(password)).send().await.expect("an answer")
}

async fn watch(gateway: &Gateway, name: &str) -> Viewer {
    let viewer = Viewer::builder(gateway.whep("front")).audio(false).basic_auth(name, PASSWORD).join().await;
    viewer.wait_keyframes(1, LIMIT).await;
    viewer
}

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").port()
}

#[tokio::test]
async fn users_come_and_go_and_the_others_notice_nothing() {
    let camera = small();
    let (anna, bert, carl) = (user("anna", "").await, user("bert", "").await, user("carl", "").await);
    let (robot, token) = program("robot", "actions = [\"watch\", \"api\", \"metrics\"]").await;
    let gateway = gateway_with(&camera, &[anna.clone(), bert.clone(), robot.clone()]).await;
    let base = gateway.toml().replace(&[&anna, &bert, &robot].map(String::as_str).concat(), "");
    let with = |users: &[&str]| format!("{base}\n{}", users.concat());

    let (first, second) = (watch(&gateway, "anna").await, watch(&gateway, "bert").await);
    let third = Viewer::builder(gateway.whep("front")).audio(false).bearer(&token).join().await;
    let mut told = Events::open_as(&gateway.url("/api/v1/events"), "anna", PASSWORD).await;
    let mut told_too = Events::open_as(&gateway.url("/api/v1/events"), "bert", PASSWORD).await;
    let login = gateway.http().post(gateway.url("/login")).header(header::ORIGIN, gateway.url(""));
    let login = login
        .header(header::CONTENT_TYPE, "application/json")
        .body(json!({ "name": "anna", "password": PASSWORD }).to_string())
        .send()
        .await
        .expect("an answer");
    let cookie =
        login.headers()[header::SET_COOKIE].to_str().expect("a text").split(';').next().expect("a pair").to_owned();
    let by_cookie = async || {
        let asked = gateway.http().get(gateway.url("/api/v1/user")).header(header::COOKIE, &cookie);
        asked.send().await.expect("an answer").status()
    };
    assert_eq!(by_cookie().await, StatusCode::OK);
    for _ in 0..12 {
        ask(&gateway, "/api/v1/cameras", "dora", "wrong").await;
    }
    let metrics = async || {
        let asked = gateway.http().get(gateway.url("/metrics")).bearer_auth(&token);
        asked.send().await.expect("an answer").text().await.expect("a text")
    };
    let failures = async || {
        let text = metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix("camgate_failed_logins_total "));
        line.and_then(|count| count.parse::<f64>().ok()).expect("a number")
    };
    let before = failures().await;
    assert!(before >= 10.0);

    gateway.reload(&with(&[&anna, &robot, &carl])).await;
    second.wait_gone(LIMIT).await;
    told_too.wait_end(LIMIT).await;
    assert_eq!(ask(&gateway, "/api/v1/cameras", "bert", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let fourth = watch(&gateway, "carl").await;
    assert_eq!(by_cookie().await, StatusCode::OK, "the login is good");
    // The pause may be over; of ten further ones the first few would be free.
    ask(&gateway, "/api/v1/cameras", "dora", "wrong").await;
    let locked = ask(&gateway, "/api/v1/cameras", "dora", "wrong").await;
    assert_eq!(locked.status(), StatusCode::TOO_MANY_REQUESTS, "that somebody was wrong is not forgotten");
    assert!(failures().await >= before, "counted on");
    for viewer in [&first, &third, &fourth] {
        viewer.wait_more(Kind::Video, 15, LIMIT).await;
        let log = viewer.video();
        assert_eq!((log.missing(), log.reordered()), (0, 0));
    }
    // The viewers of `back` are news to whoever hears of both.
    told.next(LIMIT).await;

    let less = anna.replace("[[user]]", "[[user]]\ncameras = \"back\"");
    gateway.reload(&with(&[&less, &robot, &carl])).await;
    first.wait_gone(LIMIT).await;
    told.wait_end(LIMIT).await;
    assert_eq!(by_cookie().await, StatusCode::OK);
    let mut told = Events::open_as(&gateway.url("/api/v1/events"), "anna", PASSWORD).await;
    let (_, cameras) = told.next(LIMIT).await;
    assert_eq!(cameras["cameras"].as_array().map(Vec::len), Some(1), "{cameras}");

    let other = user("anna", "").await;
    gateway.reload(&with(&[&other, &robot])).await;
    told.wait_end(LIMIT).await;
    fourth.wait_gone(LIMIT).await;
    assert_eq!(by_cookie().await, StatusCode::UNAUTHORIZED, "of another password");
    third.wait_more(Kind::Video, 15, LIMIT).await;
    assert_eq!(third.video().missing(), 0);
}

#[tokio::test]
async fn with_the_first_user_whoever_is_none_is_sent_to_the_login() {
    let camera = small();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    gateway.reload(&format!("{}\n{}", gateway.toml(), user("anna", "").await)).await;
    viewer.wait_gone(LIMIT).await;
    browser.wait_for("location.pathname === '/login'", LIMIT).await;
}

#[tokio::test]
async fn what_browsers_are_told_and_what_bounds_them_changes() {
    let camera = small();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let mut told = Events::open(&gateway.url("/api/v1/events")).await;
    told.next(LIMIT).await;
    let toml = gateway.toml();
    let keys = "frame_ancestors = [\"https://home.example.org\"]\nmax_event_streams = 1\nrate_limit_burst = 1\nrate_limit_per_second = 1";
    gateway.reload(&toml.replacen("[http]\n", &format!("[http]\n{keys}\n"), 1)).await;
    let page = gateway.get("/").await.expect("an answer");
    let policy = page.headers()["content-security-policy"].to_str().expect("a text");
    assert!(policy.contains("https://home.example.org"), "{policy}");
    let full = gateway.get("/api/v1/events").await.expect("an answer");
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE, "the stream of before counts");
    assert_eq!(gateway.get("/readyz").await.expect("an answer").status(), StatusCode::OK);
    gateway.reload(&toml.replace("start = \"always\"", "")).await;
    let events = gateway.get("/api/v1/events").await.expect("an answer");
    assert_eq!(events.status(), StatusCode::OK);
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("camgate_refused_event_streams_total 1\n"), "counted on");
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
    drop(told);
}

#[tokio::test]
async fn http_moves_to_another_address_and_takes_everybody_along() {
    let camera = small();
    let (old, new) = (free_port(), free_port());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http_listen(&at(old))
        .config(camera.toml("front"))
        .spawn()
        .await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let mut told = Events::open(&gateway.url("/api/v1/events")).await;
    told.next(LIMIT).await;
    let toml = gateway.toml();
    let status =
        async |url: String| client().build().expect("a client").get(url).send().await.map(|answer| answer.status());

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = taken.local_addr().expect("an address").port();
    gateway.refuse(&toml.replace(&at(old), &at(other))).await;
    assert!(gateway.find_log("[http] listen = ").is_some_and(|line| line.contains("cannot open this TCP port")));
    assert_eq!(status(format!("http://{}/healthz", at(old))).await.ok(), Some(StatusCode::OK));

    gateway.reload(&toml.replace(&at(old), &at(new))).await;
    assert_eq!(status(format!("http://{}/healthz", at(new))).await.ok(), Some(StatusCode::OK));
    assert!(status(format!("http://{}/healthz", at(old))).await.is_err(), "nobody is there any more");
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
    let second = Viewer::join(format!("http://{}/whep/front", at(new))).await;
    // Of the second viewer; the stream came by the old address.
    told.next(LIMIT).await;

    // What is in the way is our own, and back where it was when something else cannot be opened.
    let wide = toml.replace(&at(old), &format!("0.0.0.0:{new}"));
    let (pem, pem_key) = certificate("cam.example.org");
    std::fs::write(gateway.dir().join("cert.pem"), pem).expect("a file");
    std::fs::write(gateway.dir().join("key.pem"), pem_key).expect("a file");
    let tls = "[http.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nredirect_listen";
    gateway.refuse(&format!("{wide}\n{tls} = \"127.0.0.1:{other}\"")).await;
    assert_eq!(status(format!("http://{}/healthz", at(new))).await.ok(), Some(StatusCode::OK));
    gateway.reload(&toml.replace(&at(old), &format!("0.0.0.0:{new}"))).await;
    assert_eq!(status(format!("http://{}/healthz", at(new))).await.ok(), Some(StatusCode::OK));

    let (certificate, key) = certificate("cam.example.org");
    std::fs::write(gateway.dir().join("cert.pem"), certificate).expect("a file");
    std::fs::write(gateway.dir().join("key.pem"), key).expect("a file");
    let secure = toml.replace(&at(old), &format!("0.0.0.0:{new}"));
    let redirect = free_port();
    let tls = format!(
        "[http.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nredirect_listen = \"127.0.0.1:{redirect}\""
    );
    gateway.reload(&format!("{secure}\n{tls}")).await;
    assert_eq!(status(format!("https://{}/healthz", at(new))).await.ok(), Some(StatusCode::OK));
    let redirected = client().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let redirected =
        redirected.get(format!("http://127.0.0.1:{redirect}/watch/front")).send().await.expect("an answer");
    assert_eq!(redirected.headers()["location"], format!("https://127.0.0.1:{new}/watch/front"));
    gateway.reload(&secure).await;
    assert_eq!(status(format!("http://{}/healthz", at(new))).await.ok(), Some(StatusCode::OK));
    until("plain HTTP is not sent on any more", LIMIT, || async {
        status(format!("http://127.0.0.1:{redirect}/")).await.is_err().then_some(())
    })
    .await;
    for viewer in [&viewer, &second] {
        viewer.wait_more(Kind::Video, 15, LIMIT).await;
        assert_eq!(viewer.video().missing(), 0);
    }
}
