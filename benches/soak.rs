//! Hours of everything at once: cameras that misbehave at random, viewers who come, go, vanish and lag, a configuration that
//! is written again and again, and Chromium on the page of all cameras, which is never reloaded. The lines are to be flat.
//!
//! `cargo bench --bench soak`; `BENCH_MINUTES` (default 120), `BENCH_CAMERAS` (default 10, at least 9), `BENCH_VIEWERS` (default
//! 50, some of whom stay: one for each camera), `BENCH_SEED` repeats the misbehaviour. `BENCH_OUTPUT` (default target/soak) gets
//! soak.csv, report.md and soak.svg, written again each minute, the gateway's log and its configuration. Ends at SIGTERM too.
//!
//! The machine's other cores are left alone: cameras are small and slow. Parts that end are started again, and counted.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "soak/mod.rs"]
mod soak;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use harness::{binary, setting};
use soak::{Plan, cameras, viewers};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tokio::task::LocalSet::new().run_until(act()).await;
}

async fn act() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(cameras::ARGUMENT) => cameras::run(&arguments[1..]),
        Some(viewers::ARGUMENT) => return viewers::run(&arguments[1..]).await,
        _ => {}
    }
    let directory = std::env::var_os("BENCH_OUTPUT")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/soak"), PathBuf::from);
    std::fs::create_dir_all(&directory).expect("a folder for the output");
    // A copy: cargo may build another one meanwhile.
    let built = binary::build(&[]);
    let gateway = directory.join("camgate");
    let _ = std::fs::remove_file(&gateway);
    std::fs::copy(&built.path, &gateway).expect("a copy of the binary");
    drop(built);
    let plan = Plan {
        directory,
        gateway,
        length: Duration::from_secs(60 * setting("BENCH_MINUTES", 120)),
        cameras: setting("BENCH_CAMERAS", 10) as usize,
        viewers: setting("BENCH_VIEWERS", 50),
        seed: setting("BENCH_SEED", 1),
    };
    println!("{plan:?}");
    println!("\n{}", soak::run(plan).await);
}
