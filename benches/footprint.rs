//! How much room camgate takes: the size of the release binary, and its memory with one live RTSP camera and no viewer,
//! with and without GStreamer.
//!
//! `cargo bench --bench footprint`. Builds both binaries, the default one last, so that it is the one in target/release.

#![allow(clippy::print_stdout)]

mod harness;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use harness::{LIMIT, binary, setting, table::Table};
use support::{camera::Camera, gateway::Gateway};

#[tokio::main]
async fn main() {
    // Three GOPs: the cache has been full and has been replaced.
    let length = Duration::from_secs(setting("BENCH_SECONDS", 15));
    let camera = Camera::builder().size(1280, 720).fps(25).gop(125).bitrate_kbps(3_000).start();
    let mut table =
        Table::new(&["build", "binary MB", "RSS before the camera MB", "RSS with a live camera MB", "threads"]);
    for (name, arguments) in [("without GStreamer", &["--no-default-features"][..]), ("default", &[])] {
        let binary = binary::build(arguments);
        let size = std::fs::metadata(&binary.path).expect("the binary").len();
        let gateway = Gateway::builder(&binary.path).config(camera.toml("front")).spawn().await;
        let idle = gateway.rss_kb();
        drop(gateway);
        let entry = format!("{}\nstart = \"always\"\n", camera.toml("front"));
        let gateway = Gateway::builder(&binary.path).config(entry).spawn().await;
        gateway.wait_camera("front", "live", LIMIT).await;
        tokio::time::sleep(length).await;
        let seen = gateway.camera("front").await;
        assert_eq!(seen["state"], "live", "{seen}");
        table.row([
            name.to_owned(),
            format!("{:.1}", size as f64 / 1e6),
            format!("{:.1}", idle as f64 / 1e3),
            format!("{:.1}", gateway.rss_kb() as f64 / 1e3),
            gateway.threads().to_string(),
        ]);
    }
    table.print("One RTSP camera (720p, 25 frames/s, 3 Mbit/s, GOP 5 s), no viewer");
}
