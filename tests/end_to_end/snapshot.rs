//! The picture that a camera shows now, as a JPEG.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    gateway,
    support::{
        browser::Browser,
        camera::{Audio, Camera, Profile, Video},
        files::{self, Frame},
        gateway::Gateway,
        secrets,
        viewer::{Kind, Viewer},
        wait,
    },
};

const PATH: &str = "/api/v1/cameras/front/snapshot.jpg";

async fn ask(gateway: &Gateway, query: &str) -> Response {
    gateway.get(&format!("{PATH}{query}")).await.expect("an answer")
}

async fn picture(gateway: &Gateway, query: &str) -> Frame {
    let response = ask(gateway, query).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap_or_default());
    files::still(response.bytes().await.expect("a body").to_vec()).await
}

async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    (status, serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"))
}

#[tokio::test]
async fn a_camera_that_nobody_watches_starts_for_its_snapshot() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "linger_seconds = 0").await;
    let before = SystemTime::now();
    let response = ask(&gateway, "").await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert!(headers["content-type"] == "image/jpeg" && headers["cache-control"] == "no-store", "{headers:?}");
    let captured = headers["camgate-captured"].to_str().expect("a time");
    let captured = humantime::parse_rfc3339(captured).expect("a time");
    let age = captured.duration_since(before - Duration::from_secs(5));
    assert!(age.is_ok_and(|age| age < Duration::from_secs(5) + LIMIT), "{headers:?}");
    assert!(headers.contains_key("last-modified"), "{headers:?}");
    let name = headers["content-disposition"].to_str().expect("a name");
    assert!(name.starts_with("inline; filename=\"front-20") && name.ends_with("Z.jpg\""), "{name}");
    let frame = files::still(response.bytes().await.expect("a body").to_vec()).await;
    assert_eq!((frame.width, frame.height), (320, 180));
    let counter = frame.counter().expect("the camera's picture");
    assert!(camera.age_of(counter) < LIMIT, "{:?}", camera.age_of(counter));
    gateway.wait_camera("front", "idle", LIMIT).await;
    let head = gateway.http().head(gateway.url(PATH)).send().await.expect("an answer");
    assert_eq!((head.status(), &head.headers()["content-type"]), (StatusCode::OK, &"image/jpeg".parse().unwrap()));
    assert!(head.bytes().await.expect("no body").is_empty());
}

/// The camera's colours are limited in their range (16 to 235), a JPEG's are not.
#[tokio::test]
async fn every_profile_is_decoded_in_its_true_colours() {
    for profile in [Profile::Baseline, Profile::Main, Profile::High] {
        let camera = Camera::builder().profile(profile).slices(2).bitrate_kbps(1_000).start();
        let gateway = gateway(&camera, "").await;
        let frame = picture(&gateway, "?quality=95").await;
        let counter = frame.counter().expect("the camera's picture");
        let colours = [96 + counter % 64, 160 - counter / 2 % 64].map(|colour| 128 + (colour as i32 - 128) * 255 / 224);
        let seen = frame.chroma(50, 50).map(i32::from);
        let off = [0, 1].map(|at| seen[at].abs_diff(colours[at]));
        assert!(off.iter().all(|off| *off <= 8), "{profile:?}: {seen:?}, painted {colours:?}");
        let bright = [1, 8].map(|x| frame.luma(x, 4));
        assert!(bright[0] > 245 && bright[1] < 10, "{profile:?}: white and black of the marker are {bright:?}");
    }
}

#[tokio::test]
async fn an_old_keyframe_is_decoded_up_to_now() {
    let camera = Camera::builder().gop(300).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let first = picture(&gateway, "").await.counter().expect("the camera's picture");
    assert!(first >= 30, "not the keyframe that the camera began with: {first}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = picture(&gateway, "").await.counter().expect("the camera's picture");
    assert!(second > first, "{second} after {first}");
}

#[tokio::test]
async fn without_the_cache_it_waits_for_the_keyframe() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "gop_cache_mib = 0").await;
    assert!(picture(&gateway, "").await.counter().is_some());
}

