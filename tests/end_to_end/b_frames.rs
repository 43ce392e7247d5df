//! A camera that sends pictures in another order than they are shown in.

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Camera, Profile},
        viewer::{Kind, Viewer},
    },
};

#[tokio::test]
async fn b_frames_are_told_in_words() {
    let camera = Camera::builder().profile(Profile::Main).b_frames(2).start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    let words = "document.querySelector('.words')";
    browser
        .wait_for(&format!("!{words}.hidden && {words}.textContent.includes('The camera sends B-frames')"), LIMIT)
        .await;
    let text = browser.text().await;
    assert!(text.contains("to Baseline, or switch B-frames off."), "{text}");
    let spoken = browser.eval("document.querySelector('[role=status]').textContent").await;
    assert!(spoken.as_str().is_some_and(|words| words.contains("sends B-frames")), "{spoken}");
    let seen = gateway.camera("front").await;
    assert_eq!(seen["video"]["b_frames"], true);
    assert!(seen["video_note"].as_str().is_some_and(|note| note.contains("switch B-frames off")), "{seen}");
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_camera_bframes{camera=\"front\"} 1"), "{metrics}");
    assert_eq!(gateway.log().matches("the camera sends B-frames").count(), 1, "{}", gateway.log());
}

#[tokio::test]
async fn a_camera_without_b_frames_is_not_accused() {
    let camera = Camera::builder().profile(Profile::High).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 60, LIMIT).await;
    let seen = gateway.camera("front").await;
    assert_eq!((&seen["video"]["b_frames"], &seen["video_note"]), (&false.into(), &serde_json::Value::Null));
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_camera_bframes{camera=\"front\"} 0"), "{metrics}");
    assert!(!gateway.log().contains("B-frames"));
}
