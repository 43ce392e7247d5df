//! draft-ietf-wish-whep (editor's copy of 29 April 2026), requirement by requirement, over HTTP against the running program.
//!
//! The comment above each test begins with the section and the level of its requirement; docs/whep-conformance.md is made
//! of these comments. After a change: `WRITE_REPORT=1 scripts/cargo test --test whep_conformance report`.

#![allow(clippy::unwrap_used)]

#[path = "whep_conformance/events.rs"]
mod events;
#[path = "whep_conformance/report.rs"]
mod report;
#[path = "support/mod.rs"]
mod support;
#[path = "whep_conformance/whip.rs"]
mod whip;

use std::{net::UdpSocket, time::Duration};

use reqwest::{Method, Response};
use support::{
    camera::{Audio, Camera},
    gateway::Gateway,
    viewer::{Kind, Viewer, fragment},
};

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Credentials that no viewer of these tests has.
const OTHERS: &str = "a=ice-ufrag:zjkk\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n";

/// A camera named `front`, a gateway, and what a viewer that watched it offered.
struct Scene {
    camera: Camera,
    gateway: Gateway,
}

impl Scene {
    async fn new() -> Self {
        let camera = Camera::builder().start();
        let entry = camera.toml("front");
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).spawn().await;
        Self { camera, gateway }
    }

    async fn watched() -> (Self, Viewer) {
        let scene = Self::new().await;
        let viewer = Viewer::join(scene.gateway.whep("front")).await;
        viewer.wait_connected(LIMIT).await;
        (scene, viewer)
    }

    async fn send(&self, method: Method, path: &str) -> Response {
        self.gateway.http().request(method, self.gateway.url(path)).send().await.unwrap()
    }

    /// A good offer of somebody who does not stay.
    async fn offer(&self) -> String {
        let viewer = Viewer::join(self.gateway.whep("front")).await;
        let offer = viewer.offer().to_owned();
        viewer.close().await;
        offer
    }

    async fn patch(&self, resource: &str, if_match: Option<&str>, body: impl Into<String>) -> Response {
        let mut request = self.gateway.http().patch(resource).header("content-type", FRAGMENT).body(body.into());
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        request.send().await.unwrap()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn is_4xx(response: &Response) -> bool {
    response.status().is_client_error()
}

/// The one value of `a=name` in a fragment.
fn attribute<'a>(fragment: &'a str, name: &str) -> &'a str {
    let line = fragment.lines().find(|line| line.starts_with(&format!("a={name}:")));
    line.map_or("", |line| line.split_once(':').unwrap().1)
}

// --- 4.1 HTTP usage

/// 4.1 MUST: a GET of the endpoint is answered with 2xx and no content.
#[tokio::test]
async fn a_get_of_the_endpoint_is_2xx_without_content() {
    let scene = Scene::new().await;
    let response = scene.send(Method::GET, "/whep/front").await;
    assert!(response.status().is_success(), "{}", response.status());
    assert_eq!(response.text().await.unwrap(), "");
}

/// 4.1 MUST: a GET of a session is answered with 2xx and no content.
#[tokio::test]
async fn a_get_of_the_session_is_2xx_without_content() {
    let (scene, viewer) = Scene::watched().await;
    let response = scene.gateway.http().get(viewer.resource()).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
    assert_eq!(response.text().await.unwrap(), "");
}

/// 4.1 MAY: errors are explained by a problem document (RFC 9457).
#[tokio::test]
async fn errors_are_problem_documents() {
    let scene = Scene::new().await;
    for (method, path, status) in [
        (Method::POST, "/whep/attic", 404),
        (Method::POST, "/whep/front", 415),
        (Method::GET, "/whep/attic", 404),
        (Method::PATCH, "/whep/front", 405),
        (Method::PATCH, "/whep/front/00000000000000000000000000000000", 404),
        (Method::DELETE, "/whep/front/nonsense", 404),
    ] {
        let response = scene.send(method.clone(), path).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{method} {path}");
        let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().ends_with('.'), "{problem}");
    }
}

// --- 4.2 Discoverability

