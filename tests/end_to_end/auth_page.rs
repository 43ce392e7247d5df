//! The login page in Chromium, and what pages of others can do with its cookie.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{browser::Browser, camera::Camera, gateway::Gateway},
};

pub(crate) const PLAYING: &str = "document.querySelector('[data-state=playing]')";

async fn gateway_with_anna(camera: &Camera) -> Gateway {
    let config = format!("{}\n{}", camera.toml("front"), user("anna", "").await);
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await
}

pub(crate) async fn log_in(browser: &Browser, password: &str) {
    browser.wait_for("document.querySelector('#login')", LIMIT).await;
    browser.eval("document.querySelector('#name').value = ''").await;
    browser.press("#name", "anna").await;
    browser.press("#password", password).await;
    browser.click("#submit").await;
}

/// The cookies that the browser keeps, as a request's header.
pub(crate) async fn cookies(browser: &Browser) -> (Vec<Value>, String) {
    let cookies =
        browser.cdp("Network.getAllCookies", json!({})).await["cookies"].as_array().cloned().unwrap_or_default();
    let text = |cookie: &Value, field: &str| cookie[field].as_str().unwrap_or_default().to_owned();
    let pairs: Vec<_> = cookies.iter().map(|it| format!("{}={}", text(it, "name"), text(it, "value"))).collect();
    (cookies, pairs.join("; "))
}

