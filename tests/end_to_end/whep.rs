//! WHEP as a client meets it: status codes, headers, problem documents, hostile offers.

use serde_json::Value;

use crate::{
    LIMIT, gateway,
    support::{camera::Camera, gateway::Gateway, viewer::Viewer},
};

/// Status, `Retry-After` and the problem document of a response that must have one.
async fn problem(response: reqwest::Response) -> (u16, Option<String>, Value) {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/problem+json", "status {status}");
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["status"], status);
    assert!(body["detail"].as_str().unwrap().ends_with('.'), "not a sentence: {body}");
    (status, retry_after, body)
}

#[tokio::test]
async fn a_session_is_created_and_deleted() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    assert!(viewer.resource().contains("/whep/front/"), "{}", viewer.resource());
    assert_eq!(viewer.answer().matches("\nm=video").count(), 1);
    assert!(viewer.answer().contains("a=sendonly"));
    viewer.wait_connected(LIMIT).await;
    assert_eq!(gateway.sessions().await[0]["camera"], "front");
    let resource = viewer.resource().to_owned();
    assert_eq!(viewer.close().await, 200);
    assert!(gateway.sessions().await.is_empty());
    let again = gateway.http().delete(&resource).send().await.unwrap();
    assert_eq!(problem(again).await.0, 404);
}

#[tokio::test]
async fn the_answer_can_be_read_from_any_page() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let offer = Viewer::join(gateway.whep("front")).await.offer().to_owned();
    let response = gateway.post_offer("front", offer).await;
    assert_eq!(response.status(), 201);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/sdp");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    assert!(["Location", "Retry-After", "Link"].iter().all(|name| exposed.contains(name)), "{exposed}");
    let preflight = gateway.http().request(reqwest::Method::OPTIONS, gateway.whep("front")).send().await.unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["accept-post"], "application/sdp");
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("DELETE"));
}

#[tokio::test]
async fn ice_servers_are_told_by_link_headers() {
    let servers = r#"ice_servers = ["stun:stun.example.org", { urls = ["turn:t.example.org"], username = "u", credential = "p\"q" }]"#;
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc(servers).spawn().await;
    let preflight = gateway.http().request(reqwest::Method::OPTIONS, gateway.whep("front")).send().await.unwrap();
    let links: Vec<_> = preflight.headers().get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
    assert_eq!(links[0], r#"<stun:stun.example.org>; rel="ice-server""#);
    let turn = r#"<turn:t.example.org>; rel="ice-server"; username="u"; credential="p\"q"; credential-type="password""#;
    assert_eq!(links[1], turn);
    assert!(!gateway.log().contains("p\"q"));
}

#[tokio::test]
async fn what_does_not_exist_is_404() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let (status, _, body) = problem(gateway.post_offer("back", "v=0").await).await;
    assert_eq!(status, 404);
    assert!(body["detail"].as_str().unwrap().contains("back"));
    for path in ["/whep/front/nonsense", "/whep/front/00000000000000000000000000000000"] {
        let response = gateway.http().delete(gateway.url(path)).send().await.unwrap();
        assert_eq!(problem(response).await.0, 404, "{path}");
    }
    assert_eq!(problem(gateway.get("/nothing/here").await.unwrap()).await.0, 404);
    let response = gateway.http().patch(gateway.url("/whep/front")).send().await.unwrap();
    assert_eq!(problem(response).await.0, 405);
}

#[tokio::test]
async fn only_sdp_is_an_offer() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    for content_type in [None, Some("text/plain"), Some("application/sdpx")] {
        let mut request = gateway.http().post(gateway.whep("front")).body("v=0");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_eq!(problem(request.send().await.unwrap()).await.0, 415, "{content_type:?}");
    }
    let request = gateway.http().post(gateway.whep("front")).header("content-type", "Application/SDP; charset=utf-8");
    assert_eq!(problem(request.body("").send().await.unwrap()).await.0, 400);
}

/// A complete offer of the native viewer, to be spoiled.
async fn good_offer(gateway: &Gateway) -> String {
    let viewer = Viewer::join(gateway.whep("front")).await;
    let offer = viewer.offer().to_owned();
    viewer.close().await;
    offer
}

