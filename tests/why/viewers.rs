//! Viewers that get no session, or lose theirs.

use std::{process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::Command;

use crate::{
    LIMIT,
    cause::Cause,
    places::{browser, gateway, has, lines, page_says, play, refusal, run_play},
    support::{
        camera::{Audio, Camera},
        gateway::Gateway,
        secrets,
        viewer::Viewer,
    },
};

impl Cause {
    /// Whoever wants to watch `camera` of this gateway is refused for this cause: the page, HTTP, `camgate play`, the log.
    async fn is_refused(&self, gateway: &Gateway, camera: &str, status: u16, token: Option<&str>) {
        let browser = browser().await;
        if let Some(token) = token {
            let headers = json!({ "headers": { "Authorization": format!("Bearer {token}") } });
            browser.cdp("Network.enable", json!({})).await;
            browser.cdp("Network.setExtraHTTPHeaders", headers).await;
        }
        let (refused, problem) = refusal(gateway, camera, token).await;
        assert_eq!((refused, &problem["code"]), (status, &self.code.into()), "{problem}");
        let sentence = self.checked(&problem["detail"]);
        browser.open(&gateway.url(&format!("/watch/{camera}"))).await;
        page_says(&browser, &sentence).await;
        let file = gateway.dir().join("token");
        std::fs::write(&file, token.unwrap_or_default()).unwrap();
        let file = file.to_str().unwrap();
        let with_token = token.map_or_else(Vec::new, |_| vec!["--token-file", file]);
        let played = play(&gateway.whep(camera), &with_token).await;
        assert!(has(&played, &sentence), "play: {played}");
        let about = format!("camera={camera}");
        let logged = lines(gateway, &["viewer refused", &about, &format!("code=\"{}\"", self.code), &sentence]);
        assert_eq!(logged.len(), 1, "once a minute: {}", gateway.log());
    }
}

pub(crate) const GATEWAY_FULL: Cause = Cause {
    name: "gateway full",
    code: "gateway-full",
    sentence: "All … viewer places are taken: try again when somebody has left, or raise max_sessions under [webrtc]",
    provoked: "max_sessions = 1, and somebody watches",
    test: "gateway_full",
};

#[tokio::test]
async fn gateway_full() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera.toml("front")).webrtc("max_sessions = 1").spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    GATEWAY_FULL.is_refused(&gateway, "front", 503, None).await;
    viewer.close().await;
}

pub(crate) const NO_SUCH_CAMERA: Cause = Cause {
    name: "no such camera",
    code: "no-such-camera",
    sentence: "There is no camera named \"…\": check the name, or add the camera to the gateway's configuration",
    provoked: "a camera that the configuration does not have, of a gateway without users",
    test: "no_such_camera",
};

#[tokio::test]
async fn no_such_camera() {
    let camera = Camera::builder().start();
    NO_SUCH_CAMERA.is_refused(&gateway(&camera.toml("front")).spawn().await, "attic", 404, None).await;
}

pub(crate) const NOT_ALLOWED: Cause = Cause {
    name: "not allowed",
    code: "no-such-camera",
    sentence: "There is no camera named \"…\", or you may not see it: check the name, or ask whoever runs this gateway for the \
               camera",
    provoked: "a [[user]] with cameras = [\"front\"] asks for another; the answer is that of a camera that does not exist, but for \
               its name",
    test: "not_allowed",
};

#[tokio::test]
async fn not_allowed() {
    let made = Command::new(env!("CARGO_BIN_EXE_camgate")).arg("token").stdin(Stdio::null()).output().await.unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let (token, hash) = made.split_once('\n').unwrap();
    let token = token.strip_prefix("token = ").unwrap();
    secrets::note(token);
    let camera = Camera::builder().start();
    let cameras = camera.toml("front") + &camera.toml("back");
    let user = format!("[[user]]\nname = \"anna\"\n{hash}cameras = [\"front\"]\n");
    let gateway = gateway(&(cameras + &user)).spawn().await;
    NOT_ALLOWED.is_refused(&gateway, "back", 404, Some(token)).await;
    let (status, attic) = refusal(&gateway, "attic", Some(token)).await;
    let (_, back) = refusal(&gateway, "back", Some(token)).await;
    assert_eq!((status, attic.to_string().replace("attic", "back")), (404, back.to_string()));
}

pub(crate) const SOUND_CHANGED: Cause = Cause {
    name: "the camera changed under the viewer: its sound",
    code: "sound-changed",
    sentence: "The camera changed the codec of its sound: begin a new session",
    provoked: "the RTSP server comes back with G.711 where it had Opus; the page begins a new session by itself and plays",
    test: "changed_sound",
};

#[tokio::test]
async fn changed_sound() {
    let mut before = Camera::builder().audio(Audio::Opus).start();
    let gateway = gateway(&before.toml("front")).spawn().await;
    let browser = browser().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    let url = gateway.whep("front");
    let (played, ()) = tokio::join!(run_play(&[], &url, &["--seconds", "60"]), async {
        gateway.wait_sessions(3, LIMIT).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        before.stop();
        let _after = Camera::builder().audio(Audio::Pcmu).port(before.port()).start();
        let gone = gateway.http().get(viewer.resource());
        let gone = crate::support::wait::until("the session has ended", LIMIT, || async {
            let answer = gone.try_clone().unwrap().send().await.unwrap();
            if answer.status() == 410 { answer.text().await.ok() } else { None }
        })
        .await;
        let problem: serde_json::Value = serde_json::from_str(&gone).unwrap();
        assert_eq!(problem["code"], SOUND_CHANGED.code, "{problem}");
        let sentence = SOUND_CHANGED.checked(&problem["detail"]);
        page_says(&browser, &sentence).await;
        browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
        assert!(lines(&gateway, &["viewer gone", "camera=front", "code=\"sound-changed\""]).len() >= 2);
    });
    let detail = played["failure"]["detail"].as_str().unwrap_or_default();
    assert!(has(detail, "The server says: ") && has(detail, SOUND_CHANGED.sentence), "{played}");
}

pub(crate) const CAMERA_REMOVED: Cause = Cause {
    name: "configuration changed under the viewer",
    code: "camera-removed",
    sentence: "The camera… was removed from the gateway's configuration: choose another one",
    provoked: "the camera is taken out of config.toml and the gateway told by SIGHUP, while somebody watches; told of the session \
               that ended and of each attempt after it",
    test: "removed_camera",
};

#[tokio::test]
async fn removed_camera() {
    let (front, back) = (Camera::builder().start(), Camera::builder().start());
    let gateway = gateway(&back.toml("back")).spawn().await;
    let without = gateway.toml();
    gateway.reload(&format!("{without}\n{}", front.toml("front"))).await;
    let browser = browser().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let url = gateway.whep("front");
    let (played, ()) = tokio::join!(run_play(&[], &url, &["--seconds", "60"]), async {
        gateway.wait_sessions(2, LIMIT).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        gateway.reload(&without).await;
    });
    let detail = played["failure"]["detail"].as_str().unwrap_or_default();
    let (_, said) = detail.split_once("The server says: ").unwrap_or_else(|| panic!("{played}"));
    let sentence = CAMERA_REMOVED.checked(&said.into());
    page_says(&browser, &sentence).await;
    assert_eq!(lines(&gateway, &["viewer gone", "camera=front", "code=\"camera-removed\"", &sentence[1..]]).len(), 2);
    CAMERA_REMOVED.is_refused(&gateway, "front", 404, None).await;
}
