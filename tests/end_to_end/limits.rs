//! How much anybody may have, and what they are told who want more.

use reqwest::Response;
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{
        camera::Camera,
        gateway::{Builder, Gateway},
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
    assert_eq!((status, why.as_str()), (429, "This user has 2 sessions already, which is all that one may have."));
    assert_eq!(offer("bert", "front").await.status(), 201);
    let (status, why) = refusal(offer("bert", "front").await).await;
    assert_eq!((status, why.as_str()), (503, "All 3 viewer places of this camera are taken."));
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
