//! How the program starts, ends, and what it leaves behind.

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::Camera,
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

#[tokio::test]
async fn sigterm_says_goodbye_to_viewers_and_cameras() {
    for signal in ["TERM", "INT"] {
        let camera = Camera::builder().start();
        let mut gateway = gateway(&camera, "").await;
        let browser = Browser::start().await;
        browser.open_bare(&gateway.whep("front"), LIMIT).await;
        gateway.signal(signal);
        browser
            .wait_for("window.__pcs[0].getReceivers()[0].transport.state === 'closed'", Duration::from_secs(3))
            .await;
        let status = gateway.wait_exit(LIMIT).await;
        assert!(status.success(), "{status}");
        assert_eq!(camera.teardowns_total(), 1);
        assert!(gateway.find_log("everything closed").is_some());
    }
}

#[tokio::test]
async fn a_second_signal_is_immediate() {
    let camera = Camera::builder().start();
    let mut gateway = gateway(&camera, "start = \"always\"\n[shutdown]\ngrace_seconds = 60").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    // The camera takes no TEARDOWN, so that draining takes as long as it may.
    camera.freeze();
    gateway.signal("TERM");
    gateway.wait_log("shutting down", LIMIT).await;
    gateway.signal("TERM");
    gateway.wait_exit(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn sessions_leave_no_thread_and_no_descriptor() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    Viewer::join(gateway.whep("front")).await.close().await;
    gateway.wait_sessions(0, LIMIT).await;
    let before = (gateway.fds(), gateway.threads());
    for round in 0..20 {
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Video, 5, LIMIT).await;
        if round % 2 == 0 { assert_eq!(viewer.close().await, 200) } else { viewer.hang_up().await }
    }
    gateway.wait_sessions(0, LIMIT).await;
    let after = || async { (gateway.fds(), gateway.threads()) };
    crate::support::wait::until_value("what the sessions used", LIMIT, after, |now| {
        now.0 <= before.0 && now.1 <= before.1
    })
    .await;
}

#[tokio::test]
async fn it_may_open_as_many_descriptors_as_its_viewers_need() {
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).descriptors(256).spawn().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("one of descriptors");
    let (soft, hard) = line.trim().split_once(' ').expect("two limits");
    let hard = hard.split_whitespace().next().and_then(|hard| hard.parse().ok()).unwrap_or(u64::MAX);
    assert_eq!(soft.parse(), Ok(hard.min(8_192)), "{line}");
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start_with_code_1() {
    let first = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).spawn().await;
    let taken = first.http_address().to_owned();
    let mut second = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen(&taken).launch();
    assert_eq!(second.wait_exit(LIMIT).await.code(), Some(1));
    assert!(second.log().contains(&taken), "{}", second.log());
    let taken = first.webrtc_address().to_owned();
    let mut third = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc_listen(&taken).launch();
    assert_eq!(third.wait_exit(LIMIT).await.code(), Some(1));
    assert!(third.log().contains("[webrtc] listen"), "{}", third.log());
}
