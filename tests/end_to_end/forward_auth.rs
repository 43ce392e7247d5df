//! Users whom a service outside knows, which is asked as Traefik and nginx ask it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{
        camera::Camera,
        gateway::Gateway,
        viewer::{Kind, Viewer},
        wait::until,
    },
};

/// What the service does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Knows anna's session and her token, and sends others to its login page.
    Well,
    /// Has thrown anna out.
    Strict,
    /// Lets everybody in and names nobody.
    Nameless,
    Broken,
    Hanging,
}

struct Service {
    url: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<HeaderMap>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Service {
    async fn start() -> Self {
        let (mood, asked, last) = (Arc::new(Mutex::new(Mood::Well)), Arc::new(AtomicUsize::new(0)), Arc::default());
        let (now, counter, seen): (_, _, Arc<Mutex<HeaderMap>>) = (mood.clone(), asked.clone(), Arc::clone(&last));
        let answer = move |headers: HeaderMap| {
            counter.fetch_add(1, Ordering::SeqCst);
            *seen.lock().unwrap() = headers.clone();
            let mood = *now.lock().unwrap();
            async move { verdict(mood, &headers).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/verify", listener.local_addr().expect("bound"));
        let router = Router::new().route("/verify", any(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, mood, asked, last, serving }
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn heard(&self, name: &str) -> String {
        let last = self.last.lock().unwrap();
        last.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn verdict(mood: Mood, headers: &HeaderMap) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let is_anna = text("cookie").contains("portal=anna") || text("authorization") == "Bearer annas";
    match mood {
        Mood::Well if is_anna => [("Remote-User", "anna"), ("Remote-Cameras", "front, attic")].into_response(),
        Mood::Well => (StatusCode::FOUND, [("Location", "http://login.example.org/?rd=here")]).into_response(),
        Mood::Strict => StatusCode::FORBIDDEN.into_response(),
        Mood::Nameless => StatusCode::OK.into_response(),
        Mood::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Hanging => std::future::pending().await,
    }
}

async fn gateway(camera: &Camera, service: &Service, keys: &str, rest: &str) -> Gateway {
    let table =
        format!("[http.forward_auth]\nurl = \"{}\"\ncameras_header = \"Remote-Cameras\"\n{keys}\n", service.url);
    let config = format!("{table}{}\n{}\n{rest}", camera.toml("front"), camera.toml("back"));
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await
}

async fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    let request = gateway.http().get(gateway.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer").status().as_u16()
}

const ANNA: (&str, &str) = ("cookie", "theme=dark; portal=anna");

#[tokio::test]
async fn whom_the_service_lets_in_sees_what_it_says() {
    let camera = Camera::builder().start();
    let service = Service::start().await;
    let gateway = gateway(&camera, &service, "", "").await;
    for (path, expected) in
        [("/", 200), ("/whep/front", 200), ("/whep/back", 404), ("/api/v1/sessions", 403), ("/metrics", 403)]
    {
        assert_eq!(status(&gateway, path, &[ANNA]).await, expected, "{path}");
    }
    assert_eq!(status(&gateway, "/whep/front?a=b", &[ANNA, ("remote-user", "root")]).await, 200);
    assert_eq!(service.heard("x-forwarded-uri"), "/whep/front?a=b");
    assert_eq!(service.heard("x-forwarded-method"), "GET");
    assert_eq!(service.heard("x-forwarded-proto"), "http");
    assert_eq!(service.heard("x-forwarded-for"), "127.0.0.1");
    assert_eq!(service.heard("x-forwarded-host"), gateway.http_address());
    assert_eq!(service.heard("cookie"), ANNA.1);
    assert_eq!(service.heard("remote-user"), "", "what a visitor says of themselves is not passed on");
    let told = gateway.http().get(gateway.url("/api/v1/user")).header(ANNA.0, ANNA.1).send().await.expect("an answer");
    let told: Value = serde_json::from_str(&told.text().await.expect("a body")).expect("JSON");
    assert_eq!(told, json!({ "name": "forward:anna", "by_cookie": false, "actions": ["watch"] }));
    assert_eq!(status(&gateway, "/whep/front", &[("authorization", "Bearer annas")]).await, 200);
    assert_eq!(status(&gateway, "/whep/front", &[("authorization", "Bearer berts")]).await, 401);
    assert_eq!(status(&gateway, "/whep/front", &[]).await, 401);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = client.get(gateway.url("/watch/front")).header("accept", "text/html").send().await.expect("an answer");
    assert_eq!(page.status(), 303);
    assert_eq!(page.headers()["location"], "http://login.example.org/?rd=here");
    // Her browser sends the cookie with whatever another's page asks for.
    let post = async |origin: &str| {
        let request = gateway.http().post(gateway.whep("front")).header(ANNA.0, ANNA.1).header("origin", origin);
        request.body("v=0").send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((post("http://example.org").await, post(&gateway.url("")).await), (403, 415));
}

#[tokio::test]
async fn a_service_that_fails_lets_nobody_in_and_keeps_nobody_waiting() {
    let camera = Camera::builder().start();
    let service = Service::start().await;
    let gateway = gateway(&camera, &service, "timeout_seconds = 3\ncache_seconds = 0", &user("bert", "").await).await;
    for (mood, expected, word) in [
        (Mood::Strict, 401, ""),
        (Mood::Broken, 503, "it answers 500"),
        (Mood::Nameless, 503, "does not say whom: remote-user"),
        (Mood::Hanging, 503, "it does not answer within 3s"),
    ] {
        service.be(mood);
        let before = service.asked();
        let anna = status(&gateway, "/whep/front", &[ANNA]);
        let bert = async {
            until("the service is asked", LIMIT, || async { (service.asked() > before).then_some(()) }).await;
            let request = gateway.http().get(gateway.whep("front")).basic_auth("bert", Some(PASSWORD));
            request.send().await.expect("an answer").status().as_u16()
        };
        let (anna, bert) = tokio::join!(anna, bert);
        assert_eq!((anna, bert), (expected, 200), "{word}");
        // One line a second.
        if mood == Mood::Hanging {
            gateway.wait_log(word, LIMIT).await;
        }
    }
    service.be(Mood::Well);
    assert_eq!(status(&gateway, "/whep/front", &[ANNA]).await, 200);
}

#[tokio::test]
async fn strangers_make_the_service_little_work() {
    let camera = Camera::builder().start();
    let service = Service::start().await;
    let gateway = gateway(&camera, &service, "cache_seconds = 300", "").await;
    for _ in 0..100 {
        assert_eq!(status(&gateway, "/whep/front", &[]).await, 401);
        assert_eq!(status(&gateway, "/whep/front", &[ANNA]).await, 200);
        assert_eq!(status(&gateway, "/healthz", &[]).await, 200);
    }
    assert_eq!(service.asked(), 2);
    assert_eq!(status(&gateway, "/whep/front", &[("cookie", "portal=bert")]).await, 401, "another's verdict");
    assert_eq!(service.asked(), 3);
}

#[tokio::test]
async fn what_plays_ends_when_the_service_says_so() {
    let camera = Camera::builder().start();
    let service = Service::start().await;
    let gateway = gateway(&camera, &service, "cache_seconds = 1", "").await;
    let viewer = Viewer::builder(gateway.whep("front")).bearer("annas").join().await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    service.be(Mood::Broken);
    let asked = service.asked();
    until("the service is asked again", LIMIT, || async { (service.asked() > asked).then_some(()) }).await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    service.be(Mood::Strict);
    viewer.wait_gone(LIMIT * 2).await;
}
