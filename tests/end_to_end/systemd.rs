//! What the gateway tells a service manager, and when it stops telling that all is well.

use std::time::Duration;

use crate::{
    LIMIT,
    support::{
        camera::Camera,
        gateway::{Builder, Gateway},
        notify::Notified,
        process::Frozen,
        viewer::{Kind, Viewer},
    },
};

/// What systemd sets for `WatchdogSec=3`.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "3000000");
/// What systemd is told while all is well.
const ALIVE: &str = "WATCHDOG=1";

fn told(ear: &Notified) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).env("NOTIFY_SOCKET", ear.path()).env(WATCHDOG.0, WATCHDOG.1)
}

#[tokio::test]
async fn systemd_is_told_what_it_is_at() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let mut gateway = told(&ear).config(camera.toml("front")).spawn().await;
    ear.wait_count("READY=1", 0, LIMIT).await;
    ear.wait_status(LIMIT, |status| status == "0 of 1 cameras live, 0 viewers").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 5, LIMIT).await;
    ear.wait_status(LIMIT, |status| status == "1 of 1 cameras live, 1 viewer").await;
    ear.wait_count(ALIVE, 2, LIMIT).await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
    let all = ear.all();
    assert_eq!(ear.count("READY=1"), 1, "{all:?}");
    assert_eq!(ear.count("STOPPING=1"), 1, "{all:?}");
}

#[tokio::test]
async fn systemd_is_told_nothing_while_something_is_stuck() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let gateway = told(&ear).config(format!("{}\nstart = \"always\"", camera.toml("front"))).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    for (thread, name) in [
        ("peer-0", "worker 0 of viewers"),
        ("peer-reader", "the reader of the WebRTC port"),
        ("tokio-rt-worker", "the runtime of cameras and HTTP"),
    ] {
        ear.wait_count(ALIVE, ear.count(ALIVE), LIMIT).await;
        let frozen = Frozen::threads(gateway.pid(), thread);
        ear.wait_status(LIMIT * 2, |status| status.starts_with("stuck: ") && status.contains(name)).await;
        let line = gateway.find_log(&format!("stuck=\"{name}\"")).expect("a line in the log");
        assert!(line.contains("ERROR"), "{line}");
        let before = ear.count(ALIVE);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(ear.count(ALIVE), before, "while {name} is stuck");
        drop(frozen);
        ear.wait_count(ALIVE, before, LIMIT).await;
        ear.wait_status(LIMIT, |status| !status.contains("stuck")).await;
    }
}

/// A camera that is off is not what a restart of the gateway would mend.
#[tokio::test]
async fn a_camera_that_is_off_is_no_reason_to_restart() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let entry = format!("{}\nstart = \"always\"", camera.toml("front"));
    let gateway = told(&ear).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    drop(camera);
    ear.wait_status(LIMIT * 2, |status| status.contains("(not available: front)")).await;
    ear.wait_count(ALIVE, ear.count(ALIVE) + 5, LIMIT).await;
    assert!(!ear.status().contains("stuck"), "{}", ear.status());
}
