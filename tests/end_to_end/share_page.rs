//! Sharing in Chromium: a person makes a link, another one opens it in a browser of their own, and it ends.

use serde_json::json;

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    auth_page::log_in,
    support::{browser::Browser, camera::Camera, gateway::Gateway, wait::until},
};

const PLAYING: &str = "document.querySelector('[data-state=playing]')";
const MADE: &str = "document.querySelector('.made:not([hidden]) input')";

#[tokio::test]
async fn a_person_shares_a_camera_and_takes_it_back() {
    let camera = Camera::builder().start();
    let anna = user("anna", "actions = [\"watch\", \"share\"]").await;
    let config = format!("{}\n{}\n{anna}", camera.toml("front"), camera.toml("back"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let anna = Browser::start().await;
    anna.open(&gateway.url("/watch/front")).await;
    log_in(&anna, PASSWORD).await;
    anna.wait_for(PLAYING, LIMIT).await;
    anna.wait_for("!document.querySelector('[aria-label=\"Share front\"]').hidden", LIMIT).await;
    // With the keyboard alone.
    anna.eval("document.querySelector('[aria-label=\"Share front\"]').focus()").await;
    anna.press("[aria-label=\"Share front\"]", "\u{e007}").await;
    anna.wait_for("document.querySelector('dialog[open]')", LIMIT).await;
    let named = "document.getElementById(document.querySelector('dialog').getAttribute('aria-labelledby')).textContent";
    assert_eq!(anna.eval(named).await, "Share front");
    anna.eval("document.querySelector('#share-viewers').value = '1'").await;
    anna.press("#share-note", "plumber\u{e007}").await;
    anna.wait_for(MADE, LIMIT).await;
    let link = anna.eval(&format!("{MADE}.value")).await.as_str().expect("a link").to_owned();
    assert!(link.starts_with(&gateway.url("/share#cgs_")), "{link}");
    assert!(anna.eval("document.querySelector('.qr path').getAttribute('d').length").await.as_u64() > Some(1_000));
    assert_eq!(anna.eval("document.activeElement.getAttribute('aria-label')").await, "Link");

    let plumber = Browser::start().await;
    plumber.open(&link).await;
    plumber.wait_for(PLAYING, LIMIT).await;
    until("a picture", LIMIT, || async { plumber.picture().await.filter(|picture| picture.shows_something()) }).await;
    let outside = "Promise.all(['/', '/api/v1/cameras', '/whep/front', '/metrics'].map(\
                   (path) => fetch(path, { credentials: 'omit' }).then(({ status }) => status)))";
    assert_eq!(plumber.eval(outside).await, json!([401, 401, 401, 401]));
    let kept = "[document.cookie, localStorage.length, sessionStorage.length].join()";
    assert_eq!(plumber.eval(kept).await, ",0,0");
    anna.wait_for("document.querySelector('.links .facts').textContent.includes('1 of 1 viewer')", LIMIT).await;

    let other = Browser::start().await;
    other.open(&link).await;
    other.wait_for("document.body.innerText.includes('one at a time')", LIMIT).await;
    plumber.reload().await;
    plumber.wait_for("document.querySelector('[data-camera=front]')", LIMIT).await;
    drop(other);
    plumber.wait_for(PLAYING, LIMIT).await;

    anna.click(".links button").await;
    plumber.wait_for("document.body.innerText.includes('This link has ended')", LIMIT).await;
    anna.wait_for("document.querySelector('.links').hidden", LIMIT).await;
    plumber.reload().await;
    plumber.wait_for("document.querySelector('[role=alert]').textContent.includes('This link has ended')", LIMIT).await;
    assert!(!plumber.text().await.contains("front"), "it does not even tell what it was to");

    anna.press("dialog", "\u{e00c}").await;
    anna.wait_for("!document.querySelector('dialog')", LIMIT).await;
    assert_eq!(
        anna.eval("document.activeElement.getAttribute('aria-label')").await,
        "Share front",
        "back where it began"
    );
    let errors: Vec<_> = plumber
        .console_errors()
        .await
        .into_iter()
        .filter(|line| !line.contains("401") && !line.contains("410"))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let errors = anna.console_errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    anna.open(&gateway.url("/")).await;
    anna.wait_for("document.querySelector('#user button')?.offsetParent", LIMIT).await;
    anna.click("#user button").await;
    anna.wait_for("location.pathname === '/login'", LIMIT).await;
}

#[tokio::test]
async fn a_phone_shares_from_the_grid_and_who_may_not_is_not_asked() {
    let camera = Camera::builder().start();
    let gateway = crate::gateway(&camera, "").await;
    let phone = Browser::builder().window(390, 780).start().await;
    phone.open(&gateway.url("/")).await;
    phone.wait_for(PLAYING, LIMIT).await;
    phone.click("[aria-label=\"More for front\"]").await;
    phone.wait_for("document.querySelector('[aria-label=\"Share front\"]').offsetParent", LIMIT).await;
    phone.click("[aria-label=\"Share front\"]").await;
    phone.wait_for("document.querySelector('dialog[open]')", LIMIT).await;
    phone.click("dialog .primary").await;
    phone.wait_for(MADE, LIMIT).await;
    let fits = "document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth";
    assert_eq!(phone.eval(fits).await, true);
    phone.click("dialog .row .quiet").await;
    phone.wait_for("document.querySelector('dialog .row .quiet').textContent === 'Copied'", LIMIT).await;

    let guest = user("guest", "").await;
    let config = format!("{}\n{guest}", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    phone.open(&gateway.url("/login")).await;
    phone.wait_for("document.querySelector('#login')", LIMIT).await;
    phone.press("#name", "guest").await;
    phone.press("#password", PASSWORD).await;
    phone.click("#submit").await;
    phone.wait_for(PLAYING, LIMIT).await;
    assert_eq!(phone.eval("document.querySelector('[aria-label=\"Share front\"]').hidden").await, true);
}
