//! A picture on a bad network: how long it stands still in Chromium when packets are lost, what that costs, and how long
//! joining takes there.
//!
//! `cargo bench --bench loss`, as root (network namespaces, NFQUEUE; `iptables` besides what the tests need). `BENCH_SECONDS`
//! (default 60) is how long each case is watched, `BENCH_JOINS` (default 20) how often a viewer joins in each of the others;
//! `BENCH_CASES` (names of [`WATCHED`] and [`JOINED`], with commas) leaves out the rest; the first is what bytes are compared with.
//!
//! The network is that of loss/path.rs: what is said of it holds for each direction and for every packet, HTTP and RTCP
//! included. The frame number burnt into the camera's picture tells which picture is shown, and when it was taken. *Frozen* is
//! what Chromium counts (totalFreezesDuration: an interval of more than three of the usual ones and at least 150 ms more than
//! usual, whole); *gaps* are intervals between two presented frames of more than three frame times, whole, which a busy
//! machine makes by itself: compare with the row without loss. *More bytes* is beyond those of that row, for as many of the
//! camera's.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "loss/path.rs"]
mod path;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "loss/viewing.rs"]
mod viewing;

use std::time::Duration;

use harness::{LIMIT, binary, binary::Binary, numbers, setting, table::Table};
use path::{Conditions, Loss, Path, Way};
use support::{
    browser::Browser,
    camera::Camera,
    gateway::Gateway,
    network::{GATEWAY, Network},
};

const FPS: u32 = 25;
/// Seconds between two keyframes: what cameras are set to for the web, and what many come with.
const GOPS: [u32; 2] = [2, 10];
/// From one join to the next, as in benches/join.rs: the golden section of the longer GOP.
const SPACING: Duration = Duration::from_millis(6_180);

/// The page without retransmission (RFC 4588): lost packets are then sent again as they were.
const NO_RTX: &str = "{
    const { addTransceiver } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.addTransceiver = function (...args) {
        const transceiver = addTransceiver.apply(this, args);
        if (args[0] !== 'video') return transceiver;
        const { codecs } = RTCRtpReceiver.getCapabilities('video');
        transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType !== 'video/rtx'));
        return transceiver;
    };
}";

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// The gateway's own page.
    Page,
    /// The same without retransmission.
    NoRtx,
    /// Any other page: tests/support/browser/join.js.
    Bare,
}

struct Case {
    name: &'static str,
    client: Client,
    loss: Loss,
    delay: Duration,
}

const fn case(name: &'static str, client: Client, loss: Loss, delay: Duration) -> Case {
    Case { name, client, loss, delay }
}

const NEAR: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_millis(40);

const WATCHED: [Case; 12] = [
    case("no loss", Client::Page, Loss::None, NEAR),
    case("1 %", Client::Page, Loss::Random(0.01), NEAR),
    case("5 %", Client::Page, Loss::Random(0.05), NEAR),
    case("10 %", Client::Page, Loss::Random(0.10), NEAR),
    case("5 % in runs of 8", Client::Page, Loss::Bursts { share: 0.05, length: 8.0 }, NEAR),
    case("5 % far", Client::Page, Loss::Random(0.05), FAR),
    case("10 % far", Client::Page, Loss::Random(0.10), FAR),
    case("no loss no RTX", Client::NoRtx, Loss::None, NEAR),
    case("5 % no RTX", Client::NoRtx, Loss::Random(0.05), NEAR),
    case("10 % no RTX", Client::NoRtx, Loss::Random(0.10), NEAR),
    case("5 % other page", Client::Bare, Loss::Random(0.05), NEAR),
    case("10 % other page", Client::Bare, Loss::Random(0.10), NEAR),
];

const JOINED: [Case; 3] = [
    case("join no loss", Client::Page, Loss::None, FAR),
    case("join 5 %", Client::Page, Loss::Random(0.05), FAR),
    case("join 10 %", Client::Page, Loss::Random(0.10), FAR),
];

impl Case {
    fn conditions(&self) -> Conditions {
        Conditions::each_way(Way { loss: self.loss, delay: self.delay, rate: None })
    }
}

