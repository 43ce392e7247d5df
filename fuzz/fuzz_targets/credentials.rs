//! `Authorization`, `Cookie` and `Origin`, a line each; the whole as a message of a signalling socket and of a data channel.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    camgate::fuzzing::credentials(line(), line(), line());
    if let Ok(text) = std::str::from_utf8(data) {
        camgate::fuzzing::signalling(text);
        camgate::fuzzing::channel_message(text);
    }
});
