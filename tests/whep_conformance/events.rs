//! The extension for server-sent events, requirement by requirement; "ext" counts as its section.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{
    LIMIT, Scene, header,
    support::{
        camera::{Audio, Camera},
        events::Events,
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

const RELATION: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

/// The extension's address, from the session's `Link`.
fn extension(scene: &Scene, viewer: &Viewer) -> String {
    let links = viewer.headers("link");
    let link = links.iter().find(|link| link.contains(RELATION)).unwrap_or_else(|| panic!("{links:?}"));
    scene.gateway.url(link.trim_start_matches('<').split_once('>').unwrap().0)
}

async fn ask(scene: &Scene, url: &str, wanted: &Value) -> Response {
    let request = scene.gateway.http().post(url).header("content-type", "application/json");
    request.body(wanted.to_string()).send().await.unwrap()
}

/// A stream of `wanted`, listened to.
async fn listen(scene: &Scene, viewer: &Viewer, wanted: Value) -> (String, Events) {
    let response = ask(scene, &extension(scene, viewer), &wanted).await;
    assert_eq!(response.status(), 201);
    let stream = scene.gateway.url(header(&response, "location"));
    (stream.clone(), Events::open(&stream).await)
}

/// 4.10 MUST: the 201 has one `Link` for each extension, with its URN and address.
#[tokio::test]
async fn the_201_links_the_extension() {
    let (scene, viewer) = Scene::watched().await;
    let links = viewer.headers("link");
    let link: Vec<_> = links.iter().filter(|link| link.contains(RELATION)).collect();
    assert_eq!(link.len(), 1, "{links:?}");
    assert!(link[0].contains("; events=\"active,inactive,reconnect,viewercount\""), "{link:?}");
    assert!(extension(&scene, &viewer).starts_with(viewer.resource()));
}

/// ext MAY: a POST of a JSON list of events makes a stream: 201 with its `Location`, which is an event stream.
#[tokio::test]
async fn a_post_makes_an_event_stream() {
    let (scene, viewer) = Scene::watched().await;
    let (_, mut events) = listen(&scene, &viewer, json!(["active", "viewercount"])).await;
    assert_eq!(events.content_type(), "text/event-stream");
    assert_eq!(events.next(LIMIT).await, ("active".to_owned(), json!({})));
    assert_eq!(events.next(LIMIT).await, ("viewercount".to_owned(), json!({ "viewercount": 1 })));
    let everything = scene.gateway.http().post(extension(&scene, &viewer)).send().await.unwrap();
    assert_eq!(everything.status(), 201, "without a list");
}

/// ext MUST: a list with an event that is not supported is 400, and no stream is made.
#[tokio::test]
async fn an_unknown_event_is_400() {
    let (scene, viewer) = Scene::watched().await;
    let url = extension(&scene, &viewer);
    for wanted in [json!(["active", "scte35"]), json!(["layers"]), json!({ "events": [] }), json!([1])] {
        let response = ask(&scene, &url, &wanted).await;
        assert_eq!(response.status(), 400, "{wanted}");
        assert!(response.headers().get("location").is_none());
    }
}

/// ext MUST: `inactive` and `active` tell that the camera is away and back; a viewer sleeps and wakes by them.
#[tokio::test]
async fn a_camera_that_goes_and_comes_is_told() {
    let (mut scene, viewer) = Scene::watched().await;
    let (_, mut events) = listen(&scene, &viewer, json!(["active", "inactive"])).await;
    assert_eq!(events.next(LIMIT).await.0, "active");
    scene.camera.stop();
    assert_eq!(events.next(LIMIT).await, ("inactive".to_owned(), json!({})));
    scene.camera.start_again();
    assert_eq!(events.next(LIMIT).await, ("active".to_owned(), json!({})));
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
}

/// ext MUST: only events that were asked for are sent.
#[tokio::test]
async fn only_wanted_events_are_sent() {
    let (mut scene, viewer) = Scene::watched().await;
    let (_, mut events) = listen(&scene, &viewer, json!(["inactive"])).await;
    let other = Viewer::join(scene.gateway.whep("front")).await;
    other.wait_connected(LIMIT).await;
    scene.camera.stop();
    assert_eq!(events.next(LIMIT).await.0, "inactive");
}

/// ext MUST NOT: there is no initial `inactive`.
#[tokio::test]
async fn there_is_no_initial_inactive() {
    let (mut scene, viewer) = Scene::watched().await;
    scene.camera.stop();
    scene.gateway.wait_camera("front", "backing_off", LIMIT).await;
    let (_, mut events) = listen(&scene, &viewer, json!(["active", "inactive"])).await;
    scene.camera.start_again();
    assert_eq!(events.next(LIMIT).await.0, "active");
}

/// ext: `viewercount` follows the viewers.
#[tokio::test]
async fn viewers_are_counted() {
    let (scene, viewer) = Scene::watched().await;
    let (_, mut events) = listen(&scene, &viewer, json!(["viewercount"])).await;
    assert_eq!(events.next(LIMIT).await.1, json!({ "viewercount": 1 }));
    let other = Viewer::join(scene.gateway.whep("front")).await;
    assert_eq!(events.next(LIMIT).await.1, json!({ "viewercount": 2 }));
    other.close().await;
    assert_eq!(events.next(LIMIT).await.1, json!({ "viewercount": 1 }));
}

/// ext: a viewer whose session cannot go on, because the camera's sound is now of another codec, is told to `reconnect`.
#[tokio::test]
async fn a_viewer_that_must_start_over_is_told() {
    let mut camera = Camera::builder().audio(Audio::Pcmu).start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera.toml("front")).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Audio, 20, LIMIT).await;
    let port = camera.port();
    let scene = Scene { camera: Camera::builder().start(), gateway };
    let (_, mut events) = listen(&scene, &viewer, json!(["reconnect"])).await;
    camera.stop();
    scene.gateway.wait_camera("front", "backing_off", LIMIT).await;
    let _other = Camera::builder().audio(Audio::Opus).port(port).start();
    assert_eq!(events.next(LIMIT * 2).await, ("reconnect".to_owned(), json!({})));
    events.wait_end(LIMIT).await;
    Viewer::join(scene.gateway.whep("front")).await.wait_packets(Kind::Audio, 20, LIMIT).await;
}

