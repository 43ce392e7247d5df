//! The data channel of a viewer's session: what the page hears and asks by it, and what others may try.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{
            Camera,
            scripted::{Builder, Scripted, Sound, sdp},
        },
        gateway::Gateway,
        network::{GATEWAY, Network, VIEWER},
        viewer::{Kind, Viewer},
        wait::{until, until_value},
    },
};

const CHANNEL: &str = "window.camgate.players.get('front').player.client.channel";
const KEPT: &str = "start = \"always\"\nclip_seconds = 60\nclip_mib = 32\n";

async fn watching(gateway: &Gateway) -> Browser {
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.wait_for(&format!("{CHANNEL}?.isOpen && {CHANNEL}.state"), LIMIT).await;
    browser
}

/// What the gateway says to messages on a channel of the page's own making, beside that of the page: see `raw.js`.
async fn raw(gateway: &Gateway) -> Browser {
    let browser = Browser::start().await;
    browser.open(&gateway.url("/healthz")).await;
    let script = format!("({})({:?})", include_str!("channel/raw.js"), gateway.whep("front"));
    browser.eval(&script).await;
    browser.wait_for("window.raw.channel.readyState === 'open'", LIMIT).await;
    browser
}

async fn said(browser: &Browser, kind: &str) -> Vec<Value> {
    let said = browser.eval(&format!("window.raw.heard.filter(({{ type }}) => type === '{kind}')")).await;
    serde_json::from_value(said).expect("messages")
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let page = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    let line =
        page.lines().find(|line| line.starts_with(&format!("camgate_camera_channel_{name}{{camera=\"front\"}}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}: {page}"))
}

/// Asks by the page's channel for a file: its name, type, size, and the last share that was told.
fn file(kind: &str, parameters: &str) -> String {
    format!(
        "let last = 0;
         const {{ blob, name }} = await {CHANNEL}.file('{kind}', {parameters}, (share) => {{ last = share; }});
         const bitmap = blob.type === 'image/jpeg' ? await createImageBitmap(blob) : {{}};
         return {{ name, type: blob.type, size: blob.size, last, width: bitmap.width ?? 0 }};"
    )
}

#[tokio::test]
async fn the_page_hears_its_camera_and_asks_for_files() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, KEPT).await;
    let browser = watching(&gateway).await;
    let state = browser.eval(&format!("{CHANNEL}.state")).await;
    assert_eq!((&state["v"], &state["state"], &state["viewers"]), (&json!(1), &json!("live"), &json!(1)), "{state}");

    let snapshot = browser.run(&file("snapshot", "{ width: 160 }")).await;
    assert_eq!(
        (&snapshot["type"], &snapshot["width"], &snapshot["last"]),
        (&json!("image/jpeg"), &json!(160), &json!(1))
    );
    let clip = browser.run(&file("clip", "{ seconds: 2 }")).await;
    assert!(clip["type"] == "video/mp4" && clip["size"].as_u64() > Some(10_000), "{clip}");
    assert!(clip["name"].as_str().is_some_and(|name| name.starts_with("front-") && name.ends_with(".mp4")), "{clip}");
    assert_eq!(metric(&gateway, "files_total").await, 2.0);

    // The buttons of the page come by it.
    browser.wait_for("!document.querySelector('[aria-label^=\"Save a snapshot\"]').hidden", LIMIT).await;
    browser.run("document.querySelector('[aria-label^=\"Save a snapshot\"]').click();").await;
    until_value("another file", LIMIT, || metric(&gateway, "files_total"), |files| *files == 3.0).await;

    camera.stop();
    let away = || async { browser.eval(&format!("{CHANNEL}.state.state")).await };
    until_value("the camera to be away", 2 * LIMIT, away, |state| *state == json!("backing_off")).await;
}

