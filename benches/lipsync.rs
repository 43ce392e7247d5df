//! Lip sync: how much later a beep is heard than the flash of the same instant is seen, in Chromium.
//!
//! `cargo bench --bench lipsync`; `BENCH_SECONDS` (default 60) is how long the viewers that stay are watched,
//! `BENCH_JOINS` (default 4) how often one joins from a GOP cache of 10 s. The camera flashes and beeps once a second.
//! A flash is seen when Chromium means to show the frame (requestVideoFrameCallback), a beep is heard when the audio device
//! took its first sample from the jitter buffer, plus the device's own delay (media-playout). Beside it stands what
//! Chromium thinks itself: the difference of both streams' estimatedPlayoutTimestamp. All viewers are in one page; each is
//! the gateway's own player (web/player.js) with its sound on, and a flash behind its curtain was not seen.
//!
//! The first rows are what instrument and Chromium do by themselves: a canvas and an oscillator of the same page through a
//! pair of peer connections, with a skew that is known, which is subtracted. `BENCH_CALIBRATION` seconds each (default 20;
//! 0 leaves them out). `BENCH_CASES` (names of [`CASES`]) leaves out others, `BENCH_KEEP` is a folder for the raw notes.
//!
//! Wants an idle machine, or priority (`chrt -r 1`), and at most two cases at once on two cores: when the browser is kept
//! from running for 50 ms, its sound's jitter buffer grows, and the picture takes seconds to follow.

#![allow(clippy::print_stdout)]

#[path = "lipsync/analysis.rs"]
mod analysis;
mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use analysis::{Recording, Skew};
use harness::{LIMIT, binary, numbers, setting, table::Table};
use support::{
    browser::Browser,
    camera::{Audio, Camera},
    gateway::Gateway,
};

const FPS: u32 = 25;
const GOP: u32 = 10 * FPS;
/// How long a viewer that joined from the cache is watched.
const STAY: Duration = Duration::from_secs(16);
/// Between two joins: they fall on different places of the GOP.
const APART: Duration = Duration::from_millis(2_300);
/// Beyond this people notice (ITU-R BT.1359); also what the project promises.
const LIMIT_MS: f64 = 45.0;

/// What is told of a join, in seconds after it.
const PARTS: [(&str, f64, f64); 3] =
    [("first 3 s", 0.0, 3.0), ("3 to 10 s", 3.0, 10.0), ("after 10 s", 10.0, f64::INFINITY)];

struct Case {
    name: &'static str,
    audio: Audio,
    ppm: i32,
    reports: bool,
}

const CASES: [Case; 6] = [
    Case { name: "pcmu", audio: Audio::Pcmu, ppm: 0, reports: true },
    Case { name: "aac", audio: Audio::Aac, ppm: 0, reports: true },
    Case { name: "pcmu-fast", audio: Audio::Pcmu, ppm: 100, reports: true },
    Case { name: "aac-fast", audio: Audio::Aac, ppm: 100, reports: true },
    Case { name: "pcmu-silent", audio: Audio::Pcmu, ppm: 0, reports: false },
    Case { name: "aac-silent", audio: Audio::Aac, ppm: 0, reports: false },
];

impl Case {
    fn title(&self) -> String {
        let codec = if self.audio == Audio::Aac { "AAC" } else { "PCMU" };
        let clock = if self.ppm == 0 { String::new() } else { format!(", audio clock {:+} ppm", self.ppm) };
        let reports = if self.reports { "" } else { ", no sender reports" };
        format!("{codec}{clock}{reports}")
    }

    fn camera(&self) -> Camera {
        Camera::builder()
            .fps(FPS)
            .gop(GOP)
            .noise_percent(0)
            .audio(self.audio)
            .tone(1_000.0)
            .flash_and_beep()
            .audio_clock_ppm(self.ppm)
            .sender_reports(self.reports)
            .start()
    }
}