async fn status_with(gateway: &Gateway, cookie: &str) -> u16 {
    let request = gateway.http().get(gateway.url("/api/v1/user")).header("cookie", cookie);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_person_logs_in_watches_and_logs_out() {
    let camera = Camera::builder().start();
    let gateway = gateway_with_anna(&camera).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front?controls=0")).await;
    log_in(&browser, "hunter22").await;
    browser.wait_for("document.querySelector('[role=alert]').textContent.includes('wrong')", LIMIT).await;
    assert_eq!(browser.eval("document.querySelector('#password').value").await, "", "nothing stays in the field");
    assert_eq!(browser.eval("document.activeElement.id").await, "password");
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    let address = "location.pathname + location.search";
    assert_eq!(browser.eval(address).await, "/watch/front?controls=0", "where they wanted to go");
    let kept = "[document.cookie, localStorage.length, sessionStorage.length].join()";
    assert_eq!(browser.eval(kept).await, ",0,0", "a script sees nothing of it");
    let (kept, header) = cookies(&browser).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&kept[0]["httpOnly"], &kept[0]["sameSite"]), (&json!(true), &json!("Strict")), "{kept:?}");
    assert!(!header.contains(PASSWORD), "{header}");
    assert_eq!(status_with(&gateway, &header).await, 200);

    browser.open(&gateway.url("/")).await;
    browser.wait_for(PLAYING, LIMIT).await;
    browser.wait_for("document.querySelector('#user').textContent.includes('anna')", LIMIT).await;
    browser.click("#user button").await;
    browser.wait_for("document.querySelector('#login')", LIMIT).await;
    browser.open(&gateway.url("/")).await;
    browser.wait_for("location.pathname === '/login'", LIMIT).await;
    assert_eq!(cookies(&browser).await.0.len(), 0);
    assert_eq!(status_with(&gateway, &header).await, 401, "the cookie of before is good for nothing");
    assert!(gateway.find_log("user anna logged in from 127.0.0.1").is_some());
    assert!(!gateway.log().contains(PASSWORD) && !gateway.log().contains("hunter22"));
    let errors = browser.console_errors().await;
    let unexpected: Vec<_> = errors.iter().filter(|line| !line.contains("401")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[tokio::test]
async fn a_login_page_leads_to_this_gateway_only() {
    let camera = Camera::builder().start();
    let gateway = gateway_with_anna(&camera).await;
    let browser = Browser::start().await;
    for elsewhere in ["http://localhost:1/", "//localhost:1/", "/\\localhost:1/", "javascript:alert(1)", "http://"] {
        let next: String = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect();
        browser.open(&gateway.url(&format!("/login?next={next}"))).await;
        log_in(&browser, PASSWORD).await;
        browser.wait_for("document.querySelector('#grid')", LIMIT).await;
        assert_eq!(browser.eval("location.href").await, gateway.url("/"), "{elsewhere}");
    }
}

/// The other gateway has its own folder, and so another key.
#[tokio::test]
async fn a_page_whose_login_is_over_asks_again() {
    let camera = Camera::builder().start();
    let config = format!("{}\n{}", camera.toml("front"), user("anna", "").await);
    let builder = || Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(&config);
    let mut first = builder().spawn().await;
    let browser = Browser::start().await;
    browser.open(&first.url("/watch/front")).await;
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    let (http, webrtc) = (first.http_address().to_owned(), first.webrtc_address().to_owned());
    first.signal("TERM");
    first.wait_exit(LIMIT).await;
    let _second = builder().http_listen(&http).webrtc_listen(&webrtc).spawn().await;
    browser.wait_for("location.pathname === '/login'", Duration::from_secs(40)).await;
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    assert_eq!(browser.eval("location.pathname").await, "/watch/front");
}

#[tokio::test]
async fn a_login_outlives_the_gateway_and_not_its_password() {
    let camera = Camera::builder().start();
    let state = tempfile::tempdir().expect("a folder");
    let (other, keys) = (user("bert", "").await, format!("state_dir = \"{}\"", state.path().join("s").display()));
    let anna = [user("anna", "").await, user("anna", "").await];
    let start = async |anna: &str| {
        let config = format!("{}\n{other}{anna}", camera.toml("front"));
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http(&keys).config(config).spawn().await
    };
    let log_in = async |gateway: &Gateway| {
        let form = json!({ "name": "anna", "password": PASSWORD }).to_string();
        let request = gateway.http().post(gateway.url("/login")).header("origin", gateway.url(""));
        let answer = request.header("content-type", "application/json").body(form).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
        let cookie = answer.headers()["set-cookie"].to_str().expect("a text").to_owned();
        cookie.split(';').next().expect("a pair").to_owned()
    };
    let first = start(&anna[0]).await;
    let [kept, left] = [log_in(&first).await, log_in(&first).await];
    let log_out = first.http().post(first.url("/logout")).header("cookie", &left).header("origin", first.url(""));
    assert_eq!(log_out.send().await.expect("an answer").status(), 204);
    drop(first);
    let second = start(&anna[0]).await;
    assert_eq!((status_with(&second, &kept).await, status_with(&second, &left).await), (200, 401));
    drop(second);
    // The same password with another salt.
    let third = start(&anna[1]).await;
    assert_eq!(status_with(&third, &kept).await, 401);
}

#[tokio::test]
async fn logging_out_ends_what_plays_in_another_tab() {
    let camera = Camera::builder().start();
    let gateway = gateway_with_anna(&camera).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    let (_, cookie) = cookies(&browser).await;
    let events = gateway.http().get(gateway.url("/api/v1/events")).header("cookie", &cookie).send().await;
    let mut events = events.expect("an answer");
    assert!(events.chunk().await.expect("a stream").is_some());
    let log_out =
        gateway.http().post(gateway.url("/logout")).header("cookie", &cookie).header("origin", gateway.url(""));
    assert_eq!(log_out.send().await.expect("an answer").status(), 204);
    while events.chunk().await.expect("an end, not a failure").is_some() {}
    browser.wait_for("location.pathname === '/login'", LIMIT).await;
}

/// Pages on another port of the same host are of the same site, so that the browser sends them our cookie with everything.
#[tokio::test]
async fn pages_of_others_can_do_nothing_with_the_cookie() {
    let camera = Camera::builder().start();
    let gateway = gateway_with_anna(&camera).await;
    let other = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).spawn().await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/login")).await;
    log_in(&browser, PASSWORD).await;
    browser.wait_for("document.querySelector('#grid')", LIMIT).await;
    browser.open(&gateway.url("/healthz")).await;
    let ours = "fetch('/api/v1/user').then((answer) => answer.status)";
    assert_eq!(browser.eval(ours).await, 200);
    browser.open(&other.url("/healthz")).await;
    let origin = gateway.url("");
    let socket = format!(
        "return new Promise((done) => {{ const socket = new WebSocket('{}/api/ws?src=front'); \
         socket.onopen = () => done('open'); socket.onerror = () => done('refused'); }});",
        origin.replace("http://", "ws://")
    );
    assert_eq!(browser.run(&socket).await, "refused");
    for path in ["/api/v1/cameras", "/whep/front", "/api/v1/user"] {
        let read = format!(
            "return fetch('{origin}{path}', {{ credentials: 'include' }}).then((it) => it.status, () => 'unread');"
        );
        assert_eq!(browser.run(&read).await, "unread", "{path}");
    }
    for (path, body) in [("/logout", "''"), ("/login", "'{}'"), ("/whep/front", "'v=0'")] {
        let blind = format!(
            "await fetch('{origin}{path}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', body: {body} }})\
             .catch(() => 'nothing of the answer is told');"
        );
        browser.run(&blind).await;
    }
    let form = format!(
        "const form = document.createElement('form'); form.method = 'POST'; form.action = '{origin}/logout'; \
         document.body.append(form); form.submit();"
    );
    browser.run(&form).await;
    browser.wait_for("document.body.innerText.includes('another site')", LIMIT).await;
    browser.open(&gateway.url("/healthz")).await;
    assert_eq!(browser.eval(ours).await, 200, "still logged in");
    assert!(gateway.find_log("logged out").is_none());
}
