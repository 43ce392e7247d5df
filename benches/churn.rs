//! Sessions come and go: 500 of them, one after another, half ended by DELETE and half by a DTLS goodbye, as a closed tab
//! says it. What the gateway holds must come back to where it was.
//!
//! `cargo bench --bench churn`; `BENCH_SESSIONS` changes the number. Threads stand for tasks: a session is no task
//! of its own, and the sessions left are counted too.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use harness::{LIMIT, binary, machine, numbers, setting, table::Table};
use support::{
    camera::Camera,
    gateway::Gateway,
    viewer::{Kind, Viewer},
};

/// Longer than anything of a session outlives it: ICE consent (15 s) most of all.
const SETTLE: Duration = Duration::from_secs(20);
/// For a TCP connection to close on both sides.
const CLOSE: Duration = Duration::from_millis(200);
/// Sessions between two looks.
const STEP: u64 = 100;

#[tokio::main]
async fn main() {
    let sessions = setting("BENCH_SESSIONS", 500);
    let binary = binary::build(&[]);
    let camera = Camera::builder().start();
    let entry = format!("{}\nstart = \"always\"\n", camera.toml("front"));
    let gateway = Gateway::builder(&binary.path).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let mut table = Table::new(&["sessions so far", "RSS kB", "threads", "file descriptors", "sessions left"]);
    let before = Held::look(&gateway).await;
    before.row("0", &mut table);
    let mut pictures = Vec::new();
    let mut after_first = None;
    for number in 1..=sessions {
        pictures.push(one_session(&gateway, number % 2 == 0).await);
        if number % STEP == 0 {
            let held = Held::look(&gateway).await;
            held.row(&number.to_string(), &mut table);
            after_first.get_or_insert(held.rss_kb);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let after = Held::look(&gateway).await;
    after.row(&format!("{sessions}, {} s later", SETTLE.as_secs()), &mut table);
    table.print("Sessions opened and closed one after another");
    println!(
        "\nPOST to the first video packet: median {:.0} ms, p95 {:.0} ms",
        numbers::median(&pictures),
        numbers::percentile(&pictures, 95.0)
    );
    if let Some(first) = after_first.filter(|_| sessions > STEP) {
        let growth = after.rss_kb as f64 - first as f64;
        println!("RSS after the first {STEP}: {growth:+.0} kB, {:+.2} kB a session", growth / (sessions - STEP) as f64);
    }
    assert_eq!(after.sessions, 0, "sessions are left");
    assert!(after.threads <= before.threads, "threads are left");
    let (then, now) = (&before.files, &after.files);
    assert!(now.len() <= then.len(), "file descriptors are left: before {then:#?}, now {now:#?}");
}

/// Joins, sees video, leaves. Returns the milliseconds from the POST to the first packet.
async fn one_session(gateway: &Gateway, delete: bool) -> f64 {
    let viewer = Viewer::builder(gateway.whep("front")).audio(false).join().await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    let picture = viewer.time_to_packet().unwrap_or_default();
    if delete {
        assert_eq!(viewer.close().await, 200, "DELETE");
    } else {
        viewer.hang_up().await;
    }
    picture.as_secs_f64() * 1e3
}

/// What the process holds.
struct Held {
    rss_kb: u64,
    threads: u64,
    files: Vec<String>,
    sessions: usize,
}

impl Held {
    /// Looks when the last viewer's connections have had time to close. Asks over a connection of its own that is closed
    /// before the file descriptors are counted: those that a client keeps open are not the gateway's doing.
    async fn look(gateway: &Gateway) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
        let list = http.get(gateway.url("/api/v1/sessions")).send().await.expect("the list of sessions");
        let list = list.text().await.expect("the list of sessions");
        let sessions: Vec<serde_json::Value> = serde_json::from_str(&list).expect("a list");
        tokio::time::sleep(CLOSE).await;
        let pid = gateway.pid();
        let files = machine::open_files(pid);
        Self { rss_kb: gateway.rss_kb(), threads: gateway.threads(), files, sessions: sessions.len() }
    }

    fn row(&self, label: &str, table: &mut Table) {
        let numbers = [
            self.rss_kb.to_string(),
            self.threads.to_string(),
            self.files.len().to_string(),
            self.sessions.to_string(),
        ];
        table.row(std::iter::once(label.to_owned()).chain(numbers));
    }
}
