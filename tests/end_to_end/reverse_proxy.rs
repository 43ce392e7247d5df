//! Behind nginx, configured as docs/reverse-proxy.md says: below a path, with the visitors' own addresses.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    auth_page::{PLAYING, cookies, log_in},
    support::{
        browser::Browser,
        camera::Camera,
        gateway::{Builder, Gateway},
        network::{GATEWAY, Network, TURN, VIEWER},
        nginx::{Nginx, documented},
        viewer::{Kind, Viewer},
    },
};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]";

fn builder() -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
}

/// The documented locations, for this gateway.
fn locations(gateway: &Gateway) -> String {
    documented("nginx").replace("127.0.0.1:8080", gateway.http_address())
}

#[tokio::test]
async fn everything_works_below_a_path() {
    let camera = Camera::builder().start();
    let config = format!("{}\n{}", camera.toml("front"), user("anna", "").await);
    let gateway = builder().http(TRUSTED).config(config).spawn().await;
    let nginx = Nginx::start(&locations(&gateway)).await;
    let browser = Browser::start().await;

    browser.open(&nginx.url("/cams/watch/front?controls=0")).await;
    browser.wait_for("location.pathname === '/cams/login'", LIMIT).await;
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    let address = browser.eval("location.pathname + location.search").await;
    assert_eq!(address, "/cams/watch/front?controls=0", "where they wanted to go");
    browser.wait_decoded(10, LIMIT).await;
    let (kept, header) = cookies(&browser).await;
    assert_eq!((kept.len(), &kept[0]["path"]), (1, &json!("/cams")), "other sites of the host do not see it");
    let at_root = gateway.http().get(nginx.url("/cams/api/v1/user")).header("cookie", &header).send().await;
    assert_eq!(at_root.expect("an answer").status(), StatusCode::OK);

    // The page of all cameras hears of them by the event stream.
    browser.open(&nginx.url("/cams/")).await;
    browser.wait_for("document.querySelector('#summary').textContent === '1 camera, 1 live'", LIMIT).await;
    let links = "[...document.querySelectorAll('a[href^=\"/\"]')].map((link) => link.getAttribute('href')).join()";
    assert_eq!(browser.eval(links).await, "/cams/publish/front,/cams/watch/front");
    let socket = "return await new Promise((done) => { \
        const socket = new WebSocket(location.href.replace('http', 'ws') + 'api/ws?src=front'); \
        socket.onopen = () => done('open'); socket.onerror = () => done('refused'); });";
    assert_eq!(browser.run(socket).await, "open");

    browser.wait_for("document.querySelector('#user').textContent.includes('anna')", LIMIT).await;
    browser.click("#user button").await;
    browser.wait_for("location.pathname === '/cams/login'", LIMIT).await;
    assert_eq!(cookies(&browser).await.0.len(), 0);
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|line| line.contains("401")), "{errors:?}");
}

#[tokio::test]
async fn a_path_that_the_proxy_passes_on_is_taken_off() {
    let camera = Camera::builder().start();
    let http = format!("{TRUSTED}\nbase_path = \"/cams\"");
    let gateway = builder().http(&http).config(camera.toml("front")).spawn().await;
    let locations = locations(&gateway).replace("/;\n", ";\n").replace("X-Forwarded-Prefix /cams", "X-Unused x");
    let nginx = Nginx::start(&locations).await;
    let viewer = Viewer::join(&nginx.url("/cams/whep/front")).await;
    viewer.wait_packets(Kind::Video, 50, LIMIT).await;
    assert_eq!(viewer.close().await, 200);
    for (path, status) in
        [("/cams/", 200), ("/cams", 200), ("/healthz", 200), ("/cams/healthz", 200), ("/whep/front", 404)]
    {
        assert_eq!(gateway.get(path).await.expect("an answer").status().as_u16(), status, "{path}");
    }
    let root = gateway.get("/").await.expect("an answer");
    assert_eq!((root.url().path(), root.status().as_u16()), ("/cams/", 200), "a person who asks the gateway itself");
}

