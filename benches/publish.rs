//! A browser as a camera: how late its picture is on the screen of another browser, and how soon a newcomer sees it.
//!
//! `cargo bench --bench publish`; `BENCH_SECONDS` (default 20) of looking, `BENCH_JOINS` (default 20) newcomers.
//!
//! Both are Chromium on this machine. The camera is a canvas that shows the time, drawn 30 times a second, so that the delay of
//! a sensor is no part of it; encoding, the way in, the gateway, the way out, decoding and the compositor are. Seen is when the
//! compositor means to show it (expectedDisplayTime).

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use harness::{LIMIT, binary, clock::Clock, numbers, setting, table::Table};
use serde::Deserialize;
use support::{browser::Browser, gateway::Gateway};

/// The time in the picture wraps here: 24 bits.
const WRAP: f64 = (1 << 24) as f64;
/// The publisher has found how much the network carries, the viewer its delay.
const SETTLE: Duration = Duration::from_secs(10);

/// A frame that was presented, as watch.js notes it.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Milliseconds since 1970 by the viewer's clock.
    display: f64,
    /// The publisher's clock in the picture.
    counter: Option<u32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let length = Duration::from_secs(setting("BENCH_SECONDS", 20));
    let joins = setting("BENCH_JOINS", 20);
    let binary = binary::build(&[]);
    let gateway =
        Gateway::builder(&binary.path).config("[[camera]]\nname = \"door\"\nsource = \"whip\"\n").spawn().await;
    let (publisher, viewer) = tokio::join!(Browser::start(), Browser::start());
    publisher.open(&gateway.url("/publish/door")).await;
    publisher.eval(&format!("(\n{}\n)({:?})", include_str!("publish/clock.js"), gateway.url("/whip/door"))).await;
    gateway.wait_camera("door", "live", LIMIT).await;
    late(&gateway, &publisher, &viewer, length).await;
    soon(&gateway, &viewer, joins).await;
}

async fn late(gateway: &Gateway, publisher: &Browser, viewer: &Browser, length: Duration) {
    viewer.open(&gateway.url("/watch/door")).await;
    viewer.eval(include_str!("join/watch.js")).await;
    viewer.wait_for("window.__frames.length > 0", LIMIT).await;
    tokio::time::sleep(SETTLE).await;
    let (theirs, ours) = (Clock::of(publisher).await, Clock::of(viewer).await);
    viewer.eval("window.__frames.length = 0").await;
    tokio::time::sleep(length).await;
    let shown: Vec<Shown> = serde_json::from_value(viewer.eval("window.__frames").await).expect("watch.js's frames");
    let age = |frame: &Shown| {
        let captured = f64::from(frame.counter?) - theirs.ahead;
        Some((frame.display - ours.ahead - captured).rem_euclid(WRAP))
    };
    let ages: Vec<f64> = shown.iter().filter_map(age).collect();
    let size = viewer.video_stats().await.unwrap_or_default();
    let ms = |value: f64| format!("{value:.0}");
    let mut table = Table::new(&["pictures", "size", "median", "p95", "max", "clocks known to"]);
    table.row([
        ages.len().to_string(),
        format!("{} x {}", size.frame_width, size.frame_height),
        ms(numbers::median(&ages)),
        ms(numbers::percentile(&ages, 95.0)),
        ms(numbers::max(&ages)),
        format!("{:.1} ms", theirs.error + ours.error),
    ]);
    table.print(&format!("From a picture in one Chromium to the screen of another, ms; {length:?}"));
}

async fn soon(gateway: &Gateway, viewer: &Browser, joins: u64) {
    viewer.open(&gateway.url("/healthz")).await;
    let mut waits = Vec::new();
    for _ in 0..joins {
        let join = viewer.join_session(&gateway.whep("door"), LIMIT).await;
        waits.push(join.first_frame.unwrap_or_else(|| panic!("no picture: {join:?}")));
        viewer.leave_session().await;
    }
    let ms = |value: f64| format!("{value:.0}");
    let mut table = Table::new(&["newcomers", "median", "p95", "max"]);
    table.row([
        joins.to_string(),
        ms(numbers::median(&waits)),
        ms(numbers::percentile(&waits, 95.0)),
        ms(numbers::max(&waits)),
    ]);
    table.print("From the page's wish to the first picture of a published camera, ms");
}
