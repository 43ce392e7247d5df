//! The gateway's network goes away, comes back, and has other addresses: viewers come back, and new ones are told the right
//! addresses (docs/uptime.md). In network namespaces, as root.

use std::time::Duration;

use crate::{
    LIMIT,
    support::{
        browser::Browser,
        gateway::{Builder, Gateway},
        network::{GATEWAY, Network},
        viewer::{Kind, Viewer},
        wait,
    },
};

const CAMERA: &str = "[[camera]]\nname = \"front\"\npipeline = \"test-pattern\"\nstart = \"always\"\n\
    [camera.with]\nwidth = 320\nheight = 180\n";
/// What the gateway is given instead, in the same subnet.
const OTHER: &str = "198.51.100.77";
/// Longer than a viewer may be unheard (15 s), so that its session is over.
const LONG: Duration = Duration::from_secs(20);

/// A gateway for every address of its host of `network`.
fn gateway_in(network: &Network) -> Builder {
    // The tests' own clients use IPv4, and the kernel takes IPv6 addresses away with the link.
    network.run("gateway", "ip -6 addr flush dev eth0");
    network.run("viewer", "ip -6 addr flush dev eth0");
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .on(network, "gateway")
        .http_listen("0.0.0.0:8080")
        .http("allow_anonymous = true")
        .webrtc_listen("0.0.0.0:8189")
        .config(CAMERA)
        .config(format!("[pipelines]\npath = [{:?}]", concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines")))
}

/// The page's address for somebody on the viewer's host.
fn url(address: &str, path: &str) -> String {
    format!("http://{address}:8080{path}")
}

fn viewer_of(address: &str) -> crate::support::viewer::Builder {
    Viewer::builder(url(address, "/whep/front")).audio(false).bind("192.168.7.2:0")
}

async fn ready(address: &str) {
    let client = crate::support::gateway::client().timeout(Duration::from_secs(2)).build().expect("a client");
    let ready = || async {
        let answer = client.get(url(address, "/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    };
    wait::until("the gateway is ready", LIMIT * 2, ready).await;
}

/// How many pictures the page has shown.
async fn shown(browser: &Browser) -> f64 {
    browser
        .eval("document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0")
        .await
        .as_f64()
        .unwrap_or(0.0)
}

fn link(network: &Network, is_up: bool) {
    let script = match is_up {
        true => "ip link set eth0 up; ip route replace default via 198.51.100.1",
        false => "ip link set eth0 down",
    };
    network.run("gateway", script);
}

#[test]
fn viewers_come_back_when_the_network_does() {
    let network = Network::new();
    let gateway = gateway_in(&network).launch();
    network.inside("viewer", async {
        ready(GATEWAY).await;
        let (short, long) = (viewer_of(GATEWAY).join().await, viewer_of(GATEWAY).join().await);
        let browser = Browser::start().await;
        browser.open(&url(GATEWAY, "/watch/front")).await;
        wait::until("the page shows pictures", LIMIT, || async { (shown(&browser).await > 10.0).then_some(()) }).await;
        for viewer in [&short, &long] {
            viewer.wait_packets(Kind::Video, 10, LIMIT).await;
        }
        let sessions = async || -> usize {
            let client = crate::support::gateway::client().build().expect("a client");
            let metrics = client.get(url(GATEWAY, "/metrics")).send().await.expect("an answer");
            let metrics = metrics.text().await.expect("a text");
            let opened =
                metrics.lines().find(|line| line.starts_with("camgate_viewer_sessions_total{camera=\"front\"}"));
            let opened = opened.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            opened.expect("it is told")
        };
        // A cable that is put into another port of the switch.
        link(&network, false);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let cpu = gateway.cpu_time();
        link(&network, true);
        short.wait_more(Kind::Video, 20, LIMIT).await;
        assert_eq!(sessions().await, 3, "the same sessions");
        short.hang_up().await;
        let before = gateway.log().lines().count();
        link(&network, false);
        tokio::time::sleep(LONG).await;
        let told = gateway.log().lines().count() - before;
        assert!(told < 50, "{told} lines of log:\n{}", gateway.log());
        let busy = gateway.cpu_time() - cpu;
        assert!(busy < LONG, "it spins: {busy:?}");
        link(&network, true);
        let pictures = shown(&browser).await;
        ready(GATEWAY).await;
        viewer_of(GATEWAY).join().await.wait_packets(Kind::Video, 10, LIMIT).await;
        let moves = || async { (shown(&browser).await > pictures + 10.0).then_some(()) };
        wait::until("the page shows pictures again, by itself", LIMIT * 2, moves).await;
        assert!(gateway.find_log("viewer-silent").is_some(), "the session of before is over: {}", gateway.log());
    });
}

#[test]
fn new_viewers_are_told_the_address_that_the_gateway_has_now() {
    let network = Network::new();
    let gateway = gateway_in(&network).launch();
    network.inside("viewer", async {
        ready(GATEWAY).await;
        let before = viewer_of(GATEWAY).join().await;
        assert!(before.answer().contains(GATEWAY) && !before.answer().contains(OTHER), "{}", before.answer());
        before.wait_packets(Kind::Video, 10, LIMIT).await;
        let change = format!(
            "ip addr del {GATEWAY}/24 dev eth0; ip addr add {OTHER}/24 dev eth0; ip route replace default via 198.51.100.1"
        );
        network.run("gateway", &change);
        ready(OTHER).await;
        let after = viewer_of(OTHER).join().await;
        assert!(after.answer().contains(OTHER) && !after.answer().contains(GATEWAY), "{}", after.answer());
        after.wait_packets(Kind::Video, 20, LIMIT).await;
        // Who has nowhere to send to any more is forgotten, and nothing else.
        gateway.wait_log("viewer-silent", LIMIT * 2).await;
        gateway.wait_log(OTHER, LIMIT).await;
        after.wait_more(Kind::Video, 20, LIMIT).await;
    });
}
