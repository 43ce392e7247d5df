//! Ways from the viewer to the gateway that are not a plain LAN. docs/networks.md has the table that these tests print.

#![allow(clippy::print_stderr)]

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{
        browser::{Browser, SessionJoin},
        camera::Camera,
        coturn,
        gateway::{Builder, Gateway},
        network::{GATEWAY, GATEWAY_ROUTER, GATEWAY_V6, Network, ROUTER, TURN, VIEWER, VIEWER_ROUTER, VIEWER_V6},
        viewer::{Kind, Viewer},
        wait,
    },
};

const CAMERA: &str = "[[camera]]\nname = \"front\"\npipeline = \"test-pattern\"\nstart = \"always\"\n\
    [camera.with]\nwidth = 320\nheight = 180\n";

/// A gateway on its host of `network`.
fn gateway_in(network: &Network, http: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .on(network, "gateway")
        .http_listen(&format!("{http}:8080"))
        .http("allow_anonymous = true")
        .webrtc_listen("0.0.0.0:8189")
        .config(CAMERA)
        .config(format!("[pipelines]\npath = [{:?}]", concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines")))
}

/// Lets the page take the answer this many milliseconds after it came.
const SLOW_ANSWER: &str = "((delay) => {
    const { setRemoteDescription } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
        if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
        return setRemoteDescription.call(this, description);
    };
})";

/// Lets Chromium on the viewer's host watch by the page's session, and prints the row of the table.
fn watch(network: &Network, name: &str, gateway: Builder, answer_delay: Duration) -> (SessionJoin, String) {
    network.inside("viewer", async {
        let gateway = gateway.spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let browser = Browser::start().await;
        browser.open(&gateway.url("/healthz")).await;
        browser.eval(&format!("{SLOW_ANSWER}({})", answer_delay.as_millis())).await;
        let join = browser.join_session(&gateway.whep("front"), LIMIT).await;
        let ms = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0} ms"));
        let way = join.path.clone().unwrap_or_else(|| "none".to_owned());
        eprintln!("| {name} | {way} | {} | {} |", ms(join.connected), ms(join.first_frame));
        if join.connected.is_some() {
            browser.wait_decoded(10, LIMIT).await;
            let session = &gateway.sessions().await[0];
            assert_eq!(session["state"], "connected", "{session}");
        }
        (join, gateway.log())
    })
}

/// The row connects, by this way.
fn connects(network: &Network, name: &str, gateway: Builder, way: &str) {
    connects_slowly(network, name, gateway, way, Duration::ZERO);
}

fn connects_slowly(network: &Network, name: &str, gateway: Builder, way: &str, answer_delay: Duration) {
    let (join, log) = watch(network, name, gateway, answer_delay);
    assert!(join.failure.is_none() && join.first_frame.is_some(), "{join:?}\n{log}");
    assert_eq!(join.path.as_deref(), Some(way), "{join:?}\n{log}");
}

#[test]
fn direct() {
    let network = Network::new();
    connects(&network, "direct", gateway_in(&network, GATEWAY), "udp host to host");
}

#[test]
fn viewer_behind_a_nat() {
    let network = Network::new();
    network.rules("postrouting oifname gateway masquerade");
    connects(&network, "viewer behind a NAT", gateway_in(&network, GATEWAY), "udp prflx to host");
}

#[test]
fn udp_is_blocked() {
    let network = Network::new();
    network.rules("forward meta l4proto udp drop");
    connects(&network, "UDP blocked", gateway_in(&network, GATEWAY), "tcp prflx to host");
}

#[test]
fn nothing_but_turn_over_tcp() {
    let mut network = Network::new();
    network.rules(
        "forward iifname viewer meta l4proto udp drop
         forward iifname viewer tcp dport 8189 drop",
    );
    let gateway = gateway_in(&network, GATEWAY).webrtc(&turn_server(&mut network, "?transport=tcp"));
    connects(&network, "UDP and the port blocked, TURN over TCP", gateway, "TURN over tcp, udp relay to host");
}

