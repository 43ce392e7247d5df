//! What a publisher sends, once it is opened: RTP and RTCP, with the time between them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camgate::fuzzing::reception(data));
