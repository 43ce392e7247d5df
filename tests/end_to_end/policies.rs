//! What browsers are told about our pages, and what pages of strangers can do through a browser near by.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use reqwest::Response;
use serde_json::json;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    LIMIT,
    auth::user,
    auth_page::PLAYING,
    support::{browser::Browser, camera::Camera, gateway::Gateway, wait::until},
};

const STRANGE: &str = "https://example.org";

fn builder() -> crate::support::gateway::Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
}

fn field(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map_or_else(String::new, |value| value.to_str().expect("a text").to_owned())
}

fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let names = std::fs::read_dir(folder).expect("web/").map(|entry| entry.expect("a file").file_name());
    names.map(|name| name.into_string().expect("a name")).collect()
}

#[tokio::test]
async fn every_answer_has_its_policies() {
    let gateway =
        builder().config(user("anna", "actions = [\"watch\", \"api\", \"metrics\", \"publish\"]").await).spawn().await;
    let ask = async |path: &str| {
        let request = gateway.http().get(gateway.url(path)).basic_auth("anna", Some(crate::auth::PASSWORD));
        request.send().await.expect("an answer")
    };
    let files = files();
    let assets = files.iter().filter(|name| !name.ends_with(".html")).map(|name| format!("/assets/{name}"));
    let pages = ["/", "/watch/none", "/publish/none", "/publish", "/share", "/login"].map(str::to_owned);
    let others = ["/healthz", "/readyz", "/metrics", "/api/v1/cameras", "/api/v1/user", "/whep/none", "/none"];
    for path in assets.chain(pages.clone()).chain(others.map(str::to_owned)) {
        let answer = ask(&path).await;
        assert_eq!(field(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(field(&answer, "referrer-policy"), "no-referrer", "{path}");
        assert_eq!(field(&answer, "cross-origin-resource-policy"), "same-origin", "{path}");
        let policy = field(&answer, "content-security-policy");
        let is_framed = matches!(path.as_str(), "/" | "/watch/none" | "/publish/none" | "/publish" | "/share")
            || path.starts_with("/assets/");
        let frames = if is_framed { "frame-ancestors 'self'" } else { "frame-ancestors 'none'" };
        assert!(policy.ends_with(frames) && !policy.contains("unsafe"), "{path}: {policy}");
        if pages.contains(&path) {
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
            let allowed = field(&answer, "permissions-policy");
            let is_asked = |device: &str| allowed.contains(&format!("{device}=(self)"));
            let is_refused = |device: &str| allowed.contains(&format!("{device}=()"));
            let publishes = path.starts_with("/publish");
            assert!(if publishes { is_asked("camera") } else { is_refused("camera") }, "{path}: {allowed}");
            let talks = publishes || path == "/" || path.starts_with("/watch");
            assert!(if talks { is_asked("microphone") } else { is_refused("microphone") }, "{path}: {allowed}");
        }
    }
    for name in files.iter().filter(|name| name.ends_with(".html")) {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(name)).expect("a page");
        for inline in ["<script>", "<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{name}: {inline}");
        }
    }
}

#[tokio::test]
async fn no_page_breaks_its_policy() {
    let camera = Camera::builder().start();
    let gateway = builder().config(camera.toml("front")).spawn().await;
    let browser = Browser::start().await;
    let source = "window.__violations = []; document.addEventListener('securitypolicyviolation', \
        (event) => window.__violations.push(event.violatedDirective + ' ' + event.blockedURI));";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    let violations = async || browser.eval("window.__violations.join()").await;
    for path in ["/", "/watch/front"] {
        browser.open(&gateway.url(path)).await;
        browser.wait_for(PLAYING, LIMIT).await;
        browser.wait_decoded(10, LIMIT).await;
        // Statistics are drawn, and every button there is shows what it has.
        let press = "for (const button of document.querySelectorAll('button')) button.click();";
        browser.run(press).await;
        browser.wait_decoded(10, LIMIT).await;
        assert_eq!(violations().await, "", "{path}");
    }
    for path in ["/watch/none", "/share"] {
        browser.open(&gateway.url(path)).await;
        browser.wait_for("document.body.innerText.trim().length > 0", LIMIT).await;
        assert_eq!(violations().await, "", "{path}");
    }
    let inline = "const script = document.createElement('script'); script.textContent = 'window.__inline = true'; \
        document.body.append(script);";
    browser.run(inline).await;
    browser.wait_for("window.__violations.length === 1", LIMIT).await;
    assert_eq!(browser.eval("window.__inline ?? false").await, false);
}

