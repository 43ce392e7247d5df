//! What arrives at the media port, on UDP and TCP, with and without the proof that it is the viewer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camgate::fuzzing::datagrams(data));
