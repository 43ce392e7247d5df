//! Sessions come and go: 10,000 of them, one after another, then as many again, 200 at a time, that die at each step of ICE, DTLS
//! and media, over UDP and TCP, with a word and without. What the gateway holds must come back to where it was.
//!
//! `cargo bench --bench churn`; `BENCH_IN_ORDER`, `BENCH_SESSIONS` and `BENCH_AT_ONCE` change the numbers. A session has one task, which waits
//! for its end; tasks, and the entries that lead to sessions, are told by the gateway's own metrics.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{LIMIT, binary, machine, numbers, setting, table::Table};
use support::{
    camera::Camera,
    gateway::Gateway,
    held::Held,
    mortal::{End, Life, Step},
};
use tokio::task::JoinSet;

/// Longer than anything of a session outlives it: 20 s without a connection, and 10 s for tokio's spare threads.
const SETTLE: Duration = Duration::from_secs(35);
/// Addresses of this machine that viewers come from: one may have no more than 64 connections on TCP.
const ADDRESSES: u64 = 200;
/// A limit that nobody meets.
const WIDE: &str = "max_sessions = 20000\nmax_sessions_per_address = 20000\nmax_sessions_per_camera = 20000\n\
    max_half_open_sessions = 20000\nmax_half_open_sessions_per_address = 20000\nmax_tcp_connections = 4000\n\
    max_checks_per_second = 10000";

#[tokio::main]
async fn main() {
    let (sessions, at_once) = (setting("BENCH_SESSIONS", 10_000), setting("BENCH_AT_ONCE", 200));
    let in_order = setting("BENCH_IN_ORDER", sessions);
    let binary = binary::build(&[]);
    let camera = Camera::builder().start();
    let entry = format!("{}\nstart = \"always\"\n", camera.toml("front"));
    let builder = Gateway::builder(&binary.path).config(entry).webrtc(WIDE);
    let gateway = builder.http("rate_limit_per_second = 1000\nrate_limit_burst = 1000").spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("{}", machine::line());

    let bench = Arc::new(Bench { http: client(), whep: gateway.whep("front"), next: AtomicU64::new(0) });
    let before = Held::look(&gateway).await;
    let mut table = table();
    row("0", &before, &mut table);
    let (mut pictures, began) = (Vec::new(), Instant::now());
    for number in 1..=in_order {
        let end = if number % 2 == 0 { End::Delete } else { End::Goodbye };
        let took = bench.live(Life { step: Step::Media, end, tcp: false }).await;
        pictures.push(took.expect("a viewer alone is served").as_secs_f64() * 1e3);
        if number % (in_order / 10).max(1) == 0 {
            row(&number.to_string(), &Held::look(&gateway).await, &mut table);
        }
    }
    let rate = in_order as f64 / began.elapsed().as_secs_f64();
    let after = settled(&gateway, &mut table).await;
    table.print("Sessions that play and end, one after another");
    println!(
        "\nPOST to the first video packet: median {:.0} ms, p95 {:.0} ms; {rate:.0} sessions a second",
        numbers::median(&pictures),
        numbers::percentile(&pictures, 95.0)
    );
    check(&before, &after);

    let mut table = self::table();
    row("0", &after, &mut table);
    let lives = Life::all();
    let (mut living, mut late, began) = (JoinSet::<Option<Duration>>::new(), 0, Instant::now());
    for number in 1..=sessions {
        if living.len() as u64 == at_once {
            late += u64::from(living.join_next().await.expect("some").expect("no viewer panics").is_none());
        }
        let (bench, life) = (bench.clone(), lives[number as usize % lives.len()]);
        living.spawn(async move { bench.live(life).await });
        if number % (sessions / 10).max(1) == 0 {
            row(&number.to_string(), &Held::look(&gateway).await, &mut table);
        }
    }
    while let Some(lived) = living.join_next().await {
        late += u64::from(lived.expect("no viewer panics").is_none());
    }
    let rate = sessions as f64 / began.elapsed().as_secs_f64();
    let last = settled(&gateway, &mut table).await;
    table.print(&format!("Sessions that die at each of {} places, {at_once} at a time", lives.len()));
    println!("\n{rate:.0} sessions a second; {late} viewers did not come as far as they were to in time");
    check(&before, &last);
}

/// Viewers on their way.
struct Bench {
    http: reqwest::Client,
    whep: String,
    next: AtomicU64,
}

impl Bench {
    async fn live(&self, life: Life) -> Option<Duration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % ADDRESSES;
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).expect("a byte"));
        life.live(&self.http, &self.whep, from).await
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(LIMIT).build().expect("an HTTP client")
}

fn table() -> Table {
    let by = ["sessions", "ufrags", "addresses", "transactions"];
    Table::new(&[&["sessions so far", "RSS kB", "threads", "descriptors", "tasks"][..], &by].concat())
}

fn row(label: &str, held: &Held, table: &mut Table) {
    let gauges = [
        "camgate_tasks",
        "camgate_routes{by=\"session\"",
        "camgate_routes{by=\"ufrag\"",
        "camgate_routes{by=\"address\"",
        "camgate_routes{by=\"transaction\"",
    ];
    let gauges = gauges.map(|name| held.gauge(name).to_string());
    let process = [held.rss_kb.to_string(), held.threads.to_string(), held.descriptors.to_string()];
    table.row([label.to_owned()].into_iter().chain(process).chain(gauges));
}

/// What is held when nothing of the last session is waited for any more. One more makes the transactions of before forgotten.
async fn settled(gateway: &Gateway, table: &mut Table) -> Held {
    tokio::time::sleep(SETTLE).await;
    let last = Life { step: Step::Media, end: End::Delete, tcp: false };
    last.live(&client(), &gateway.whep("front"), Ipv4Addr::LOCALHOST).await;
    let held = Held::look(gateway).await;
    row(&format!("{} s later", SETTLE.as_secs()), &held, table);
    held
}

fn check(before: &Held, after: &Held) {
    let mut left = after.beyond(before);
    // The last viewer's own.
    left.retain(|line| !line.contains("transaction"));
    assert!(left.is_empty(), "left behind: {left:#?}");
}