#[test]
fn viewer_behind_a_symmetric_nat() {
    let network = Network::new();
    network.run("viewer", "ip -6 addr flush dev eth0");
    network.rules(
        "input meta l4proto udp drop
         postrouting oifname gateway masquerade fully-random",
    );
    connects(&network, "viewer behind a symmetric NAT", gateway_in(&network, GATEWAY), "udp prflx to host");
}

/// Viewer and gateway each behind a router that lets answers in and nothing else, to whose `rules` this adds. The page alone
/// is forwarded.
fn both_behind_routers(rules: &str) -> Network {
    let network = Network::new();
    network.run("router", &format!("ip addr add {GATEWAY_ROUTER}/24 dev turn"));
    network.run("viewer", "ip -6 addr flush dev eth0");
    // What is dropped on input leaves no entry in the router's table, which would keep a mapping from getting its port.
    network.rules(&format!(
        "input meta l4proto udp drop
         forward ct state established,related accept
         forward iifname viewer oifname gateway tcp dport 8080 accept
         forward iifname gateway oifname turn accept
         {rules}
         forward drop"
    ));
    network
}

fn symmetric_nats() -> Network {
    both_behind_routers(&format!(
        "forward iifname viewer oifname turn accept
         postrouting iifname viewer oifname turn snat ip to {VIEWER_ROUTER} fully-random
         postrouting iifname gateway oifname turn snat ip to {GATEWAY_ROUTER} fully-random"
    ))
}

#[test]
fn symmetric_nats_with_turn() {
    let mut network = symmetric_nats();
    let gateway = gateway_in(&network, GATEWAY).webrtc(&turn_server(&mut network, ""));
    let way = "TURN over udp, udp relay to prflx";
    connects(&network, "symmetric NATs on both sides, TURN", gateway, way);
}

/// The TURN server lets the gateway's checks through when the viewer has taken the answer, and they are all that tells the
/// viewer which port the gateway has there.
#[test]
fn a_viewer_that_is_slow_to_take_the_answer_is_checked_until_then() {
    let mut network = symmetric_nats();
    let gateway = gateway_in(&network, GATEWAY).webrtc(&turn_server(&mut network, ""));
    let way = "TURN over udp, udp relay to prflx";
    let delay = Duration::from_secs(4);
    connects_slowly(&network, "symmetric NATs on both sides, TURN, answer taken 4 s late", gateway, way, delay);
}

#[test]
fn gateway_behind_a_carriers_nat() {
    let mut network = both_behind_routers(&format!(
        "forward iifname viewer oifname turn udp dport 3478 accept
         postrouting iifname viewer oifname turn snat ip to {VIEWER_ROUTER}
         postrouting iifname gateway oifname turn snat ip to {GATEWAY_ROUTER}"
    ));
    let gateway = gateway_in(&network, GATEWAY).webrtc(&turn_server(&mut network, ""));
    let way = "TURN over udp, udp relay to srflx";
    connects(&network, "gateway behind a carrier's NAT, the viewer's relay reaches it", gateway, way);
}

/// With the native viewer: Chromium that hides its addresses, as it does by default, finds no candidate here; one that does
/// not, does.
#[test]
fn ipv6_only() {
    let network = Network::new();
    network.run("viewer", "ip -4 addr flush dev eth0");
    network.inside("viewer", async {
        let gateway = gateway_in(&network, &format!("[{GATEWAY_V6}]")).spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let viewer = Viewer::builder(gateway.whep("front")).bind(&format!("[{VIEWER_V6}]:0")).join().await;
        viewer.wait_packets(Kind::Video, 30, LIMIT).await;
        let connected = viewer.connected_at().unwrap() - viewer.posted_at();
        eprintln!("| IPv6 only (native viewer) | udp host to host | {} ms | |", connected.as_millis());
        assert!(gateway.sessions().await[0]["remote"].as_str().unwrap().contains(VIEWER_V6));
    });
}