#[tokio::main]
async fn main() {
    let length = Duration::from_secs(setting("BENCH_SECONDS", 60));
    let joins = setting("BENCH_JOINS", 4);
    let binary = binary::build(&[]);
    let wanted = std::env::var("BENCH_CASES").unwrap_or_default();
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| wanted.is_empty() || wanted.split(',').any(|name| name == case.name)).collect();
    let cameras: Vec<Camera> = cases.iter().map(|case| case.camera()).collect();
    let entries: String = cases
        .iter()
        .zip(&cameras)
        .map(|(case, camera)| format!("{}\nstart = \"always\"\n", camera.toml(case.name)))
        .collect();
    let gateway = Gateway::builder(&binary.path).config(entries).spawn().await;
    for case in &cases {
        gateway.wait_camera(case.name, "live", LIMIT).await;
    }
    let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    browser.open(&gateway.url("/healthz")).await;
    browser.eval(include_str!("lipsync/watch.js")).await;

    let mut table =
        Table::new(&["case", "flashes", "median", "p95 of |.|", "max of |.|", "drift", "Chromium's estimate"]);
    let calibration = Duration::from_secs(setting("BENCH_CALIBRATION", 20));
    for late in [0, 100, -100].into_iter().filter(|_| !calibration.is_zero()) {
        browser.eval(&format!("window.__lipsync.loopback('loopback', {late})")).await;
        tokio::time::sleep(calibration).await;
        let recording = leave(&browser, "loopback", "loopback").await;
        row(&mut table, &format!("instrument: flash {late:+} ms after the beep"), &[recording.against_truth()]);
    }

    for case in &cases {
        watch(&browser, case.name).await;
    }
    tokio::time::sleep(length).await;
    for case in &cases {
        let recording = leave(&browser, case.name, case.name).await;
        recording.print_health(&case.title());
        row(&mut table, &format!("{}, from the start", case.title()), &[recording.skew()]);
    }

    let mut joined: Vec<Vec<Skew>> = cases.iter().map(|_| Vec::new()).collect();
    for join in 0..joins {
        for case in &cases {
            watch(&browser, case.name).await;
        }
        tokio::time::sleep(STAY).await;
        for (case, skews) in cases.iter().zip(&mut joined) {
            let skew = leave(&browser, case.name, &format!("{}-joined-{join}", case.name)).await.skew();
            println!("join {join}, {}: {}", case.title(), skew.by_second());
            skews.push(skew);
        }
        tokio::time::sleep(APART).await;
    }
    let parts = if joins == 0 { &[][..] } else { &PARTS };
    for &(name, from, to) in parts {
        for (case, skews) in cases.iter().zip(&joined) {
            let part: Vec<Skew> = skews.iter().map(|skew| skew.between(from, to)).collect();
            row(&mut table, &format!("{}, joined, {name}", case.title()), &part);
        }
    }
    table.print(&format!(
        "ms that the beep is heard after the flash is seen; {} s, {joins} joins; {LIMIT_MS} ms is the limit",
        length.as_secs()
    ));
}

async fn watch(browser: &Browser, camera: &str) {
    browser.eval(&format!("window.__lipsync.watch('{camera}', '{camera}')")).await;
}

/// `notes` is what the raw ones are kept as.
async fn leave(browser: &Browser, name: &str, notes: &str) -> Recording {
    let value = browser.eval(&format!("window.__lipsync.leave('{name}')")).await;
    if let Some(folder) = std::env::var_os("BENCH_KEEP") {
        let path = std::path::Path::new(&folder).join(format!("{notes}.json"));
        std::fs::write(path, value.to_string()).expect("BENCH_KEEP is a folder");
    }
    serde_json::from_value(value).expect("watch.js's notes")
}

fn row(table: &mut Table, name: &str, skews: &[Skew]) {
    let all: Vec<f64> = skews.iter().flat_map(|skew| skew.beeps.iter().map(|beep| beep.late)).collect();
    let sizes: Vec<f64> = all.iter().map(|late| late.abs()).collect();
    let drift: Vec<f64> = skews.iter().map(Skew::drift).collect();
    let estimates: Vec<f64> = skews.iter().flat_map(|skew| skew.estimates.iter().map(|(_, late)| *late)).collect();
    let ms = |value: f64| format!("{value:.1}");
    let counted = skews.iter().map(|skew| skew.missed).sum::<usize>();
    table.row([
        name.to_owned(),
        if counted == 0 { all.len().to_string() } else { format!("{} (+{counted} alone)", all.len()) },
        ms(numbers::median(&all)),
        ms(numbers::percentile(&sizes, 95.0)),
        ms(numbers::max(&sizes)),
        ms(numbers::median(&drift)),
        ms(numbers::median(&estimates)),
    ]);
}
