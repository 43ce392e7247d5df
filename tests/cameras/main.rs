//! Cameras as they are: each quirk that people have reported of one, and each fault between it and the gateway, played by a
//! scripted camera. docs/cameras.md lists them all.

// Tests print what they measured, for docs/cameras.md.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod document;
mod library;
mod media;
mod quirks;
#[path = "../support/mod.rs"]
mod support;
mod transport;

use std::time::Duration;

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);
