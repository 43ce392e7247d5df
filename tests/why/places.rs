//! Where somebody may ask, or look.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use crate::{
    LIMIT,
    cause::Cause,
    support::{
        browser::Browser,
        gateway::{Builder, Gateway},
        wait,
    },
};

/// For a run of `camgate play`.
const PLAY_LIMIT: Duration = Duration::from_secs(60);
/// A cause shows itself after at most 30 s (no keyframe).
const CAUSE_LIMIT: Duration = Duration::from_secs(60);

/// A gateway with these `[[camera]]` entries, that does not let a viewer wait long.
pub(crate) fn gateway(cameras: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http("start_deadline_seconds = 3").config(cameras)
}

/// `camgate play`, with these words before it; what it says has failed.
pub(crate) async fn play(before: &[String], url: &str) -> String {
    let words: Vec<_> = before.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_camgate")]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["play", url, "--json", "--timeout", "8"]).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PLAY_LIMIT, command.output()).await.expect("it ends by itself").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let detail = report["failure"]["detail"].as_str().unwrap_or_else(|| panic!("it plays: {report}"));
    assert_eq!(output.status.code(), Some(1), "{report}");
    detail.to_owned()
}

/// The lines of the log that have all of these.
pub(crate) fn lines(gateway: &Gateway, parts: &[&str]) -> Vec<String> {
    let log = gateway.log();
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

/// Waits until the page has said this, and lets a screen reader say it.
pub(crate) async fn page_says(browser: &Browser, sentence: &str) {
    let sentence = serde_json::to_string(sentence).unwrap();
    for place in [".tile .words:not([hidden])", ".tile [role=status]"] {
        let said = format!("(document.querySelector('{place}')?.textContent ?? '').toLowerCase()");
        browser.wait_for(&format!("{said}.includes({sentence}.toLowerCase())"), LIMIT).await;
    }
}

impl Cause {
    /// Whoever asks about the camera `front` of this gateway is told this cause. Returns the sentence.
    pub(crate) async fn is_told(&self, gateway: &Gateway) -> String {
        let browser = Browser::start().await;
        // Somebody watches, so that the camera is wanted.
        browser.open(&gateway.url("/watch/front")).await;
        let camera = wait::until_value(
            &format!("the API says {}", self.code),
            CAUSE_LIMIT,
            || gateway.camera("front"),
            |camera| camera["code"] == self.code,
        )
        .await;
        let sentence = camera["reason"].as_str().unwrap().to_owned();
        assert!(self.says(&sentence), "API: {sentence}\nmeant: {}", self.sentence);
        page_says(&browser, &sentence).await;
        let logged = lines(gateway, &["camera=front", &format!("code=\"{}\"", self.code), &sentence]);
        assert_eq!(logged.len(), 1, "once: {}", gateway.log());
        let (status, problem) = refusal(gateway, "front").await;
        assert_eq!((status, &problem["code"]), (409, &self.code.into()), "{problem}");
        assert_eq!(problem["reason"], sentence.as_str());
        assert!(problem["detail"].as_str().unwrap().contains(&sentence), "{problem}");
        let played = play(&[], &gateway.whep("front")).await;
        assert!(played.contains(&sentence), "play: {played}");
        sentence
    }
}

/// Status and problem document of an offer that is refused.
pub(crate) async fn refusal(gateway: &Gateway, camera: &str) -> (u16, Value) {
    let response = gateway.post_offer(camera, include_str!("../offers/webrtc-rs.sdp")).await;
    let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}")))
}
