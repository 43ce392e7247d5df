//! Who may import whom: reads `src/**/*.rs` and fails on an arrow that is not in the table of src/lib.rs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module and what it may import. `main` reaches the others through the crate's name.
const ALLOWED: [(&str, &[&str]); 21] = [
    ("main", &["app", "config", "discover", "log", "panics", "play", "probe", "shutdown", "source", "systemd"]),
    (
        "app",
        &["config", "http", "hub", "log", "media", "panics", "peer", "rtp", "shutdown", "source", "stats", "systemd"],
    ),
    ("config", &["source", "peer", "http", "log"]),
    ("http", &["peer", "hub", "log", "media", "panics", "places", "stats"]),
    ("peer", &["rtp", "hub", "media", "panics", "places", "stats"]),
    ("source", &["hub", "media", "panics", "stats", "xml"]),
    ("hub", &["rtp", "media", "stats"]),
    ("rtp", &["media"]),
    ("play", &["media"]),
    ("probe", &["source", "hub", "media"]),
    ("discover", &["probe", "source", "media", "xml"]),
    ("xml", &[]),
    ("media", &[]),
    ("panics", &[]),
    ("places", &[]),
    ("stats", &[]),
    ("shutdown", &[]),
    ("systemd", &["panics"]),
    ("lib", &[]),
    ("log", &["stats"]),
    ("fuzzing", &["config", "http", "peer", "source"]),
];

/// The files of `source` that may know the hub: who connects, who publishes, who takes what is published to us, and the type of a bound in the configuration.
const SOURCE_TO_HUB: [&str; 6] =
    ["source.rs", "source/supervisor", "source/feed", "source/config.rs", "source/published", "source/talk.rs"];

/// Crates that one module owns. `play` is the other half of a connection and shares nothing with `peer`, but needs the
/// types of `rtc` that its `webrtc` does not pass on.
const OWNERS: [(&str, &[&str]); 41] = [
    ("tracing_subscriber", &["log"]),
    ("retina", &["source/rtsp"]),
    ("rtsp_types", &["source/rtsp/backchannel"]),
    ("sdp_types", &["source/rtsp/backchannel"]),
    ("http_auth", &["source/rtsp", "discover/soap.rs"]),
    ("roxmltree", &["xml.rs"]),
    ("gstreamer", &["source/capture"]),
    ("gstreamer_app", &["source/capture"]),
    ("rtc", &["peer", "play"]),
    ("webrtc", &["play"]),
    ("hyper_rustls", &["play", "http/auth/outward"]),
    ("rustls", &["play", "http/tls", "http/auth/outward"]),
    ("rustls_acme", &["http/tls"]),
    ("rcgen", &["http/tls"]),
    ("tokio_rustls", &["http/tls"]),
    ("x509_parser", &["http/tls"]),
    ("quinn_udp", &["peer"]),
    ("if_addrs", &["peer", "play", "discover"]),
    ("ipnet", &["peer", "http/proxy.rs"]),
    ("glob", &["peer"]),
    ("base64", &["peer", "http/auth", "discover/soap.rs"]),
    ("argon2", &["http/auth"]),
    ("axum", &["http"]),
    ("cookie", &["http/auth"]),
    ("governor", &["http"]),
    ("jsonwebtoken", &["http/auth/jwt"]),
    ("qrcode", &["http"]),
    ("h264_reader", &["media"]),
    ("symphonia_core", &["media/transcode"]),
    ("symphonia_codec_aac", &["media/transcode"]),
    ("opusic_c", &["media/transcode"]),
    ("openh264", &["media/still"]),
    ("jpeg_encoder", &["media/still"]),
    ("mp4_atom", &["media/mp4"]),
    ("httpdate", &["http"]),
    ("strsim", &["config"]),
    ("toml", &["config", "probe/entry.rs", "discover/report.rs"]),
    ("sd_notify", &["systemd"]),
    ("listenfd", &["systemd"]),
    ("clap_complete", &["main"]),
    ("clap_mangen", &["main"]),
];

struct File {
    path: String,
    text: String,
}

impl File {
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    /// The first segments behind `prefix::`, through nested braces.
    fn imports(&self, prefix: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, _) in self.text.match_indices(&format!("{prefix}::")) {
            let before = self.text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &self.text[at + prefix.len() + 2..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_segments(group)),
                None => found.extend(word(rest)),
            }
        }
        found
    }
}

/// The word at the start.
fn word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The heads of a comma-separated group up to its closing brace.
fn first_segments(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.extend(word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn files() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    assert!(paths.len() > 30, "the sources are where they are looked for");
    let read = |path: &PathBuf| File {
        path: path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned(),
        text: without_comments(&fs::read_to_string(path).expect("a source file")),
    };
    paths.iter().map(read).collect()
}

#[test]
fn imports_follow_the_table() {
    let mut faults = Vec::new();
    for file in files() {
        let module = file.module();
        let allowed = ALLOWED.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("src/{}: a module that the table does not know", file.path));
        let prefix = if module == "main" { "camgate" } else { "crate" };
        for import in file.imports(prefix).iter().filter(|import| *import != module) {
            if !allowed.contains(&import.as_str()) {
                faults.push(format!("src/{}: {module} may not import {import}", file.path));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_supervisor_and_feed_know_the_hub() {
    let knows = |file: &File| file.imports("crate").contains("hub");
    let faults: Vec<_> = files()
        .into_iter()
        .filter(|file| file.module() == "source" && !file.path.ends_with("tests.rs") && knows(file))
        .filter(|file| !SOURCE_TO_HUB.iter().any(|allowed| file.path.starts_with(allowed)))
        .map(|file| file.path)
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn every_dependency_has_one_owner() {
    let mut faults = Vec::new();
    for file in files() {
        for (dependency, owners) in OWNERS {
            let owned = owners.iter().any(|owner| file.path.starts_with(owner));
            if !owned && !file.imports(dependency).is_empty() {
                faults.push(format!("src/{}: only {} may use {dependency}", file.path, owners.join(" and ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_stay_small() {
    for file in files() {
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        let is_test = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
        assert!(is_test || lines <= 400, "src/{} has {lines} lines of code: split it by concept", file.path);
    }
}

#[test]
fn the_reader_of_imports_reads_imports() {
    let text =
        "use crate::{hub::{Camera, Unit}, media::Kind};\nlet x = crate::stats::Counter::default();\nuse mycrate::no;";
    let file = File { path: "peer/x.rs".to_owned(), text: text.to_owned() };
    let found: Vec<_> = file.imports("crate").into_iter().collect();
    assert_eq!(found, ["hub", "media", "stats"]);
}
