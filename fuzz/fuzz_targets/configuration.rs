//! A configuration file, behind one line with an environment variable that overrides it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let variable = std::str::from_utf8(first).ok().and_then(|line| line.split_once('=')).unwrap_or_default();
    camgate::fuzzing::configuration(lines.next().unwrap_or_default(), variable);
});
