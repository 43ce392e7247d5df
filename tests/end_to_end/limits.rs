//! How much anybody may have, and what they are told who want more.

use reqwest::Response;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{
        camera::Camera,
        gateway::{Builder, Gateway},
        network::{GATEWAY, Network},
        viewer::Viewer,
        wait,
    },
};

/// An offer for which nobody comes.
const OFFER: &str = include_str!("../offers/webrtc-rs.sdp");

fn builder(cameras: &[&str], camera: &Camera) -> Builder {
    let entries = cameras.iter().map(|name| camera.toml(name)).collect::<String>();
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entries)
}

/// Status and sentence of a refusal that says when to come back.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("retry-after"), "status {status}");
    let problem = response.text().await.expect("a body");
    let problem: Value = serde_json::from_str(&problem).expect("a problem document");
    (status, problem["detail"].as_str().expect("a sentence").to_owned())
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.get("/metrics").await.expect("an answer").text().await.expect("a body");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test]
async fn sessions_that_nobody_comes_for_take_few_places() {
    let camera = Camera::builder().start();
    let gateway = builder(&["front"], &camera).webrtc("max_half_open_sessions = 2").spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    for _ in 0..2 {
        assert_eq!(gateway.post_offer("front", OFFER).await.status(), 201);
    }
    let (status, why) = refusal(gateway.post_offer("front", OFFER).await).await;
    assert_eq!(status, 503);
    assert!(why.contains("2 viewers are connecting already"), "{why}");
    assert_eq!(gateway.sessions().await.len(), 3);
}

#[tokio::test]
async fn a_camera_and_a_user_have_so_many_sessions() {
    let camera = Camera::builder().start();
    let gateway = builder(&["front", "back"], &camera)
        .webrtc("max_sessions_per_camera = 3\nmax_sessions_per_user = 2")
        .config(user("anna", "").await + &user("bert", "").await)
        .spawn()
        .await;
    let offer = async |name: &str, camera: &str| {
        let request = gateway.http().post(gateway.whep(camera)).basic_auth(name, Some(PASSWORD));
        request.header("content-type", "application/sdp").body(OFFER).send().await.expect("an answer")
    };
    assert_eq!(offer("anna", "front").await.status(), 201);
    let second = offer("anna", "front").await;
    assert_eq!(second.status(), 201);
    let (status, why) = refusal(offer("anna", "back").await).await;
    assert_eq!(
        (status, why.as_str()),
        (
            429,
            "This user has 2 sessions already, which is all that one may have: close another, or raise max_sessions_per_user under [webrtc]."
        )
    );
    assert_eq!(offer("bert", "front").await.status(), 201);
    let (status, why) = refusal(offer("bert", "front").await).await;
    assert!(status == 503 && why.starts_with("All 3 viewer places of this camera are taken: "), "{status} {why}");
    assert_eq!(offer("bert", "back").await.status(), 201);
    let location = second.headers()["location"].to_str().expect("a path").to_owned();
    let ended = gateway.http().delete(gateway.url(&location)).basic_auth("anna", Some(PASSWORD)).send().await;
    assert_eq!(ended.expect("an answer").status(), 200);
    assert_eq!(offer("anna", "back").await.status(), 201, "what ended makes room");
}

#[tokio::test]
async fn what_no_viewer_sends_is_not_answered() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).spawn().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    stranger.connect(gateway.webrtc_address()).await.expect("an address");
    // A STUN request with a user name of nobody, one without, a DTLS record, RTP.
    let mut request = vec![0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let bare = [&[0, 1, 0, 0][..], &request[4..]].concat();
    request.extend([0, 6, 0, 7]);
    request.extend(b"abcd:ef\0");
    let strays = [request, bare, vec![22, 254, 253, 0, 0], vec![128, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]];
    for stray in strays.iter().cycle().take(400) {
        stranger.send(stray).await.expect("it leaves");
    }
    wait::until_value("400 are counted", LIMIT, || metric(&gateway, "camgate_unknown_datagrams_total"), |n| *n == 400)
        .await;
    let answer = stranger.try_recv(&mut [0; 2_048]);
    assert_eq!(answer.expect_err("nothing has come").kind(), std::io::ErrorKind::WouldBlock);
}

