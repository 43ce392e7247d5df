//! Ways from the viewer to the gateway that are not a plain LAN.

use crate::{
    LIMIT, gateway,
    support::{
        camera::Camera,
        viewer::{Kind, Viewer},
    },
};

#[tokio::test]
async fn a_viewer_without_udp_watches_over_tcp() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).tcp(true).join().await;
    assert!(viewer.answer().contains(" typ host tcptype passive"), "{}", viewer.answer());
    viewer.wait_packets(Kind::Video, 100, LIMIT).await;
    viewer.wait_keyframes(2, LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
    let session = &gateway.sessions().await[0];
    assert_eq!((session["transport"].as_str(), session["state"].as_str()), (Some("tcp"), Some("connected")));
    let metrics = gateway.get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("camgate_tcp_connections 1"), "{metrics}");
    assert!(metrics.contains("camgate_unsent_frames_total 0"), "{metrics}");
    assert_eq!(viewer.close().await, 200);
    gateway.wait_sessions(0, LIMIT).await;
}

#[tokio::test]
async fn a_viewer_on_tcp_that_vanishes_is_forgotten() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).tcp(true).join().await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    viewer.hang_up().await;
    gateway.wait_sessions(0, LIMIT).await;
    gateway.wait_log("the viewer left", LIMIT).await;
}
