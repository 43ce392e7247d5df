//! WHIP (RFC 9725) over HTTP: what it has in common with WHEP, and what it has not. With the offer of a Chromium that does not
//! stay; `tests/end_to_end/publish.rs` has one that does.

use reqwest::{Method, Response};

use crate::{
    FRAGMENT, OTHERS, SDP, attribute, header, is_4xx,
    support::{camera::Camera, gateway::Gateway},
};

const OFFER: &str = include_str!("../support/publisher/chromium.sdp");

/// A gateway with a camera `phone` that is published to, and one `front` that is not.
async fn gateway() -> (Camera, Gateway) {
    let camera = Camera::builder().start();
    let phone = "[[camera]]\nname = \"phone\"\nsource = \"whip\"\ntakeover = true\n";
    let config = format!("{phone}{}", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    (camera, gateway)
}

async fn post(gateway: &Gateway, camera: &str, content_type: &str, offer: &str) -> Response {
    let request = gateway.http().post(gateway.url(&format!("/whip/{camera}"))).header("content-type", content_type);
    request.body(offer.to_owned()).send().await.unwrap()
}

async fn send(gateway: &Gateway, method: Method, path: &str) -> Response {
    gateway.http().request(method, gateway.url(path)).send().await.unwrap()
}

async fn patch(gateway: &Gateway, path: &str, tag: Option<&str>, body: &str) -> Response {
    let request = gateway.http().patch(gateway.url(path)).header("content-type", FRAGMENT).body(body.to_owned());
    let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
    request.send().await.unwrap()
}

async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(problem["detail"].as_str().unwrap().ends_with('.'), "{problem}");
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_offer_to_publish_makes_a_session_that_delete_ends() {
    let (_camera, gateway) = gateway().await;
    let response = post(&gateway, "phone", SDP, OFFER).await;
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), SDP);
    assert_eq!(header(&response, "accept-patch"), FRAGMENT);
    let (location, tag) = (header(&response, "location").to_owned(), header(&response, "etag").to_owned());
    assert!(location.starts_with("/whip/phone/") && tag.starts_with('"'), "{location} {tag}");
    assert!(!response.headers().contains_key("link"), "no events for publishers");
    let answer = response.text().await.unwrap();
    assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
    assert!(!answer.contains("a=sendonly") && !answer.contains("a=ssrc"), "{answer}");
    for line in ["a=rtpmap:102 H264/90000", "a=fmtp:103 apt=102", "a=rtcp-fb:102 nack", "a=rtcp-fb:102 nack pli"] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert_eq!(answer.matches("transport-wide-cc-extensions-01").count(), 2, "{answer}");
    assert_eq!(answer.matches("H264/90000").count(), 1, "one of those that were offered: {answer}");
    assert_eq!(send(&gateway, Method::GET, &location).await.status(), 204);
    assert_eq!(send(&gateway, Method::DELETE, &location).await.status(), 200);
    assert!(is_4xx(&send(&gateway, Method::GET, &location).await));
}

#[tokio::test]
async fn the_endpoint_says_what_it_takes() {
    let (_camera, gateway) = gateway().await;
    let options = send(&gateway, Method::OPTIONS, "/whip/phone").await;
    assert_eq!((options.status().as_u16(), header(&options, "accept-post")), (200, SDP));
    assert_eq!(header(&options, "access-control-allow-origin"), "*");
    assert!(header(&options, "access-control-allow-methods").contains("PATCH"));
    let get = send(&gateway, Method::GET, "/whip/phone").await;
    assert_eq!((get.status().as_u16(), header(&get, "content-type")), (200, SDP));
    assert!(header(&get, "access-control-expose-headers").contains("Location"));
    assert_eq!(post(&gateway, "phone/", SDP, OFFER).await.status(), 201, "with a slash at the end");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_code() {
    let (_camera, gateway) = gateway().await;
    let refused = async |camera: &str, content_type: &str, offer: &str| {
        code(post(&gateway, camera, content_type, offer).await).await
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(refused("phone", "text/plain", OFFER).await, is(415, "content-type"));
    assert_eq!(refused("phone", SDP, "v=0").await, is(400, "bad-offer"));
    assert_eq!(refused("phone", SDP, &OFFER.replace("a=sendonly", "a=recvonly")).await, is(400, "bad-offer"));
    assert_eq!(refused("phone", SDP, &OFFER.replace("H264/90000", "H265/90000")).await, is(422, "no-common-codec"));
    assert_eq!(refused("front", SDP, OFFER).await, is(409, "not-published"));
    assert_eq!(refused("attic", SDP, OFFER).await, is(404, "no-such-camera"));
    assert_eq!(code(send(&gateway, Method::PATCH, "/whip/phone").await).await, is(405, "method"));
    let nobody = "/whip/phone/00000000000000000000000000000000";
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(code(send(&gateway, method, nobody).await).await, is(404, "no-such-session"));
    }
    let watching = post(&gateway, "phone", SDP, OFFER).await;
    let location = header(&watching, "location").replace("/whip/", "/whep/");
    assert!(is_4xx(&send(&gateway, Method::DELETE, &location).await), "a publisher's session is no viewer's");
}

#[tokio::test]
async fn candidates_trickle_and_ice_restarts_as_for_viewers() {
    let (_camera, gateway) = gateway().await;
    let response = post(&gateway, "phone", SDP, OFFER).await;
    let (location, tag) = (header(&response, "location").to_owned(), header(&response, "etag").to_owned());
    let candidate = "a=candidate:1 1 udp 2122260223 192.0.2.9 61764 typ host\r\n";
    assert_eq!(patch(&gateway, &location, None, candidate).await.status(), 428);
    assert_eq!(patch(&gateway, &location, Some("\"other\""), candidate).await.status(), 412);
    assert_eq!(patch(&gateway, &location, Some(&tag), "let me in").await.status(), 400);
    assert_eq!(patch(&gateway, &location, Some(&tag), candidate).await.status(), 204);
    let restart = patch(&gateway, &location, Some("*"), OTHERS).await;
    assert_eq!((restart.status().as_u16(), header(&restart, "content-type")), (200, FRAGMENT));
    let next = header(&restart, "etag").to_owned();
    assert_ne!(next, tag);
    let fragment = restart.text().await.unwrap();
    assert!(attribute(&fragment, "ice-pwd").len() >= 22, "{fragment}");
    assert_eq!(patch(&gateway, &location, Some(&tag), candidate).await.status(), 412);
    assert_eq!(patch(&gateway, &location, Some(&next), candidate).await.status(), 204);
}

#[tokio::test]
async fn a_second_offer_takes_over_and_the_first_is_told() {
    let (_camera, gateway) = gateway().await;
    let first = header(&post(&gateway, "phone", SDP, OFFER).await, "location").to_owned();
    let second = header(&post(&gateway, "phone", SDP, OFFER).await, "location").to_owned();
    assert_ne!(first, second);
    let gone = crate::support::wait::until_value(
        "the first to be over",
        crate::LIMIT,
        || async { send(&gateway, Method::GET, &first).await.status().as_u16() },
        |status| *status == 410,
    );
    gone.await;
    assert_eq!(code(send(&gateway, Method::GET, &first).await).await.1, "taken-over");
    assert_eq!(send(&gateway, Method::GET, &second).await.status(), 204);
}