/// Nothing of the picture is sent while it is paused, and it is there at once when it is wanted again.
#[tokio::test]
async fn what_is_paused_is_not_sent() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = watching(&gateway).await;
    browser.run("window.camgate.players.get('front').player.client.rest(true);").await;
    let packets = || async { browser.video_stats().await.map_or(0, |stats| stats.packets_received) };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = packets().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(packets().await, before, "it is paused");
    assert_eq!(browser.eval("document.querySelector('.tile').dataset.state").await, "playing", "that is no fault");
    browser.run("window.camgate.players.get('front').player.client.rest(false);").await;
    browser.wait_decoded(10, LIMIT).await;
    assert_eq!(gateway.sessions().await.len(), 1, "in the same session");
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_words() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = raw(&gateway).await;
    let viewer = watching(&gateway).await;
    let send = |text: &str| format!("window.raw.channel.send({});", json!(text));
    browser.run(&send("{")).await;
    browser.run(&send("{\"v\":1,\"type\":\"reboot\"}")).await;
    browser.run(&send("{\"v\":1,\"type\":\"clip\",\"id\":\"a\"}")).await;
    browser.run("window.raw.channel.send(new Uint8Array(100)); window.raw.channel.send('x'.repeat(10000));").await;
    let codes = || async {
        let errors = said(&browser, "error").await;
        let mut codes: Vec<_> = errors.iter().filter_map(|error| error["code"].as_str().map(str::to_owned)).collect();
        codes.sort();
        codes
    };
    let all = ["no-clips", "unknown-type", "unreadable", "unreadable", "unreadable"];
    until_value("an answer to each", LIMIT, codes, |codes| *codes == all).await;
    // Far more than one may say: refused, and whoever watches sees nothing of it.
    browser
        .run("for (let at = 0; at < 2000; at += 1) window.raw.channel.send('{\"v\":1,\"type\":\"keyframe\"}');")
        .await;
    let too_fast = || async { codes().await.contains(&"too-fast".to_owned()) };
    until_value("a flood to be refused", LIMIT, too_fast, |is_refused| *is_refused).await;
    viewer.wait_decoded(20, LIMIT).await;
    assert!(metric(&gateway, "refused_messages_total").await >= 6.0);
    // A channel of another name is closed; it costs nobody anything.
    browser.run("window.raw.other = window.raw.peer.createDataChannel('chat');").await;
    browser.wait_for("window.raw.other.readyState === 'closed'", LIMIT).await;
    assert_eq!(metric(&gateway, "foreign_total").await, 1.0);
    // As many as there is room for end the session, and no other.
    browser
        .run(
            "const { raw } = window;
             raw.many = setInterval(() => {
                 for (let at = 0; at < 10; at += 1) raw.peer.createDataChannel('chat');
             }, 100);",
        )
        .await;
    let sessions = || async { gateway.sessions().await.len() };
    until_value("the session to be ended", LIMIT, sessions, |count| *count == 1).await;
    gateway.wait_log("too-many-channels", LIMIT).await;
    viewer.wait_decoded(20, LIMIT).await;
}

/// What an ONVIF camera says when something moves, in its metadata track.
const MOTION: &str = r#"<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema"><tt:Event>
<wsnt:NotificationMessage xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"><wsnt:Topic>tns1:RuleEngine/CellMotionDetector/Motion</wsnt:Topic>
<wsnt:Message><tt:Message UtcTime="2026-12-01T10:00:00Z" PropertyOperation="Changed">
<tt:Source><tt:SimpleItem Name="Rule" Value="MyMotion"/></tt:Source><tt:Data><tt:SimpleItem Name="IsMotion" Value="true"/></tt:Data>
</tt:Message></wsnt:Message></wsnt:NotificationMessage></tt:Event></tt:MetadataStream>"#;

#[tokio::test]
async fn what_a_camera_notices_is_told() {
    let (gateway, _camera) = something_is_noticed(|builder| builder).await;
    assert_eq!(gateway.camera("front").await["reconnects"], 0);
}

/// Where retina cannot put the pictures together.
#[tokio::test]
async fn what_a_camera_notices_is_told_where_packets_are_taken_as_they_are() {
    something_is_noticed(|builder| builder.shape(|line, unit| line.marked(unit))).await;
}

