//! The binary that is measured: what `cargo build --release` makes.
//!
//! Not `CARGO_BIN_EXE_camgate`: that one is built together with the benchmarks, so that the features which their
//! dependencies switch on (tokio's `full` and `test-util`, for two) would be in it, and in another profile.

use std::path::PathBuf;
use std::process::Command;

/// Builds camgate with these arguments of cargo, and returns a copy that later builds leave alone.
pub fn build(arguments: &[&str]) -> Binary {
    if let Some(path) = std::env::var_os("BENCH_BINARY") {
        println!("measured: {} (BENCH_BINARY)", path.display());
        return Binary { path: path.into(), _directory: None };
    }
    println!("building the release binary {}", arguments.join(" "));
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "--bin", "camgate", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo build --release: {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .expect("cargo names the executable it built");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("camgate");
    std::fs::copy(&built, &path).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    Binary { path, _directory: Some(directory) }
}

/// An executable; removed when dropped.
pub struct Binary {
    pub path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}