fn main() {
    let length = Duration::from_secs(setting("BENCH_SECONDS", 60));
    let joins = setting("BENCH_JOINS", 20);
    let wanted = std::env::var("BENCH_CASES").unwrap_or_default();
    let is_wanted = |case: &&Case| wanted.is_empty() || wanted.split(',').any(|name| case.name == name);
    let binary = binary::build(&[]);

    let mut watched = Table::new(&[
        "each way",
        "lost",
        "frozen",
        "gaps",
        "longest gap",
        "shown",
        "more bytes",
        "NACKs/s",
        "sent again/s",
        "PLIs",
        "behind, median",
        "p95",
    ]);
    let mut joined = Table::new(&["each way", "answer", "connected", "first frame, median", "p95", "max"]);
    for gop in GOPS {
        let network = Network::new();
        // One way to the gateway, the one that is spoilt.
        network.run("viewer", "ip -6 addr flush dev eth0");
        let path = Path::new(&network);
        let camera = network.inside("gateway", async move {
            Camera::builder().size(640, 360).fps(FPS).gop(FPS * gop).bitrate_kbps(3_000).noise_percent(40).start()
        });
        network.inside("viewer", async {
            let gateway = gateway(&network, &binary, &camera).await;
            let browser = Browser::start().await;
            let mut usual = None;
            for case in WATCHED.iter().filter(is_wanted) {
                open(&browser, &gateway, case).await;
                browser.eval(include_str!("join/watch.js")).await;
                enter(&browser, &gateway, case.client).await;
                let viewing = viewing::watch(&browser, &gateway, &camera, &path, case.conditions(), length).await;
                leave(&browser, case.client).await;
                let usual = *usual.get_or_insert(viewing.bytes);
                println!("GOP of {gop} s, {}: {viewing:.3?}", case.name);
                watched.row(viewing.cells(&format!("{}, GOP of {gop} s", case.name), usual));
            }
            for case in JOINED.iter().filter(is_wanted) {
                joined.row(join(&browser, &gateway, &path, case, gop, joins).await);
            }
        });
    }
    watched.print(&format!(
        "{} s each in Chromium, 640x360, {FPS} frames/s, 3 Mbit/s; 5 ms of delay each way, 40 ms if far",
        length.as_secs()
    ));
    joined.print(&format!("ms from the begin; {joins} joins each, 40 ms of delay each way"));
}

async fn gateway(network: &Network, binary: &Binary, camera: &Camera) -> Gateway {
    let gateway = Gateway::builder(&binary.path)
        .on(network, "gateway")
        .http_listen(&format!("{GATEWAY}:8080"))
        .webrtc_listen("0.0.0.0:8189")
        .config(format!("{}\nstart = \"always\"\n", camera.toml("front")))
        .spawn()
        .await;
    gateway.wait_camera("front", "live", LIMIT).await;
    gateway
}

/// A fresh page, whose first connection is over: a browser is slow to that.
async fn open(browser: &Browser, gateway: &Gateway, case: &Case) {
    browser.open(&gateway.url("/healthz")).await;
    if case.client == Client::NoRtx {
        browser.eval(NO_RTX).await;
    }
    enter(browser, gateway, case.client).await;
    leave(browser, case.client).await;
}

/// When there was what, in milliseconds after the begin.
struct Times {
    answer: f64,
    connected: f64,
    first_frame: f64,
}

async fn enter(browser: &Browser, gateway: &Gateway, client: Client) -> Times {
    let whep = gateway.whep("front");
    let (answer, connected, first_frame) = if client == Client::Bare {
        let join = browser.join_bare(&whep, false, LIMIT).await;
        (Some(join.answer), join.connected, Some(join.first_frame))
    } else {
        let join = browser.join_session(&whep, LIMIT).await;
        (join.answer, join.connected, join.first_frame)
    };
    let time = |time: Option<f64>| time.unwrap_or_else(|| panic!("no picture within {LIMIT:?}\n{}", gateway.log()));
    Times { answer: time(answer), connected: time(connected), first_frame: time(first_frame) }
}

async fn leave(browser: &Browser, client: Client) {
    if client == Client::Bare { browser.leave_bare().await } else { browser.leave_session().await }
}

async fn join(browser: &Browser, gateway: &Gateway, path: &Path, case: &Case, gop: u32, count: u64) -> [String; 6] {
    open(browser, gateway, case).await;
    let mut times = Vec::new();
    path.set(case.conditions());
    for number in 1..=count {
        let join = enter(browser, gateway, case.client).await;
        println!(
            "GOP of {gop} s, {}, {number}: answer {:.0}, connected {:.0}, first frame {:.0} ms",
            case.name, join.answer, join.connected, join.first_frame
        );
        leave(browser, case.client).await;
        tokio::time::sleep(SPACING.saturating_sub(Duration::from_secs_f64(join.first_frame / 1e3))).await;
        times.push(join);
    }
    path.set(Conditions::CLEAN);
    let first: Vec<f64> = times.iter().map(|join| join.first_frame).collect();
    let answers: Vec<f64> = times.iter().map(|join| join.answer).collect();
    let connected: Vec<f64> = times.iter().map(|join| join.connected).collect();
    let ms = |value: f64| format!("{value:.0}");
    [
        format!("{}, GOP of {gop} s", case.name),
        ms(numbers::median(&answers)),
        ms(numbers::median(&connected)),
        ms(numbers::median(&first)),
        ms(numbers::percentile(&first, 95.0)),
        ms(numbers::max(&first)),
    ]
}
