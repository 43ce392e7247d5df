//! How soon a camera that was away is seen again: from the moment at which it can be watched to the picture that moves in
//! Chromium, on the page and in the session of before, and to the first keyframe at a viewer without a screen, which is the
//! gateway's own share.
//!
//! `cargo bench --bench recovery`; `BENCH_FAULTS` changes how often each fault happens. RTSP over TCP. The camera is
//! GStreamer's RTSP server: to start its encoder for the first client is part of what is measured.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use harness::{LIMIT, binary, numbers, setting, table::Table};
use support::{
    browser::Browser,
    camera::{Answer, Camera},
    gateway::Gateway,
    viewer::{Kind, Viewer, h264::NalTypes},
    wait,
};

const FPS: u32 = 25;
/// Frames from one keyframe to the next: 2 s, as most cameras come.
const GOP: u32 = 2 * FPS;
/// Long enough for the page to have its words: it freezes after 3 s.
const AWAY: Duration = Duration::from_secs(4);
/// What is added to that from one fault to the next, so that no fault ends in step with the gateway's own pauses.
const SPREAD: Duration = Duration::from_millis(170);
/// For how long a rebooted camera says 404.
const BOOTING: Duration = Duration::from_secs(2);
/// Between two faults: the connection is a good one by then.
const CALM: Duration = Duration::from_secs(11);

/// What happens to the camera.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Its process ends and starts again.
    Restart,
    /// It sends nothing for some seconds, and then hangs up.
    StallAndHangUp,
    /// It is away, then listens and says 404, then works.
    Reboot,
    /// It hangs up, and is there.
    HangUp,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Restart, Self::Reboot, Self::StallAndHangUp, Self::HangUp];

    fn name(self) -> &'static str {
        match self {
            Self::Restart => "port closed for 4 to 6 s, then works",
            Self::Reboot => "port closed for 4 to 6 s, 404 for 2 s, then works",
            Self::StallAndHangUp => "silent for 4 to 6 s, then hangs up and works",
            Self::HangUp => "hangs up",
        }
    }

    /// Plays it; returns when the camera could be watched again.
    async fn happens(self, camera: &mut Camera, away: Duration) -> (Instant, SystemTime) {
        match self {
            Self::Restart | Self::Reboot => {
                camera.stop();
                tokio::time::sleep(away).await;
                camera.start_again();
                if matches!(self, Self::Reboot) {
                    camera.answer(Answer::NotFound);
                    tokio::time::sleep(BOOTING).await;
                    camera.answer(Answer::Stream);
                }
            }
            Self::StallAndHangUp => {
                camera.stall();
                tokio::time::sleep(away).await;
                camera.hang_up();
                camera.resume();
            }
            Self::HangUp => {
                camera.hang_up();
            }
        }
        (Instant::now(), SystemTime::now())
    }
}

/// From when the camera could be watched again, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// The first keyframe at the viewer without a screen.
    keyframe: f64,
    /// A new frame on Chromium's screen, with nothing over it.
    moving: f64,
    /// The page says that it plays.
    words: f64,
}

/// What recovery/watch.js noted.
#[derive(Debug, Deserialize)]
struct Noted {
    frames: Vec<f64>,
    uncovered: Vec<f64>,
    playing: Vec<f64>,
}

#[tokio::main]
async fn main() {
    let count = setting("BENCH_FAULTS", 12);
    let binary = binary::build(&[]);
    let mut table = Table::new(&[
        "camera",
        "n",
        "keyframe at a viewer, median",
        "worst",
        "moving in Chromium, median",
        "worst",
        "words gone, median",
    ]);
    for fault in Fault::ALL {
        let recoveries = recoveries(&binary.path, fault, count).await;
        let column = |read: fn(&Recovery) -> f64| recoveries.iter().map(read).collect::<Vec<_>>();
        let (keyframe, moving) = (column(|it| it.keyframe), column(|it| it.moving));
        let cells = [
            numbers::median(&keyframe),
            numbers::max(&keyframe),
            numbers::median(&moving),
            numbers::max(&moving),
            numbers::median(&column(|it| it.words)),
        ];
        let cells = cells.map(|cell| format!("{cell:.0}"));
        table.row([fault.name().to_owned(), count.to_string()].into_iter().chain(cells));
    }
    table.print("ms from when the camera works again: 720p, 25 frames/s, GOP of 2 s, RTSP over TCP");
}

async fn recoveries(binary: &std::path::Path, fault: Fault, count: u64) -> Vec<Recovery> {
    let mut camera = Camera::builder().size(1280, 720).fps(FPS).gop(GOP).bitrate_kbps(2_000).start();
    let gateway = Gateway::builder(binary).config(camera.toml("front")).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.eval(include_str!("recovery/watch.js")).await;
    let mut recoveries = Vec::new();
    for number in 0..count {
        tokio::time::sleep(CALM).await;
        let (back, back_wall) = fault.happens(&mut camera, AWAY + SPREAD * number as u32).await;
        let recovery = recovered(&viewer, &browser, back, back_wall, fault).await;
        println!("{fault:?} {number}: {recovery:.0?}");
        recoveries.push(recovery);
    }
    assert_eq!(gateway.sessions().await.len(), 2, "both in the session of before");
    recoveries
}

async fn recovered(viewer: &Viewer, browser: &Browser, back: Instant, back_wall: SystemTime, fault: Fault) -> Recovery {
    let keyframe = wait::until("a keyframe at the viewer", LIMIT, || async {
        viewer.with(Kind::Video, |log| {
            let new = log.packets.iter().find(|packet| packet.at > back && packet.nals.has(NalTypes::IDR));
            new.map(|packet| packet.at)
        })
    })
    .await;
    // What was on its way when the camera hung up is not the new picture.
    let (since, skip) = match fault {
        Fault::HangUp => (wall(back_wall) + (keyframe - back).as_secs_f64() * 1e3, true),
        _ => (wall(back_wall), false),
    };
    let noted = wait::until("a moving picture in Chromium", LIMIT, || async {
        let noted = browser.eval("window.__recovery").await;
        let noted: Noted = serde_json::from_value(noted).expect("watch.js's log");
        let plays = browser.eval("document.querySelector('[data-state=playing]') !== null").await == true;
        (plays && noted.frames.iter().any(|at| *at > since)).then_some(noted)
    })
    .await;
    let first = |times: &[f64]| times.iter().copied().find(|at| *at > since);
    let frame = first(&noted.frames).expect("waited for it");
    // Without a word from the page nothing has covered it.
    let uncovered = first(&noted.uncovered).filter(|_| !skip).unwrap_or(frame);
    let moving = noted.frames.iter().copied().find(|at| *at >= frame.max(uncovered) - 1e3 / f64::from(FPS));
    let moving = moving.unwrap_or(frame).max(frame).max(uncovered);
    let words = first(&noted.playing).filter(|_| !skip).unwrap_or(moving);
    let start = wall(back_wall);
    Recovery {
        keyframe: (keyframe - back).as_secs_f64() * 1e3,
        moving: moving - start,
        words: words.max(moving) - start,
    }
}

/// Milliseconds since 1970.
fn wall(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
