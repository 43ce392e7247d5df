//! Viewers that die at each step of ICE, DTLS and media leave nothing behind: no session, descriptor, thread, task or entry of
//! a table. `benches/churn.rs` does the same with thousands, and looks at memory.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    LIMIT,
    support::{
        camera::Camera,
        gateway::Gateway,
        held::Held,
        mortal::{End, Life, Step},
        wait,
    },
};

/// Of each kind.
const LIVES: u8 = 20;
/// At one time, of one kind.
const AT_ONCE: u8 = 10;
/// Longer than a session outlives its viewer: 20 s without a connection, 15 s with one.
const SETTLE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn viewers_that_die_at_any_step_leave_nothing_behind() {
    let camera = Camera::builder().start();
    let entry = format!("{}\nstart = \"always\"", camera.toml("front"));
    let limits =
        "max_half_open_sessions = 1000\nmax_half_open_sessions_per_address = 1000\nmax_checks_per_second = 10000";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).webrtc(limits).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
    let whep = gateway.whep("front");
    let last = Life { step: Step::Media, end: End::Delete, tcp: false };
    let from = |number: u8| Ipv4Addr::new(127, 0, 0, 10 + number);
    assert!(last.live(&http, &whep, from(0)).await.is_some());
    // What its requests leave to tokio's threads ends by itself.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = Held::look(&gateway).await;
    assert_eq!(before.gauge("camgate_worker_sessions"), 0.0, "{before:?}");
    for life in Life::all() {
        for round in 0..LIVES / AT_ONCE {
            let lives = (0..AT_ONCE).map(|number| life.live(&http, &whep, from(number + round)));
            let lived = futures_util::future::join_all(lives).await;
            assert!(lived.iter().all(Option::is_some), "{life:?} came so far");
        }
    }
    let most = Held::look(&gateway).await;
    assert!(most.gauge("camgate_worker_sessions") > f64::from(LIVES), "those that vanished are waited for: {most:?}");
    let gone = async || {
        // Transactions are forgotten when others are sent, 5 s later.
        tokio::time::sleep(Duration::from_secs(6)).await;
        last.live(&http, &whep, from(0)).await;
        let now = Held::look(&gateway).await;
        let more = now.beyond(&before);
        (more.is_empty()).then_some(()).ok_or(more)
    };
    wait::until_value("nothing is left", SETTLE, gone, Result::is_ok).await.expect("nothing");
    assert_eq!(gateway.sessions().await.len(), 0);
    let scrape = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    let panics = scrape.lines().filter(|line| line.starts_with("camgate_panics_total"));
    assert!(panics.clone().count() > 5 && panics.clone().all(|line| line.ends_with(" 0")), "{scrape}");
}
