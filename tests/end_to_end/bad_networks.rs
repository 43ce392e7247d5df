//! Viewers whose network or machine is bad, and those beside them. How bad a picture gets is measured by benches/loss.rs.

use std::process::{Child, Command, Stdio};

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::Camera,
        gateway::{Builder, Gateway},
        network::{GATEWAY, Network, TURN, VIEWER},
        process,
        viewer::{Kind, Viewer, h264::NalTypes, track::TrackLog},
        wait,
    },
};

/// More packets than are kept for retransmission.
const FULL: u64 = 5_000;
/// So many that it would show if they were kept for a viewer that does not read them.
const MANY: u64 = 10_000;
/// What a gateway may grow by meanwhile: half of their 12 MB.
const GROWTH_KB: u64 = 6_000;

/// 5 Mbit/s in pictures of 30 packets; a short GOP, so that the cache is full soon.
fn camera() -> Camera {
    Camera::builder().size(640, 360).fps(20).gop(20).bitrate_kbps(5_000).noise_percent(60).start()
}

/// `camgate play`, a viewer with a process of its own. Dropping it kills it.
struct Player(Child);

impl Player {
    /// `before` stands before its command: see [`Network::on`].
    fn watch(before: Vec<String>, url: &str) -> Self {
        let player = [env!("CARGO_BIN_EXE_camgate"), "play", "--seconds", "600", url].map(str::to_owned);
        let words: Vec<String> = before.into_iter().chain(player).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("camgate play"))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets `player` watch, too, and `spoil` it once the caches are full. `viewer` must miss none of the packets that come
/// then; returns by how much the gateway has grown meanwhile.
async fn growth(
    gateway: &Gateway,
    viewer: &Viewer,
    player: impl FnOnce() -> Player,
    spoil: impl FnOnce(&Player),
) -> u64 {
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    let player = player();
    let connected = || async {
        let sessions = gateway.sessions().await;
        (sessions.len() == 2 && sessions.iter().all(|session| session["state"] == "connected")).then_some(())
    };
    wait::until("both watch", LIMIT, connected).await;
    viewer.wait_more(Kind::Video, FULL, 3 * LIMIT).await;
    spoil(&player);
    let before = gateway.rss_kb();
    viewer.wait_more(Kind::Video, MANY, 3 * LIMIT).await;
    assert_eq!(viewer.video().missing(), 0, "the viewer beside misses nothing");
    gateway.rss_kb().saturating_sub(before)
}

#[tokio::test]
async fn a_viewer_that_stops_reading_costs_the_others_nothing() {
    let camera = camera();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).repair(false).join().await;
    let player = || Player::watch(Vec::new(), &gateway.whep("front"));
    let stop = |player: &Player| assert!(process::signal(player.0.id(), "STOP"));
    let growth = growth(&gateway, &viewer, player, stop).await;
    assert!(growth < GROWTH_KB, "the gateway has grown by {growth} kB");
}

/// A gateway on its host of `network`, with a camera there.
fn gateway_in(network: &Network, camera: &Camera, keys: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .on(network, "gateway")
        .http_listen(&format!("{GATEWAY}:8080"))
        .webrtc_listen("0.0.0.0:8189")
        // Some of its viewers come from the Internet.
        .http("allow_anonymous = true")
        .config(format!("{}\n{keys}", camera.toml("front")))
}

/// 256 kbit/s for a stream of 5 Mbit/s.
#[test]
fn a_viewer_on_a_narrow_link_costs_the_others_nothing() {
    let network = Network::new();
    let camera = network.inside("gateway", async { camera() });
    network.inside("turn", async {
        let gateway = gateway_in(&network, &camera, "").spawn().await;
        let viewer = Viewer::builder(gateway.whep("front")).repair(false).bind(&format!("{TURN}:0")).join().await;
        let player = || Player::watch(network.on("viewer"), &gateway.whep("front"));
        let narrow = "tc qdisc add dev viewer root tbf rate 256kbit burst 4kb latency 300ms";
        let growth = growth(&gateway, &viewer, player, |_| network.run("router", narrow)).await;
        assert!(growth < GROWTH_KB, "the gateway has grown by {growth} kB");
    });
}

/// A camera whose keyframes are 20 s apart.
fn slow_camera() -> Camera {
    Camera::builder().fps(15).gop(300).start()
}

/// What a viewer gets when the router loses the first two datagrams of the gateway that match `rule`: the first, and its copy.
fn joined_through(rule: &str) -> TrackLog {
    let network = Network::new();
    network.rules(&format!("forward iifname gateway udp sport 8189 {rule} limit rate 1/hour burst 2 packets drop"));
    let camera = network.inside("gateway", async { slow_camera() });
    network.inside("viewer", async {
        let gateway = gateway_in(&network, &camera, "start = \"always\"").spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let viewer = Viewer::builder(gateway.whep("front")).bind(&format!("{VIEWER}:0")).join().await;
        viewer.wait_packets(Kind::Video, 30, LIMIT).await;
        viewer.video()
    })
}

/// DTLS record type (RFC 6347 section 4.1) at the payload's begin, handshake type after 13 bytes.
#[test]
fn a_lost_server_hello_comes_again() {
    let log = joined_through("@th,64,8 22 @th,168,8 2");
    assert!(log.packets[0].nals.has(NalTypes::SPS), "starts with its parameter sets");
}

/// The flight that ends the handshake begins with ChangeCipherSpec. Who lost it cannot read the media that follows it.
#[test]
fn a_viewer_that_lost_the_end_of_the_handshake_gets_the_cached_gop() {
    let log = joined_through("@th,64,8 20");
    assert!(log.packets[0].nals.has(NalTypes::SPS), "starts with its parameter sets");
}

/// Chromium counts the measurements with what it knows of the sender.
#[tokio::test]
async fn the_page_learns_its_round_trip() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/healthz")).await;
    assert!(browser.join_session(&gateway.whep("front"), LIMIT).await.failure.is_none());
    let measured = "[...(await window.__session.connection.getStats()).values()]
        .some(({ type, roundTripTimeMeasurements }) => type === 'remote-outbound-rtp' && roundTripTimeMeasurements > 0)";
    browser.wait_for(measured, LIMIT).await;
}
