//! What a viewer gets whose network does not carry the camera's stream, and what everybody is told of it.

use serde_json::{Value, json};

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Audio, Builder, Camera},
        gateway::Gateway,
        network::{GATEWAY, Network},
        wait,
    },
};

/// 3.2 Mbit/s, a keyframe every 2 s.
fn camera() -> Builder {
    Camera::builder().size(640, 360).fps(25).gop(50).bitrate_kbps(3_200).noise_percent(60).audio(Audio::Opus)
}

/// The first session once `holds` does of it.
async fn wait_session(gateway: &Gateway, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let session = || async { gateway.sessions().await.into_iter().next().filter(|session| holds(session)) };
    wait::until(what, 3 * LIMIT, session).await
}

#[test]
fn a_narrow_network_shows_whole_pictures_and_says_so_until_it_is_wide_again() {
    let network = Network::new();
    let camera = network.inside("gateway", async { camera().start() });
    network.inside("viewer", async {
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
            .on(&network, "gateway")
            .http_listen(&format!("{GATEWAY}:8080"))
            .webrtc_listen("0.0.0.0:8189")
            .config(format!("{}\nstart = \"always\"", camera.toml("front")))
            .spawn()
            .await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let browser = Browser::start().await;
        browser.open(&gateway.url("/")).await;
        browser.wait_decoded(50, LIMIT).await;
        let words = "document.body.innerText.includes('The viewer\\'s network')";
        assert_eq!(browser.eval(words).await, json!(false));
        assert_eq!(gateway.sessions().await[0]["leaves_out"], json!(false));

        network.run("router", "tc qdisc add dev viewer root tbf rate 1mbit burst 4kb latency 1s");
        let session =
            wait_session(&gateway, "pictures are left out", |session| session["leaves_out"] == json!(true)).await;
        gateway.wait_log("code=\"network-too-slow\"", LIMIT).await;
        browser.wait_for(words, LIMIT).await;
        println!("{session}");
        let before = browser.video_stats().await.expect("a picture").key_frames_decoded;
        let shows_more = || async {
            let shown = browser.video_stats().await?.key_frames_decoded;
            (shown >= before + 5).then_some(())
        };
        wait::until("five more keyframes", 3 * LIMIT, shows_more).await;
        let session = gateway.sessions().await.remove(0);
        let estimate = session["estimate_bps"].as_f64().expect("packets have queued");
        // Of 1 Mbit/s. A machine that is busy elsewhere lets packets arrive in bunches, which look like a faster link.
        assert!((0.3e6..3e6).contains(&estimate), "{session}");
        assert!(session["skipped_units"].as_u64() > Some(50), "{session}");
        assert!(browser.eval(words).await == json!(true), "it is not called frozen");

        network.run("router", "tc qdisc del dev viewer root");
        wait_session(&gateway, "everything is carried again", |session| session["leaves_out"] == json!(false)).await;
        browser.wait_decoded(100, LIMIT).await;
        browser.wait_for(&format!("!{words}"), LIMIT).await;
    });
}

#[tokio::test]
async fn the_delay_from_camera_to_screen_is_measured_and_exported() {
    let camera = camera().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    browser.wait_decoded(10, LIMIT).await;
    let session =
        wait_session(&gateway, "the page has said how late it is", |session| !session["camera_to_screen_ms"].is_null())
            .await;
    let delay = session["camera_to_screen_ms"].as_f64().expect("a number");
    println!("{delay} ms");
    assert!((0.0..2_000.0).contains(&delay), "{session}");
    let metrics = gateway.http().get(gateway.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_camera_to_screen_seconds_count{camera=\"front\"} "), "{metrics}");
    assert!(metrics.contains("camgate_viewers_leaving_out{camera=\"front\"} 0"), "{metrics}");
    browser.press(".tile", "s").await;
    browser.wait_for("/Camera to screen\\s+\\d+ ms/.test(document.body.innerText)", LIMIT).await;
}

#[tokio::test]
async fn what_a_page_says_of_its_picture_has_bounds() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let offer = include_str!("../offers/chromium-watch.sdp").to_owned();
    let response = gateway.post_offer("front", offer).await;
    let resource = response.headers()["location"].to_str().unwrap().to_owned();
    let say = async |resource: &str, body: &str| {
        let request = gateway.http().post(gateway.url(&format!("{resource}/quality")));
        let response = request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap())
    };
    let (status, heard) = say(&resource, "{\"camera_to_screen_ms\": 80.5}").await;
    assert_eq!((status, &heard["leaves_out"], &heard["estimate_bps"]), (200, &json!(false), &Value::Null));
    assert!(heard["now_ms"].as_f64() > Some(1.7e12), "{heard}");
    assert_eq!(gateway.sessions().await[0]["camera_to_screen_ms"], json!(80.5));
    for bad in ["-1", "60001", "1e300", "\"80\"", "[]"] {
        let (status, problem) = say(&resource, &format!("{{\"camera_to_screen_ms\": {bad}}}")).await;
        assert_eq!((status, &problem["title"]), (400, &json!("Unusable measurement")), "{bad}: {problem}");
    }
    assert_eq!(say("/whep/front/00000000000000000000000000000000", "{}").await.0, 404);
    let counted = || async {
        let metrics = gateway.http().get(gateway.url("/metrics")).send().await.unwrap().text().await.unwrap();
        metrics.contains("camgate_camera_to_screen_seconds_count{camera=\"front\"} 1\n").then_some(())
    };
    wait::until("the one is counted", LIMIT, counted).await;
}

/// Chromium's jitter buffer is as long as it is asked to be, above what it needs itself.
#[tokio::test]
async fn smooth_playout_is_what_the_browser_aims_for() {
    let camera = camera().start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .webrtc("playout = \"smooth\"")
        .config(camera.toml("front"))
        .spawn()
        .await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    browser.wait_decoded(50, LIMIT).await;
    let held = || async {
        let before = browser.video_stats().await?;
        let after = browser.wait_decoded(25, LIMIT).await;
        let pictures = (after.jitter_buffer_emitted_count - before.jitter_buffer_emitted_count) as f64;
        let held = (after.jitter_buffer_delay - before.jitter_buffer_delay) / pictures;
        println!("held back for {held} s");
        (held > 0.2).then_some(())
    };
    wait::until("pictures are held back", LIMIT, held).await;
}
