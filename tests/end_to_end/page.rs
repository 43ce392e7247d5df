//! The pages in Chromium, as a person sees them.

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Audio, Camera},
        gateway::Gateway,
        wait::until,
    },
};

#[tokio::test]
async fn the_grid_shows_every_camera() {
    let (front, back) = (Camera::builder().start(), Camera::builder().start());
    let config = format!("{}\n{}", front.toml("front"), back.toml("back"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    for name in ["front", "back"] {
        browser.wait_for(&format!("document.querySelector('[data-camera={name}][data-state=playing]')"), LIMIT).await;
        // Frames are decoded a moment before the first one is shown.
        let video = format!("[data-camera={name}] video");
        let shown = || async { browser.picture_of(&video).await.filter(|picture| picture.shows_something()) };
        let picture = until("a picture in the tile", LIMIT, shown).await;
        assert!(picture.muted, "{name}: {picture:?}");
    }
    let errors = browser.console_errors().await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn the_page_recovers_alone_when_its_camera_comes_back() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    camera.stop();
    browser.wait_for("document.querySelector('[data-state=offline]')", LIMIT).await;
    browser
        .wait_for("document.querySelector('.words').textContent.includes('No picture from front since')", LIMIT)
        .await;
    let picture = browser.picture().await.expect("the last picture stays");
    assert!(picture.shows_something(), "{picture:?}");
    camera.start_again();
    browser.wait_for("document.querySelector('[data-state=playing]')", Duration::from_secs(40)).await;
    browser.wait_decoded(15, LIMIT).await;
}

#[tokio::test]
async fn the_page_recovers_alone_when_the_gateway_comes_back() {
    let camera = Camera::builder().start();
    let mut first = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&first.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let (http, webrtc) = (first.http_address().to_owned(), first.webrtc_address().to_owned());
    first.signal("TERM");
    first.wait_exit(LIMIT).await;
    browser.wait_for("document.querySelector('[data-state=error]')", LIMIT).await;
    let second = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .http_listen(&http)
        .webrtc_listen(&webrtc)
        .config(camera.toml("front"))
        .spawn()
        .await;
    browser.wait_for("document.querySelector('[data-state=playing]')", Duration::from_secs(40)).await;
    assert_eq!(second.sessions().await.len(), 1);
}

#[tokio::test]
async fn the_page_says_why_there_is_no_picture() {
    let mut camera = Camera::builder().start();
    camera.stop();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("/No picture from|does not play/.test(document.querySelector('.words').textContent)", LIMIT).await;
    browser.open(&gateway.url("/watch/attic")).await;
    browser.wait_for("document.querySelector('.words').textContent.includes('attic')", LIMIT).await;
    let empty = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).spawn().await;
    browser.open(&empty.url("/")).await;
    browser.wait_for("document.body.innerText.includes('config.toml')", LIMIT).await;
}

#[tokio::test]
async fn the_cached_past_is_hidden_until_the_live_picture_is_there() {
    let camera = Camera::builder().gop(150).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.wait_for("document.querySelector('canvas.still').width > 0", LIMIT).await;
    browser.wait_for("document.querySelector('canvas.still').hidden", LIMIT).await;
    let picture = browser.wait_counter(LIMIT).await;
    let age = camera.age_of(picture.counter.expect("waited for it"));
    assert!(age < Duration::from_secs(3), "it is the live one: {age:?}");
}

#[tokio::test]
async fn closing_the_page_ends_its_session() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.open("about:blank").await;
    gateway.wait_sessions(0, Duration::from_secs(5)).await;
}

/// Milliseconds that the newest picture is held back at least.
const HOLD: &str = "window.__pcs.at(-1).getReceivers().find((it) => it.track.kind === 'video').jitterBufferTarget";

#[tokio::test]
async fn the_picture_waits_for_its_sound_only_while_it_is_heard() {
    let camera = Camera::builder().audio(Audio::Pcmu).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    assert_eq!(browser.eval(HOLD).await, 0, "muted: nothing to wait for");
    browser.press("body", "m").await;
    browser.wait_for(&format!("!document.querySelector('video').muted && {HOLD} > 0"), LIMIT).await;
    browser.press("body", "m").await;
    browser.wait_for(&format!("document.querySelector('video').muted && {HOLD} === 0"), LIMIT).await;

    browser.open(&gateway.url("/watch/front?sound=1")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    // The page knows from the gateway by how much the sound lags: on a busy machine the picture may be later than the sound.
    let (hold, camera) = (browser.eval(HOLD).await, gateway.camera("front").await);
    let is_late = camera["audio"]["lag_ms"].as_f64() < Some(-50.0);
    assert!(hold.as_f64() > Some(0.0) || is_late, "heard from the start: held from the start: {hold}, {camera}");
    let estimate = "(async () => { const playing = {}; \
                    for (const it of (await window.__pcs.at(-1).getStats()).values()) \
                    if (it.type === 'inbound-rtp') playing[it.kind] = it.estimatedPlayoutTimestamp; \
                    return playing.video - playing.audio; })()";
    browser.wait_for(&format!("Number.isFinite(await {estimate})"), LIMIT).await;
}

#[tokio::test]
async fn the_hold_follows_what_the_browser_measures() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/healthz")).await;
    // A browser that holds a picture as long as it is asked to, `floor` at least; its sound takes `path` milliseconds.
    let set_up = "const { LipSync } = await import('/assets/lipsync.js'); \
                  const it = window.it = { path: 200, floor: 20, emitted: 0, target: 0, receiver: { jitterBufferTarget: 0 } }; \
                  it.picture = () => Math.max(it.floor, it.receiver.jitterBufferTarget); \
                  const stats = async () => { \
                    it.emitted += 1; \
                    it.target += it.picture() / 1000; \
                    return new Map([ \
                      ['v', { type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: 1e6 - it.picture(), \
                              jitterBufferTargetDelay: it.target, jitterBufferEmittedCount: it.emitted }], \
                      ['a', { type: 'inbound-rtp', kind: 'audio', estimatedPlayoutTimestamp: 1e6 - it.path }], \
                    ]); \
                  }; \
                  it.sync = new LipSync(stats); \
                  it.sync.receive(it.receiver, { lag_ms: 0 });";
    browser.run(set_up).await;
    assert_eq!(browser.eval("it.receiver.jitterBufferTarget").await, 0, "not heard");
    browser.eval("it.sync.listen(true)").await;
    assert!(browser.eval("it.receiver.jitterBufferTarget").await.as_f64() > Some(0.0), "a first guess at once");
    browser.wait_for("it.receiver.jitterBufferTarget === 200", LIMIT).await;
    browser.eval("it.path = 150").await;
    browser.wait_for("it.receiver.jitterBufferTarget === 150", LIMIT).await;
    // The browser waits longer by itself: a hold below that would be without effect when it is needed.
    browser.eval("it.floor = 300; it.path = 330").await;
    browser.wait_for("it.receiver.jitterBufferTarget === 330", LIMIT).await;
    browser.eval("it.path = 100_000").await;
    browser.wait_for("it.receiver.jitterBufferTarget === 500", LIMIT).await;
    browser.eval("it.sync.listen(false)").await;
    assert_eq!(browser.eval("it.receiver.jitterBufferTarget").await, 0);
}
