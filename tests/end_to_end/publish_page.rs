//! A browser as a camera: the page `/publish/{camera}` in Chromium, whose camera and microphone are made up (a moving disc and a
//! beep a second), and the same picture in another one.

use tokio::process::Command;

use crate::{
    LIMIT,
    support::{
        browser::Browser,
        gateway::Gateway,
        wait::{until, until_value},
    },
};

const CONFIG: &str = "[[camera]]\nname = \"door\"\nsource = \"whip\"\n";
const PLAYING: &str = "document.querySelector('[data-state=playing]')";
const READY: &str = "!document.querySelector('#live').disabled && document.querySelector('#preview').videoWidth > 2";

async fn gateway() -> Gateway {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(CONFIG).spawn().await
}

/// With a camera and a microphone that the page may use.
async fn phone() -> Browser {
    Browser::builder().flag("--use-fake-device-for-media-stream").flag("--use-fake-ui-for-media-stream").start().await
}

async fn says(browser: &Browser, words: &str) {
    let words = serde_json::to_string(words).expect("a string");
    browser.wait_for(&format!("document.body.innerText.includes({words})"), LIMIT).await;
}

#[tokio::test]
async fn a_browser_is_a_camera() {
    let gateway = gateway().await;
    let (phone, viewer) = tokio::join!(phone(), Browser::start());
    viewer.open(&gateway.url("/watch/door")).await;
    viewer.wait_for("document.querySelector('.words:not([hidden])').textContent.includes('publish')", LIMIT).await;

    let way = "document.querySelector('.words a:not([hidden])').href";
    assert_eq!(viewer.eval(way).await, gateway.url("/publish/door").as_str());

    phone.open(&gateway.url("/publish/door")).await;
    phone.wait_for(READY, LIMIT).await;
    assert!(phone.eval("document.querySelectorAll('#camera option').length").await.as_u64() >= Some(1));
    phone.click("#live").await;
    phone.wait_for(PLAYING, LIMIT).await;
    says(&phone, "Live.").await;
    phone.wait_for("document.querySelector('#facts').textContent.includes('bit/s')", LIMIT).await;

    viewer.wait_for(PLAYING, LIMIT).await;
    until("a picture", LIMIT, || async { viewer.picture().await.filter(|picture| picture.shows_something()) }).await;
    viewer.wait_decoded(30, LIMIT).await;
    assert_eq!(viewer.audio_stats().await.map(|audio| audio.codec), Some("audio/opus".to_owned()));

    phone.click("#mute").await;
    assert_eq!(phone.eval("document.querySelector('#mute').getAttribute('aria-pressed')").await, "true");
    // Another size, without another session.
    let session = gateway.sessions().await;
    phone.run("const size = document.querySelector('#size'); size.value = '360'; size.dispatchEvent(new Event('change'));").await;
    until_value(
        "a smaller picture",
        LIMIT,
        || viewer.video_stats(),
        |stats| stats.as_ref().is_some_and(|stats| stats.frame_height == 360),
    )
    .await;
    let after = gateway.sessions().await;
    assert_eq!(
        session.iter().map(|it| &it["id"]).collect::<Vec<_>>(),
        after.iter().map(|it| &it["id"]).collect::<Vec<_>>()
    );

    phone.click("#live").await;
    says(&phone, "Not live.").await;
    viewer.wait_for("document.querySelector('[data-state=offline], [data-state=stalled]')", LIMIT).await;
    assert!(
        viewer.eval("document.querySelector('.tile').classList.contains('has-picture')").await.as_bool() == Some(true)
    );
    phone.click("#live").await;
    phone.wait_for(PLAYING, LIMIT).await;
    viewer.wait_for(PLAYING, LIMIT).await;
    for browser in [&phone, &viewer] {
        // Nobody published yet; and who closes a connection may be heard before the DELETE that says the same.
        let is_news = |line: &String| !line.contains("409") && !line.contains("404");
        let errors: Vec<_> = browser.console_errors().await.into_iter().filter(is_news).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[tokio::test]
async fn a_page_that_is_loaded_again_goes_on_by_itself() {
    let gateway = gateway().await;
    let phone = phone().await;
    phone.open(&gateway.url("/publish/door")).await;
    phone.wait_for(READY, LIMIT).await;
    phone.click("#resume").await;
    phone.reload().await;
    phone.wait_for(PLAYING, LIMIT).await;
    gateway.wait_camera("door", "live", LIMIT).await;
}

#[tokio::test]
async fn the_page_says_what_is_missing() {
    let gateway = gateway().await;
    let refused = Browser::start().await;
    refused.open(&gateway.url("/publish/door")).await;
    refused.wait_for("!document.querySelector('#trouble').hidden", LIMIT).await;
    let said = refused.eval("document.querySelector('#trouble').textContent").await;
    let said = said.as_str().expect("a text");
    assert!(said.contains("allow it in the browser") || said.contains("has no camera"), "{said}");
    drop(refused);

    let far = Browser::builder().flag("--host-resolver-rules=MAP cam.lan 127.0.0.1").start().await;
    let url = gateway.url("/publish/door").replace("127.0.0.1", "cam.lan");
    far.open(&url).await;
    says(&far, "Browsers give a camera only to pages that come over HTTPS").await;
}

#[tokio::test]
async fn the_page_says_why_nothing_is_published() {
    let front = crate::support::camera::Camera::builder().start();
    let config = format!("{CONFIG}{}", front.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let (first, second) = tokio::join!(phone(), phone());
    first.open(&gateway.url("/publish/door")).await;
    first.wait_for(READY, LIMIT).await;
    first.click("#live").await;
    first.wait_for(PLAYING, LIMIT).await;
    second.open(&gateway.url("/publish/door")).await;
    second.wait_for(READY, LIMIT).await;
    second.click("#live").await;
    says(&second, "publishes to the camera door already").await;
    first.click("#live").await;
    second.wait_for(PLAYING, LIMIT).await;

    for (camera, words) in [("front", "is not published to"), ("attic", "no camera named “attic”")] {
        second.open(&gateway.url(&format!("/publish/{camera}"))).await;
        second.wait_for(READY, LIMIT).await;
        second.click("#live").await;
        says(&second, words).await;
    }
}

#[tokio::test]
async fn who_has_a_link_for_it_is_the_camera() {
    let gateway = gateway().await;
    let shared = Command::new(env!("CARGO_BIN_EXE_camgate"))
        .args(["share", "door", "--for", "1h", "--publish", "--url", &gateway.url("/"), "--config"])
        .arg(gateway.dir().join("config.toml"))
        .output()
        .await
        .expect("camgate share ends");
    let said = String::from_utf8_lossy(&shared.stdout);
    let token = said.split_once("/share#").map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default());
    let token = token.unwrap_or_else(|| panic!("{shared:?}"));
    let phone = phone().await;
    phone.open(&gateway.url(&format!("/share#{token}"))).await;
    phone.wait_for("document.querySelector('.publish-way')", LIMIT).await;
    phone.click(".publish-way").await;
    phone.wait_for(READY, LIMIT).await;
    phone.click("#live").await;
    phone.wait_for(PLAYING, LIMIT).await;
    gateway.wait_camera("door", "live", LIMIT).await;
}