#[tokio::test]
async fn a_page_that_is_not_named_shows_no_frame_of_ours() {
    let camera = Camera::builder().start();
    let page = builder().spawn().await;
    let origin = page.url("");
    let closed = builder().config(camera.toml("front")).spawn().await;
    let open = builder().http(&format!("frame_ancestors = [\"{origin}\"]")).config(camera.toml("front")).spawn().await;
    let browser = Browser::start().await;
    browser.open(&page.url("/healthz")).await;
    let frame = |gateway: &Gateway| {
        let url = gateway.url("/watch/front");
        format!("const frame = document.createElement('iframe'); frame.src = '{url}'; document.body.append(frame);")
    };
    browser.run(&frame(&closed)).await;
    let refused = async || browser.console().await.into_iter().find(|line| line.contains("frame-ancestors"));
    until("a refusal in the console", LIMIT, refused).await;
    assert_eq!(closed.sessions().await.len(), 0);
    browser.run(&frame(&open)).await;
    open.wait_sessions(1, LIMIT).await;
}

/// A page of the internet, in a browser in the private network, asks us; and one whose name has been pointed at us.
#[tokio::test]
async fn without_users_a_strangers_page_has_no_way_in() {
    let camera = Camera::builder().start();
    let page = builder().spawn().await;
    let gateway = builder().config(camera.toml("front")).spawn().await;
    let name = "strange.example.org";
    let browser = Browser::builder().flag(&format!("--host-resolver-rules=MAP {name} 127.0.0.1")).start().await;
    let port = |gateway: &Gateway| gateway.http_address().rsplit(':').next().expect("a port").to_owned();

    browser.open(&format!("http://{name}:{}/healthz", port(&page))).await;
    let own = format!("fetch('{}', {{ method: 'OPTIONS' }}).then(() => 'told')", gateway.url("/whep/front"));
    assert!(browser.try_eval(&own).await.is_ok(), "it learns why");
    for path in ["/api/v1/cameras", "/api/v1/sessions", "/whep/front"] {
        let ask = format!("fetch('{}').then((answer) => answer.status)", gateway.url(path));
        assert_eq!(browser.eval(&ask).await, 403, "{path}");
    }
    let post = format!(
        "fetch('{}', {{ method: 'POST', headers: {{ 'Content-Type': 'application/sdp' }}, body: 'v=0' }})\
         .then((answer) => answer.json()).then((problem) => problem.detail)",
        gateway.url("/whep/front")
    );
    assert!(browser.eval(&post).await.as_str().is_some_and(|why| why.contains("[http] cors_origins")));
    let socket = format!(
        "return await new Promise((done) => {{ const socket = new WebSocket('{}/api/ws?src=front'); \
         socket.onopen = () => done('open'); socket.onerror = () => done('refused'); }});",
        gateway.url("").replace("http://", "ws://")
    );
    assert_eq!(browser.run(&socket).await, "refused");

    browser.open(&format!("http://{name}:{}/", port(&gateway))).await;
    let text = browser.text().await;
    assert!(text.contains("[http] hosts") && text.contains(name), "{text}");
    let rebound = "fetch('/api/v1/cameras').then((answer) => answer.status)";
    assert_eq!(browser.eval(rebound).await, 421);
    assert_eq!(gateway.sessions().await.len(), 0);
}

#[tokio::test]
async fn what_the_configuration_names_is_no_stranger() {
    let http = format!("hosts = [\"cam.example.net\"]\ncors_origins = [\"{STRANGE}\"]");
    let camera = Camera::builder().start();
    let gateway = builder().http(&http).config(camera.toml("front")).spawn().await;
    let status = async |host: Option<&str>, origin: Option<&str>| {
        let request = gateway.http().get(gateway.url("/api/v1/cameras"));
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(Some("cam.example.net:8080"), Some(STRANGE)).await, 200);
    assert_eq!(status(Some("nas.local"), Some("http://homeassistant.local:8123")).await, 200);
    assert_eq!(status(Some("other.example.net"), None).await, 421);
    assert_eq!(status(None, Some("https://other.example.org")).await, 403);
    let url = gateway.url("/api/ws?src=front").replace("http://", "ws://");
    let connect = async |origin: &str| {
        let mut request = url.as_str().into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a value"));
        connect_async(request).await
    };
    assert!(connect("https://other.example.org").await.is_err());
    let (mut socket, _) = connect(STRANGE).await.expect("a socket");
    socket.send(Message::text("{}")).await.expect("it is open");
    assert!(socket.next().await.is_some_and(|message| message.is_ok()));
}
