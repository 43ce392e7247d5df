//! Where somebody may ask, or look.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
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
const PLAY_LIMIT: Duration = Duration::from_secs(90);
/// A cause shows itself after at most 30 s (no keyframe).
const CAUSE_LIMIT: Duration = Duration::from_secs(60);
/// Records what the page has shown and what it has let a screen reader say, as some of it is soon over.
const RECORD: &str = "(() => {
    const places = { words: '.tile .words:not([hidden])', status: '.tile [role=status]' };
    window.said = { words: [], status: [] };
    const look = () => Object.entries(places).forEach(([name, place]) => {
        const text = document.querySelector(place)?.textContent ?? '';
        if (text && said[name].at(-1) !== text) said[name].push(text);
    });
    new MutationObserver(look).observe(document, {
        subtree: true, childList: true, characterData: true, attributes: true,
    });
})()";

/// A gateway with these `[[camera]]` entries, that does not let a viewer wait long.
pub(crate) fn gateway(cameras: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http("start_deadline_seconds = 3").config(cameras)
}

/// The report of `camgate play`, with these words before it and these behind its address.
pub(crate) async fn run_play(before: &[&str], url: &str, after: &[&str]) -> Value {
    json_of(&[before, &[env!("CARGO_BIN_EXE_camgate"), "play", url, "--json"], after].concat()).await
}

/// The JSON object that a program prints.
async fn json_of(words: &[&str]) -> Value {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_remove("RUST_LOG").env_remove("WHEP_TOKEN");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PLAY_LIMIT, command.output()).await.expect("it ends by itself").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `camgate play` says has failed.
pub(crate) async fn play(url: &str, after: &[&str]) -> String {
    let report = run_play(&[], url, &[&["--timeout", "8"], after].concat()).await;
    let detail = report["failure"]["detail"].as_str().unwrap_or_else(|| panic!("it plays: {report}"));
    detail.to_owned()
}

/// The lines of the log that have all of these.
pub(crate) fn lines(gateway: &Gateway, parts: &[&str]) -> Vec<String> {
    let log = gateway.log();
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

/// Whether a text has a sentence, wherever that stands in it.
pub(crate) fn has(text: &str, sentence: &str) -> bool {
    text.to_lowercase().contains(&sentence.to_lowercase())
}

/// Chromium, whose pages are recorded.
pub(crate) async fn browser() -> Browser {
    let browser = Browser::start().await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": RECORD })).await;
    browser
}

/// Waits until the page has shown this, and has let a screen reader say it.
pub(crate) async fn page_says(browser: &Browser, sentence: &str) {
    let sentence = serde_json::to_string(&sentence.to_lowercase()).unwrap();
    for place in ["words", "status"] {
        let said = format!("said.{place}.some((text) => text.toLowerCase().includes({sentence}))");
        browser.wait_for(&said, LIMIT).await;
    }
}

impl Cause {
    /// Whoever asks about the camera `front` of this gateway is told this cause. Returns the sentence.
    pub(crate) async fn is_told(&self, gateway: &Gateway) -> String {
        let browser = browser().await;
        // Somebody watches, so that the camera is wanted.
        browser.open(&gateway.url("/watch/front")).await;
        let camera = wait::until_value(
            &format!("the API says {}", self.code),
            CAUSE_LIMIT,
            || gateway.camera("front"),
            |camera| camera["code"] == self.code,
        )
        .await;
        let sentence = self.checked(&camera["reason"]);
        page_says(&browser, &sentence).await;
        let logged = lines(gateway, &["camera=front", &format!("code=\"{}\"", self.code), &sentence]);
        assert_eq!(logged.len(), 1, "once: {}", gateway.log());
        let (status, problem) = refusal(gateway, "front", None).await;
        assert_eq!((status, &problem["code"]), (409, &self.code.into()), "{problem}");
        assert_eq!(problem["reason"], sentence.as_str());
        assert!(has(problem["detail"].as_str().unwrap(), &sentence), "{problem}");
        let played = play(&gateway.whep("front"), &[]).await;
        assert!(has(&played, &sentence), "play: {played}");
        sentence
    }

    /// `camgate probe`, with these words before it, says this cause of the camera `front` of this gateway.
    pub(crate) async fn is_probed(&self, gateway: &Gateway, before: &[&str]) {
        let config = gateway.dir().join("config.toml");
        let config = config.to_str().unwrap();
        let words = ["probe", "front", "--config", config, "--json", "--seconds", "3", "--patience", "5"];
        let report = json_of(&[before, &[env!("CARGO_BIN_EXE_camgate")], &words].concat()).await;
        assert_eq!(report["code"], self.code, "{report}");
        self.checked(&report["reason"]);
    }

    /// The API says of a camera that plays, or seems to, what is wrong with its picture; the log does once.
    pub(crate) async fn is_noted(&self, gateway: &Gateway, kind: &str) -> String {
        let camera = wait::until_value(
            &format!("the API notes {}", self.code),
            CAUSE_LIMIT,
            || gateway.camera("front"),
            |camera| camera[format!("{kind}_code")] == self.code,
        )
        .await;
        let sentence = self.checked(&camera[format!("{kind}_note")]);
        let logged = lines(gateway, &["camera=front", &format!("code=\"{}\"", self.code), &sentence]);
        assert_eq!(logged.len(), 1, "once: {}", gateway.log());
        sentence
    }

    /// The sentence, which has to be this cause's. A problem's begins large and has a full stop.
    pub(crate) fn checked(&self, said: &Value) -> String {
        let said = said.as_str().unwrap_or_else(|| panic!("no text: {said}")).trim_end_matches('.');
        assert!(self.says(said), "said:  {said}\nmeant: {}", self.sentence);
        said.to_owned()
    }
}

/// Status and problem document of an offer that is refused.
pub(crate) async fn refusal(gateway: &Gateway, camera: &str, token: Option<&str>) -> (u16, Value) {
    let request = gateway.http().post(gateway.whep(camera)).header("content-type", "application/sdp");
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
    let response = request.body(include_str!("../offers/webrtc-rs.sdp")).send().await.expect("an answer");
    let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}")))
}