/// 4.2 SHOULD: a HEAD of the endpoint is answered with 200 and `Content-Type: application/sdp`.
#[tokio::test]
async fn a_head_of_the_endpoint_names_the_type_of_offers() {
    let scene = Scene::new().await;
    let response = scene.send(Method::HEAD, "/whep/front").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), SDP);
}

/// 4.2 MUST: the answer to HEAD has the headers of the answer to GET, and no body.
#[tokio::test]
async fn a_head_has_the_headers_of_a_get() {
    let scene = Scene::new().await;
    let (head, get) = (scene.send(Method::HEAD, "/whep/front").await, scene.send(Method::GET, "/whep/front").await);
    let headers = |response: &Response| {
        let mut headers = response.headers().clone();
        headers.remove("date");
        headers
    };
    assert_eq!(headers(&head), headers(&get));
    assert_eq!(head.bytes().await.unwrap().len(), 0);
}

// --- 4.3 Set-up

/// 4.3.1 MUST: an offer is answered with 201, `Content-Type: application/sdp`, the SDP answer and the session's `Location`.
#[tokio::test]
async fn an_offer_makes_a_session() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    let response = scene.gateway.post_offer("front", offer).await;
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), SDP);
    let location = header(&response, "location").to_owned();
    assert!(location.starts_with("/whep/front/"), "an absolute path: {location}");
    assert!(response.text().await.unwrap().starts_with("v=0\r\n"));
    assert!(scene.send(Method::GET, &location).await.status().is_success());
}

/// 4.3.4 MUST: an offer of another content type is answered with 4xx.
#[tokio::test]
async fn an_offer_of_another_type_is_4xx() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for content_type in ["text/plain", "application/json", "application/sdpx", FRAGMENT] {
        let request = scene.gateway.http().post(scene.gateway.whep("front")).header("content-type", content_type);
        let response = request.body(offer.clone()).send().await.unwrap();
        assert_eq!(response.status(), 415, "{content_type}");
    }
}

/// 4.3.4 MUST: a malformed offer is answered with 4xx.
#[tokio::test]
async fn a_malformed_offer_is_4xx() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for malformed in ["", "v=0", "{}", &offer[..offer.len() / 4], &offer.replace("a=fingerprint", "a=x")] {
        assert!(is_4xx(&scene.gateway.post_offer("front", malformed.to_owned()).await), "{malformed}");
    }
}

/// 4.3.1 (RFC 9110): parameters and letter case of the content type do not matter.
#[tokio::test]
async fn parameters_of_the_content_type_do_not_matter() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    let request = scene.gateway.http().post(scene.gateway.whep("front"));
    let request = request.header("content-type", "Application/SDP; charset=utf-8").body(offer);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

/// 4.3.5 MUST: the answer is sendonly, whether the offer is recvonly or sendrecv.
#[tokio::test]
async fn the_answer_is_sendonly() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for direction in ["a=recvonly", "a=sendrecv"] {
        let response = scene.gateway.post_offer("front", offer.replace("a=recvonly", direction)).await;
        assert_eq!(response.status(), 201, "{direction}");
        let answer = response.text().await.unwrap();
        assert!(answer.contains("a=sendonly"), "{direction}: {answer}");
        for other in ["a=sendrecv", "a=recvonly"] {
            assert!(!answer.contains(other), "{direction}: {answer}");
        }
    }
}

/// 4.3.5 MUST NOT: an offer that is sendonly or inactive is refused.
#[tokio::test]
async fn an_offer_that_receives_nothing_is_4xx() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for direction in ["a=sendonly", "a=inactive"] {
        let response = scene.gateway.post_offer("front", offer.replace("a=recvonly", direction)).await;
        assert!(is_4xx(&response), "{direction}");
    }
}

/// 4.3.8 SHALL: a camera that is not live is 409 with `Retry-After` in seconds.
#[tokio::test]
async fn a_camera_that_is_not_live_is_409_with_retry_after() {
    let mut scene = Scene::new().await;
    let offer = scene.offer().await;
    scene.camera.stop();
    scene.gateway.wait_camera("front", "backing_off", LIMIT).await;
    let response = scene.gateway.post_offer("front", offer).await;
    assert_eq!(response.status(), 409);
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() >= 1);
}

