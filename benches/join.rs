//! How long a viewer waits for a picture: from the POST to the first frame that Chromium shows, for a camera that sends a
//! keyframe every 10 s, with the GOP cache and without it.
//!
//! `cargo bench --bench join`; `BENCH_JOINS` and `BENCH_JOINS_UNCACHED` change the numbers of joins. The
//! frame number burnt into the camera's picture tells when what is shown is live, and each presented frame is noted, so
//! that a visible fast-forward would be counted.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use harness::{LIMIT, binary, binary::Binary, numbers, setting, table::Table};
use support::{browser::Browser, camera::Camera, gateway::Gateway};

const FPS: u32 = 25;
const GOP: Duration = Duration::from_secs(10);
/// From one join to the next: the golden section of the GOP, so that the joins spread evenly over it.
const SPACING: Duration = Duration::from_millis(6_180);
/// How long each viewer watches.
const WATCH: Duration = Duration::from_secs(5);
/// A viewer that waited longer than this for its first frame waited for a keyframe.
const WAITED: f64 = 1_000.0;

#[tokio::main]
async fn main() {
    let cached = setting("BENCH_JOINS", 20);
    let uncached = setting("BENCH_JOINS_UNCACHED", 6);
    let binary = binary::build(&[]);
    let gop = FPS * GOP.as_secs() as u32;
    let camera = Camera::builder().size(1280, 720).fps(FPS).gop(gop).bitrate_kbps(3_000).start();
    let with_cache = joins(&binary, &camera, "", cached).await;
    let without = joins(&binary, &camera, "gop_cache_mib = 0\n", uncached).await;

    let mut table = Table::new(&["ms after the POST", "median", "p95", "max", "median, no cache", "max, no cache"]);
    for (name, read) in [
        ("answer", (|join: &Join| join.answer) as fn(&Join) -> f64),
        ("connected", |join| join.connected),
        ("first frame shown", |join| join.first_frame),
        ("shown frame is the live one", |join| join.first_frame + join.catch_up),
    ] {
        let (one, other) = (column(&with_cache, read), column(&without, read));
        let cells = [
            numbers::median(&one),
            numbers::percentile(&one, 95.0),
            numbers::max(&one),
            numbers::median(&other),
            numbers::max(&other),
        ];
        table.row(std::iter::once(name.to_owned()).chain(cells.map(|cell| format!("{cell:.0}"))));
    }
    table.print(&format!("{cached} joins, {uncached} without the cache: Chromium, 720p, 25 frames/s, GOP of 10 s"));

    let mut table = Table::new(&["afterwards", "median", "max", "median, no cache", "max, no cache"]);
    for (name, read) in [
        ("frames shown before the live one", (|join: &Join| join.old_frames) as fn(&Join) -> f64),
        ("different frames shown in the first second", |join| join.first_second),
        ("camera to screen after 4 s, ms", |join| join.delay),
        ("jitter buffer after 4 s, ms/frame", |join| join.jitter_buffer),
        ("frames dropped in 5 s", |join| join.dropped),
        ("freezes in 5 s", |join| join.freezes),
        ("packets retransmitted in 5 s", |join| join.retransmitted),
        ("packets lost for good in 5 s", |join| join.lost),
    ] {
        let (one, other) = (column(&with_cache, read), column(&without, read));
        let cells = [numbers::median(&one), numbers::max(&one), numbers::median(&other), numbers::max(&other)];
        table.row(std::iter::once(name.to_owned()).chain(cells.map(|cell| format!("{cell:.1}"))));
    }
    table.print("What those viewers saw");
    let waited = |joins: &[Join]| joins.iter().filter(|join| join.first_frame > WAITED).count();
    println!(
        "\nwaited for a keyframe (more than {WAITED} ms): {} of {cached} with the cache, {} of {uncached} without",
        waited(&with_cache),
        waited(&without)
    );
}

fn column(joins: &[Join], read: fn(&Join) -> f64) -> Vec<f64> {
    joins.iter().map(read).collect()
}

