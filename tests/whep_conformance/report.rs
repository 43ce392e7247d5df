//! docs/whep-conformance.md, made of the comments above the tests.

use std::{env, fs, path::Path};

const SOURCES: [&str; 2] = [include_str!("../whep_conformance.rs"), include_str!("events.rs")];

const HEAD: &str = "# WHEP conformance

What draft-ietf-wish-whep (editor's copy of 29 April 2026) and its extension for server-sent events ask of a server, and
the test that shows it against the running program over HTTP. Made by `tests/whep_conformance`: every row is a test, and
passes.

| section | level | requirement | test |
|---|---|---|---|
";

/// What only applies to servers that do something else.
const FOOT: &str = "
Not applicable: counter-offers (4.3.2; every offer is answered or refused), 422 for a server that can trickle or restart but
not both (4.5.1), layers and SCTE-35 events.
";

/// Section, level, sentence and test of each requirement.
fn rows(source: &str) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            comment += text;
            comment.push(' ');
        } else if line == "#[tokio::test]" {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("async fn ").and_then(|rest| rest.strip_suffix("() {"))
            && is_test
        {
            let (place, sentence) =
                comment.split_once(": ").unwrap_or_else(|| panic!("{name}: no requirement above it"));
            let (section, level) = place.split_once(' ').unwrap_or((place, ""));
            rows.push([section, level, sentence.trim(), name].map(str::to_owned));
            (comment, is_test) = (String::new(), false);
        } else {
            (comment, is_test) = (String::new(), false);
        }
    }
    rows
}

fn report() -> String {
    let mut text = HEAD.to_owned();
    for source in SOURCES {
        for [section, level, sentence, test] in rows(source) {
            text += &format!("| {section} | {level} | {sentence} | `{test}` |\n");
        }
    }
    text + FOOT
}

#[test]
fn the_report_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/whep-conformance.md");
    let report = report();
    assert!(report.lines().count() > 40, "the tests are found: {report}");
    if env::var_os("WRITE_REPORT").is_some() {
        fs::write(&path, &report).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == report, "stale: run WRITE_REPORT=1 scripts/cargo test --test whep_conformance report");
}