/// 4.3.8 SHALL: a viewer that is gone without a word is noticed by consent freshness (RFC 7675).
#[tokio::test]
async fn a_silent_viewer_loses_its_session() {
    let (scene, viewer) = Scene::watched().await;
    viewer.vanish().await;
    scene.gateway.wait_sessions(0, Duration::from_secs(40)).await;
}

/// 4.3.8 SHALL: a viewer that closes DTLS has ended its session.
#[tokio::test]
async fn closing_dtls_ends_the_session() {
    let (scene, viewer) = Scene::watched().await;
    viewer.hang_up().await;
    scene.gateway.wait_sessions(0, LIMIT).await;
}

// --- 4.4 Termination

/// 4.4 MUST: DELETE ends the session, ICE and DTLS with it, and what was its address is 404 when it was connected, else 410 with the reason.
#[tokio::test]
async fn a_delete_ends_the_session() {
    let (scene, viewer) = Scene::watched().await;
    let http = scene.gateway.http();
    assert_eq!(http.delete(viewer.resource()).send().await.unwrap().status(), 200);
    assert!(scene.gateway.sessions().await.is_empty());
    assert_eq!(http.delete(viewer.resource()).send().await.unwrap().status(), 404);
    assert_eq!(http.get(viewer.resource()).send().await.unwrap().status(), 404);
    viewer.wait_gone(LIMIT).await;
    let offer = viewer.offer().to_owned();
    let unconnected = scene.gateway.post_offer("front", offer).await;
    let unconnected = scene.gateway.url(header(&unconnected, "location"));
    assert_eq!(http.delete(&unconnected).send().await.unwrap().status(), 200);
    assert!(scene.gateway.sessions().await.is_empty());
    for method in [Method::GET, Method::DELETE] {
        let over = http.request(method.clone(), &unconnected).send().await.unwrap();
        assert_eq!(
            (over.status().as_u16(), header(&over, "content-type")),
            (410, "application/problem+json"),
            "{method}"
        );
    }
}

/// 4.4 MUST: OPTIONS is answered for CORS, without authentication.
#[tokio::test]
async fn options_are_answered_for_cors() {
    let scene = Scene::new().await;
    for path in ["/whep/front", "/whep/front/00000000000000000000000000000000"] {
        let preflight = scene.gateway.http().request(Method::OPTIONS, scene.gateway.url(path));
        let preflight = preflight
            .header("origin", "https://player.example")
            .header("access-control-request-headers", "authorization, content-type, if-match");
        let response = preflight.header("access-control-request-method", "PATCH").send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        for method in ["POST", "PATCH", "DELETE", "OPTIONS"] {
            assert!(header(&response, "access-control-allow-methods").contains(method), "{method}");
        }
        for name in ["Authorization", "Content-Type", "If-Match"] {
            assert!(header(&response, "access-control-allow-headers").contains(name), "{name}");
        }
    }
}

/// 4.4 SHOULD: the answer to OPTIONS has `Accept-Post: application/sdp`.
#[tokio::test]
async fn options_name_what_may_be_posted() {
    let scene = Scene::new().await;
    let response = scene.send(Method::OPTIONS, "/whep/front").await;
    assert_eq!(header(&response, "accept-post"), SDP);
}

/// 4.4 (Fetch): scripts of other origins may read every header that WHEP uses.
#[tokio::test]
async fn scripts_of_other_origins_read_every_header() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for response in [scene.gateway.post_offer("front", offer).await, scene.gateway.post_offer("attic", "").await] {
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        let exposed = header(&response, "access-control-expose-headers");
        for name in ["Location", "ETag", "Link", "Accept-Patch", "Retry-After"] {
            assert!(exposed.split(", ").any(|it| it == name), "{name} in {exposed}");
        }
    }
}

// --- 4.5.1 PATCH

/// 4.5.1 MUST: a PATCH of another content type is answered with 4xx.
#[tokio::test]
async fn a_patch_of_another_type_is_4xx() {
    let (scene, viewer) = Scene::watched().await;
    for content_type in [SDP, "text/plain"] {
        let request = scene.gateway.http().patch(viewer.resource()).header("content-type", content_type);
        let request = request.header("if-match", viewer.header("etag")).body(fragment(viewer.offer()));
        assert_eq!(request.send().await.unwrap().status(), 415, "{content_type}");
    }
}

