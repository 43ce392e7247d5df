//! The last seconds of a camera, as an MP4.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Audio, Camera, Profile},
        files::{self, Film},
        gateway::Gateway,
        viewer::{Kind, Viewer},
        wait,
    },
};

const PATH: &str = "/api/v1/cameras/front/clip.mp4";
const KEPT: &str = "start = \"always\"\nclip_seconds = 30";

async fn ask(gateway: &Gateway, query: &str) -> Response {
    gateway.get(&format!("{PATH}{query}")).await.expect("an answer")
}

async fn bytes(gateway: &Gateway, query: &str) -> Vec<u8> {
    let response = ask(gateway, query).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap_or_default());
    response.bytes().await.expect("a body").to_vec()
}

async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"))
}

/// Waits until so much is kept.
async fn wait_kept(gateway: &Gateway, seconds: f64) {
    let kept = || async {
        let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a body");
        let kept = metrics.lines().find_map(|line| line.strip_prefix("camgate_camera_clip_seconds{camera=\"front\"} "));
        kept.and_then(|kept| kept.parse::<f64>().ok()).unwrap_or_default()
    };
    wait::until_value("seconds that are kept", LIMIT + Duration::from_secs_f64(seconds), kept, |kept| *kept >= seconds)
        .await;
}

/// The camera's frame numbers in the film, each of which must be readable.
fn counters(film: &Film) -> Vec<u32> {
    film.frames.iter().map(|frame| frame.counter().expect("the camera's picture")).collect()
}

#[tokio::test]
async fn a_clip_has_every_picture_in_its_time_and_the_sound_with_it() {
    let camera = Camera::builder().audio(Audio::Opus).flash_and_beep().start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 6.0).await;
    let response = ask(&gateway, "").await;
    let headers = response.headers().clone();
    assert!(headers["content-type"] == "video/mp4" && headers["cache-control"] == "no-store", "{headers:?}");
    let name = headers["content-disposition"].to_str().expect("a name");
    assert!(name.starts_with("attachment; filename=\"front-20") && name.ends_with("Z.mp4\""), "{name}");
    let file = response.bytes().await.expect("a body").to_vec();
    assert_eq!(headers["content-length"], file.len().to_string());
    let index = file.windows(4).position(|window| window == b"moov").expect("an index");
    assert!(index < 100, "the index comes first: {index}");

    let film = files::film(file, true).await;
    let counters = counters(&film);
    assert!(counters.len() >= 60, "{counters:?}");
    // 15 a second, each at its time, once the camera has found its pace; it may leave one out on a busy machine.
    for (pair, frames) in counters.windows(2).zip(film.frames.windows(2)).skip(15) {
        let shown = frames[1].at - frames[0].at;
        let painted = Duration::from_secs(u64::from(pair[1] - pair[0])) / 15;
        assert!(pair[1] > pair[0] && shown.abs_diff(painted) < Duration::from_millis(110), "{pair:?} in {shown:?}");
    }
    let last = film.frames[film.frames.len() - 1].at;
    assert!(film.length >= last && film.length < last + Duration::from_secs(1), "{:?} of {last:?}", film.length);

    let flash = film.frames.windows(2).position(|pair| pair[0].luma(50, 50) < 200 && pair[1].luma(50, 50) > 225);
    let flash = film.frames[flash.expect("a flash") + 1].at;
    let beep = film.heard(flash.saturating_sub(Duration::from_millis(400)), 3_000).expect("a beep");
    assert!(beep.abs_diff(flash) < Duration::from_millis(150), "flash at {flash:?}, beep at {beep:?}");
}