/// `offer` without its audio section.
fn video_only(offer: &str) -> String {
    let mut sections: Vec<_> = offer.split("\r\nm=").collect();
    sections.retain(|section| !section.starts_with("audio"));
    sections.join("\r\nm=") + "\r\n"
}

#[tokio::test]
async fn hostile_offers_are_refused_and_disturb_nobody() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let watching = Viewer::join(gateway.whep("front")).await;
    watching.wait_connected(LIMIT).await;
    let good = good_offer(&gateway).await;
    let data_channel = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 00\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n";
    let offers: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty", Vec::new(), 400),
        ("1 MB", vec![b'a'; 1 << 20], 413),
        ("binary", (0..=255).collect(), 400),
        ("words", b"let me in".to_vec(), 400),
        ("no media", b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".to_vec(), 400),
        ("data channel only", data_channel.into(), 400),
        ("sendonly", good.replace("a=recvonly", "a=sendonly").into(), 400),
        ("inactive", good.replace("a=recvonly", "a=inactive").into(), 400),
        ("no fingerprint", good.replace("a=fingerprint", "a=fingerpaint").into(), 400),
        ("no ICE", good.replace("a=ice-ufrag", "a=ice-nothing").into(), 400),
        ("half of it", good.as_bytes()[..good.len() / 3].to_vec(), 400),
        ("VP8 only", video_only(&good).replace("H264/90000", "VP8/90000").into(), 422),
        ("a mid twice", good.replace("a=mid:1", "a=mid:0").into(), 400),
        ("no mid", good.replace("a=mid", "a=dim").into(), 400),
    ];
    for (name, offer, expected) in offers {
        let response = gateway.post_offer("front", offer).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(status, expected, "{name}: {text}");
        assert!(text.contains("\"detail\""), "{name}: {text}");
    }
    assert_eq!(gateway.sessions().await.len(), 1, "only the good viewer is left");
    watching.wait_more(crate::support::viewer::Kind::Video, 20, LIMIT).await;
    Viewer::join(gateway.whep("front")).await.wait_connected(LIMIT).await;
}

#[tokio::test]
async fn a_full_gateway_says_so() {
    let camera = Camera::builder().start();
    let entry = camera.toml("front");
    let gateway =
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc("max_sessions = 1").config(entry).spawn().await;
    let first = Viewer::join(gateway.whep("front")).await;
    let refusal = Viewer::builder(gateway.whep("front")).try_join().await.err().expect("a refusal");
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.retry_after.is_some());
    first.close().await;
    Viewer::join(gateway.whep("front")).await;
}

#[tokio::test]
async fn a_camera_that_is_not_there_is_409_with_a_reason() {
    let mut camera = Camera::builder().start();
    camera.stop();
    let entry = camera.toml("front");
    // Longer than the two seconds in which a viewer makes a waiting camera be tried again.
    let http = "start_deadline_seconds = 5";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http(http).config(entry).spawn().await;
    let refusal = Viewer::builder(gateway.whep("front")).try_join().await.err().expect("a refusal");
    assert_eq!(refusal.status, 409, "{refusal:?}");
    assert!(refusal.retry_after.is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1));
    assert!(refusal.body.contains("refuses") && refusal.body.contains("camera-not-live"), "{}", refusal.body);
    camera.start_again();
    Viewer::join(gateway.whep("front")).await.wait_connected(LIMIT).await;
}

#[tokio::test]
async fn health_and_metrics_tell_the_truth() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    assert_eq!(gateway.get("/readyz").await.unwrap().status(), 200);
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    gateway.wait_sessions(1, LIMIT).await;
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_camera_state{camera=\"front\",state=\"live\"} 1\n"), "{metrics}");
    assert!(metrics.contains("camgate_sessions{camera=\"front\",state=\"connected\"} 1\n"), "{metrics}");
    camera.stop();
    gateway.wait_camera("front", "backing_off", LIMIT).await;
    let response = gateway.get("/readyz").await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("front"));
    assert_eq!(gateway.get("/healthz").await.unwrap().status(), 200);
}
