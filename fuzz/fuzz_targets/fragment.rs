//! What trickles in and restarts ICE (application/trickle-ice-sdpfrag), for a session that runs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| camgate::fuzzing::fragment(text));
