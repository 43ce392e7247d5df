//! An SDP offer, up to the session that answers it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| camgate::fuzzing::offer(text));