#[tokio::test]
async fn a_clip_is_as_long_as_wished() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 6.0).await;
    let length = async |query: &str| {
        let film = files::film(bytes(&gateway, query).await, false).await;
        counters(&film);
        film.length.as_secs_f64()
    };
    let (short, long, all) = (length("?seconds=2").await, length("?seconds=999999").await, length("").await);
    assert!((2.0..3.5).contains(&short), "{short}: up to a second more, because it begins with a keyframe");
    assert!(long >= 6.0 && all >= long, "{long} and {all}");
    for query in ["?seconds=-1", "?seconds=0", "?seconds=abc", "?seconds=", "?seconds=inf"] {
        let (status, problem) = problem(ask(&gateway, query).await).await;
        assert_eq!((status, &problem["code"]), (400, &"bad-parameter".into()), "{query}: {problem}");
    }
    let head = gateway.http().head(gateway.url(PATH)).send().await.expect("an answer");
    assert!(
        head.headers()["content-length"].to_str().is_ok_and(|length| length.parse::<u64>().is_ok_and(|it| it > 10_000))
    );
    assert!(head.bytes().await.expect("no body").is_empty());
}

#[tokio::test]
async fn chromium_plays_a_clip_to_its_end() {
    let camera = Camera::builder().audio(Audio::Aac).profile(Profile::High).start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 4.0).await;
    let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    browser.open(&gateway.url("/watch/none")).await;
    let play = format!(
        "const video = document.createElement('video');
         video.id = 'clip';
         window.film = {{ pictures: 0 }};
         const count = () => {{ window.film.pictures += 1; video.requestVideoFrameCallback(count); }};
         video.requestVideoFrameCallback(count);
         video.addEventListener('ended', () => {{ window.film.ended = true; }});
         video.addEventListener('error', () => {{ window.film.error = video.error.message; }});
         const clip = await fetch('{PATH}?seconds=3').then((it) => it.blob());
         video.src = URL.createObjectURL(clip);
         document.body.append(video);
         await video.play().catch((error) => {{ window.film.error = String(error); }});"
    );
    browser.run(&play).await;
    browser.wait_for("window.film.ended || window.film.error", LIMIT).await;
    let film = browser
        .eval(
            "({ ...window.film, length: document.getElementById('clip').duration, \
                             sound: document.getElementById('clip').webkitAudioDecodedByteCount })",
        )
        .await;
    assert_eq!(film["error"], Value::Null, "{film}");
    assert!(film["length"].as_f64().is_some_and(|length| (3.0..6.0).contains(&length)), "{film}");
    assert!(film["pictures"].as_u64().is_some_and(|pictures| pictures >= 15), "{film}");
    assert!(
        film["sound"].as_u64().is_some_and(|bytes| bytes > 1_000),
        "the sound that nobody else listened to: {film}"
    );
}

#[tokio::test]
async fn the_sound_of_a_telephone_is_made_into_opus() {
    let camera = Camera::builder().audio(Audio::Pcma).start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 4.0).await;
    let film = files::film(bytes(&gateway, "").await, true).await;
    let samples: usize = film.sound.iter().map(|(_, samples)| samples.len()).sum();
    assert!(samples as f64 / 48_000.0 > film.length.as_secs_f64() - 1.0, "{samples} samples in {:?}", film.length);
    assert!(film.heard(Duration::from_secs(1), 3_000).is_some(), "the tone");
}

#[tokio::test]
async fn b_frames_are_in_their_order() {
    let camera = Camera::builder().profile(Profile::Main).b_frames(2).start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 4.0).await;
    let counters = counters(&files::film(bytes(&gateway, "").await, false).await);
    assert!(counters.len() > 30 && counters.is_sorted(), "{counters:?}");
}

#[tokio::test]
async fn a_clip_begins_after_a_change_of_resolution() {
    let camera = Camera::builder().audio(Audio::Pcmu).start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 3.0).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    camera.change_size(640, 360);
    viewer.wait_keyframes(4, LIMIT).await;
    assert_eq!(gateway.camera("front").await["video"]["width"], 640);
    let film = files::film(bytes(&gateway, "").await, false).await;
    assert!(film.frames.len() >= 15, "{}", film.frames.len());
    assert!(film.frames.iter().all(|frame| (frame.width, frame.height) == (640, 360)));
}

