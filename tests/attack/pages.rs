//! What pages of others make a browser do that has logged in.

use futures_util::StreamExt;
use reqwest::Method;
use tokio_tungstenite::{connect_async, tungstenite::client::IntoClientRequest};

use crate::{
    Row,
    scene::{PASSWORD, Scene},
};

/// An offer for which nobody comes.
const OFFER: &str = include_str!("../offers/webrtc-rs.sdp");

/// The cookie of somebody who logs in on the page.
pub(crate) async fn cookie(scene: &Scene) -> String {
    let gateway = &scene.gateway;
    let body = format!("{{\"name\":\"anna\",\"password\":\"{PASSWORD}\"}}");
    let request = gateway.http().post(gateway.url("/login")).header("origin", gateway.url(""));
    let response = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
    assert_eq!(response.status(), 204);
    let cookie = response.headers()["set-cookie"].to_str().expect("a text");
    cookie.split(';').next().expect("a pair").to_owned()
}

/// What a browser says of a page that is not ours.
fn foreign(scene: &Scene) -> Vec<Vec<(&'static str, String)>> {
    let own = scene.gateway.url("");
    let origins = [
        "null".to_owned(),
        "http://evil.example.org".to_owned(),
        format!("{own}0"),
        format!("{own}.evil.example.org"),
        "http://127.0.0.1".to_owned(),
        "http://localhost".to_owned(),
        String::new(),
        format!("http://evil.example.org/?{own}"),
    ];
    let sites = ["cross-site", "same-site", "nonsense", ""];
    let with_site = sites.map(|site| vec![("origin", own.clone()), ("sec-fetch-site", site.to_owned())]);
    let without = vec![vec![("referer", own.clone())], Vec::new()];
    origins.map(|origin| vec![("origin", origin)]).into_iter().chain(with_site).chain(without).collect()
}

pub(crate) async fn forged_requests(scene: &Scene) -> Row {
    let cookie = cookie(scene).await;
    let session = scene.viewer.resource().replace(&scene.gateway.url(""), "");
    let targets = [
        (Method::POST, "/whep/front".to_owned(), "application/sdp"),
        (Method::POST, "/whep/front".to_owned(), "text/plain"),
        (Method::POST, "/whip/phone".to_owned(), "application/sdp"),
        (Method::POST, "/whip/phone".to_owned(), "text/plain"),
        (Method::POST, "/whip/front/talk".to_owned(), "application/sdp"),
        (Method::PATCH, session.clone(), "application/trickle-ice-sdpfrag"),
        (Method::DELETE, session.clone(), "text/plain"),
        (Method::POST, format!("{session}/events"), "application/json"),
        (Method::POST, format!("{session}/quality"), "application/json"),
        (Method::POST, "/logout".to_owned(), "application/x-www-form-urlencoded"),
        (Method::POST, "/login".to_owned(), "application/json"),
    ];
    let (mut tried, mut let_in) = (0, Vec::new());
    for headers in foreign(scene) {
        for (method, path, content_type) in &targets {
            let mut request = scene.gateway.http().request(method.clone(), scene.gateway.url(path));
            request = request.header("cookie", &cookie).header("content-type", *content_type).body(OFFER);
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            let status = request.send().await.expect("an answer").status();
            tried += 1;
            if !status.is_client_error() {
                let_in.push(format!("{method} {path} {headers:?}: {status}"));
            }
        }
    }
    let request = scene.gateway.http().get(scene.gateway.url("/api/v1/user")).header("cookie", &cookie);
    let told = request.send().await.expect("an answer").text().await.expect("a body");
    if !told.contains("anna") {
        let_in.push("the login is over".to_owned());
    }
    Row {
        attack: "CSRF: requests of another origin with the cookie of somebody who has logged in",
        let_in_when: "anything but 4xx, or the login is over",
        tried,
        let_in,
    }
}

pub(crate) async fn foreign_sockets(scene: &Scene) -> Row {
    let cookie = cookie(scene).await;
    let (mut tried, mut let_in) = (0, Vec::new());
    for headers in foreign(scene) {
        let url = scene.gateway.url("/api/ws?src=front").replace("http://", "ws://");
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("cookie", cookie.parse().expect("a value"));
        for (name, value) in &headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        tried += 1;
        if let Ok((mut socket, _)) = connect_async(request).await {
            let_in.push(format!("{headers:?}"));
            drop(socket.next().await);
        }
    }
    Row { attack: "WebSockets of another origin with that cookie", let_in_when: "one is opened", tried, let_in }
}
