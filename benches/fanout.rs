//! What a viewer costs: CPU time of the gateway's process per RTP packet sent, beside the floor of the same run, and its
//! memory; by the number of viewers and of cameras, by how SRTP protects, with UDP GSO and without, and for viewers that
//! offer the header extensions of a browser and give its feedback.
//!
//! `cargo bench --bench fanout`; `BENCH_VIEWERS` are the numbers of viewers (default 1,10,100), a window has
//! `BENCH_SECONDS` (default 10), `BENCH_CASES` (names of [`CASES`]) leaves out others. All that the README shows:
//! `BENCH_VIEWERS=1,10,50,100,200,400 cargo bench --bench fanout`, half an hour.
//!
//! Any other WHEP gateway is measured by the same crowd with `cargo bench --bench fanout -- --pid 123 --url
//! http://192.0.2.7/whep/front`, once more `--url` for each further camera; its viewers come from the address that leads
//! to the URL, so that a gateway that leaves out the loopback interface wants another address of this machine there.
//!
//! The camera is an RTSP server in this process, the gateway is the release binary, the viewers are a third process. The
//! floor sends the same datagrams to as many sockets of the same kind. Everything goes over the loopback interface, where
//! Linux charges the work of delivering a packet to whoever sends it, in the gateway and in the floor alike. The gateway
//! pays for receiving its cameras too, which is most of it while there is one viewer; the row without viewers says how
//! much. kB/viewer is what was added since the row with the fewest viewers.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;

use harness::crowd::{self, Offer, Protection};
use harness::floor::Way;
use harness::load::{Load, Target};
use harness::rig::{self, Rig};
use harness::{LIMIT, binary, setting, settings, table::Table, without_gso};

struct Case {
    name: &'static str,
    cameras: usize,
    protection: Protection,
    gso: bool,
    /// The header extensions and the feedback of a browser.
    extensions: bool,
}

const GCM: Case = Case { name: "gcm", cameras: 1, protection: Protection::Gcm, gso: true, extensions: false };
const CASES: [Case; 6] = [
    GCM,
    Case { name: "gcm-browser", extensions: true, ..GCM },
    Case { name: "cm", protection: Protection::Cm, ..GCM },
    Case { name: "gcm-no-gso", gso: false, ..GCM },
    Case { name: "cm-no-gso", protection: Protection::Cm, gso: false, ..GCM },
    Case { name: "gcm-20-cameras", cameras: 20, ..GCM },
];

impl Case {
    fn offer(&self) -> Offer {
        Offer { protection: self.protection, extensions: self.extensions }
    }

    fn way(&self) -> Way {
        Way { protection: self.protection, gso: self.gso }
    }
}

/// What another gateway has to be told of.
#[derive(Parser)]
struct Arguments {
    /// A WHEP URL of another gateway; several for several cameras.
    #[arg(long, requires = "pid")]
    url: Vec<String>,
    /// The process whose CPU time and memory are told.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if crowd::is_wanted() {
        return crowd::run().await;
    }
    without_gso::become_program_if_wanted();
    let arguments = Arguments::parse();
    let mut fanout = Fanout {
        length: Duration::from_secs(setting("BENCH_SECONDS", 10)),
        viewers: settings("BENCH_VIEWERS", &[1, 10, 100]),
        table: Table::new(&[
            "case",
            "viewers",
            "packets/s",
            "us/packet",
            "floor",
            "ratio",
            "of a core",
            "RSS MB",
            "kB/viewer",
            "loss",
            "lost by the crowd",
        ]),
        stream: String::new(),
    };
    let wanted = std::env::var("BENCH_CASES").unwrap_or_default();
    let cases = CASES.iter().filter(|case| wanted.is_empty() || wanted.split(',').any(|name| name == case.name));
    if let Some(pid) = arguments.pid {
        // Whether it has GSO is its own affair: the floor has it.
        let target = Target { wheps: arguments.url, pid };
        for case in cases.filter(|case| case.cameras == 1 && case.gso) {
            fanout.measure(case, &target, None).await;
        }
    } else {
        let binary = binary::build(&[]);
        let camera = rig::camera();
        for case in cases {
            let rig = Rig::start(&binary, &camera.url(), case.cameras, case.gso).await;
            fanout.measure(case, &rig.target, Some(&rig)).await;
            rig.end().await;
        }
    }
    fanout.table.print(&format!("CPU per RTP packet, {:?} each; {}", fanout.length, fanout.stream));
}

struct Fanout {
    length: Duration,
    viewers: Vec<usize>,
    table: Table,
    stream: String,
}

impl Fanout {
    /// A row without viewers and one for each number of them.
    async fn measure(&mut self, case: &Case, target: &Target, rig: Option<&Rig>) {
        let name = case.name;
        let idle = Load::measure(target, 0, case.offer(), self.length).await;
        self.row(name, 0, &idle, "", ["", "", ""].map(str::to_owned));
        // The first viewers make it load code and fill pools, which is not their memory.
        let mut first: Option<(usize, u64)> = None;
        for &viewers in &self.viewers.clone() {
            let load = Load::measure(target, viewers, case.offer(), self.length).await;
            if let Some(rig) = rig {
                rig.gateway.wait_sessions(0, LIMIT).await;
            }
            let floor = load.floor(viewers, self.length, case.way()).await;
            let us = load.per_packet();
            self.stream = load.stream();
            println!("{name}, {viewers} viewers: {us:.2} us/packet, floor {floor:.2}, {}", self.stream);
            if case.extensions {
                // None at all: the gateway does not number its packets, whatever it answered.
                let each = load.report.feedbacks as f64 / load.length.as_secs_f64() / viewers as f64;
                println!("feedback from each viewer: {each:.1} a second");
            }
            let (few, few_kb) = *first.get_or_insert((viewers, load.rss_kb));
            let each = load.rss_kb.saturating_sub(few_kb) as f64 / viewers.saturating_sub(few) as f64;
            let each = if viewers > few { format!("{each:.0}") } else { String::new() };
            let cpu = [format!("{us:.2}"), format!("{floor:.2}"), format!("{:.2}", us / floor)];
            self.row(name, viewers, &load, &each, cpu);
        }
    }

    fn row(&mut self, name: &str, viewers: usize, load: &Load, each: &str, [us, floor, ratio]: [String; 3]) {
        let packets = |text: String| if load.packets() == 0 { String::new() } else { text };
        self.table.row([
            name.to_owned(),
            viewers.to_string(),
            format!("{:.0}", load.packets() as f64 / load.length.as_secs_f64()),
            us,
            floor,
            ratio,
            format!("{:.2} %", load.share() * 100.0),
            format!("{:.1}", load.rss_kb as f64 / 1e3),
            each.to_owned(),
            packets(format!("{:.3} %", load.loss())),
            packets(format!("{:.3} %", load.overflow())),
        ]);
    }
}
