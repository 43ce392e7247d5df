//! How long a picture takes: from the camera's packet in to the viewer's packet out, alone and in a crowd; and from the
//! camera's clock to the screen in Chromium.
//!
//! `cargo bench --bench latency`; `BENCH_VIEWERS` are the numbers of viewers (default 1,100,200), a window has
//! `BENCH_SECONDS` (default 20). `BENCH_CASES=wire` leaves out Chromium, `BENCH_CASES=screen` the crowd.
//!
//! In: the camera's RTSP runs through a relay here, which notes the time just before it hands the last bytes of a picture
//! to the kernel. Out: the kernel of the receiving socket stamps each datagram (SO_TIMESTAMPNS), which on the loopback
//! interface happens while the gateway is still in its system call, so that it does not matter how late the crowd reads: it
//! gives way to the gateway.
//! Both times are of one clock. What is measured includes the write of the relay, some ten microseconds, and the wake-up
//! of the gateway. First and last are the packets of one picture: what lies between them is sending it and pacing. The
//! floor is the same for one thread that has the picture in its hands and only protects and sends it to all viewers: what
//! its 99th percentile has too is the machine's. Wants an idle one, or priority (`nice -n -15`).
//!
//! Screen: each picture carries its number, which is the camera's time; seen is when the compositor means to show it
//! (expectedDisplayTime). Painting and encoding in the camera are part of it.

#![allow(clippy::print_stdout)]

#[path = "latency/delay.rs"]
mod delay;
mod harness;
#[path = "latency/relay.rs"]
mod relay;
#[path = "latency/screen.rs"]
mod screen;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use delay::Delays;
use harness::binary::{self, Binary};
use harness::crowd::{self, Crowd, Frame, Offer, Protection};
use harness::floor::{self, Way};
use harness::rig::{self, Rig};
use harness::{LIMIT, machine, setting, settings, table::Table};
use relay::Relay;

/// After the last viewer joined: the bursts of their cached GOPs are over.
const SETTLE: Duration = Duration::from_secs(3);
const WAY: Way = Way { protection: Protection::Gcm, gso: true };

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if crowd::is_wanted() {
        return crowd::run().await;
    }
    let length = Duration::from_secs(setting("BENCH_SECONDS", 20));
    let cases = std::env::var("BENCH_CASES").unwrap_or_default();
    let binary = binary::build(&[]);
    if cases != "screen" {
        wire(&binary, length).await;
    }
    if cases != "wire" {
        screen::measure(&binary, length).await;
    }
}

async fn wire(binary: &Binary, length: Duration) {
    let camera = rig::camera();
    let relay = Relay::start(camera.port());
    let rig = Rig::start(binary, &relay.url(), 1, WAY.gso).await;
    let mut table = Table::new(&[
        "",
        "viewers",
        "pictures",
        "first packet, median",
        "p99",
        "last packet, median",
        "p99",
        "max",
        "pictures missing",
        "machine idle",
    ]);
    for viewers in settings("BENCH_VIEWERS", &[1, 100, 200]) {
        let mut crowd = Crowd::start_meek();
        crowd.join(&rig.target.wheps, viewers, Offer::PLAIN);
        tokio::time::sleep(SETTLE).await;
        relay.take();
        crowd.mark();
        let before = machine::idle_time();
        tokio::time::sleep(length).await;
        let idle = machine::idle_time().since(&before);
        let report = crowd.report();
        let arrivals = crowd.arrivals();
        let passed = relay.take();
        let mut delays = Delays::default();
        arrivals.iter().for_each(|arrivals| delays.add(&passed, arrivals));
        delays.row(&mut table, "gateway", viewers, idle);
        println!("{viewers} viewers: lost {}, of that by the crowd {}", report.lost, report.overflowed);
        crowd.leave();
        rig.gateway.wait_sessions(0, LIMIT).await;
        drop(crowd);
        let before = machine::idle_time();
        let delays = floor(&report.frames, viewers, length).await;
        delays.row(&mut table, "floor, one thread", viewers, machine::idle_time().since(&before));
    }
    table.print(&format!("Camera's last packet in to viewer's packet out, ms; {length:?} each"));
}

async fn floor(frames: &[Frame], viewers: usize, length: Duration) -> Delays {
    let mut sinks = Crowd::start_meek();
    let addresses = sinks.listen(viewers);
    let interval = Duration::from_secs(1) / rig::FPS;
    let floor = floor::measure(frames, interval, &addresses, length, WAY).await;
    let mut delays = Delays::default();
    for arrivals in sinks.arrivals() {
        delays.missing += floor.began.len() - arrivals.len();
        for (timestamp, first, last) in arrivals {
            delays.push(floor.began[timestamp as usize], first, last);
        }
    }
    delays
}
