//! A pipeline file, behind lines with the values for its placeholders (`name=value`) and an empty one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (values, text) = text.split_once("\n\n").unwrap_or(("", text));
    let with: Vec<_> = values.lines().filter_map(|line| line.split_once('=')).collect();
    camgate::fuzzing::launch_template(text, &with);
});