/// 4.5.1 MUST: a malformed fragment is answered with 4xx.
#[tokio::test]
async fn a_malformed_fragment_is_4xx() {
    let (scene, viewer) = Scene::watched().await;
    for malformed in ["", "candidate", "{}", "a=ice-ufrag:zjkk\r\n", "a=ice-ufrag:zjkk\r\na=ice-pwd:short\r\n"] {
        let response = scene.patch(viewer.resource(), Some("*"), malformed).await;
        assert_eq!(response.status(), 400, "{malformed:?}");
    }
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
}

/// 4.5.1 MUST: the 201 has a strong entity tag that is unlike any other session's.
#[tokio::test]
async fn the_201_has_a_strong_unique_entity_tag() {
    let scene = Scene::new().await;
    let mut tags = std::collections::HashSet::new();
    let offer = scene.offer().await;
    for _ in 0..5 {
        let response = scene.gateway.post_offer("front", offer.clone()).await;
        let tag = header(&response, "etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
        assert!(tags.insert(tag));
    }
}

/// 4.5.1 (RFC 5789): the 201 says by `Accept-Patch` what may be patched.
#[tokio::test]
async fn the_201_names_what_may_be_patched() {
    let (_scene, viewer) = Scene::watched().await;
    assert_eq!(viewer.header("accept-patch"), FRAGMENT);
}

/// 4.5.1 MUST: a PATCH without entity tag is 428.
#[tokio::test]
async fn a_patch_without_entity_tag_is_428() {
    let (scene, viewer) = Scene::watched().await;
    let response = scene.patch(viewer.resource(), None, fragment(viewer.offer())).await;
    assert_eq!(response.status(), 428);
}

/// 4.5.1 MUST: a PATCH with an entity tag that does not match is 412; weak tags never match.
#[tokio::test]
async fn a_patch_with_another_entity_tag_is_412() {
    let (scene, viewer) = Scene::watched().await;
    let weak = format!("W/{}", viewer.header("etag"));
    for tag in ["\"xyzzy\"", &weak] {
        let response = scene.patch(viewer.resource(), Some(tag), fragment(viewer.offer())).await;
        assert_eq!(response.status(), 412, "{tag}");
    }
}

/// 4.5.1 MUST: an entity tag is ignored where it is not needed, as in DELETE.
#[tokio::test]
async fn an_entity_tag_in_a_delete_is_ignored() {
    let (scene, viewer) = Scene::watched().await;
    let request = scene.gateway.http().delete(viewer.resource()).header("if-match", "\"xyzzy\"");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

// --- 4.5.2 Trickle ICE

/// 4.5.2 MUST: candidates are answered with 204, without body and without `ETag`.
#[tokio::test]
async fn candidates_are_204_without_entity_tag() {
    let (scene, viewer) = Scene::watched().await;
    let response = scene.patch(viewer.resource(), Some(viewer.header("etag")), fragment(viewer.offer())).await;
    assert_eq!(response.status(), 204);
    assert!(response.headers().get("etag").is_none());
    assert_eq!(response.text().await.unwrap(), "");
}

/// 4.5.2 SHOULD: an offer without candidates is answered, and a candidate that trickles in later is checked.
#[tokio::test]
async fn a_candidate_that_trickles_in_is_checked() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    let offer: String = offer.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate")).collect();
    let response = scene.gateway.post_offer("front", offer.clone()).await;
    assert_eq!(response.status(), 201);
    let (tag, resource) = (header(&response, "etag").to_owned(), scene.gateway.url(header(&response, "location")));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let candidate = format!("a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n");
    let response = scene.patch(&resource, Some(&tag), fragment(&offer) + &candidate).await;
    assert_eq!(response.status(), 204);
    let mut check = [0; 1_500];
    let length = socket.recv(&mut check).unwrap();
    assert_eq!(&check[..2], [0, 1], "a STUN Binding request");
    let username = format!("{}:", attribute(&offer, "ice-ufrag"));
    assert!(check[..length].windows(username.len()).any(|window| window == username.as_bytes()));
}

/// 4.5.2 MUST: candidates of a transport or an address that cannot be used are discarded silently, the rest is not.
#[tokio::test]
async fn candidates_that_cannot_be_used_are_discarded_silently() {
    let (scene, viewer) = Scene::watched().await;
    let candidates = "a=candidate:1 1 udp 2122260223 0b1c9d8e.local 61764 typ host\r\n\
        a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
        a=candidate:3 1 carrier-pigeon 1 192.0.2.1 9 typ host\r\n\
        a=candidate:4 1 udp 1 no-such-name.invalid 9 typ host\r\n\
        a=candidate:nonsense\r\n\
        a=candidate:5 1 udp 2122260223 127.0.0.1 9 typ host\r\n";
    let body = fragment(viewer.offer()) + candidates;
    let response = scene.patch(viewer.resource(), Some(viewer.header("etag")), body).await;
    assert_eq!(response.status(), 204);
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
}

/// 4.5.2 (RFC 8840): a fragment is understood with and without m-lines, credentials and `a=end-of-candidates`.
#[tokio::test]
async fn a_bare_fragment_is_understood() {
    let (scene, viewer) = Scene::watched().await;
    for bare in ["a=end-of-candidates\r\n", "a=candidate:5 1 udp 2122260223 127.0.0.1 9 typ host\n"] {
        let response = scene.patch(viewer.resource(), Some(viewer.header("etag")), bare).await;
        assert_eq!(response.status(), 204, "{bare:?}");
    }
}

/// 4.5.2 SHALL: the answer has all candidates of the server.
#[tokio::test]
async fn the_answer_has_all_candidates() {
    let (scene, viewer) = Scene::watched().await;
    let (_, port) = scene.gateway.webrtc_address().rsplit_once(':').unwrap();
    let host = format!("127.0.0.1 {port} typ host");
    assert!(viewer.answer().lines().any(|line| line.starts_with("a=candidate:") && line.contains(&host)));
}

// --- 4.5.3 ICE restarts

/// 4.5.3 SHALL: new credentials restart ICE: 200, a fragment with new credentials, candidates and the ICE options of the answer,
/// and a new entity tag.
#[tokio::test]
async fn new_credentials_restart_ice() {
    let (scene, viewer) = Scene::watched().await;
    for wildcard in ["*", "\"*\""] {
        let others = OTHERS.replace("zjkk", if wildcard == "*" { "zjkk" } else { "zjkl" });
        let response = scene.patch(viewer.resource(), Some(wildcard), others).await;
        assert_eq!(response.status(), 200, "{wildcard}");
        assert_eq!(header(&response, "content-type"), FRAGMENT);
        let tag = header(&response, "etag").to_owned();
        assert!(tag.starts_with('"') && tag != viewer.header("etag"), "{tag}");
        let answered = response.text().await.unwrap();
        let before = fragment(viewer.answer());
        for name in ["ice-ufrag", "ice-pwd"] {
            assert!(!attribute(&answered, name).is_empty(), "{answered}");
            assert_ne!(attribute(&answered, name), attribute(&before, name), "{answered}");
        }
        for name in ["ice-options", "group", "mid"] {
            assert_eq!(attribute(&answered, name), attribute(&before, name), "{answered}");
        }
        assert_eq!(answered.contains("a=ice-lite"), viewer.answer().contains("a=ice-lite"));
        assert!(answered.contains("\r\na=candidate:"), "{answered}");
    }
}

/// 4.5.3 MUST: after a restart the new entity tag is the one that counts.
#[tokio::test]
async fn a_restart_replaces_the_entity_tag() {
    let (scene, viewer) = Scene::watched().await;
    let restart = scene.patch(viewer.resource(), Some("*"), OTHERS).await;
    let tag = header(&restart, "etag").to_owned();
    let candidate = "a=candidate:5 1 udp 2122260223 127.0.0.1 9 typ host\r\n";
    assert_eq!(scene.patch(viewer.resource(), Some(viewer.header("etag")), candidate).await.status(), 412);
    assert_eq!(scene.patch(viewer.resource(), Some(&tag), candidate).await.status(), 204);
    let repeated = scene.patch(viewer.resource(), Some("*"), OTHERS).await;
    assert_eq!(repeated.status(), 204, "the same credentials again are no second restart");
}

/// 4.5.3 MUST: after a restart media flows in the same session, whatever cipher the viewer knows.
#[tokio::test]
async fn media_flows_after_a_restart() {
    let scene = Scene::new().await;
    for sha1_only in [false, true] {
        let viewer = Viewer::builder(scene.gateway.whep("front")).sha1_only(sha1_only).join().await;
        viewer.wait_packets(Kind::Video, 20, LIMIT).await;
        for _ in 0..2 {
            let told = viewer.begin_restart().await;
            let response = scene.patch(viewer.resource(), Some("*"), told).await;
            assert_eq!(response.status(), 200);
            viewer.finish_restart(&response.text().await.unwrap()).await;
            viewer.wait_connected(LIMIT).await;
            viewer.wait_more(Kind::Video, 40, LIMIT).await;
        }
        assert_eq!(scene.gateway.sessions().await.len(), 1);
        let ssrcs = viewer.with(Kind::Video, |log| log.packets.iter().map(|packet| packet.ssrc).collect::<Vec<_>>());
        assert!(ssrcs.windows(2).all(|pair| pair[0] == pair[1]), "one stream");
        viewer.close().await;
    }
}

/// 4.5.3 MUST NOT: a restart that cannot be satisfied does not end the session or change its ICE session.
#[tokio::test]
async fn a_restart_that_fails_keeps_the_session() {
    let (scene, viewer) = Scene::watched().await;
    let refused = scene.patch(viewer.resource(), Some("*"), "a=ice-ufrag:zj\r\na=ice-pwd:x\r\n").await;
    assert!(is_4xx(&refused));
    let candidate = "a=candidate:5 1 udp 2122260223 127.0.0.1 9 typ host\r\n";
    assert_eq!(scene.patch(viewer.resource(), Some(viewer.header("etag")), candidate).await.status(), 204);
    // One that is answered and then never checked by anybody is given up after 15 s.
    assert_eq!(scene.patch(viewer.resource(), Some("*"), OTHERS).await.status(), 200);
    let end = tokio::time::Instant::now() + Duration::from_secs(25);
    while tokio::time::Instant::now() < end {
        viewer.wait_more(Kind::Video, 40, LIMIT).await;
    }
    assert_eq!(scene.patch(viewer.resource(), Some(viewer.header("etag")), candidate).await.status(), 204);
}

// --- 4.6 WebRTC constraints

/// The sections of an answer with picture and sound, without what is before the first.
async fn sections() -> (String, Vec<String>) {
    let camera = Camera::builder().audio(Audio::Opus).start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera.toml("front")).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let mut parts = viewer.answer().split("\r\nm=").map(|part| format!("{part}\r\n"));
    (parts.next().unwrap(), parts.collect())
}

