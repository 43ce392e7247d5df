//! Talking back: how long after it was made a sound comes out of the loudspeaker's pipeline.
//!
//! `cargo bench --bench talk`; `BENCH_BEEPS` (default 30) beeps.
//!
//! The speaker is Chromium on this machine, with beeps of its own in the place of a microphone, so that the delay of a sound card
//! is no part of it; encoding, the way, the gateway, decoding and the pipeline are. The pipeline sends its sound to this process,
//! in the place of a device. The camera's own loudspeaker is another way out; its network and the camera are not measured here.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::UdpSocket;

use harness::{
    LIMIT, binary,
    clock::{self, Clock},
    numbers, setting,
    table::Table,
};
use support::{browser::Browser, camera::Camera, gateway::Gateway};

/// Half of the beeps' amplitude, of 16 bits.
const LOUD: u16 = 4_000;
/// Samples per second that the pipeline sends, of 16 bits.
const HZ: f64 = 48_000.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let beeps = setting("BENCH_BEEPS", 30);
    let binary = binary::build(&[]);
    let ear = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = ear.local_addr().expect("an address").port();
    let launch = format!("appsrc name=talk ! audioconvert ! udpsink host=127.0.0.1 port={port} sync=false");
    let camera = Camera::builder().start();
    let keys = "talk = \"pipeline\"\ntalk_pipeline = \"ear\"\n[pipelines]\npath = [\".\"]\n";
    let builder = Gateway::builder(&binary.path).config(format!("{}{keys}", camera.toml("front")));
    let gateway = builder.file("ear.launch", &launch).spawn().await;
    let speaker = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    speaker.open(&gateway.url("/watch/front")).await;
    let script = format!("(\n{}\n)({:?})", include_str!("talk/beeps.js"), gateway.url("/whip/front/talk"));
    speaker.eval(&script).await;
    speaker.wait_for("window.talking.connected", LIMIT).await;
    let heard = std::thread::spawn(move || listen(&ear, beeps));
    let heard =
        tokio::task::spawn_blocking(move || heard.join().expect("what was heard")).await.expect("what was heard");
    let clock = Clock::of(&speaker).await;
    // Milliseconds since 1970 by the speaker's clock.
    let made: Vec<f64> = serde_json::from_value(speaker.eval("window.talking.beeps").await).expect("times");
    let late = |heard: &f64| {
        let made = made.iter().map(|made| made - clock.ahead).filter(|made| made < heard).fold(0.0, f64::max);
        (made > 0.0).then_some(heard - made)
    };
    let late: Vec<f64> = heard.iter().filter_map(late).collect();
    let ms = |value: f64| format!("{value:.0}");
    let mut table = Table::new(&["beeps", "median", "p95", "max", "clocks known to"]);
    table.row([
        late.len().to_string(),
        ms(numbers::median(&late)),
        ms(numbers::percentile(&late, 95.0)),
        ms(numbers::max(&late)),
        format!("{:.1} ms", clock.error),
    ]);
    table.print("From a sound in Chromium to the loudspeaker's pipeline, ms");
}

/// When beeps began, in milliseconds since 1970.
fn listen(ear: &UdpSocket, count: u64) -> Vec<f64> {
    ear.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let (mut begun, mut silent) = (Vec::new(), usize::MAX);
    let mut buffer = [0; 65_536];
    while (begun.len() as u64) < count {
        let length = ear.recv(&mut buffer).expect("sound");
        let now = clock::now();
        let samples = buffer[..length].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        for (at, sample) in samples.enumerate() {
            if sample.unsigned_abs() < LOUD {
                silent = silent.saturating_add(1);
                continue;
            }
            // A tenth of a second of silence is between two beeps.
            if silent as f64 > HZ / 10.0 {
                // The first sample of a packet would be heard when it came, the others after it.
                begun.push(now + at as f64 / HZ * 1e3);
            }
            silent = 0;
        }
    }
    begun
}