/// Whoever may offer names somebody else's address in every candidate, again and again.
#[tokio::test]
async fn nobody_is_bombarded_with_checks() {
    let camera = Camera::builder().start();
    let gateway = builder(&["front"], &camera).webrtc("max_checks_per_second = 2").spawn().await;
    let mut victims = Vec::new();
    let mut candidates = String::new();
    for number in 1..=20 {
        let victim = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let port = victim.local_addr().expect("an address").port();
        candidates += &format!("a=candidate:{number} 1 udp {number} 127.0.0.1 {port} typ host\r\n");
        victims.push(victim);
    }
    for viewer in 0..5 {
        let named = |line: &str| match line {
            line if line.starts_with("a=candidate") => String::new(),
            line if line.starts_with("a=ice-ufrag") => format!("a=ice-ufrag:viewer{viewer}\r\n{candidates}"),
            line => format!("{line}\r\n"),
        };
        let offer: String = OFFER.lines().map(named).collect();
        assert_eq!(gateway.post_offer("front", offer).await.status(), 201);
    }
    let withheld = || metric(&gateway, "camgate_withheld_checks_total");
    wait::until_value("checks are withheld", LIMIT, withheld, |n| *n > 200).await;
    let mut count = 0;
    for victim in &victims {
        while victim.try_recv(&mut [0; 2_048]).is_ok() {
            count += 1;
        }
    }
    // 40 at once, and 2 a second since.
    assert!((40..=40 + 2 * LIMIT.as_secs()).contains(&count), "{count} checks");
}

/// The machine's own address is free of that bound, so that the viewer is elsewhere.
#[test]
fn one_address_has_so_many_connections() {
    let network = Network::new();
    let builder = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).on(&network, "gateway");
    let builder = builder.http_listen("0.0.0.0:8080").http("max_connections_per_address = 3");
    let _gateway = network.inside("gateway", builder.spawn());
    network.inside("viewer", async {
        let connect = async || TcpStream::connect((GATEWAY, 8080)).await.expect("a connection");
        let mut held = [connect().await, connect().await, connect().await];
        let mut refused = String::new();
        // What it sends nobody reads.
        connect().await.read_to_string(&mut refused).await.expect("an answer and an end");
        assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: "), "{refused}");
        let (head, body) = refused.split_once("\r\n\r\n").expect("a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{refused}");
        let problem: Value = serde_json::from_str(body).expect("a problem document");
        assert_eq!(problem["status"], 429);
        held[0].write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("it is read");
        let mut answer = String::new();
        held[0].read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let mut again = String::new();
        let mut next = connect().await;
        next.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("it is read");
        next.read_to_string(&mut again).await.expect("an answer");
        assert!(again.starts_with("HTTP/1.1 200 "), "what ended makes room: {again}");
    });
}

#[tokio::test]
async fn headers_and_bodies_have_a_size() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http("max_header_kib = 8\nmax_body_kib = 16")
        .config("[[camera]]\nname = \"front\"\nurl = \"rtsp://127.0.0.1:9/\"")
        .spawn()
        .await;
    let get = async |length: usize| {
        let request = gateway.http().get(gateway.url("/healthz")).header("x", "a".repeat(length));
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((get(6 << 10).await, get(9 << 10).await), (200, 431));
    let many = (0..200).fold(gateway.http().get(gateway.url("/healthz")), |get, n| get.header(format!("x-{n}"), "a"));
    assert_eq!(many.send().await.expect("an answer").status(), 431, "200 headers");
    let post = async |length: usize| {
        let response = gateway.post_offer("front", "v".repeat(length)).await;
        (response.status().as_u16(), response.text().await.expect("a body"))
    };
    assert_eq!(post(16 << 10).await.0, 400, "it is read, and no offer");
    let (status, why) = post((16 << 10) + 1).await;
    assert!(status == 413 && why.contains("larger than 16384 bytes"), "{status} {why}");
}

#[tokio::test]
async fn a_user_has_so_many_event_streams() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http("max_event_streams_per_user = 2")
        .config(user("anna", "").await + &user("bert", "").await)
        .spawn()
        .await;
    let listen = async |name: &str| {
        let request = gateway.http().get(gateway.url("/api/v1/events")).basic_auth(name, Some(PASSWORD));
        request.send().await.expect("an answer")
    };
    let _held = [listen("anna").await, listen("anna").await, listen("bert").await];
    let (status, why) = refusal(listen("anna").await).await;
    assert_eq!(status, 429);
    assert!(why.contains("This user has 2 event streams open already"), "{why}");
}
