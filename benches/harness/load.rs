//! What a gateway does while so many viewers watch.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Offer, Report};
use super::floor::{self, Way};
use super::machine;
use crate::support::process;

/// After the last viewer joined: the bursts of their cached GOPs are over.
const SETTLE: Duration = Duration::from_secs(3);

/// A gateway.
pub struct Target {
    /// Of each of its cameras, between which the viewers are divided.
    pub wheps: Vec<String>,
    /// Whose CPU time and memory it is.
    pub pid: u32,
}

/// What it did in one window.
pub struct Load {
    pub cpu: Duration,
    pub length: Duration,
    pub rss_kb: u64,
    pub report: Report,
}

impl Load {
    /// Lets so many viewers watch for `length`, then leave. Nobody is there while `viewers` is 0.
    pub async fn measure(target: &Target, viewers: usize, offer: Offer, length: Duration) -> Self {
        let mut crowd = Crowd::start();
        crowd.join(&target.wheps, viewers, offer);
        tokio::time::sleep(SETTLE).await;
        crowd.mark();
        let (start, cpu_before) = (Instant::now(), machine::cpu_time(target.pid));
        tokio::time::sleep(length).await;
        // A thread that ended takes its time with it.
        let cpu = machine::cpu_time(target.pid).saturating_sub(cpu_before);
        let (length, report) = (start.elapsed(), crowd.report());
        let rss_kb = process::rss_kb(target.pid);
        assert_eq!(report.starved, 0, "viewers that received nothing");
        crowd.leave();
        Self { cpu, length, rss_kb, report }
    }

    /// Packets of video that were sent to all viewers.
    pub fn packets(&self) -> u64 {
        self.report.received + self.report.lost
    }

    /// CPU microseconds per packet.
    pub fn per_packet(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.packets() as f64
    }

    /// Share of one core.
    pub fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.length.as_secs_f64()
    }

    /// From one picture to the next.
    pub fn interval(&self) -> Duration {
        self.length / self.report.frames.len().max(1) as u32
    }

    /// Packets that the sender lost, in percent.
    pub fn loss(&self) -> f64 {
        self.report.lost.saturating_sub(self.report.overflowed) as f64 * 100.0 / self.packets() as f64
    }

    /// Packets that the crowd lost, in percent. What is much of it makes the rest a measurement of the crowd.
    pub fn overflow(&self) -> f64 {
        self.report.overflowed as f64 * 100.0 / self.packets() as f64
    }

    /// CPU microseconds per packet of the floor: the same pictures to as many sockets.
    pub async fn floor(&self, viewers: usize, length: Duration, way: Way) -> f64 {
        let mut sinks = Crowd::start();
        let addresses = sinks.listen(viewers);
        let floor = floor::measure(&self.report.frames, self.interval(), &addresses, length, way).await;
        assert_eq!(floor.refused, 0, "the floor lost packets");
        floor.cpu.as_secs_f64() * 1e6 / floor.packets as f64
    }

    /// The stream in words.
    pub fn stream(&self) -> String {
        let frames = &self.report.frames;
        let (packets, bytes) = frames.iter().fold((0, 0), |sum, frame| (sum.0 + frame.packets, sum.1 + frame.bytes));
        let largest = frames.iter().map(|frame| frame.bytes).max().unwrap_or(0);
        format!(
            "{:.1} Mbit/s, {:.1} packets/frame, largest frame {} kB",
            bytes as f64 * 8.0 / 1e6 / self.length.as_secs_f64(),
            packets as f64 / frames.len() as f64,
            largest / 1_000
        )
    }
}
