//! What the page shows while a camera is away, and how it comes back: in the same session, without a reload.

use serde_json::{Value, json};

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Answer, Camera},
        gateway::Gateway,
        wait,
    },
};

const PLAYING: &str = "document.querySelector('[data-camera=front][data-state=playing]')";
const OFFLINE: &str = "document.querySelector('[data-camera=front][data-state=offline]')";

/// Looks at what is on the screen, video or still, twenty times a second: `black` has the looks at what is one colour or nothing.
const WATCH_FOR_BLACK: &str = "
    const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 18 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    window.seen = { looks: 0, black: [] };
    setInterval(() => {
        const tile = document.querySelector('[data-camera=front]');
        const still = tile.querySelector('.still');
        const shown = still.hidden ? tile.querySelector('video') : still;
        context.clearRect(0, 0, 32, 18);
        if (getComputedStyle(shown).visibility === 'visible') context.drawImage(shown, 0, 0, 32, 18);
        const { data } = context.getImageData(0, 0, 32, 18);
        const luma = [];
        for (let at = 0; at < data.length; at += 4) luma.push(data[at + 1]);
        const mean = luma.reduce((sum, value) => sum + value, 0) / luma.length;
        const variance = luma.reduce((sum, value) => sum + (value - mean) ** 2, 0) / luma.length;
        window.seen.looks += 1;
        if (variance < 50) window.seen.black.push([window.seen.looks, tile.className, tile.dataset.state, still.hidden, variance]);
    }, 50);";

/// A page that plays, and is watched for black from then on.
async fn playing(gateway: &Gateway, path: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(&gateway.url(path)).await;
    browser.wait_for(PLAYING, LIMIT).await;
    browser.wait_counter(LIMIT).await;
    browser.wait_for("document.querySelector('.still').hidden", LIMIT).await;
    browser.run(WATCH_FOR_BLACK).await;
    browser
}

async fn session(gateway: &Gateway) -> Value {
    let sessions = gateway.sessions().await;
    assert_eq!(sessions.len(), 1, "one session all the time: {sessions:?}");
    sessions[0]["id"].clone()
}

/// The frame number in the picture that stands still on the screen.
async fn still(browser: &Browser) -> u32 {
    browser.wait_for("!document.querySelector('.still').hidden", LIMIT).await;
    let still = browser.picture_of(".still").await.expect("a still picture");
    assert!(still.shows_something(), "{still:?}");
    still.counter.expect("the last picture, whole")
}

/// The badge, and that it does not cover the picture.
async fn badge(browser: &Browser) -> String {
    let share = "(() => { const area = (it) => it.offsetWidth * it.offsetHeight;
        return area(document.querySelector('.words')) / area(document.querySelector('.picture')); })()";
    let share = browser.eval(share).await.as_f64().unwrap();
    assert!(share > 0.0 && share < 0.3, "a badge and not a curtain: {share}");
    browser.eval("document.querySelector('.words').innerText").await.as_str().unwrap().to_owned()
}

async fn never_black(browser: &Browser) {
    let seen = browser.eval("window.seen").await;
    assert!(seen["looks"].as_u64().unwrap() > 20, "{seen}");
    assert_eq!(seen["black"], json!([]), "{seen}");
}

#[tokio::test]
async fn the_last_picture_stays_with_a_badge_until_the_camera_is_back() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    for path in ["/watch/front", "/"] {
        let browser = playing(&gateway, path).await;
        let before = session(&gateway).await;
        camera.stop();
        let stopped = camera.frame_now();
        browser.wait_for(OFFLINE, LIMIT).await;
        let words = badge(&browser).await;
        assert!(words.starts_with("No picture from front since ") && words.contains("refuses connections"), "{words}");
        let shown = still(&browser).await;
        assert!(shown <= stopped && stopped - shown < 15, "the last one: {shown} of {stopped}");
        camera.start_again();
        browser.wait_for(PLAYING, LIMIT).await;
        browser
            .wait_for("document.querySelector('.still').hidden && document.querySelector('.words').hidden", LIMIT)
            .await;
        browser.wait_decoded(30, LIMIT).await;
        assert!(browser.wait_counter(LIMIT).await.counter.unwrap() > stopped, "it moves");
        assert_eq!(session(&gateway).await, before);
        assert_ne!(browser.eval("window.seen").await, Value::Null, "and the same page");
        never_black(&browser).await;
        browser.open("about:blank").await;
        gateway.wait_sessions(0, LIMIT).await;
    }
}

/// Nobody ends the connection, as when a camera hangs: the words come before the gateway has given it up.
#[tokio::test]
async fn a_camera_that_falls_silent_leaves_its_last_picture() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = playing(&gateway, "/watch/front").await;
    let before = session(&gateway).await;
    camera.freeze();
    browser.wait_for("document.querySelector('[data-camera=front][data-state=stalled]')", LIMIT).await;
    let words = badge(&browser).await;
    assert!(words.starts_with("No new picture from front for "), "{words}");
    let last = still(&browser).await;
    browser.wait_for(OFFLINE, LIMIT).await;
    assert_eq!(still(&browser).await, last);
    assert!(badge(&browser).await.contains("stopped sending"));
    camera.thaw();
    browser.wait_for(PLAYING, LIMIT * 2).await;
    browser.wait_decoded(30, LIMIT).await;
    assert_eq!(session(&gateway).await, before);
    never_black(&browser).await;
}

/// A camera that boots takes connections before RTSP works: nobody has to wait for a long pause of the gateway's then.
#[tokio::test]
async fn a_camera_that_says_no_while_it_boots_is_seen_soon_after() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = playing(&gateway, "/watch/front").await;
    camera.stop();
    browser.wait_for(OFFLINE, LIMIT).await;
    camera.start_again();
    camera.answer(Answer::NotFound);
    let refused = || async { camera.refusals_total() };
    wait::until_value("it is asked again while it boots", LIMIT, refused, |count| *count >= 4).await;
    assert!(badge(&browser).await.contains("no stream of that name (404)"), "the words keep up with it");
    camera.answer(Answer::Stream);
    browser.wait_for(PLAYING, LIMIT).await;
    browser.wait_decoded(30, LIMIT).await;
    never_black(&browser).await;
}