/// ext MUST: after a DELETE of the stream it is over, and a GET of it is 404.
#[tokio::test]
async fn a_deleted_stream_is_404() {
    let (scene, viewer) = Scene::watched().await;
    let (stream, mut events) = listen(&scene, &viewer, json!(["active"])).await;
    let http = scene.gateway.http();
    assert_eq!(http.delete(&stream).send().await.unwrap().status(), 200);
    events.wait_end(LIMIT).await;
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(http.request(method, &stream).send().await.unwrap().status(), 404);
    }
}

/// ext MUST: with its session a stream ends.
#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let (scene, viewer) = Scene::watched().await;
    let (stream, mut events) = listen(&scene, &viewer, json!(["active"])).await;
    let extension = extension(&scene, &viewer);
    assert_eq!(viewer.close().await, 200);
    events.wait_end(LIMIT).await;
    assert_eq!(scene.gateway.http().get(&stream).send().await.unwrap().status(), 404);
    assert_eq!(ask(&scene, &extension, &json!(["active"])).await.status(), 404);
}

/// ext: players that open the extension's address itself as an `EventSource` get all events.
#[tokio::test]
async fn the_extension_itself_can_be_listened_to() {
    let (scene, viewer) = Scene::watched().await;
    let mut events = Events::open(&extension(&scene, &viewer)).await;
    assert_eq!(events.next(LIMIT).await.0, "active");
    assert_eq!(events.next(LIMIT).await.0, "viewercount");
}

/// 5 SHOULD: the streams of one session are bounded.
#[tokio::test]
async fn the_streams_of_a_session_are_bounded() {
    let (scene, viewer) = Scene::watched().await;
    let url = extension(&scene, &viewer);
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(ask(&scene, &url, &json!(["active"])).await.status().as_u16());
    }
    assert_eq!((statuses[0], statuses[9]), (201, 503), "{statuses:?}");
}
