//! How the cost grows: with the viewers of one camera, and with the cameras of a constant number of viewers. Each is
//! fitted by a straight line; what a row is beside it shows where the line bends.
//!
//! `cargo bench --bench scale`; a window has `BENCH_SECONDS` (default 8), `BENCH_VIEWERS` are the numbers of viewers
//! (default 0,25,50,100,200,300,400), `BENCH_CAMERAS` those of cameras (default 1,2,5,10,20,40), whose viewers are
//! `BENCH_CONSTANT` (default 100) altogether. CPU is the gateway's process alone; viewers and camera run on the same
//! cores, so that a line that bends upwards where `idle` comes to nothing is the machine's end and not the gateway's.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use harness::crowd::{self, Offer, Protection};
use harness::floor::Way;
use harness::load::Load;
use harness::rig::{self, Rig};
use harness::{LIMIT, binary, machine, numbers, setting, settings, table::Table};

const WAY: Way = Way { protection: Protection::Gcm, gso: true };

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if crowd::is_wanted() {
        return crowd::run().await;
    }
    let length = Duration::from_secs(setting("BENCH_SECONDS", 8));
    let constant = setting("BENCH_CONSTANT", 100) as usize;
    let binary = binary::build(&[]);
    let camera = rig::camera();

    let mut rows = Vec::new();
    let rig = Rig::start(&binary, &camera.url(), 1, WAY.gso).await;
    for viewers in settings("BENCH_VIEWERS", &[0, 25, 50, 100, 200, 300, 400]) {
        rows.push(measure(&rig, viewers, viewers, length).await);
    }
    rig.end().await;
    print("viewers", "One camera", &rows);

    let mut rows = Vec::new();
    for cameras in settings("BENCH_CAMERAS", &[1, 2, 5, 10, 20, 40]) {
        let rig = Rig::start(&binary, &camera.url(), cameras, WAY.gso).await;
        rows.push(measure(&rig, constant, cameras, length).await);
        rig.end().await;
    }
    print("cameras", &format!("{constant} viewers altogether"), &rows);
}

struct Row {
    /// What grows.
    count: usize,
    load: Load,
    floor: Option<f64>,
    /// Share of the machine that nobody used.
    idle: f64,
}

async fn measure(rig: &Rig, viewers: usize, count: usize, length: Duration) -> Row {
    let before = machine::idle_time();
    let load = Load::measure(&rig.target, viewers, Offer::PLAIN, length).await;
    let idle = machine::idle_time().since(&before);
    rig.gateway.wait_sessions(0, LIMIT).await;
    let floor = if viewers == 0 { None } else { Some(load.floor(viewers, length, WAY).await) };
    println!("{count}: {:.2} % of a core", load.share() * 100.0);
    Row { count, load, floor, idle }
}

fn print(what: &str, title: &str, rows: &[Row]) {
    let points: Vec<_> = rows.iter().map(|row| (row.count as f64, row.load.share() * 100.0)).collect();
    let line = numbers::Line::fit(&points);
    let mut table = Table::new(&[
        what,
        "packets/s",
        "of a core",
        "line",
        "beside it",
        "us/packet",
        "floor",
        "ratio",
        "RSS MB",
        "loss",
        "lost by the crowd",
        "machine idle",
    ]);
    for (row, &(count, share)) in rows.iter().zip(&points) {
        let fitted = line.at(count);
        let packet = |text: String| if row.load.packets() == 0 { String::new() } else { text };
        table.row([
            row.count.to_string(),
            format!("{:.0}", row.load.packets() as f64 / row.load.length.as_secs_f64()),
            format!("{share:.2} %"),
            format!("{fitted:.2} %"),
            format!("{:+.1} %", (share - fitted) * 100.0 / fitted),
            packet(format!("{:.2}", row.load.per_packet())),
            row.floor.map_or_else(String::new, |floor| format!("{floor:.2}")),
            row.floor.map_or_else(String::new, |floor| format!("{:.2}", row.load.per_packet() / floor)),
            format!("{:.1}", row.load.rss_kb as f64 / 1e3),
            packet(format!("{:.3} %", row.load.loss())),
            packet(format!("{:.3} %", row.load.overflow())),
            format!("{:.0} %", row.idle * 100.0),
        ]);
    }
    table.print(title);
    let bend = points.iter().map(|&(x, y)| ((y - line.at(x)).abs(), x)).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((distance, count)) = bend {
        println!(
            "\nthe line: {:.3} % of a core and {:.4} % for each of the {what}; r2 = {:.4}; farthest from it: {count} {what}, \
             by {distance:.2} % of a core",
            line.start, line.slope, line.fit
        );
    }
}