/// 4.6.1 SHALL: the answer bundles all media, with `a=rtcp-mux` and `a=rtcp-mux-only` in each section.
#[tokio::test]
async fn all_media_is_bundled_and_muxed() {
    let (session, sections) = sections().await;
    let group = session.lines().find(|line| line.starts_with("a=group:BUNDLE ")).unwrap();
    assert_eq!(sections.len(), 2);
    for section in &sections {
        assert!(group.split(' ').skip(1).any(|mid| mid == attribute(section, "mid")), "{group}: {section}");
        for line in ["a=rtcp-mux", "a=rtcp-mux-only"] {
            assert!(section.lines().any(|it| it == line), "{line}: {section}");
        }
        assert_eq!(attribute(section, "ice-ufrag"), attribute(&sections[0], "ice-ufrag"), "one transport");
    }
}

/// 4.6.2 MUST: there is one MediaStream, named by the same `a=msid` in each section, with one track of a kind at most.
#[tokio::test]
async fn there_is_one_media_stream() {
    let (_, sections) = sections().await;
    let streams: Vec<_> = sections.iter().map(|it| attribute(it, "msid").split(' ').next().unwrap()).collect();
    assert!(streams.iter().all(|stream| !stream.is_empty() && *stream == streams[0]), "{sections:?}");
    let mut kinds: Vec<_> = sections.iter().map(|section| section.split(' ').next().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["audio", "video"]);
}

