//! Header fields that a proxy passes on; the whole as a token, and as the claims of one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    camgate::fuzzing::passed_on(data);
    if let Ok(text) = std::str::from_utf8(data) {
        camgate::fuzzing::tokens(text);
    }
});
