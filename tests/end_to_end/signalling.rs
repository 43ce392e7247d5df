//! The WebSocket that go2rtc's player and Home Assistant speak to: real Chromium, and a client that gets things wrong.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    LIMIT, gateway,
    support::{browser::Browser, camera::Camera, gateway::Gateway, viewer::Viewer, wait::until},
};

/// What go2rtc's player does: candidates leave as they are found, the socket is closed when there is a picture.
const PLAYER: &str = r"(url) => {
    const connection = window.__connection = new RTCPeerConnection();
    const socket = window.__socket = new WebSocket(url);
    window.__answer = null;
    const send = (type, value) => socket.send(JSON.stringify({ type, value }));
    connection.onicecandidate = ({ candidate }) => send('webrtc/candidate', candidate?.candidate ?? '');
    connection.ontrack = ({ streams }) => { document.querySelector('video').srcObject = streams[0]; };
    socket.onmessage = ({ data }) => {
        const { type, value } = JSON.parse(data);
        if (type === 'webrtc/answer') {
            window.__answer = value;
            connection.setRemoteDescription({ type: 'answer', sdp: value });
        }
    };
    socket.onopen = async () => {
        connection.addTransceiver('video', { direction: 'recvonly' });
        connection.addTransceiver('audio', { direction: 'recvonly' });
        const offer = await connection.createOffer();
        await connection.setLocalDescription(offer);
        send('webrtc/offer', offer.sdp);
    };
    document.body.innerHTML = '<video autoplay muted playsinline></video>';
    document.querySelector('video').onloadeddata = () => socket.close();
}";

struct Client(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Client {
    async fn open(gateway: &Gateway, camera: &str) -> Self {
        let url = gateway.url(&format!("/api/ws?src={camera}")).replace("http://", "ws://");
        Self(connect_async(url).await.expect("a WebSocket").0)
    }

    async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.expect("the socket is open");
    }

    /// The next message, or `None` when the gateway has closed the socket.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(LIMIT, self.0.next()).await.expect("a message") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn error(&mut self) -> String {
        let message = self.next().await.expect("an error");
        assert_eq!(message["type"], "error", "{message}");
        message["value"].as_str().expect("a text").to_owned()
    }
}

#[tokio::test]
async fn a_player_that_trickles_shows_the_picture_and_hangs_up() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/healthz")).await;
    let url = gateway.url("/api/ws?src=front").replace("http://", "ws://");
    browser.eval(&format!("({PLAYER})('{url}')")).await;
    browser.wait_for("window.__socket.readyState === WebSocket.CLOSED", LIMIT).await;
    let picture = browser.wait_counter(LIMIT).await;
    until("a picture after the socket has closed", LIMIT, || async {
        browser.picture().await.filter(|later| later.counter > picture.counter)
    })
    .await;
    assert_eq!(gateway.sessions().await[0]["state"], "connected");
    browser.eval("window.__connection.close()").await;
    gateway.wait_sessions(0, LIMIT).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let mut client = Client::open(&gateway, "front").await;
    for (request, kind) in [
        (json!({ "type": "mse", "value": "avc1.640029" }), "mse: "),
        (json!({ "type": "mjpeg" }), "mjpeg: "),
        (json!({ "type": 7 }), ": "),
        (json!("nonsense"), ": "),
    ] {
        client.send(&request).await;
        let error = client.error().await;
        assert!(error.starts_with(kind), "{request} got {error}");
    }
    client.send(&json!({ "type": "webrtc/candidate", "value": "candidate:1 1 udp 1 192.0.2.1 9 typ host" })).await;
    client.send(&json!({ "type": "webrtc/offer", "value": "v=0" })).await;
    let error = client.error().await;
    assert!(error.starts_with("webrtc/offer: The offer is not a usable SDP"), "{error}");
    assert_eq!(client.next().await, None, "a player tries again once the socket is closed");
    let mut lost = Client::open(&gateway, "rtsp%3A%2F%2Fme%3Asecret%40192.0.2.1").await;
    let offer = Viewer::join(gateway.whep("front")).await.offer().to_owned();
    lost.send(&json!({ "type": "webrtc", "value": { "type": "offer", "sdp": offer, "ice_servers": [] } })).await;
    let error = lost.error().await;
    assert!(error.starts_with("webrtc: There is no camera"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert!(!gateway.log().contains("secret"));
}

#[tokio::test]
async fn a_socket_that_goes_before_its_session_connects_takes_it_along() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let offer = Viewer::join(gateway.whep("front")).await.offer().to_owned();
    gateway.wait_sessions(0, LIMIT).await;
    let mut client = Client::open(&gateway, "front").await;
    let description = json!({ "type": "offer", "sdp": offer, "ice_servers": [] });
    client.send(&json!({ "type": "webrtc", "value": description })).await;
    let answer = client.next().await.expect("an answer");
    assert_eq!((&answer["type"], &answer["value"]["type"]), (&json!("webrtc"), &json!("answer")));
    assert!(answer["value"]["sdp"].as_str().is_some_and(|sdp| sdp.contains("a=candidate:")), "{answer}");
    client.send(&json!({ "type": "webrtc/offer", "value": offer })).await;
    assert_eq!(client.next().await.expect("another answer")["type"], "webrtc/answer");
    assert_eq!(gateway.sessions().await.len(), 1, "an offer replaces the one before");
    drop(client);
    gateway.wait_sessions(0, LIMIT).await;
}

#[tokio::test]
async fn of_many_offers_at_once_only_the_last_becomes_a_session() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let offer = Viewer::join(gateway.whep("front")).await.offer().to_owned();
    gateway.wait_sessions(0, LIMIT).await;
    let mut client = Client::open(&gateway, "front").await;
    for _ in 0..20 {
        client.send(&json!({ "type": "webrtc/offer", "value": offer })).await;
    }
    client.send(&json!({ "type": "the end" })).await;
    let mut answers = 0;
    loop {
        let message = client.next().await.expect("the socket stays open");
        match message["type"].as_str() {
            Some("webrtc/answer") => answers += 1,
            _ => break,
        }
    }
    if answers == 0 {
        assert_eq!(client.next().await.expect("the last answer")["type"], "webrtc/answer");
    }
    gateway.wait_sessions(1, LIMIT).await;
    drop(client);
    gateway.wait_sessions(0, LIMIT).await;
}

#[tokio::test]
async fn sockets_are_closed_when_the_program_ends() {
    let camera = Camera::builder().start();
    let mut gateway = gateway(&camera, "").await;
    let mut client = Client::open(&gateway, "front").await;
    client.send(&json!({ "type": "hello" })).await;
    assert!(client.error().await.starts_with("hello: "), "the socket is served");
    gateway.signal("TERM");
    let last = loop {
        match tokio::time::timeout(LIMIT, client.0.next()).await.expect("an end") {
            Some(Ok(Message::Ping(_))) => {}
            last => break last,
        }
    };
    assert!(matches!(last, Some(Ok(Message::Close(_)))), "{last:?}");
    assert_eq!(gateway.wait_exit(LIMIT).await.code(), Some(0));
}

#[tokio::test]
async fn an_ordinary_request_is_told_what_the_address_is_for() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let response = gateway.get("/api/ws?src=front").await.unwrap();
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}