// --- 4.7 to 4.10, 5

/// 4.7 MUST NOT: nothing is redirected by 301 or 302; a slash at the end and a query make no difference.
#[tokio::test]
async fn a_slash_at_the_end_and_a_query_make_no_difference() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    for url in ["/whep/front/", "/whep/front?token=1", "/whep/front/?token=1"] {
        let request = scene.gateway.http().post(scene.gateway.url(url)).header("content-type", SDP);
        let response = request.body(offer.clone()).send().await.unwrap();
        assert_eq!(response.status(), 201, "{url}");
        let session = format!("{}/?token=1", header(&response, "location"));
        assert_eq!(scene.send(Method::DELETE, &session).await.status(), 200, "{session}");
    }
}

/// 4.7 MAY: a full gateway is 503 with `Retry-After`.
#[tokio::test]
async fn a_full_gateway_is_503_with_retry_after() {
    let camera = Camera::builder().start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc("max_sessions = 1");
    let gateway = gateway.config(camera.toml("front")).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let response = gateway.post_offer("front", viewer.offer().to_owned()).await;
    assert_eq!(response.status(), 503);
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() >= 1);
}

/// 4.8 MAY: the 201 names STUN and TURN servers, with credentials, one `Link` each.
#[tokio::test]
async fn the_201_names_ice_servers() {
    let camera = Camera::builder().start();
    let servers = r#"ice_servers = [{ urls = ["turn:t.example.org"], username = "u", credential = "p" }]"#;
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc(servers).config(camera.toml("front"));
    let gateway = gateway.spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let link = r#"<turn:t.example.org>; rel="ice-server"; username="u"; credential="p"; credential-type="password""#;
    assert!(viewer.headers("link").contains(&link), "{:?}", viewer.headers("link"));
}