/// A container in a bridge network of its own: its host forwards the port, and nobody else reaches its address.
#[test]
fn container_with_an_advertised_address() {
    let network = Network::new();
    network.rules(&format!(
        "prerouting iifname viewer ip daddr {ROUTER} meta l4proto {{ tcp, udp }} th dport 8189 dnat ip to {GATEWAY}
         forward iifname viewer ct original ip daddr {GATEWAY} meta l4proto {{ tcp, udp }} th dport 8189 drop"
    ));
    let gateway = gateway_in(&network, GATEWAY).webrtc(&format!("advertise = [\"{ROUTER}\"]"));
    connects(&network, "container, advertise", gateway, "udp host to host");
}

#[test]
fn without_internet() {
    let network = Network::new();
    network.run("router", "ip route add blackhole 192.0.2.1");
    let gateway = gateway_in(&network, GATEWAY).webrtc("ice_servers = [\"stun:192.0.2.1:3478\"]");
    connects(&network, "STUN server cannot be reached", gateway, "udp host to host");
}

/// A NAT between the viewer and the gateway, which only the viewer's packets pass first.
fn nat() -> Network {
    let network = Network::new();
    network.run("viewer", "ip -6 addr flush dev eth0");
    network.rules(
        "forward iifname gateway ct state new drop
         postrouting oifname gateway masquerade fully-random",
    );
    network
}

/// Gives every conversation with the gateway another port, as a NAT does that restarts.
async fn rebind(network: &Network, gateway: &Gateway) {
    network.run("router", "ip link set gateway down && ip link set gateway up");
    // HTTP connections of before are gone.
    wait::until("HTTP works again", LIMIT, || async { gateway.get("/healthz").await.ok() }).await;
}

/// Chromium nominates with each check, wherever it comes from.
#[test]
fn a_browser_whose_nat_rebinds_goes_on_in_its_session() {
    let network = nat();
    network.inside("viewer", async {
        let gateway = gateway_in(&network, GATEWAY).spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let browser = Browser::start().await;
        browser.open(&gateway.url("/healthz")).await;
        assert!(browser.join_session(&gateway.whep("front"), LIMIT).await.failure.is_none());
        browser.wait_decoded(10, LIMIT).await;
        let before = gateway.sessions().await.remove(0);
        for _ in 0..2 {
            rebind(&network, &gateway).await;
            browser.wait_decoded(60, LIMIT).await;
        }
        let after = gateway.wait_sessions(1, LIMIT).await.remove(0);
        assert_eq!((&after["id"], &after["state"]), (&before["id"], &"connected".into()));
        assert_ne!(after["remote"], before["remote"]);
    });
}

/// The webrtc crate nominates once; it is followed when it has been silent where it was.
#[test]
fn a_viewer_that_does_not_nominate_again_is_followed() {
    let network = nat();
    network.inside("viewer", async {
        let gateway = gateway_in(&network, GATEWAY).spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        let viewer = Viewer::builder(gateway.whep("front")).bind(&format!("{VIEWER}:0")).join().await;
        viewer.wait_packets(Kind::Video, 30, LIMIT).await;
        let before = gateway.sessions().await.remove(0);
        rebind(&network, &gateway).await;
        viewer.wait_more(Kind::Video, 200, LIMIT).await;
        // Consent is of the new path: longer than the old one would have been believed in.
        tokio::time::sleep(Duration::from_secs(17)).await;
        viewer.wait_more(Kind::Video, 50, LIMIT).await;
        let after = gateway.wait_sessions(1, LIMIT).await.remove(0);
        assert_eq!(after["id"], before["id"]);
        assert_ne!(after["remote"], before["remote"]);
    });
}

/// What the page is told when nothing connects under `rules`.
fn reason(rules: &str) -> String {
    let network = Network::new();
    network.run("viewer", "ip -6 addr flush dev eth0");
    network.rules(rules);
    let (join, log) = watch(&network, "blocked", gateway_in(&network, GATEWAY), Duration::ZERO);
    let failure = join.failure.unwrap_or_else(|| panic!("connected\n{log}"));
    assert_eq!(failure.code, "network-blocked", "{log}");
    let told = failure.detail.unwrap_or_default();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("viewer never connected")).collect();
    // In the log it is no sentence of its own.
    let logged = told[1..].trim_end_matches('.');
    assert!(lines.len() == 1 && lines[0].contains(logged) && lines[0].contains(GATEWAY), "{told}\n{log}");
    told
}

