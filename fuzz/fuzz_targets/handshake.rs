//! What a viewer sends once ICE has a pair: DTLS, RTCP, RTP.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camgate::fuzzing::handshake(data));