async fn something_is_noticed(change: impl FnOnce(Builder) -> Builder) -> (Gateway, Scripted) {
    let track = "m=application 0 RTP/AVP 97\na=rtpmap:97 vnd.onvif.metadata/90000\na=control:trackID=1\n";
    let builder = Scripted::builder().sound(Sound::Pcmu).sdp(&sdp::VIDEO.replace("{sound}", track));
    let camera = change(builder)
        .reports(|_| Vec::new())
        .shape_sound(|line, _| {
            line.payload_type = 97;
            // Twice a second, and in two packets.
            if line.frame % 25 > 0 {
                return Vec::new();
            }
            let (first, second) = MOTION.as_bytes().split_at(300);
            vec![line.packet(first.to_vec(), false), line.packet(second.to_vec(), true)]
        })
        .start();
    let config = format!("{}events = true\n", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let browser = raw(&gateway).await;
    let noticed = || async { said(&browser, "event").await.into_iter().next() };
    let event = until("something to be noticed", LIMIT, noticed).await;
    assert_eq!((&event["kind"], &event["active"]), (&json!("motion"), &json!(true)), "{event}");
    assert_eq!((&event["source"]["Rule"], &event["data"]["IsMotion"]), (&json!("MyMotion"), &json!("true")), "{event}");
    (gateway, camera)
}

/// To see a picture that does not freeze.
const ATTEMPTS: u32 = 3;

/// Noise: a megabyte a second at no cost.
const NOISE: &str = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=180,framerate=15/1
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=8000 key-int-max=15
    ! video/x-h264,profile=constrained-baseline ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! appsink name=video";

/// A gateway on this network with a camera that is kept.
async fn with_clips(network: &Network, camera: &str) -> Gateway {
    let builder = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .on(network, "gateway")
        .http_listen(&format!("{GATEWAY}:8080"))
        .http("allow_anonymous = true")
        .webrtc_listen("0.0.0.0:8189")
        .file("noise.launch", NOISE)
        .config(format!(
            "[[camera]]\nname = \"front\"\n{KEPT}{camera}\n[pipelines]\npath = [{:?}, \".\"]",
            concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines")
        ));
    builder.spawn().await
}

/// So many bytes are kept for clips.
async fn keeps(gateway: &Gateway, least: f64) {
    let kept = || async {
        let page = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
        let line = page.lines().find_map(|line| line.strip_prefix("camgate_camera_clip_bytes{camera=\"front\"} "));
        line.and_then(|bytes| bytes.parse::<f64>().ok()).unwrap_or_default()
    };
    until_value("a clip to be kept", 3 * LIMIT, kept, |bytes| *bytes >= least).await;
}

/// Nothing large reaches it, so that it acknowledges nothing of a file, and goes on being there.
#[test]
fn a_viewer_that_reads_nothing_costs_little_and_disturbs_nobody() {
    /// The port of whoever reads.
    const READER: u16 = 40_000;
    let network = Network::new();
    network.inside("viewer", async {
        let gateway = with_clips(&network, "pipeline = \"noise\"").await;
        let browser = watching(&gateway).await;
        keeps(&gateway, 16e6).await;
        let reader = Viewer::builder(gateway.whep("front")).bind(&format!("{VIEWER}:{READER}")).join().await;
        reader.wait_packets(Kind::Video, 30, LIMIT).await;
        network.rules(&format!("forward udp sport 8189 udp dport != {READER} meta length > 900 drop"));
        let before = gateway.rss_kb();
        browser.run(&format!("window.asked = {CHANNEL}.file('clip', {{}}, () => {{}}).catch(() => {{}});")).await;
        until_value("the clip to be asked for", LIMIT, || metric(&gateway, "messages_total"), |count| *count >= 1.0)
            .await;
        reader.wait_more(Kind::Video, 1_000, LIMIT).await;
        assert_eq!((metric(&gateway, "files_total").await, reader.video().missing()), (0.0, 0));
        assert_eq!(gateway.sessions().await.len(), 2, "it is there");
        let more = gateway.rss_kb().saturating_sub(before);
        assert!(more < 8 << 10, "{more} kB more");
    });
}

/// Five megabytes beside a picture that goes on, on a network that loses two packets in a hundred each way.
fn a_clip_arrives_whole(rules: &str) {
    let network = Network::new();
    if !rules.is_empty() {
        network.rules(rules);
    }
    network.inside("viewer", async {
        let gateway = with_clips(&network, "pipeline = \"test-pattern\"\n[camera.with]\nbitrate = 4000").await;
        let browser = watching(&gateway).await;
        keeps(&gateway, 5.2e6).await;
        // A machine that is busy with other tests freezes a picture, too.
        for attempt in 1..=ATTEMPTS {
            let before = browser.wait_decoded(30, LIMIT).await;
            let clip = browser.run(&file("clip", "{}")).await;
            assert!(clip["size"].as_u64() > Some(5_000_000) && clip["last"] == json!(1), "{clip}");
            let after = browser.wait_decoded(30, LIMIT).await;
            if after.freeze_count == before.freeze_count {
                return;
            }
            assert!(attempt < ATTEMPTS, "{after:?}");
        }
    });
}

#[test]
fn a_clip_arrives_whole_while_the_picture_goes_on() {
    a_clip_arrives_whole("");
}

#[test]
fn a_clip_arrives_whole_although_packets_are_lost() {
    a_clip_arrives_whole("forward meta l4proto udp numgen random mod 100 < 2 drop");
}
