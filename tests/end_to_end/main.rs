//! The whole program against real parts: the binary as a child process, GStreamer's RTSP server as the camera, a native
//! WHEP client and Chromium as viewers. One test binary, because each would link all of that again.

#![allow(clippy::unwrap_used)]

mod acme;
mod addresses;
mod auth;
mod auth_networks;
mod auth_page;
mod b_frames;
mod bad_networks;
mod cameras;
mod channel;
mod clip;
mod congestion;
mod discover;
mod events;
mod faults;
mod forward_auth;
mod jwt;
mod leaks;
mod limits;
mod logs;
mod machine;
mod machine_disk;
mod machine_log;
mod machine_memory;
mod machine_network;
mod metrics;
mod networks;
mod offers;
mod page;
mod picture;
mod play;
mod policies;
mod probe;
mod publish;
mod publish_page;
mod reload;
mod reload_http;
mod reload_webrtc;
mod restart;
mod reverse_proxy;
mod secrets;
mod share;
mod share_page;
mod shutdown;
mod signalling;
mod snapshot;
#[path = "../support/mod.rs"]
mod support;
mod synthetic;
mod systemd;
mod talk;
mod tls;
mod turn;
mod viewers;
mod whep;

use std::time::Duration;

use support::{camera::Camera, gateway::Gateway};

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

/// A gateway with one camera named `front`; `keys` go into its `[[camera]]`.
async fn gateway(camera: &Camera, keys: &str) -> Gateway {
    let entry = format!("{}\n{keys}", camera.toml("front"));
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).spawn().await
}
