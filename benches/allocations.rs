//! What sending allocates: allocations of the gateway's worker threads per packet and per picture, once viewers watch.
//!
//! `cargo bench --bench allocations`; a window has `BENCH_SECONDS` (default 10), `BENCH_VIEWERS` are the numbers of viewers
//! (default 1,50). The gateway runs in this process under an allocator that counts for threads named peer-N, the viewers
//! in another. A growing buffer (realloc) counts as an allocation. What the sessions themselves do all the time (ICE
//! checks, RTCP) is measured while the camera stands still, and subtracted. A browser offers header extensions too and
//! reports on every packet; reading those reports counts as sending.

#![allow(clippy::print_stdout)]

#[path = "allocations/count.rs"]
mod count;
mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use camgate::app::App;
use camgate::shutdown::Signals;
use camgate::systemd::Sockets;

use count::Count;
use harness::crowd::{self, Crowd, Offer};
use harness::{LIMIT, rig, setting, settings, table::Table};
use support::wait;

/// After the last viewer joined: the bursts of their cached GOPs are over, and queues have their size.
const SETTLE: Duration = Duration::from_secs(5);
/// After the camera stopped: what was on its way is sent.
const STALL: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: tracking_allocator::Allocator<std::alloc::System> = tracking_allocator::Allocator::system();

fn main() {
    let crowd = crowd::is_wanted();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if crowd {
        return runtime.block_on(crowd::run());
    }
    count::start();
    runtime.block_on(measure());
    // The gateway goes on until the process ends.
    runtime.shutdown_background();
}

async fn measure() {
    let length = Duration::from_secs(setting("BENCH_SECONDS", 10));
    let camera = rig::camera();
    let address = start(&camera.toml("front"));
    wait::until("/healthz says 200", LIMIT, || async {
        reqwest::get(format!("http://{address}/healthz")).await.ok().filter(|reply| reply.status().is_success())
    })
    .await;
    let mut table = Table::new(&[
        "offer",
        "viewers",
        "packets/s",
        "allocations/packet",
        "bytes/packet",
        "allocations/picture",
        "allocations/picture and viewer",
        "meanwhile without the camera, /s",
    ]);
    let viewers = settings("BENCH_VIEWERS", &[1, 50]);
    let cases = [("plain", Offer::PLAIN), ("as a browser's", Offer::BROWSER)];
    for ((name, offer), viewers) in cases.into_iter().flat_map(|case| viewers.iter().map(move |&count| (case, count))) {
        let mut crowd = Crowd::start();
        crowd.join(&[format!("http://{address}/whep/front")], viewers, offer);
        tokio::time::sleep(SETTLE).await;
        crowd.mark();
        let (start, before) = (Instant::now(), Count::now());
        tokio::time::sleep(length).await;
        let (busy, took) = (Count::now() - before, start.elapsed());
        let report = crowd.report();
        camera.stall();
        tokio::time::sleep(STALL).await;
        let (start, before) = (Instant::now(), Count::now());
        tokio::time::sleep(length).await;
        let idle = (Count::now() - before).scaled(took.as_secs_f64() / start.elapsed().as_secs_f64());
        camera.resume();
        crowd.leave();

        let sending = busy - idle;
        let (packets, pictures) = ((report.received + report.lost) as f64, report.frames.len() as f64);
        let cell = |value: f64| format!("{value:.3}");
        table.row([
            name.to_owned(),
            viewers.to_string(),
            format!("{:.0}", packets / took.as_secs_f64()),
            cell(sending.allocations / packets),
            format!("{:.0}", sending.bytes / packets),
            cell(sending.allocations / pictures),
            cell(sending.allocations / pictures / viewers as f64),
            format!("{:.0}", idle.allocations / took.as_secs_f64()),
        ]);
    }
    table.print(&format!("Allocations of the sending threads, {length:?} each"));
}

/// Starts the gateway in this process; returns where it listens.
fn start(camera: &str) -> String {
    // Free a moment ago; the gateway tells the port it took only in its log.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("config.toml");
    let config = format!(
        "[http]\nlisten = \"{address}\"\nrate_limit_burst = 1000\n[webrtc]\nlisten = \"127.0.0.1:0\"\n\
         {camera}\nstart = \"always\"\n"
    );
    std::fs::write(&path, config).expect("config.toml");
    let config = camgate::config::load(&path).unwrap_or_else(|faults| panic!("{faults}"));
    tokio::spawn(async move {
        let signals = Signals::listen().expect("signals");
        App::build(config, Sockets::default()).expect("the ports are free").run(signals).await
    });
    address
}