#[tokio::test]
async fn a_picture_shrinks_as_wished() {
    let camera = Camera::builder().size(642, 362).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    let size = async |query: &str| {
        let frame = picture(&gateway, query).await;
        (frame.width, frame.height, frame.counter().is_some())
    };
    assert_eq!(size("").await, (642, 362, true));
    assert_eq!(size("?width=320").await, (320, 180, true));
    assert_eq!(size("?height=181&width=4000&t=1").await, (321, 181, true));
    assert_eq!(size("?width=65535").await, (642, 362, true), "not larger");
    let tiny = picture(&gateway, "?width=1").await;
    assert_eq!((tiny.width, tiny.height), (1, 1));
    let bytes = async |query: &str| ask(&gateway, query).await.bytes().await.expect("a body").len();
    let (good, bad) = (bytes("?quality=95").await, bytes("?quality=10").await);
    assert!(good > 2 * bad, "{good} and {bad} bytes");
    for query in
        ["?width=0", "?width=-1", "?width=65536", "?height=abc", "?height=%00", "?quality=101", "?width=99999999999"]
    {
        let (status, problem) = problem(ask(&gateway, query).await).await;
        assert_eq!((status, &problem["code"]), (400, &"bad-parameter".into()), "{query}: {problem}");
    }
}

#[tokio::test]
async fn why_there_is_no_snapshot_is_said() {
    let gone = Camera::builder().start();
    let away = gone.toml("away");
    drop(gone);
    let deep = Camera::builder().video(Video::H264High10).start();
    let config = [away, deep.toml("deep")].concat();
    let gateway =
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).http("start_deadline_seconds = 5").spawn().await;
    let ask = async |name: &str| {
        let path = format!("/api/v1/cameras/{name}/snapshot.jpg");
        problem(gateway.get(&path).await.expect("an answer")).await
    };
    let (status, none) = ask("none").await;
    assert_eq!((status, &none["code"]), (404, &"no-such-camera".into()), "{none}");
    assert_eq!(ask("%2e%2e%2ffront").await.0, 404);
    let (status, away) = ask("away").await;
    assert_eq!((status, &away["type"]), (409, &"urn:camgate:problem:camera-not-live".into()), "{away}");
    assert!(away["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{away}");
    let (status, deep) = ask("deep").await;
    assert_eq!((status, &deep["code"]), (422, &"rare-profile".into()), "{deep}");
    assert!(deep["detail"].as_str().is_some_and(|detail| detail.contains("10 bits")), "{deep}");
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a body");
    assert!(metrics.contains("camgate_camera_failed_snapshots_total{camera=\"deep\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_crowd_shares_one_picture_while_a_viewer_plays_on() {
    let camera = Camera::builder().audio(Audio::Opus).gop(60).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 60, LIMIT).await;
    let before = gateway.rss_kb();
    let crowd = join_all((0..200).map(|_| async {
        let response = ask(&gateway, "").await;
        (response.status().as_u16(), response.bytes().await.expect("a body").len())
    }));
    let answers = crowd.await;
    assert!(answers.iter().all(|(status, length)| *status == 200 && *length > 1_000), "{answers:?}");
    // Of sizes that all differ each is made for itself: that is slower, and somebody may be told to come back.
    let query = |number: usize| format!("?width={}", 100 + number);
    let crowd = join_all((0..200).map(|number| {
        let (gateway, query) = (&gateway, query(number));
        async move { ask(gateway, &query).await.status().as_u16() }
    }));
    let answers = crowd.await;
    assert!(answers.iter().all(|status| matches!(status, 200 | 503)) && answers.contains(&200), "{answers:?}");
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a body");
    let decoded =
        metrics.lines().find_map(|line| line.strip_prefix("camgate_camera_snapshots_total{camera=\"front\"} "));
    let decoded: u32 = decoded.expect("a count").parse().expect("a number");
    assert!((1..50).contains(&decoded), "{decoded} pictures decoded for 400 requests");
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    assert_eq!((viewer.video().missing(), viewer.audio().missing()), (0, 0));
    assert!(gateway.rss_kb() < before + 200_000, "{before} kB, then {} kB", gateway.rss_kb());
}

#[tokio::test]
async fn the_page_saves_a_snapshot_and_a_clip() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "clip_seconds = 10").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    browser.wait_decoded(30, LIMIT).await;
    let folder = tempfile::tempdir().expect("a folder");
    let allow = json!({ "behavior": "allow", "downloadPath": folder.path() });
    browser.cdp("Page.setDownloadBehavior", allow).await;
    let listed = || async {
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        // Chromium reserves a name by an empty file.
        let entries = entries.map(|entry| entry.expect("a file"));
        let whole = entries.filter(|entry| entry.metadata().is_ok_and(|data| data.len() > 0));
        whole.map(|entry| entry.file_name().into_string().expect("a text")).collect::<Vec<_>>()
    };
    browser.click(".tile .actions [aria-label='More for front']").await;
    for (what, ending) in [("Snapshot", "Z.jpg"), ("Clip", "Z.mp4")] {
        let button =
            format!("[...document.querySelectorAll('.tile .menu button')].find((it) => it.textContent === '{what}')");
        browser.wait_for(&format!("{button} && !{button}.hidden"), LIMIT).await;
        browser.run(&format!("{button}.click()")).await;
        let spoken = format!("document.querySelector('.tile [role=status]').textContent === '{what} saved'");
        browser.wait_for(&spoken, LIMIT).await;
        let is_saved = |name: &String| name.starts_with("front-20") && name.ends_with(ending);
        let names = wait::until_value("a file", LIMIT, listed, |names| names.iter().any(is_saved)).await;
        let name = names.iter().find(|name| is_saved(name)).expect("waited for it");
        let file = std::fs::read(folder.path().join(name)).expect("a file");
        if ending == "Z.jpg" {
            assert!(files::still(file).await.counter().is_some());
        } else {
            assert!(!files::film(file, false).await.frames.is_empty());
        }
    }
    assert!(browser.console_errors().await.is_empty(), "{:?}", browser.console_errors().await);
}

