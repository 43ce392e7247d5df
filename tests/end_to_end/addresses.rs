//! Which addresses the gateway listens on and offers.

use std::{
    collections::HashSet,
    net::{Ipv6Addr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::net::UdpSocket;

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::Camera,
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

/// The port behind the last colon.
fn port(address: &str) -> u16 {
    address.rsplit_once(':').expect("a port").1.parse().expect("a number")
}

#[tokio::test]
async fn every_address_means_both_families() {
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        if !has_v6 && listen.starts_with('[') {
            continue;
        }
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen(listen).spawn().await;
        let port = port(gateway.http_address());
        for host in ["127.0.0.1", "[::1]"] {
            if has_v6 || host == "127.0.0.1" {
                let url = format!("http://{host}:{port}/healthz");
                let response = gateway.http().get(&url).send().await;
                assert!(response.is_ok_and(|response| response.status() == 200), "{listen}: {url}");
            }
        }
    }
    if has_v6 {
        let only = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen("[::1]:0").spawn().await;
        let v4 = format!("http://127.0.0.1:{}/healthz", port(only.http_address()));
        assert!(only.http().get(&v4).send().await.is_err(), "one address is one address");
    }
}

/// Transaction IDs of the requests that a STUN server got, which is one for a request that was sent more than once.
type Transactions = Arc<Mutex<HashSet<Vec<u8>>>>;

/// A STUN server (RFC 8489) that sees every client at 203.0.113.7, port 4567, and answers `delay` later.
async fn stun_server(delay: Duration) -> (u16, Transactions) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let requests = Transactions::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            assert!(length >= 20 && buffer.starts_with(&[0, 1]), "a Binding request");
            seen.lock().unwrap().insert(buffer[8..20].to_vec());
            let mut response = vec![0x01, 0x01, 0, 12];
            response.extend_from_slice(&buffer[4..20]);
            // XOR-MAPPED-ADDRESS (section 14.2): family IPv4, port and address mixed with the magic cookie.
            response.extend_from_slice(&[0x00, 0x20, 0, 8, 0, 1]);
            response.extend((4_567_u16 ^ 0x2112).to_be_bytes());
            response.extend((u32::from_be_bytes([203, 0, 113, 7]) ^ 0x2112_a442).to_be_bytes());
            tokio::time::sleep(delay).await;
            let _ = socket.send_to(&response, from).await;
        }
    });
    (port, requests)
}

/// A gateway with one camera that asks the STUN server at this port; `keys` go into its `[webrtc]`.
async fn gateway_with_stun(camera: &Camera, port: u16, keys: &str) -> Gateway {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .webrtc(&format!("{keys}\nice_servers = [\"stun:127.0.0.1:{port}\"]"))
        .config(camera.toml("front"))
        .spawn()
        .await
}

fn candidates(answer: &str) -> Vec<&str> {
    answer.lines().filter(|line| line.starts_with("a=candidate:")).collect()
}

#[tokio::test]
async fn what_a_stun_server_sees_is_offered_and_asked_for_once_for_all_viewers() {
    let (port, requests) = stun_server(Duration::ZERO).await;
    let camera = Camera::builder().start();
    let gateway = gateway_with_stun(&camera, port, "").await;
    let own_port = self::port(gateway.webrtc_address());
    gateway.wait_log("203.0.113.7:4567", LIMIT).await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        let before = requests.lock().unwrap().len();
        let viewer = Viewer::join(gateway.whep("front")).await;
        asked.push(requests.lock().unwrap().len() - before);
        let expected = format!("203.0.113.7 4567 typ srflx raddr 127.0.0.1 rport {own_port}");
        let candidates = candidates(viewer.answer());
        assert!(candidates.iter().any(|candidate| candidate.contains(&expected)), "{candidates:?}");
        viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    }
    // The mapping is kept alive meanwhile, which is not for a viewer.
    assert!(asked.contains(&0), "{asked:?}");
}

