//! Cameras that publish to us: Chromium with its fake camera and microphone, which has real encoders, is the camera.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    LIMIT,
    auth::program,
    support::{
        browser::{Browser, Publication},
        camera::Camera,
        gateway::{Builder, Gateway},
        network::{GATEWAY, Network, VIEWER},
        viewer::{Kind, Viewer},
        wait,
    },
};

/// For a publisher that says no goodbye to be missed.
const AWAY_LIMIT: Duration = Duration::from_secs(40);

const PHONE: &str = "[[camera]]\nname = \"phone\"\nsource = \"whip\"\n";

fn gateway_of(config: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config)
}

async fn publisher(gateway: &Gateway) -> Browser {
    let browser = Browser::builder().fake_devices().start().await;
    browser.open(&gateway.url("/healthz")).await;
    browser
}

/// A gateway, and a browser that is its camera `phone`.
async fn published(keys: &str) -> (Gateway, Browser) {
    let gateway = gateway_of(&format!("{PHONE}{keys}")).spawn().await;
    let browser = publisher(&gateway).await;
    let answer = browser.publish(&gateway.url("/whip/phone"), &Publication::default()).await;
    assert_eq!(answer["status"], 201, "{answer}");
    gateway.wait_camera("phone", "live", LIMIT).await;
    (gateway, browser)
}

/// What `getStats()` says of the picture that is sent.
async fn sent(browser: &Browser, field: &str) -> f64 {
    let script = format!(
        "[...(await window.publisher.peer.getStats()).values()]
            .find(({{ type, kind }}) => type === 'outbound-rtp' && kind === 'video')?.{field} ?? 0"
    );
    browser.run(&format!("return {script};")).await.as_f64().unwrap_or_default()
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let page = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    let line = page.lines().find(|line| line.starts_with(&format!("camgate_camera_{name}{{camera=\"phone\"}}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}: {page}"))
}

/// How many pictures of this gateway's page have been shown.
async fn shows(gateway: &Gateway) -> Browser {
    let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    browser.open(&gateway.url("/watch/phone?sound=1")).await;
    browser.wait_decoded(30, LIMIT).await;
    browser
}

#[tokio::test]
async fn a_browser_is_a_camera_and_another_watches_it() {
    let (gateway, publisher) = published("").await;
    let camera = gateway.camera("phone").await;
    assert_eq!((&camera["video"]["codec"], &camera["audio"]["codec"]), (&json!("H264"), &json!("opus")), "{camera}");
    assert_eq!(camera["viewers"], 0, "a publisher is none");
    assert!(gateway.sessions().await.is_empty(), "nor is it a viewer's session");
    let publishers = gateway.array("/api/v1/sessions?role=publisher").await;
    assert_eq!(publishers.len(), 1, "{publishers:?}");
    assert_eq!((&publishers[0]["role"], &publishers[0]["camera"]), (&json!("publisher"), &json!("phone")));
    assert_eq!(gateway.get("/api/v1/sessions?role=admin").await.expect("an answer").status(), 400);
    let watcher = shows(&gateway).await;
    let picture = watcher.picture().await.expect("a picture");
    assert!(picture.shows_something(), "{picture:?}");
    let energy = || async { watcher.audio_stats().await.map_or(0.0, |audio| audio.total_audio_energy) };
    wait::until_value("the fake microphone's beep to be heard", LIMIT, energy, |energy| *energy > 0.0).await;
    // Its bandwidth estimate has what it needs: it begins with 320x180 at 600 kbit/s.
    let width = || async { gateway.camera("phone").await["video"]["width"].as_u64().unwrap_or(0) };
    wait::until_value("the browser to send its whole picture", 2 * LIMIT, width, |width| *width == 1_280).await;
    watcher.wait_for("document.querySelector('video').videoWidth === 1280", LIMIT).await;
    watcher.wait_decoded(20, LIMIT).await;
    assert_eq!(gateway.sessions().await.len(), 1, "on the same session, through every change of size");
    let estimate = "[...(await window.publisher.peer.getStats()).values()].some(({ type, availableOutgoingBitrate }) =>
        type === 'candidate-pair' && availableOutgoingBitrate > 600000)";
    publisher.wait_for(estimate, LIMIT).await;
    assert!(sent(&publisher, "pliCount").await >= 1.0, "it is asked for keyframes");
    assert_eq!(metric(&gateway, "lost_packets_total").await, 0.0);
    assert!(metric(&gateway, "publisher_plis_total").await >= 1.0);
}

