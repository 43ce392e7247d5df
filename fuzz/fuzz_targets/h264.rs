//! RTP packets of a camera, up to its parameter sets and slices.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camgate::fuzzing::rtp_of_h264(data));
