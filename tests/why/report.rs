//! docs/why.md, made of the rows beside the tests.

use std::{collections::BTreeSet, env, fs, path::Path};

use crate::{cameras::*, cause::Cause, devices::*, networks::*, pictures::*, viewers::*};

/// In the order of the document.
const CAUSES: &[&Cause] = &[
    &UNREACHABLE,
    &REFUSES,
    &WRONG_PATH,
    &WRONG_PASSWORD,
    &NO_PASSWORD,
    &UNKNOWN_LOGIN,
    &FULL,
    &SILENT,
    &H265,
    &B_FRAMES,
    &MJPEG,
    &UNDECODABLE_SOUND,
    &LONG_GOP,
    &TOO_LARGE,
    &RARE_PROFILE,
    &DEVICE_MISSING,
    &DEVICE_BUSY,
    &DEVICE_DENIED,
    &NO_ENCODER,
    &ELEMENT_MISSING,
    &BLOCKED,
    &CONTAINER,
    &NO_ROUTE_BACK,
    &ONE_WAY,
    &GATEWAY_FULL,
    &NO_SUCH_CAMERA,
    &NOT_ALLOWED,
    &CAMERA_REMOVED,
    &SOUND_CHANGED,
];

const TESTS: &[&str] = &[
    include_str!("cameras.rs"),
    include_str!("devices.rs"),
    include_str!("networks.rs"),
    include_str!("pictures.rs"),
    include_str!("viewers.rs"),
];

const HEAD: &str = "# Why is there no picture?

Each row was provoked as it says and seen to be told alike: by the page (a screen reader says it, too), by the API (`reason` and `code`
of `/api/v1/cameras`), by the log (a line with `camera`, `code` and `reason`), by HTTP (`detail` and `code` of the problem
document that answers an offer, or of the session's address) and by `camgate play`. What to do stands behind the last colon.
`…` is what differs from case to case. Codes are for programs: they stay as they are when a sentence is put better.
Made by `tests/why`: every row is a test, and passes.

| cause | `code` | sentence | how it was provoked | test |
|---|---|---|---|---|
";

fn report() -> String {
    CAUSES.iter().fold(HEAD.to_owned(), |text, cause| {
        let Cause { name, code, sentence, provoked, test } = cause;
        text + &format!("| {name} | `{code}` | {sentence} | {provoked} | `{test}` |\n")
    })
}

#[test]
fn the_report_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/why.md");
    let report = report();
    if env::var_os("WRITE_REPORT").is_some() {
        fs::write(&path, &report).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == report, "stale: run WRITE_REPORT=1 scripts/cargo test --test why report");
}

#[test]
fn each_row_is_a_test_and_each_test_a_row() {
    let rows: BTreeSet<_> = CAUSES.iter().map(|cause| cause.test).collect();
    let mut tests = BTreeSet::new();
    for source in TESTS {
        let lines: Vec<_> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[tokio::test]" || pair[0] == "#[test]") {
            let name = pair[1].trim_start_matches("async ").trim_start_matches("fn ");
            tests.insert(name.split('(').next().unwrap_or_default());
        }
    }
    assert_eq!(rows, tests);
    let defined: usize = TESTS.iter().map(|source| source.matches(": Cause = Cause {").count()).sum();
    assert_eq!(CAUSES.len(), defined, "a cause is not in the document");
}
