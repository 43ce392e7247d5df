//! What a viewer costs: CPU time of the gateway's process per RTP packet sent, beside the floor of the same run.
//!
//! `cargo bench --bench fanout`; a window has `BENCH_SECONDS` (default 10). The camera is an RTSP server in this
//! process, the gateway is the release binary, the viewers are a third process. The floor sends the same datagrams to as
//! many sockets of the same kind. Everything goes over the loopback interface, where Linux charges the work of delivering a
//! packet to whoever sends it, in the gateway and in the floor alike.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use harness::{LIMIT, binary, crowd, crowd::Crowd, floor, machine, setting, table::Table};
use support::{camera::Camera, gateway::Gateway};

const VIEWERS: [usize; 5] = [1, 10, 50, 100, 200];
const FRAME: Duration = Duration::from_millis(40);
/// After the last viewer joined: the bursts of their cached GOPs are over.
const SETTLE: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if crowd::is_wanted() {
        return crowd::run().await;
    }
    let length = Duration::from_secs(setting("BENCH_SECONDS", 10));
    let binary = binary::build(&[]);
    // Small and noisy: cheap to encode, and the bits are spent all the same.
    let camera = Camera::builder().size(480, 270).fps(25).gop(50).bitrate_kbps(3_200).noise_percent(75).start();
    let entry = format!("{}\nstart = \"always\"\n", camera.toml("front"));
    let gateway = Gateway::builder(&binary.path).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(SETTLE).await;

    let mut table = Table::new(&[
        "viewers",
        "packets/s",
        "gateway us/packet",
        "floor us/packet",
        "ratio",
        "gateway cores",
        "RSS MB",
        "loss",
    ]);
    let mut resident = Vec::new();
    let mut stream = String::new();
    for viewers in VIEWERS {
        let load = gateway_window(&gateway, viewers, length).await;
        let mut sinks = Crowd::start();
        let addresses = sinks.listen(viewers);
        let floor = floor::measure(&load.report.frames, FRAME, &addresses, length).await;
        drop(sinks);
        assert_eq!(floor.refused, 0, "the floor lost packets");
        let per_packet = |cpu: Duration, packets: u64| cpu.as_secs_f64() * 1e6 / packets as f64;
        let (gateway_us, floor_us) = (per_packet(load.cpu, load.sent), per_packet(floor.cpu, floor.packets));
        let loss = load.report.lost as f64 * 100.0 / (load.report.received + load.report.lost) as f64;
        table.row([
            viewers.to_string(),
            format!("{:.0}", load.sent as f64 / load.length.as_secs_f64()),
            format!("{gateway_us:.2}"),
            format!("{floor_us:.2}"),
            format!("{:.1}", gateway_us / floor_us),
            format!("{:.3}", load.cpu.as_secs_f64() / load.length.as_secs_f64()),
            format!("{:.1}", load.rss_kb as f64 / 1e3),
            format!("{loss:.3} %"),
        ]);
        resident.push((viewers, load.rss_kb));
        stream = describe(&load.report.frames);
        println!("{viewers} viewers: {gateway_us:.2} us/packet, floor {floor_us:.2}, {}", stream);
    }
    table.print(&format!("CPU per RTP packet, {length:?} each; {stream}"));
    let (first, last) = (resident[0], resident[resident.len() - 1]);
    let growth = last.1.saturating_sub(first.1) as f64 / (last.0 - first.0) as f64;
    println!("\nRSS per viewer: {growth:.0} kB ((RSS at {} - RSS at {}) / {})", last.0, first.0, last.0 - first.0);
}

/// What the gateway did in one window.
struct Load {
    cpu: Duration,
    sent: u64,
    length: Duration,
    rss_kb: u64,
    report: crowd::Report,
}

/// Lets so many viewers watch for `length`, then leave.
async fn gateway_window(gateway: &Gateway, viewers: usize, length: Duration) -> Load {
    let mut crowd = Crowd::start();
    crowd.join(&gateway.whep("front"), viewers);
    tokio::time::sleep(SETTLE).await;
    let sent_before = sent(gateway).await;
    crowd.mark();
    let (start, cpu_before) = (Instant::now(), machine::cpu_time(gateway.pid()));
    tokio::time::sleep(length).await;
    let (cpu, length) = (machine::cpu_time(gateway.pid()) - cpu_before, start.elapsed());
    let report = crowd.report();
    let sent = sent(gateway).await - sent_before;
    let rss_kb = gateway.rss_kb();
    assert_eq!(report.starved, 0, "viewers that received nothing");
    crowd.leave();
    gateway.wait_sessions(0, LIMIT).await;
    Load { cpu, sent, length, rss_kb, report }
}

/// RTP packets sent to all viewers so far.
async fn sent(gateway: &Gateway) -> u64 {
    let sessions = gateway.sessions().await;
    sessions.iter().map(|session| session["rtp_packets_sent"].as_u64().expect("a counter")).sum()
}

/// The stream in words.
fn describe(frames: &[crowd::Frame]) -> String {
    let (packets, bytes) = frames.iter().fold((0, 0), |sum, frame| (sum.0 + frame.packets, sum.1 + frame.bytes));
    let seconds = frames.len() as f64 * FRAME.as_secs_f64();
    let largest = frames.iter().map(|frame| frame.bytes).max().unwrap_or(0);
    format!(
        "{:.1} Mbit/s, {:.1} packets/frame, largest frame {} kB",
        bytes as f64 * 8.0 / 1e6 / seconds,
        packets as f64 / frames.len() as f64,
        largest / 1_000
    )
}