#[tokio::test]
async fn the_last_of_a_camera_that_vanished_is_kept() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 3.0).await;
    camera.stop();
    gateway.wait_camera("front", "backing_off", LIMIT).await;
    let film = files::film(bytes(&gateway, "").await, false).await;
    assert!(film.frames.len() >= 40, "{}", film.frames.len());
    camera.start_again();
    let seen = counters(&film).len();
    let more = || async {
        let response = ask(&gateway, "").await.bytes().await.expect("a body").to_vec();
        files::film(response, false).await.frames.len()
    };
    wait::until_value("pictures of after the outage", LIMIT, more, |more| *more > seen + 15).await;
}

#[tokio::test]
async fn keeping_begins_and_ends_with_the_configuration_and_no_viewer_notices() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    let (status, off) = problem(ask(&gateway, "").await).await;
    assert_eq!((status, &off["code"]), (409, &"no-clips".into()), "{off}");
    assert!(off["detail"].as_str().is_some_and(|detail| detail.contains("clip_seconds")), "{off}");
    assert_eq!(gateway.camera("front").await["clip_seconds"], Value::Null);
    let plain = gateway.toml();
    gateway.reload(&format!("{plain}\nclip_seconds = 5\nclip_mib = 1\n")).await;
    assert_eq!(gateway.camera("front").await["clip_seconds"], 5.0);
    wait_kept(&gateway, 3.0).await;
    assert!(files::film(bytes(&gateway, "").await, false).await.frames.len() >= 40);
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a body");
    let kept = metrics.lines().find_map(|line| line.strip_prefix("camgate_camera_clip_bytes{camera=\"front\"} "));
    let kept: f64 = kept.expect("a size").parse().expect("a number");
    assert!((10_000.0..f64::from(1 << 20)).contains(&kept), "{kept} bytes");
    gateway.reload(&plain).await;
    assert_eq!(ask(&gateway, "").await.status(), 409);
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    assert_eq!((viewer.video().missing(), camera.connections_total()), (0, 1));
}

#[tokio::test]
async fn why_there_is_no_clip_is_said() {
    let gone = Camera::builder().start();
    let away = format!("{}\n{KEPT}\n", gone.toml("away"));
    drop(gone);
    let camera = Camera::builder().start();
    let config = format!("{away}{}\nclip_seconds = 5\n", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    gateway.wait_camera("away", "backing_off", LIMIT).await;
    let ask = async |name: &str| {
        let path = format!("/api/v1/cameras/{name}/clip.mp4");
        problem(gateway.get(&path).await.expect("an answer")).await
    };
    assert_eq!(ask("none").await.0, 404);
    let (status, away) = ask("away").await;
    assert_eq!((status, &away["type"]), (409, &"urn:camgate:problem:camera-not-live".into()), "{away}");
    let (status, idle) = ask("front").await;
    assert_eq!((status, &idle["code"]), (409, &"nothing-kept".into()), "{idle}");
    assert!(idle["detail"].as_str().is_some_and(|detail| detail.contains("on-demand")), "{idle}");
}

/// Who does not read takes a place, and no more than all places are taken.
#[tokio::test]
async fn slow_readers_are_few() {
    use tokio::{io::AsyncWriteExt, net::TcpStream};
    let camera = Camera::builder().size(1280, 720).bitrate_kbps(12_000).noise_percent(60).start();
    let gateway = gateway(&camera, KEPT).await;
    wait_kept(&gateway, 12.0).await;
    let mut readers = Vec::new();
    let address = gateway.direct_http_address();
    for _ in 0..4 {
        let mut reader = TcpStream::connect(&address).await.expect("a connection");
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        reader.write_all(request.as_bytes()).await.expect("a request");
        reader.readable().await.expect("an answer");
        readers.push(reader);
    }
    let (status, full) = problem(ask(&gateway, "").await).await;
    assert_eq!((status, &full["code"]), (503, &"full".into()), "{full}");
    drop(readers);
    let status = || async { ask(&gateway, "").await.status().as_u16() };
    wait::until_value("a place", LIMIT, status, |status| *status == 200).await;
}