#[tokio::test]
async fn newcomers_have_a_picture_at_once() {
    let (gateway, publisher) = published("").await;
    for _ in 0..3 {
        let viewer = Viewer::join(gateway.whep("phone")).await;
        viewer.wait_keyframes(1, LIMIT).await;
        viewer.wait_packets(Kind::Audio, 20, LIMIT).await;
        viewer.close().await;
    }
    let before = sent(&publisher, "keyFramesEncoded").await;
    let viewer = Viewer::join(gateway.whep("phone")).await;
    viewer.wait_keyframes(3, LIMIT).await;
    assert!(sent(&publisher, "keyFramesEncoded").await > before, "every few seconds it is asked for one");
    for _ in 0..20 {
        viewer.send_pli().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked = metric(&gateway, "publisher_plis_total").await;
    assert!(asked < 30.0, "a flood of requests is one of a few: {asked}");
}

#[tokio::test]
async fn a_second_publisher_is_refused_in_words_and_delete_makes_room() {
    let (gateway, first) = published("").await;
    let second = publisher(&gateway).await;
    let url = gateway.url("/whip/phone");
    let answer = second.publish(&url, &Publication::default()).await;
    assert_eq!((&answer["status"], &answer["problem"]["code"]), (&json!(409), &json!("already-published")), "{answer}");
    let detail = answer["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("set takeover = true for the camera"), "{detail}");
    let deleted = first.run("return (await fetch(window.publisher.location, { method: 'DELETE' })).status;").await;
    assert_eq!(deleted, 200);
    gateway.wait_camera("phone", "backing_off", LIMIT).await;
    assert_eq!(gateway.camera("phone").await["code"], "publisher-gone");
    let answer = second.publish(&url, &Publication::default()).await;
    assert_eq!(answer["status"], 201, "{answer}");
    gateway.wait_camera("phone", "live", LIMIT).await;
}

#[tokio::test]
async fn a_second_publisher_takes_over_where_it_may() {
    let (gateway, first) = published("takeover = true\n").await;
    let viewer = Viewer::join(gateway.whep("phone")).await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    let second = publisher(&gateway).await;
    let answer = second.publish(&gateway.url("/whip/phone"), &Publication::default()).await;
    assert_eq!(answer["status"], 201, "{answer}");
    first.wait_for("['closed', 'failed', 'disconnected'].includes(window.publisher.peer.connectionState)", LIMIT).await;
    let told = first.run("return (await (await fetch(window.publisher.location)).json()).code;").await;
    assert_eq!(told, "taken-over");
    second.wait_for("window.publisher.peer.connectionState === 'connected'", LIMIT).await;
    gateway.wait_camera("phone", "live", LIMIT).await;
    viewer.wait_more(Kind::Video, 60, LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
    assert_eq!(gateway.sessions().await.len(), 1, "the viewer has noticed no more than a pause");
}

/// The browser is killed, as when a phone's battery is empty.
#[tokio::test]
async fn a_publisher_that_vanishes_and_is_back_is_a_pause_for_its_viewers() {
    let (gateway, phone) = published("").await;
    let viewer = Viewer::join(gateway.whep("phone")).await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    drop(phone);
    let camera = gateway.wait_camera("phone", "backing_off", AWAY_LIMIT).await;
    assert_eq!(camera["code"], "publisher-silent");
    assert!(camera["reason"].as_str().unwrap().contains("check its network and that its camera is on"), "{camera}");
    let late = Viewer::builder(gateway.whep("phone")).try_join().await;
    assert!(late.is_err(), "who comes now is told");
    let phone = publisher(&gateway).await;
    let back = || async { phone.publish(&gateway.url("/whip/phone"), &Publication::default()).await };
    wait::until_value("the phone to be taken again", AWAY_LIMIT, back, |answer| answer["status"] == 201).await;
    gateway.wait_camera("phone", "live", LIMIT).await;
    viewer.wait_more(Kind::Video, 60, LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
    assert_eq!(gateway.wait_sessions(1, LIMIT).await.len(), 1);
    assert_eq!(gateway.find_log("panicked"), None);
}

/// VP8 alone, which the gateway does not take; keyframes that never leave the browser.
#[tokio::test]
async fn what_cannot_be_shown_is_refused_or_told_in_words() {
    let gateway = gateway_of(PHONE).spawn().await;
    let browser = publisher(&gateway).await;
    let vp8 = Publication { codec: Some("VP8"), ..Publication::default() };
    let answer = browser.publish(&gateway.url("/whip/phone"), &vp8).await;
    assert_eq!((&answer["status"], &answer["problem"]["code"]), (&json!(422), &json!("no-common-codec")), "{answer}");
    let detail = answer["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("(it offers VP8") && detail.contains("choose H.264"), "{detail}");
    let without = Publication { without_keyframes: true, ..Publication::default() };
    let answer = browser.publish(&gateway.url("/whip/phone"), &without).await;
    assert_eq!(answer["status"], 201, "{answer}");
    let code = || async { gateway.camera("phone").await["code"].clone() };
    wait::until_value("the missing keyframe to be told", AWAY_LIMIT, code, |code| code == "no-keyframe").await;
    assert!(sent(&browser, "pliCount").await >= 3.0, "it was asked");
}

#[tokio::test]
async fn a_camera_with_a_source_of_its_own_says_so() {
    let camera = Camera::builder().start();
    let gateway = gateway_of(&camera.toml("front")).spawn().await;
    let browser = publisher(&gateway).await;
    let answer = browser.publish(&gateway.url("/whip/front"), &Publication::default()).await;
    assert_eq!((&answer["status"], &answer["problem"]["code"]), (&json!(409), &json!("not-published")), "{answer}");
}

#[tokio::test]
async fn who_may_publish_and_who_may_not() {
    let (obs, obs_token) = program("obs", "actions = [\"publish\"]\ncameras = \"phone\"").await;
    let (viewer, viewer_token) = program("viewer", "").await;
    let (admin, admin_token) = program("admin", "actions = [\"watch\", \"publish\", \"share\"]").await;
    let entries = format!("{PHONE}{}", PHONE.replace("phone", "door"));
    let gateway = gateway_of(&format!("{entries}{obs}{viewer}{admin}")).spawn().await;
    let browser = publisher(&gateway).await;
    let post = async |camera: &str, token: &str| {
        let publication = Publication { token: Some(token.to_owned()), ..Publication::default() };
        let answer = browser.publish(&gateway.url(&format!("/whip/{camera}")), &publication).await;
        (answer["status"].as_u64().unwrap(), answer["problem"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(post("phone", &viewer_token).await, (403, "not-allowed".to_owned()), "it may only watch");
    assert_eq!(post("door", &obs_token).await, (404, "no-such-camera".to_owned()), "not its camera");
    assert_eq!(post("attic", &obs_token).await, (404, "no-such-camera".to_owned()), "nobody's camera");
    assert_eq!(post("phone", "0123").await.0, 401);
    assert_eq!(post("phone", &obs_token).await, (201, String::new()));
    let location = browser.eval("window.publisher.location").await;
    let session = gateway.url(location.as_str().unwrap());
    let ask = async |token: &str| gateway.http().delete(&session).bearer_auth(token).send().await.unwrap().status();
    assert_eq!(ask(&admin_token).await, 404, "another's session");
    assert_eq!(gateway.http().get(&session).bearer_auth(&obs_token).send().await.unwrap().status(), 204);
    // The same name below /whep is none of a viewer's.
    let as_viewer = session.replace("/whip/", "/whep/");
    let found = gateway.http().get(&as_viewer).bearer_auth(&admin_token).send().await.unwrap().status();
    assert_eq!(found, 404);
    assert_eq!(ask(&obs_token).await, 200);

    let share = async |publish: bool| -> String {
        let body = json!({ "camera": "phone", "seconds": 3_600, "publish": publish, "base": "http://127.0.0.1" });
        let request = gateway.http().post(gateway.url("/api/v1/shares")).bearer_auth(&admin_token);
        let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let made: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(made["publish"], publish, "{made}");
        made["token"].as_str().unwrap().to_owned()
    };
    let (to_watch, to_publish) = (share(false).await, share(true).await);
    assert_eq!(post("phone", &to_watch).await, (403, "not-allowed".to_owned()));
    assert_eq!(post("door", &to_publish).await.0, 404, "a link is for one camera");
    assert_eq!(post("phone", &to_publish).await, (201, String::new()));
}

/// Another set of ICE credentials and the way that they are answered (RFC 9725 section 4.3.3), while somebody watches.
#[tokio::test]
async fn a_publisher_restarts_ice() {
    let (gateway, phone) = published("").await;
    let viewer = Viewer::join(gateway.whep("phone")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    let status = phone
        .run(
            "const { peer, location, etag } = window.publisher;
             const before = peer.remoteDescription.sdp;
             await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
             await new Promise((resolve) => setTimeout(resolve, 500));
             const lines = peer.localDescription.sdp.split('\\r\\n');
             const wanted = /^a=(ice-ufrag|ice-pwd|candidate)/;
             const body = [...new Set(lines.filter((line) => wanted.test(line)))].join('\\r\\n') + '\\r\\n';
             const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': etag };
             const response = await fetch(location, { method: 'PATCH', headers, body });
             const fragment = await response.text();
             const value = (key) => new RegExp(`a=${key}:(.*)`).exec(fragment)[1].trim();
             const sdp = before.replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${value('ice-ufrag')}`)
                 .replace(/a=ice-pwd:.*/g, `a=ice-pwd:${value('ice-pwd')}`);
             await peer.setRemoteDescription({ type: 'answer', sdp });
             return [response.status, response.headers.get('ETag') !== etag];",
        )
        .await;
    assert_eq!(status, json!([200, true]));
    gateway.wait_log("publisher restarts ICE", LIMIT).await;
    viewer.wait_more(Kind::Video, 100, LIMIT).await;
    phone.wait_for("window.publisher.peer.iceConnectionState === 'connected'", LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
}

/// The same on this network, where the browser is whoever calls it.
async fn published_over(network: &Network, config: &str, webrtc_listen: &str) -> (Gateway, Browser) {
    let builder = gateway_of(config).on(network, "gateway").http_listen(&format!("{GATEWAY}:8080"));
    let gateway = builder.webrtc_listen(webrtc_listen).spawn().await;
    let origin = format!("http://{GATEWAY}:8080");
    let flag = format!("--unsafely-treat-insecure-origin-as-secure={origin}");
    let phone = Browser::builder().fake_devices().hide_addresses(false).flag(&flag).start().await;
    phone.open(&format!("{origin}/healthz")).await;
    let answer = phone.publish(&format!("{origin}/whip/phone"), &Publication::default()).await;
    assert_eq!(answer["status"], 201, "{answer}");
    gateway.wait_camera("phone", "live", LIMIT).await;
    (gateway, phone)
}

/// What looks like RTP, from the address and port of a publisher: as many as the network carries, for `time`.
fn flood(from: SocketAddr, to: SocketAddr, time: Duration) -> u64 {
    const LENGTH: u16 = 200;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("root");
    // Without a checksum, which IPv4 allows (RFC 768); then version 2 and a payload type of video.
    let mut datagram = [from.port().to_be_bytes(), to.port().to_be_bytes(), LENGTH.to_be_bytes(), [0; 2]].concat();
    datagram.extend([0x80, 102]);
    datagram.resize(LENGTH.into(), 0);
    let (end, mut sent) = (Instant::now() + time, 0_u64);
    while Instant::now() < end {
        datagram[10..12].copy_from_slice(&(sent as u16).to_be_bytes());
        sent += u64::from(socket.send_to(&datagram, &to.into()).is_ok());
    }
    sent
}

#[test]
fn a_publisher_that_floods_disturbs_nobody_else() {
    let network = Network::new();
    network.inside("viewer", async {
        let pipelines = concat!("[pipelines]\npath = [\"", env!("CARGO_MANIFEST_DIR"), "/pipelines\"]");
        let other = "[[camera]]\nname = \"other\"\npipeline = \"test-pattern\"\nwith = { width = 320, height = 180 }\n";
        // Not over IPv6, for which a checksum is needed.
        let to: SocketAddr = format!("{GATEWAY}:8189").parse().expect("an address");
        let config = format!("{PHONE}{other}{pipelines}");
        let (gateway, _phone) = published_over(&network, &config, &to.to_string()).await;
        let viewer = Viewer::builder(gateway.whep("other")).bind(&format!("{VIEWER}:0")).join().await;
        viewer.wait_packets(Kind::Video, 50, LIMIT).await;
        let publishers = gateway.array("/api/v1/sessions?role=publisher").await;
        let from: SocketAddr = publishers[0]["remote"].as_str().and_then(|it| it.parse().ok()).expect("its address");
        assert!(from.is_ipv4(), "{from}");
        let flooding = tokio::task::spawn_blocking(move || flood(from, to, Duration::from_secs(3)));
        let sent = flooding.await.expect("it ends");
        let flooded = metric(&gateway, "publisher_flooded_packets_total").await;
        assert!(flooded > 0.0, "{sent} sent");
        viewer.wait_more(Kind::Video, 200, LIMIT).await;
        assert_eq!(
            (viewer.video().missing(), gateway.sessions().await.len()),
            (0, 1),
            "{sent} sent, {flooded} dropped"
        );
        gateway.wait_camera("phone", "live", LIMIT).await;
        let watcher = Viewer::builder(gateway.whep("phone")).bind(&format!("{VIEWER}:0")).join().await;
        watcher.wait_keyframes(2, LIMIT).await;
    });
}

/// 2 % of the packets between the publisher and the gateway, each way and of every kind.
#[test]
fn a_network_that_loses_packets_is_repaired() {
    /// The port of whoever watches, whose packets are not lost.
    const WATCHER: u16 = 40_000;
    let network = Network::new();
    network.inside("viewer", async {
        let (gateway, _phone) = published_over(&network, PHONE, "0.0.0.0:8189").await;
        network.rules(&format!(
            "forward udp dport 8189 udp sport != {WATCHER} numgen random mod 100 < 2 drop
             forward udp sport 8189 udp dport != {WATCHER} numgen random mod 100 < 2 drop"
        ));
        let viewer = Viewer::builder(gateway.whep("phone")).bind(&format!("{VIEWER}:{WATCHER}")).join().await;
        viewer.wait_packets(Kind::Video, 1_000, 3 * LIMIT).await;
        let nacks = metric(&gateway, "publisher_nacks_total").await;
        let repaired = metric(&gateway, "publisher_repaired_packets_total").await;
        let lost = metric(&gateway, "lost_packets_total").await;
        assert!(nacks > 0.0 && repaired > 0.0, "{nacks} asked for, {repaired} came");
        // The sound is not sent again.
        let sound = viewer.packets(Kind::Audio) as f64;
        assert!(lost < 0.1 * (repaired + sound), "{lost} lost, {repaired} repaired, {sound} of sound");
        assert_eq!(gateway.camera("phone").await["state"], "live");
    });
}