/// What a proxy with TLS says of a request counts for the login page too, if it is trusted.
#[tokio::test]
async fn a_login_is_judged_by_what_the_browser_sees() {
    let log_in = async |http: &str, origin: &str| {
        let gateway = builder().http(http).config(user("anna", "").await).spawn().await;
        let fields = [
            ("origin", origin),
            ("content-type", "application/json"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "cam.example.org"),
            ("x-forwarded-prefix", "/cams"),
        ];
        let request = gateway.http().post(gateway.url("/login"));
        let request = fields.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let body = json!({ "name": "anna", "password": PASSWORD }).to_string();
        let answer = request.body(body).send().await.expect("an answer");
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().expect("a text").to_owned());
        (answer.status(), cookie, gateway.log())
    };
    let (status, cookie, log) = log_in(TRUSTED, "https://cam.example.org").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let cookie = cookie.expect("a cookie");
    assert!(
        cookie.contains("Path=/cams;") && cookie.contains("Secure") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(log.contains("user anna logged in from 203.0.113.7"), "{log}");
    for (http, origin) in
        [(TRUSTED, "http://cam.example.org"), (TRUSTED, "https://example.org"), ("", "https://cam.example.org")]
    {
        let (status, cookie, _) = log_in(http, origin).await;
        assert_eq!((status, cookie), (StatusCode::FORBIDDEN, None), "{http} {origin}");
    }
}

/// Without users it matters whether a request is of somebody near: a proxy in the private network may have anybody behind it.
#[test]
fn who_is_behind_a_proxy_counts_and_not_the_proxy() {
    let network = Network::new();
    let camera = "[[camera]]\nname = \"front\"\nurl = \"rtsp://192.0.2.1/\"\n";
    let gateway = |http: &str, config: &str| {
        let builder = builder().on(&network, "gateway").http(http).config(camera).config(config);
        network.inside("gateway", builder.http_listen("127.0.0.1:8080").spawn())
    };
    let _nginx = network.inside("gateway", Nginx::at("0.0.0.0:80", &documented("nginx")));
    let get = |host: &str, password: Option<&str>| {
        network.inside(host, async {
            let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
            let request = http.get(format!("http://{GATEWAY}/cams/whep/front")).header("x-forwarded-for", "127.0.0.1");
            let request = if password.is_some() { request.basic_auth("anna", password) } else { request };
            let answer = request.send().await.expect("an answer");
            (answer.status(), answer.text().await.expect("a text"))
        })
    };

    let unknown = gateway("", "");
    for host in ["viewer", "turn"] {
        let (status, text) = get(host, None);
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
        assert!(text.contains("trusted_proxies") && text.contains("127.0.0.1"), "{host}: {text}");
    }
    assert!(unknown.find_log("127.0.0.1 passes requests on for others").is_some());
    drop(unknown);

    let known = gateway(TRUSTED, "");
    assert_eq!(get("viewer", None).0, StatusCode::OK, "near");
    let (status, text) = get("turn", None);
    assert!(status == StatusCode::FORBIDDEN && text.contains("private networks only"), "far: {status} {text}");
    drop(known);

    let with_users = gateway(TRUSTED, &network.inside("gateway", user("anna", "")));
    let answers: Vec<_> = (0..30).map(|number| get("turn", Some(&format!("guess {number}"))).0).collect();
    assert_eq!(answers[..6], [StatusCode::UNAUTHORIZED; 6]);
    assert!(answers.contains(&StatusCode::TOO_MANY_REQUESTS), "{answers:?}");
    assert_eq!(get("viewer", Some(PASSWORD)).0, StatusCode::OK, "who guesses locks out nobody else behind the proxy");
    assert!(with_users.find_log(&format!("login failed from {TURN}: ")).is_some());
    assert_eq!(get("viewer", Some("wrong")).0, StatusCode::UNAUTHORIZED);
    network.inside("gateway", with_users.wait_log(&format!("login failed from {VIEWER}: "), Duration::from_secs(5)));
}