#[tokio::test]
async fn a_stun_server_that_does_not_answer_keeps_nobody_waiting_for_it() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let camera = Camera::builder().start();
    let servers =
        format!("ice_servers = [\"stun:{}\", \"stun:nowhere.invalid\"]", silent.local_addr().expect("an address"));
    let given_up = "no server of [webrtc] ice_servers answers over UDP";
    let mut is_first = false;
    // On a busy machine an offer may take as long as the gateway waits for the server, but hardly every time.
    for _ in 0..5 {
        let gateway =
            Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc(&servers).config(camera.toml("front")).spawn().await;
        let viewer = Viewer::join(gateway.whep("front")).await;
        is_first |= gateway.find_log(given_up).is_none();
        viewer.wait_packets(Kind::Video, 10, LIMIT).await;
        assert!(!viewer.answer().contains("srflx"), "{}", viewer.answer());
        gateway.wait_log(given_up, LIMIT).await;
        if is_first {
            break;
        }
    }
    assert!(is_first, "every answer came after the gateway had given up the server");
}

#[tokio::test]
async fn ice_lite_answers_only_and_connects_all_the_same() {
    let (port, requests) = stun_server(Duration::ZERO).await;
    let camera = Camera::builder().start();
    let gateway = gateway_with_stun(&camera, port, "ice = \"lite\"").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    assert!(viewer.answer().contains("a=ice-lite"), "{}", viewer.answer());
    let candidates = candidates(viewer.answer());
    assert!(!candidates.is_empty() && candidates.iter().all(|it| it.contains("typ host")), "{candidates:?}");
    let old = Viewer::builder(gateway.whep("front")).sha1_only(true).join().await;
    old.wait_packets(Kind::Video, 30, LIMIT).await;
    let browser = Browser::start().await;
    browser.open_bare(&gateway.whep("front"), LIMIT).await;
    browser.wait_decoded(15, LIMIT).await;
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_browser_that_hides_its_addresses_is_found_by_its_checks() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::builder().hide_addresses(true).start().await;
    browser.open_bare(&gateway.whep("front"), LIMIT).await;
    browser.wait_decoded(15, LIMIT).await;
    let offer = browser.eval("window.__bare.pc.localDescription.sdp").await;
    let offer = offer.as_str().expect("an offer");
    let hidden = candidates(offer);
    assert!(!hidden.is_empty() && hidden.iter().all(|candidate| candidate.contains(".local ")), "{hidden:?}");
    let remote = gateway.sessions().await[0]["remote"].as_str().expect("an address").to_owned();
    assert!(!remote.contains(".local"), "{remote}");
}

#[tokio::test]
async fn the_log_tells_what_is_offered_and_what_is_left_out() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .webrtc_listen("0.0.0.0:0")
        .webrtc("include_interfaces = [\"lo\"]\nexclude_interfaces = [\"::1\"]\nadvertise = [\"198.51.100.1\", \"localhost\"]")
        .spawn()
        .await;
    gateway.wait_log("viewers are offered 198.51.100.1:", LIMIT).await;
    let line = gateway.find_log("viewers are offered").expect("a line");
    assert!(line.contains("(host, [webrtc] advertise), 127.0.0.1:"), "{line}");
    assert!(!line.contains("::1]"), "{line}");
}

/// A gateway behind a router lets in only whom it has sent to, and it sends only to what the offer names.
#[tokio::test]
async fn the_page_tells_what_a_stun_server_sees_of_it() {
    // Later than the offer, and before it is connected, which the script sees to.
    let (port, _) = stun_server(Duration::from_millis(500)).await;
    let camera = Camera::builder().start();
    let gateway = gateway_with_stun(&camera, port, "").await;
    let browser = Browser::start().await;
    let record = "{ const fetch = window.fetch; window.fetch = (url, init) => {
        if (init?.body) (window.__told ??= []).push([init.method, init.body]);
        return fetch(url, init);
    };
    const { setRemoteDescription } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.setRemoteDescription = async function (answer) {
        while (!window.__told.some(([method]) => method === 'PATCH')) await new Promise((next) => setTimeout(next, 20));
        return setRemoteDescription.call(this, answer);
    }; }";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": record })).await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let told = browser.eval("window.__told").await;
    let [offer, fragment] = [0, 1].map(|index| told[index][1].as_str().unwrap_or_else(|| panic!("{told}")));
    assert!(candidates(offer).iter().all(|it| it.contains(" typ host")), "{offer}");
    assert!(candidates(fragment).iter().any(|it| it.contains(" 203.0.113.7 4567 typ srflx")), "{fragment}");
    assert_eq!(candidates(fragment).len(), 1, "nothing twice: {fragment}");
}
