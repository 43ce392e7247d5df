//! What the benchmarks share: the binary they measure, the machine they ran on, tables for the README.
//!
//! The camera, the gateway and the viewers are those of `tests/support`. A benchmark panics when something does not work
//! and never because it was slow: times are for people to read.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

pub mod binary;
pub mod clock;
pub mod crowd;
pub mod floor;
pub mod load;
pub mod machine;
pub mod numbers;
pub mod rig;
pub mod table;
pub mod without_gso;

use std::time::Duration;

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A number from the environment, such as `BENCH_SECONDS`, or its default. Not `CAMGATE_...`: the gateway inherits the
/// environment, and refuses to start with a variable of that prefix that it does not know.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: a whole number is expected")),
        Err(_) => default,
    }
}

/// Numbers from the environment, separated by commas, such as `BENCH_VIEWERS`, or their default.
pub fn settings(name: &str, default: &[usize]) -> Vec<usize> {
    let Ok(text) = std::env::var(name) else { return default.to_vec() };
    let number = |part: &str| part.trim().parse().ok();
    let numbers: Option<Vec<usize>> = text.split(',').map(number).collect();
    numbers.unwrap_or_else(|| panic!("{name}={text:?}: whole numbers are expected, with commas between them"))
}
