//! docs/cameras.md tells of every test here, and of none that is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = include_str!("../../docs/cameras.md");

/// The names in the last column of the tables.
fn documented() -> BTreeSet<String> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with('|') && line.contains('`'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn tests() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cameras");
    let mut tests = BTreeSet::new();
    for path in sources(&directory).iter().filter(|path| !path.ends_with("document.rs")) {
        let source = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test")) {
            let name = pair[1].trim_start_matches("async ").trim_start_matches("fn ");
            tests.insert(name.split('(').next().unwrap_or_default().to_owned());
        }
    }
    tests
}

#[test]
fn each_row_is_a_test_and_each_test_a_row() {
    let (rows, tests) = (documented(), tests());
    let missing: Vec<_> = tests.difference(&rows).collect();
    let invented: Vec<_> = rows.difference(&tests).collect();
    assert!(tests.len() > 60, "{tests:?}");
    assert!(missing.is_empty() && invented.is_empty(), "not in docs/cameras.md: {missing:#?}; no tests: {invented:#?}");
}
