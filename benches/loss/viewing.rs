//! What one viewer sees for a while under given conditions.
#![allow(unreachable_pub)]

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::FPS;
use super::harness::numbers;
use super::path::{Conditions, Path};
use crate::support::{browser::Browser, camera::Camera, gateway::Gateway};

/// From the first frame to the begin: the jitter buffer settles on the good network.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Viewing {
    /// Share of the packets to the viewer that were lost.
    lost: f64,
    /// Shares of the time.
    frozen: f64,
    gaps: f64,
    /// Seconds.
    longest: f64,
    /// Different pictures shown, as a share of those that the camera took.
    shown: f64,
    /// What the gateway sent for each byte of the camera.
    pub bytes: f64,
    /// Per second.
    nacks: f64,
    retransmissions: f64,
    /// In all.
    plis: f64,
    /// From the camera's clock to the screen, in milliseconds, less that on the good network.
    behind: f64,
    behind_p95: f64,
}

/// A frame that was presented, as join/watch.js notes it.
#[derive(Debug, Deserialize)]
struct Shown {
    /// Milliseconds since 1970.
    at: f64,
    counter: Option<u32>,
}

/// Totals that the gateway counts.
struct Totals {
    camera_bytes: f64,
    bytes: f64,
    nacks: f64,
    retransmissions: f64,
    plis: f64,
}

/// A viewer that has joined on the good network watches for `length` under `conditions`.
pub async fn watch(
    browser: &Browser,
    gateway: &Gateway,
    camera: &Camera,
    path: &Path,
    conditions: Conditions,
    length: Duration,
) -> Viewing {
    tokio::time::sleep(SETTLE).await;
    let (before, stats) = (totals(gateway).await, browser.video_stats().await.expect("a connection"));
    let _ = path.take_fate();
    let begin = millis(SystemTime::now());
    path.set(conditions);
    tokio::time::sleep(length).await;
    let end = millis(SystemTime::now());
    let frozen = browser.video_stats().await.expect("a connection").total_freezes_duration;
    let fate = path.take_fate();
    path.set(Conditions::CLEAN);
    let after = totals(gateway).await;
    let shown: Vec<Shown> = serde_json::from_value(browser.eval("window.__frames").await).expect("watch.js's frames");

    let seconds = (end - begin) / 1e3;
    let mut instants: Vec<f64> = shown.iter().map(|frame| frame.at).filter(|at| (begin..end).contains(at)).collect();
    instants.insert(0, begin);
    instants.push(end);
    let interval = 1e3 / f64::from(FPS);
    let gaps: Vec<f64> =
        instants.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 3.0 * interval).collect();
    let epoch = millis(SystemTime::now()) - camera.age_of(0).as_secs_f64() * 1e3;
    let age = |frame: &Shown| Some(frame.at - epoch - f64::from(frame.counter?) * interval);
    let usual: Vec<f64> =
        shown.iter().filter(|frame| (begin - 2_000.0..begin).contains(&frame.at)).filter_map(age).collect();
    let usual = numbers::median(&usual);
    let during = || shown.iter().filter(|frame| (begin..end).contains(&frame.at));
    let behind: Vec<f64> = during().filter_map(age).map(|age| age - usual).collect();
    let mut counters: Vec<u32> = during().filter_map(|frame| frame.counter).collect();
    counters.sort_unstable();
    counters.dedup();
    Viewing {
        lost: fate.lost as f64 / (fate.lost + fate.passed).max(1) as f64,
        frozen: (frozen - stats.total_freezes_duration) / seconds,
        gaps: gaps.iter().fold(0.0, |sum, gap| sum + gap) / 1e3 / seconds,
        longest: numbers::max(&gaps) / 1e3,
        shown: counters.len() as f64 / (seconds * f64::from(FPS)),
        bytes: (after.bytes - before.bytes) / (after.camera_bytes - before.camera_bytes),
        nacks: (after.nacks - before.nacks) / seconds,
        retransmissions: (after.retransmissions - before.retransmissions) / seconds,
        plis: after.plis - before.plis,
        behind: numbers::median(&behind),
        behind_p95: numbers::percentile(&behind, 95.0),
    }
}

async fn totals(gateway: &Gateway) -> Totals {
    let metrics = gateway.get("/metrics").await.expect("metrics").text().await.expect("metrics");
    let camera_bytes =
        metrics.lines().find_map(|line| line.strip_prefix("camgate_camera_bytes_total{camera=\"front\"} "));
    let sessions = gateway.sessions().await;
    let session = sessions.iter().find(|session| session["state"] == "connected").expect("a viewer");
    let number = |name: &str| session[name].as_f64().unwrap_or_else(|| panic!("no {name} in {session}"));
    Totals {
        camera_bytes: camera_bytes.and_then(|value| value.parse().ok()).expect("camgate_camera_bytes_total"),
        bytes: number("bytes_sent"),
        nacks: number("nacks"),
        retransmissions: number("retransmissions"),
        plis: number("plis"),
    }
}

impl Viewing {
    /// A row; `usual` is [`bytes`](Self::bytes) without loss.
    pub fn cells(&self, name: &str, usual: f64) -> [String; 12] {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        [
            name.to_owned(),
            percent(self.lost),
            format!("{:.2} %", self.frozen * 100.0),
            percent(self.gaps),
            format!("{:.0} ms", self.longest * 1e3),
            percent(self.shown),
            percent(self.bytes / usual - 1.0),
            format!("{:.1}", self.nacks),
            format!("{:.1}", self.retransmissions),
            format!("{:.0}", self.plis),
            format!("{:.0} ms", self.behind),
            format!("{:.0} ms", self.behind_p95),
        ]
    }
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