#[tokio::test]
async fn snapshots_and_clips_are_for_who_may_watch() {
    let camera = Camera::builder().start();
    let config = [
        format!("{}\nclip_seconds = 5\nstart = \"always\"\n", camera.toml("front")),
        format!("{}\nclip_seconds = 5\n", camera.toml("back")),
        user("anna", "actions = [\"watch\", \"share\"]").await,
        user("bert", "cameras = \"back\"\nactions = [\"watch\", \"api\"]").await,
        user("program", "actions = [\"api\", \"metrics\"]").await,
    ];
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config.concat()).spawn().await;
    let ask = async |name: &str, camera: &str, file: &str| {
        let request = gateway.http().get(gateway.url(&format!("/api/v1/cameras/{camera}/{file}")));
        let request = if name.is_empty() { request } else { request.basic_auth(name, Some(PASSWORD)) };
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.bytes().await.expect("a body"))
    };
    assert_eq!(ask("anna", "front", "snapshot.jpg").await.0, 200);
    let wish = r#"{"camera":"front","seconds":3600}"#;
    let made = gateway.http().post(gateway.url("/api/v1/shares")).basic_auth("anna", Some(PASSWORD));
    let made = made.header("content-type", "application/json").body(wish).send().await.expect("an answer");
    let made: Value = serde_json::from_str(&made.text().await.expect("a body")).expect("JSON");
    let token = made["token"].as_str().expect("a token").to_owned();
    secrets::note(&token);
    for file in ["snapshot.jpg", "clip.mp4"] {
        let served = || async { ask("anna", "front", file).await.0 };
        wait::until_value("what anna may have", LIMIT, served, |status| *status == 200).await;
        assert_eq!(ask("", "front", file).await.0, 401);
        assert_eq!(ask("program", "front", file).await.0, 403);
        let (hidden, none) = (ask("bert", "front", file).await, ask("bert", "none", file).await);
        let alike = String::from_utf8_lossy(&none.1).replace("none", "front");
        assert_eq!((hidden.0, &*String::from_utf8_lossy(&hidden.1)), (404, &*alike), "a hidden camera is like none");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let path = format!("/api/v1/cameras/front/{file}");
            let request = gateway.http().request(method, gateway.url(&path)).basic_auth("anna", Some(PASSWORD));
            assert_eq!(request.send().await.expect("an answer").status(), 405);
        }
        let by_link = async |camera: &str, token: &str| {
            let url = gateway.url(&format!("/api/v1/cameras/{camera}/{file}"));
            let header = gateway.http().get(&url).bearer_auth(token).send().await.expect("an answer").status();
            let address = gateway.http().get(format!("{url}?share={token}")).send().await.expect("an answer").status();
            (header.as_u16(), address.as_u16())
        };
        assert_eq!(by_link("front", &token).await, (200, 200));
        assert_eq!(by_link("back", &token).await, (404, 404));
        assert_eq!(by_link("front", &format!("{token}A")).await, (410, 410));
    }
}
