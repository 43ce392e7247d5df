//! Why is there no picture? Each cause is provoked, and whoever may be asked (the page in Chromium, the API, the log, HTTP,
//! `camgate play`) has to say the same sentence about it. docs/why.md is made of the rows beside the tests: after a change,
//! `WRITE_REPORT=1 scripts/cargo test --test why report`.

#![allow(clippy::unwrap_used)]

#[path = "why/cameras.rs"]
mod cameras;
#[path = "why/cause.rs"]
mod cause;
#[path = "why/devices.rs"]
mod devices;
#[path = "why/networks.rs"]
mod networks;
#[path = "why/pictures.rs"]
mod pictures;
#[path = "why/places.rs"]
mod places;
#[path = "why/report.rs"]
mod report;
mod support;
#[path = "why/viewers.rs"]
mod viewers;

use std::time::Duration;

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);
