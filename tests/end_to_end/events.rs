//! The news of all cameras, as pages hear them.

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{browser::Browser, camera::Camera, events::Events, viewer::Viewer},
};

#[tokio::test]
async fn every_change_of_a_camera_is_told_once() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let mut events = Events::open(&gateway.url("/api/v1/events")).await;
    let (name, news) = events.next(LIMIT).await;
    assert_eq!((name.as_str(), &news["cameras"][0]["state"]), ("cameras", &"idle".into()));
    let viewer = Viewer::join(gateway.whep("front")).await;
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "live") {
        let (name, news) = events.next(LIMIT).await;
        assert_eq!(name, "camera");
        states.push(news["camera"]["state"].as_str().unwrap().to_owned());
    }
    viewer.wait_connected(LIMIT).await;
    camera.stop();
    loop {
        let (_, news) = events.next(LIMIT).await;
        if news["camera"]["state"] == "backing_off" {
            assert!(news["camera"]["reason"].is_string(), "{news}");
            break;
        }
    }
}

#[tokio::test]
async fn listeners_do_not_hold_up_the_end_and_are_bounded() {
    let camera = Camera::builder().start();
    let mut gateway = gateway(&camera, "").await;
    let url = gateway.url("/api/v1/events");
    let mut events = Vec::new();
    for _ in 0..256 {
        events.push(Events::open(&url).await);
    }
    let one_more = gateway.get("/api/v1/events").await.unwrap();
    assert_eq!(one_more.status(), 503);
    assert!(one_more.headers().contains_key("retry-after"));
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_event_streams 256"), "{metrics}");
    assert!(metrics.contains("camgate_refused_event_streams_total 1"), "{metrics}");
    drop(events.split_off(200));
    let free = || async { gateway.get("/api/v1/events").await.unwrap().status().as_u16() };
    crate::support::wait::until_value("places are free again", LIMIT, free, |status| *status == 200).await;
    gateway.signal("TERM");
    assert_eq!(gateway.wait_exit(LIMIT).await.code(), Some(0));
    assert!(gateway.find_log("everything closed").is_some(), "within its grace period");
    for mut events in events {
        events.wait_end(LIMIT).await;
    }
}

#[tokio::test]
async fn a_tile_sleeps_and_wakes_without_asking() {
    let mut camera = Camera::builder().start();
    camera.stop();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "backing_off", LIMIT).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/")).await;
    browser.wait_for("document.querySelector('[data-camera=front][data-state=offline]')", LIMIT).await;
    camera.start_again();
    browser
        .wait_for("document.querySelector('[data-camera=front][data-state=playing]')", Duration::from_secs(40))
        .await;
    let asked =
        "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/api/v1/cameras')).length";
    assert_eq!(browser.eval(asked).await, 0);
}
