//! What cameras write: the XML of what they notice, the SDP of their loudspeaker.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camgate::fuzzing::camera_texts(data));
