//! Real parts for the integration tests: a camera, the gateway, a native viewer and a browser.
//!
//! [`camera::Camera`] is a GStreamer RTSP server with an x264 picture that carries its own frame
//! number, [`gateway::Gateway`] is the camgate binary as a child process, [`viewer::Viewer`] is a
//! WHEP client on the `webrtc` crate and [`browser::Browser`] is Debian's Chromium.
//!
//! Nothing here returns an error that a test would only unwrap: what goes wrong panics and says what
//! was seen, and every wait has a deadline. The few things a test wants to see fail have a `try_` twin.
//!
//! Each test binary compiles this module and uses a part of it, hence `dead_code`; none exports
//! anything, hence `unreachable_pub`.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

pub mod browser;
pub mod camera;
pub mod coturn;
pub mod events;
pub mod files;
pub mod gateway;
pub mod held;
pub mod identity;
pub mod mortal;
pub mod network;
pub mod nginx;
pub mod notify;
pub mod onvif;
pub mod pebble;
pub mod process;
pub mod recorder;
pub mod secrets;
pub mod viewer;
pub mod wait;
