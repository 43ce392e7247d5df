//! The units that come with camgate, as systemd reads them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

/// Where the package puts the program.
const PACKAGED: &str = "/usr/bin/camgate";
/// Most of what `systemd-analyze security` calls exposure, from 0 to 10.
const EXPOSURE: f64 = 2.0;

/// The units, in a folder of their own, for the program as it was built.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in ["systemd/camgate.service", "systemd/examples/camgate.socket"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(unit);
        let text = std::fs::read_to_string(&file).unwrap().replace(PACKAGED, env!("CARGO_BIN_EXE_camgate"));
        std::fs::write(folder.path().join(file.file_name().unwrap()), text).unwrap();
    }
    folder
}

fn systemd_analyze(words: &[&str], folder: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    command
        .args(words)
        .current_dir(folder)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
    command.output().expect("systemd-analyze: scripts/install installs it")
}

/// systemd-analyze ends well also when a key is unknown, so it has to say nothing.
#[test]
fn systemd_understands_the_units() {
    let folder = units();
    let output = systemd_analyze(&["verify", "--man=no", "./camgate.service", "./camgate.socket"], folder.path());
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.success()), ("", true));
    let service = folder.path().join("camgate.service");
    let text = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, format!("{text}\n[Service]\nMemoryMaximum=1G\n")).unwrap();
    let output = systemd_analyze(&["verify", "--man=no", "./camgate.service"], folder.path());
    assert!(String::from_utf8_lossy(&output.stderr).contains("MemoryMaximum"), "an unknown key is seen: {output:?}");
}

#[test]
fn the_service_can_do_little_but_its_work() {
    let folder = units();
    let output = systemd_analyze(&["security", "--offline=true", "--no-pager", "./camgate.service"], folder.path());
    let text = String::from_utf8(output.stdout).unwrap();
    let overall = text.lines().find(|line| line.contains("Overall exposure level")).expect("an overall level");
    let level = overall.rsplit_once(": ").and_then(|(_, level)| level.split(' ').next()).expect("a level");
    assert!(level.parse::<f64>().expect("a number") <= EXPOSURE, "{text}");
}