#[test]
fn the_page_says_that_nothing_arrived() {
    let told = reason(
        "forward iifname viewer meta l4proto { tcp, udp } th dport 8189 drop
         forward iifname gateway ct state new drop",
    );
    assert!(
        told.contains("No UDP and no TCP packet") && told.contains("open port 8189") && told.contains(GATEWAY),
        "{told}"
    );
}

#[test]
fn the_page_says_that_answers_do_not_get_back() {
    let told = reason(
        "forward iifname viewer tcp dport 8189 drop
         forward iifname gateway meta l4proto udp drop",
    );
    assert!(told.contains("The viewer's checks arrived") && told.contains("one direction only"), "{told}");
}

#[tokio::test]
async fn a_session_that_never_connected_is_gone_with_a_reason() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    let (offer, watched) = (viewer.offer().to_owned(), viewer.resource().to_owned());
    viewer.close().await;
    let location = gateway.post_offer("front", offer).await.headers()["location"].to_str().unwrap().to_owned();
    let resource = gateway.url(&location);
    assert_eq!(gateway.http().delete(&resource).send().await.unwrap().status(), 200);
    let gone = gateway.http().get(&resource).send().await.unwrap();
    assert_eq!(
        (gone.status().as_u16(), gone.headers()["content-type"].as_bytes()),
        (410, &b"application/problem+json"[..])
    );
    let problem: serde_json::Value = serde_json::from_slice(&gone.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "urn:camgate:problem:never-connected");
    assert!(problem["viewer_candidates"][0].as_str().unwrap().starts_with("udp host 127.0.0.1:"), "{problem}");
    assert!(problem["gateway_candidates"][0].as_str().unwrap().contains(gateway.webrtc_address()), "{problem}");
    assert_eq!(gateway.http().delete(&resource).send().await.unwrap().status(), 410);
    let events = format!("{resource}/events");
    assert_eq!(gateway.http().get(&events).send().await.unwrap().status(), 410);
    assert_eq!(gateway.http().post(&events).send().await.unwrap().status(), 410);
    let watched = gateway.http().get(&watched).send().await.unwrap();
    assert_eq!(watched.status(), 404, "nothing is kept of a viewer that watched and left");
}

/// Starts coturn; returns the key that tells viewers of it.
fn turn_server(network: &mut Network, transport: &str) -> String {
    let log = ["--log-file", "stdout", "--pidfile", "/dev/null", "--no-cli"];
    let args = ["-n", "-L", TURN, "-p", "3478", "-a", "-u", "user:secret", "-r", "test"];
    network.spawn("turn", "turnserver", &[&args[..], &log].concat());
    network.inside("turn", coturn::wait_ready(format!("{TURN}:3478").parse().unwrap(), String::new));
    format!(
        "ice_servers = [{{ urls = [\"turn:{TURN}:3478{transport}\"], username = \"user\", credential = \"secret\" }}]"
    )
}

#[tokio::test]
async fn a_viewer_without_udp_watches_over_tcp() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).tcp(true).join().await;
    assert!(viewer.answer().contains(" typ host tcptype passive"), "{}", viewer.answer());
    viewer.wait_packets(Kind::Video, 100, LIMIT).await;
    viewer.wait_keyframes(2, LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
    let session = &gateway.sessions().await[0];
    assert_eq!((session["transport"].as_str(), session["state"].as_str()), (Some("tcp"), Some("connected")));
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_tcp_connections 1"), "{metrics}");
    assert!(metrics.contains("camgate_unsent_frames_total 0"), "{metrics}");
    assert_eq!(viewer.close().await, 200);
    gateway.wait_sessions(0, LIMIT).await;
}

#[tokio::test]
async fn a_viewer_on_tcp_that_says_goodbye_is_gone_at_once() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).tcp(true).join().await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    viewer.hang_up().await;
    gateway.wait_sessions(0, LIMIT).await;
    gateway.wait_log("the viewer left", LIMIT).await;
}
