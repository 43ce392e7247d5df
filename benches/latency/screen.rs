//! Camera clock to screen: what Chromium shows says itself when the camera saw it.
#![allow(unreachable_pub)]

use std::time::Duration;

use serde::Deserialize;

use super::harness::{
    LIMIT,
    binary::Binary,
    clock::{Clock, now},
    numbers,
    table::Table,
};
use super::relay::Relay;
use super::support::{browser::Browser, camera::Camera, gateway::Gateway};

const FPS: u32 = 25;
/// After the first picture: the GOP cache is over and Chromium has found its delay.
const SETTLE: Duration = Duration::from_secs(5);

/// A frame that was presented, as watch.js notes it.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Milliseconds since 1970 by the browser's clock, when the compositor means to have it on the screen.
    display: f64,
    counter: Option<u32>,
}

pub async fn measure(binary: &Binary, length: Duration) {
    let camera = Camera::builder().size(1280, 720).fps(FPS).gop(2 * FPS).bitrate_kbps(3_000).start();
    let relay = Relay::start(camera.port());
    let entry = format!("[[camera]]\nname = \"front\"\nurl = \"{}\"\nstart = \"always\"\n", relay.url());
    let gateway = Gateway::builder(&binary.path).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let browser = Browser::start().await;
    let mut table = Table::new(&[
        "viewer",
        "pictures",
        "median",
        "p95",
        "max",
        "of that, median: capture to the wire",
        "jitter buffer, ms/frame",
        "dropped",
        "clocks known to",
    ]);
    for (name, path) in [("12 lines of script", "/healthz"), ("the page /watch/front", "/watch/front")] {
        browser.open(&gateway.url(path)).await;
        browser.eval(include_str!("../join/watch.js")).await;
        if path == "/healthz" {
            browser.join_bare(&gateway.whep("front"), false, LIMIT).await;
        }
        browser.wait_for("window.__frames.length > 0", LIMIT).await;
        tokio::time::sleep(SETTLE).await;
        let clock = Clock::of(&browser).await;
        let before = browser.video_stats().await.unwrap_or_default();
        browser.eval("window.__frames.length = 0").await;
        relay.take();
        tokio::time::sleep(length).await;
        let shown: Vec<Shown> =
            serde_json::from_value(browser.eval("window.__frames").await).expect("watch.js's frames");
        let passed = relay.take();
        let after = browser.video_stats().await.unwrap_or_default();

        let epoch = now() - camera.age_of(0).as_secs_f64() * 1e3;
        let interval = 1e3 / f64::from(FPS);
        let age = |frame: &Shown| Some(frame.display - clock.ahead - epoch - f64::from(frame.counter?) * interval);
        let ages: Vec<f64> = shown.iter().filter_map(age).collect();
        // The number is not known there; it takes less than a frame.
        let wire: Vec<f64> = passed.iter().map(|(_, at)| (*at as f64 / 1e6 - epoch).rem_euclid(interval)).collect();
        let emitted = after.jitter_buffer_emitted_count.saturating_sub(before.jitter_buffer_emitted_count).max(1);
        let ms = |value: f64| format!("{value:.1}");
        table.row([
            name.to_owned(),
            ages.len().to_string(),
            ms(numbers::median(&ages)),
            ms(numbers::percentile(&ages, 95.0)),
            ms(numbers::max(&ages)),
            ms(numbers::median(&wire)),
            ms((after.jitter_buffer_delay - before.jitter_buffer_delay) * 1e3 / emitted as f64),
            after.frames_dropped.saturating_sub(before.frames_dropped).to_string(),
            format!("{:.1} ms", clock.error),
        ]);
        if path == "/healthz" {
            browser.leave_bare().await;
        }
    }
    table.print(&format!(
        "Camera's clock to the screen of Chromium, ms: 720p, {FPS} frames/s, no sound, {length:?} each"
    ));
}