/// What one viewer saw; times in milliseconds.
#[derive(Debug)]
struct Join {
    answer: f64,
    connected: f64,
    first_frame: f64,
    /// From the first frame to the first that was as fresh as those some seconds later.
    catch_up: f64,
    /// Different frames shown before that one: the visible part of a fast-forward.
    old_frames: f64,
    first_second: f64,
    delay: f64,
    jitter_buffer: f64,
    dropped: f64,
    freezes: f64,
    retransmitted: f64,
    lost: f64,
}

/// A frame that was presented, as watch.js notes it.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Milliseconds since 1970.
    at: f64,
    counter: Option<u32>,
}

async fn joins(binary: &Binary, camera: &Camera, keys: &str, count: u64) -> Vec<Join> {
    let entry = format!("{}\nstart = \"always\"\n{keys}", camera.toml("front"));
    let gateway = Gateway::builder(&binary.path).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    // The camera measures nothing before its second keyframe, and a browser is slow to its first connection.
    let browser = Browser::start().await;
    browser.open(&gateway.url("/healthz")).await;
    let _ = one(&browser, &gateway, camera).await;
    let mut joins = Vec::new();
    let mut due = Instant::now();
    for number in 1..=count {
        tokio::time::sleep_until(due.into()).await;
        let join = one(&browser, &gateway, camera).await;
        println!(
            "join {number}: answer {:.0}, connected {:.0}, first frame {:.0}, live {:.0} ms later after {} old frames",
            join.answer, join.connected, join.first_frame, join.catch_up, join.old_frames
        );
        joins.push(join);
        while due < Instant::now() {
            due += SPACING;
        }
    }
    joins
}

async fn one(browser: &Browser, gateway: &Gateway, camera: &Camera) -> Join {
    browser.eval(include_str!("join/watch.js")).await;
    let times = browser.join_bare(&gateway.whep("front"), false, LIMIT).await;
    tokio::time::sleep(WATCH - Duration::from_secs(1)).await;
    let before = browser.video_stats().await.expect("a connection");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = browser.video_stats().await.expect("a connection");
    let shown: Vec<Shown> = serde_json::from_value(browser.eval("window.__frames").await).expect("watch.js's frames");
    browser.leave_bare().await;

    let epoch = wall(SystemTime::now()) - camera.age_of(0).as_secs_f64() * 1e3;
    let interval = 1e3 / f64::from(FPS);
    let frames: Vec<(f64, u32)> = shown.iter().filter_map(|frame| Some((frame.at, frame.counter?))).collect();
    let age = |&(at, counter): &(f64, u32)| at - epoch - f64::from(counter) * interval;
    let start = shown.first().expect("join_bare saw one").at;
    let late: Vec<f64> = frames.iter().filter(|frame| frame.0 > start + 3_500.0).map(age).collect();
    let delay = numbers::median(&late);
    // A frame and a half of tolerance: presentation moves in steps of the screen's 16.7 ms, and the encoder's load varies.
    let live = frames.iter().position(|frame| age(frame) < delay + 1.5 * interval).expect("it becomes live");
    let different = |frames: &[(f64, u32)]| {
        let mut counters: Vec<u32> = frames.iter().map(|frame| frame.1).collect();
        counters.dedup();
        counters.len() as f64
    };
    let first_second = frames.iter().take_while(|frame| frame.0 < start + 1_000.0).count();
    let emitted = (after.jitter_buffer_emitted_count - before.jitter_buffer_emitted_count).max(1) as f64;
    Join {
        answer: times.answer,
        connected: times.connected.expect("it saw a frame"),
        first_frame: times.first_frame,
        catch_up: frames[live].0 - start,
        old_frames: different(&frames[..live]),
        first_second: different(&frames[..first_second]),
        delay,
        jitter_buffer: (after.jitter_buffer_delay - before.jitter_buffer_delay) * 1e3 / emitted,
        dropped: after.frames_dropped as f64,
        freezes: after.freeze_count as f64,
        retransmitted: after.retransmitted_packets_received as f64,
        lost: after.packets_lost as f64,
    }
}

/// Milliseconds since 1970.
fn wall(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
