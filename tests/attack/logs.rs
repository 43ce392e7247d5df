//! Lines and colours that strangers would like to see in the log.

use std::time::Duration;

use reqwest::{Method, header::HeaderValue};

use crate::{Row, pages::cookie, scene::Scene};

/// What would begin a line of its own, and what a terminal would obey.
const MARKS: [&str; 4] = [
    "\r\nINJECTED login failed from 192.0.2.1",
    "\n\nINJECTED",
    "\u{1b}]0;INJECTED\u{7}\u{1b}[2J",
    "\u{9b}31mINJECTED",
];
const OFFER: &str = include_str!("../offers/webrtc-rs.sdp");

pub(crate) async fn injected(scene: &Scene) -> Row {
    let gateway = &scene.gateway;
    let before = gateway.log().lines().count();
    let mut tried = 0;
    let cookie = cookie(scene).await;
    for mark in MARKS {
        let encoded: String = mark.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let quoted = serde_json::to_string(mark).expect("JSON");
        // As a name and a password.
        let guess = gateway.http().get(gateway.url("/metrics")).basic_auth(mark, Some(mark));
        let body = format!("{{\"name\":{quoted},\"password\":{quoted}}}");
        let login = gateway.http().post(gateway.url("/login")).header("origin", gateway.url("")).body(body);
        let login = login.header("content-type", "application/json");
        // As a camera, a session, a file and a parameter.
        let paths = [
            format!("/whep/{encoded}"),
            format!("/watch/{encoded}"),
            format!("/whep/front/{encoded}"),
            format!("/assets/{encoded}"),
            format!("/api/ws?src={encoded}"),
            format!("/login?next={encoded}"),
        ];
        let gets = paths.iter().map(|path| scene.request(Method::GET, path));
        let posts = paths
            .iter()
            .map(|path| scene.request(Method::POST, path).header("content-type", "application/sdp").body(OFFER));
        // In a description: a candidate, a codec, a name of a section.
        let offers = [
            ("a=candidate:", format!("a=candidate:1 1 udp 1 192.0.2.1{mark} 5 typ host{mark}")),
            ("a=rtpmap:", format!("a=rtpmap:96 {mark}/90000")),
            ("a=mid:", format!("a=mid:{mark}")),
            ("a=ice-ufrag:", format!("a=ice-ufrag:abcd{mark}")),
            ("s=", format!("s={mark}")),
        ];
        let offers = offers.iter().map(|(key, line)| {
            let put = |old: &str| if old.starts_with(key) { format!("{line}\r\n") } else { format!("{old}\r\n") };
            let offer: String = OFFER.lines().map(put).collect();
            scene.request(Method::POST, "/whep/front").header("content-type", "application/sdp").body(offer)
        });
        // In every header that may have such bytes.
        let value = HeaderValue::from_bytes(&mark.bytes().filter(|b| *b >= 32 && *b != 127).collect::<Vec<_>>());
        let value = value.expect("a value");
        let headers = ["user-agent", "referer", "origin", "x-forwarded-for", "accept", "content-type", "if-match"];
        let headers =
            headers.map(|name| scene.request(Method::POST, "/whep/front").header(name, value.clone()).body(OFFER));
        let cookies = gateway.http().get(gateway.url("/")).header("cookie", format!("{cookie}; x={encoded}"));
        let requests = [guess, login, cookies].into_iter().chain(gets).chain(posts).chain(offers).chain(headers);
        for request in requests {
            tried += 1;
            let response = request.send().await.expect("an answer");
            if let Some(location) = response.headers().get("location").filter(|_| response.status() == 201) {
                let path = location.to_str().expect("a path").to_owned();
                scene.request(Method::DELETE, &path).send().await.expect("an answer");
            }
        }
    }
    // What is being said of the last ones.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let log = gateway.log();
    let is_ours = |line: &&str| line.starts_with("20") && !line.contains(['\u{1b}', '\u{7}', '\u{9b}']);
    let let_in = log.lines().skip(before).filter(|line| !is_ours(line)).map(str::to_owned).collect();
    Row {
        attack: "lines and terminal codes in names, paths, headers and descriptions, for the log",
        let_in_when: "the log has a line that is not ours, or such a code",
        tried,
        let_in,
    }
}