/// 4.9 MUST: a request with a bearer token is understood.
#[tokio::test]
async fn a_bearer_token_is_understood() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    let request = scene.gateway.http().post(scene.gateway.whep("front")).header("content-type", SDP);
    let response = request.header("authorization", "Bearer c2VjcmV0").body(offer).send().await.unwrap();
    assert_eq!(response.status(), 201);
}

/// 5 SHOULD: session addresses are 128 bits of a cryptographic random generator.
#[tokio::test]
async fn session_addresses_cannot_be_guessed() {
    let scene = Scene::new().await;
    let offer = scene.offer().await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let response = scene.gateway.post_offer("front", offer.clone()).await;
        let id = header(&response, "location").rsplit('/').next().unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let alike = |other: &String| other.bytes().zip(id.bytes()).filter(|(a, b)| a == b).count();
        assert!(seen.iter().all(|other| alike(other) < 20), "{seen:?} {id}");
        seen.push(id);
    }
}

/// 5 SHOULD: the rate of POST, PATCH and DELETE of one client is limited, with `Retry-After`.
#[tokio::test]
async fn the_rate_of_requests_is_limited() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"));
    // This machine is allowed a hundred times that.
    let gateway = gateway.http("rate_limit_per_second = 1\nrate_limit_burst = 1").spawn().await;
    let session = gateway.url("/whep/front/00000000000000000000000000000000");
    for (method, url) in
        [(Method::POST, gateway.whep("front")), (Method::PATCH, session.clone()), (Method::DELETE, session)]
    {
        let send = || async { gateway.http().request(method.clone(), &url).send().await.unwrap() };
        let refused = support::wait::until("429", LIMIT, || async {
            let answers = futures_util::future::join_all((0..50).map(|_| send())).await;
            answers.into_iter().find(|response| response.status() == 429)
        });
        let refused = refused.await;
        assert!(header(&refused, "retry-after").parse::<u64>().unwrap() >= 1, "{method}");
        assert_eq!(header(&refused, "content-type"), "application/problem+json");
    }
    assert_eq!(gateway.get("/healthz").await.unwrap().status(), 200, "the rest is not limited");
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    let refused = metrics.lines().find_map(|line| line.strip_prefix("camgate_refused_requests_total "));
    assert!(refused.unwrap().parse::<u64>().unwrap() >= 3, "{metrics}");
}
