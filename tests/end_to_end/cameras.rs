//! How cameras are kept alive: on demand, through restarts, with passwords, over UDP.

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{
        camera::{Camera, Profile, Scheme, Transports},
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

#[tokio::test]
async fn an_on_demand_camera_is_connected_while_somebody_watches() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "linger_seconds = 1").await;
    assert_eq!((camera.connections_total(), gateway.camera("front").await["state"].clone()), (0, "idle".into()));
    let first = Viewer::join(gateway.whep("front")).await;
    first.wait_packets(Kind::Video, 20, LIMIT).await;
    assert_eq!(camera.connections(), 1);
    first.close().await;
    // Somebody who comes back in time finds the camera still there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = Viewer::join(gateway.whep("front")).await;
    second.wait_packets(Kind::Video, 20, LIMIT).await;
    assert_eq!(camera.connections_total(), 1);
    second.close().await;
    camera.wait_connections(0, LIMIT).await;
    gateway.wait_camera("front", "idle", LIMIT).await;
    assert_eq!(camera.teardowns_total(), 1, "left politely");
}

#[tokio::test]
async fn viewers_stay_connected_while_the_camera_restarts() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    camera.stop();
    let away = gateway.wait_camera("front", "backing_off", LIMIT).await;
    assert!(away["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{away}");
    let keyframes = viewer.video().keyframes().len();
    camera.start_again();
    gateway.wait_camera("front", "live", LIMIT).await;
    viewer.wait_keyframes(keyframes + 1, LIMIT).await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered()), (0, 0), "one sequence over both lives of the camera");
    let stamps = log.timestamps();
    assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < 90_000 * 60), "and one timeline");
    assert_eq!(gateway.sessions().await.len(), 1);
    assert!(gateway.camera("front").await["reconnects"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn a_camera_that_hangs_up_or_goes_silent_is_connected_again() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    camera.hang_up();
    gateway.wait_log("live again", LIMIT).await;
    camera.stall();
    gateway.wait_log("media-stopped", Duration::from_secs(40)).await;
    camera.resume();
    gateway.wait_camera("front", "live", Duration::from_secs(40)).await;
    assert!(camera.plays_total() >= 3);
}

#[tokio::test]
async fn every_kind_of_authentication_works() {
    for scheme in [Scheme::Basic, Scheme::DigestMd5, Scheme::DigestSha256] {
        let camera = Camera::builder().user("viewer", "open sesame", scheme).start();
        let gateway = gateway(&camera, "").await;
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Video, 20, LIMIT).await;
        assert!(!gateway.log().contains("sesame"));
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_tried_again_soon() {
    let camera = Camera::builder().user("viewer", "open sesame", Scheme::DigestMd5).start();
    let entry = camera.toml("front").replace("open sesame", "open barley");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).spawn().await;
    let refusal = Viewer::builder(gateway.whep("front")).try_join().await.err().expect("a refusal");
    assert_eq!(refusal.status, 409, "{refusal:?}");
    assert!(refusal.body.contains("password"), "{}", refusal.body);
    let retry_after: u64 = refusal.retry_after.expect("when to come back").parse().unwrap();
    assert!(retry_after >= 30, "cameras lock accounts: {retry_after} s");
    let attempts = camera.describes_total();
    let again = Viewer::builder(gateway.whep("front")).try_join().await.err().expect("a refusal");
    assert_eq!(again.status, 409);
    assert_eq!(camera.describes_total(), attempts, "another viewer does not make it try again");
    let said = gateway.log() + &refusal.body + &again.body + &gateway.camera("front").await.to_string();
    assert!(!said.contains("barley"), "the password stays secret");
}

#[tokio::test]
async fn udp_works_and_its_refusal_is_explained() {
    let camera = Camera::builder().transports(Transports::Udp).start();
    let udp = gateway(&camera, "").await;
    Viewer::join(udp.whep("front")).await.wait_packets(Kind::Video, 60, LIMIT).await;
    let entry = camera.toml("front").replace("\"udp\"", "\"tcp\"");
    let tcp = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).spawn().await;
    let refusal = Viewer::builder(tcp.whep("front")).try_join().await.err().expect("a refusal");
    assert!(refusal.body.contains("udp"), "it says what to change: {}", refusal.body);
}

#[tokio::test]
async fn the_answer_names_the_profile_of_the_stream() {
    for (profile, id) in [(Profile::Main, "4d001f"), (Profile::Baseline, "42e01f")] {
        let camera = Camera::builder().profile(profile).start();
        let gateway = gateway(&camera, "").await;
        let viewer = Viewer::builder(gateway.whep("front")).h264_profiles(&["42001f", "42e01f", "4d001f"]).join().await;
        assert!(viewer.answer().contains(&format!("profile-level-id={id}")), "{profile:?}: {}", viewer.answer());
        assert_eq!(viewer.answer().matches("H264/90000").count(), 1, "exactly one");
        viewer.wait_packets(Kind::Video, 20, LIMIT).await;
    }
}

#[tokio::test]
async fn one_broken_camera_does_not_disturb_the_others() {
    let good = Camera::builder().start();
    let mut bad = Camera::builder().start();
    let config = format!("{}\n{}", good.toml("good"), bad.toml("bad"));
    bad.stop();
    let gateway =
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).http("start_deadline_seconds = 1").spawn().await;
    let viewer = Viewer::join(gateway.whep("good")).await;
    assert!(Viewer::builder(gateway.whep("bad")).try_join().await.is_err());
    viewer.wait_packets(Kind::Video, 60, LIMIT).await;
    let names: Vec<_> = gateway.cameras().await.iter().map(|camera| camera["name"].clone()).collect();
    assert_eq!(names, ["good", "bad"], "in the order of the configuration");
}
