//! The configuration through the public door: `camgate check --config FILE`, its exit code and what it prints.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a config.toml that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn with(test: &str, config: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("config.toml"), config).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `camgate check --config config.toml` in `folder`, with no variable but `environment`.
fn check(folder: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camgate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CAMGATE_")) {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).current_dir(folder);
    command.args(["check", "--config", "config.toml"]).output().unwrap()
}

/// What `check` prints about faults: each line one fault.
#[track_caller]
fn faults(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let lines = str::from_utf8(&output.stderr).unwrap().lines();
    lines.map(str::to_owned).collect()
}

#[test]
fn the_shipped_configuration_is_good() {
    let output = check(Path::new(env!("CARGO_MANIFEST_DIR")), &[]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_addresses_that_viewers_are_offered_are_listed() {
    let config = b"[webrtc]\nlisten = \"0.0.0.0:0\"\nadvertise = [\"203.0.113.7\"]\ninclude_interfaces = [\"lo\", \"10.0.0.0/8\"]\n\
        exclude_interfaces = [\"::1\", \"e*\"]\nice_servers = [\"stun:127.0.0.1:9\"]\n";
    let folder = Folder::with("addresses", config);
    let output = check(&folder.0, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let offered: Vec<_> = text.lines().filter(|line| line.starts_with("viewers are offered ")).collect();
    assert_eq!(offered.len(), 2, "{text}");
    assert!(offered[0].starts_with("viewers are offered 203.0.113.7:"), "{text}");
    assert!(offered[0].ends_with(" (host, [webrtc] advertise)"), "{text}");
    assert!(offered[1].starts_with("viewers are offered 127.0.0.1:") && offered[1].ends_with(" (host, lo)"), "{text}");
}

#[test]
fn who_is_answered_is_listed() {
    let answered = |config: &str| {
        let folder = Folder::with("answered", config.as_bytes());
        let output = check(&folder.0, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text.lines()
            .skip(1)
            .take_while(|line| !line.starts_with("viewers are offered"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let near = "without a [[user]] this machine and private networks are answered, without a password";
    assert_eq!(answered(""), [near]);
    let everybody = "everybody is answered, from wherever, without a password";
    assert_eq!(answered("[http]\nallow_anonymous = true\n"), [everybody]);
    let token = |digit: &str| format!("token_hash = \"sha256:{}\"", digit.repeat(64));
    let camera = "[[camera]]\nname = \"front\"\nurl = \"rtsp://192.0.2.1/\"\n";
    let [anna, guest, nobody] = ["0", "1", "2"].map(token);
    let users = format!(
        "{camera}[[user]]\nname = \"anna\"\n{anna}\n\
         [[user]]\nname = \"guest\"\n{guest}\ncameras = \"front\"\nactions = [\"watch\", \"api\"]\n\
         [[user]]\nname = \"nobody\"\n{nobody}\ncameras = []\nactions = []\n"
    );
    let lines = ["user anna: watch; every camera", "user guest: watch, api; front", "user nobody: nothing; no camera"];
    assert_eq!(answered(&users), lines);
    let hash = |costs: &str| {
        format!("$argon2id$v=19${costs},p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI")
    };
    let [quick, slow] = ["m=19456,t=2", "m=65536,t=3"].map(hash);
    let anna = format!("[[user]]\nname = \"anna\"\npassword_hash = \"{quick}\"\n");
    let bert = format!("[[user]]\nname = \"bert\"\npassword_hash = \"{slow}\"\n");
    let uneven = answered(&format!("{camera}{anna}{bert}"));
    let warning = "warning: the password_hash of the user anna takes another time to check than that of bert";
    assert!(uneven.len() == 3 && uneven[2].starts_with(warning), "{uneven:?}");
    assert_eq!(answered(&format!("{camera}{anna}")), ["user anna: watch; every camera"]);
}

#[test]
fn the_certificate_is_looked_at() {
    let pair = |until: (i32, u8)| {
        let mut params = rcgen::CertificateParams::new(vec!["cam.example.org".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let config = b"[http.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    let lines = |(certificate, key): (String, String), mode: u32| {
        let folder = Folder::with("certificate", config);
        std::fs::write(folder.0.join("cert.pem"), certificate).unwrap();
        std::fs::write(folder.0.join("key.pem"), key).unwrap();
        std::fs::set_permissions(folder.0.join("key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
        let output = check(&folder.0, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("PRIVATE KEY"), "{text}");
        text.lines().filter(|line| line.contains("cert") || line.contains("key")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(pair((4000, 7)), 0o600), ["certificate for cam.example.org, until 4000-07-01"]);
    let warned = lines(pair((2001, 7)), 0o644);
    assert_eq!(warned[0], "certificate for cam.example.org, until 2001-07-01");
    assert_eq!(warned[1], "warning: the certificate cert.pem has expired on 2001-07-01");
    assert_eq!(warned[2], "warning: everybody on this machine can read the key key.pem: chmod o-r key.pem");
    let folder = Folder::with("no-certificate", b"[http.tls]\ncertificate = \"cert.pem\"\n");
    let faults = faults(&check(&folder.0, &[]));
    assert!(faults[0].starts_with("config.toml:1: http.tls.key: found no key, allowed: a file with the"), "{faults:?}");
    assert!(check(&folder.0, &[("CAMGATE_HTTP__TLS__KEY", "key.pem")]).stderr.starts_with(
        b"config.toml:2: http.tls.certificate: found the certificate cert.pem cannot be read (No such file"
    ));
}

#[test]
fn a_placeholder_without_a_good_value_is_a_fault() {
    let config = b"[[camera]]\nname = \"desk\"\npipeline = \"cam\"\n[[camera]]\nname = \"attic\"\npipeline = \"cam\"\n\
        [camera.with]\ndevice = \"/dev/video0 ! filesink location=/etc/passwd\"\n";
    let folder = Folder::with("placeholder", config);
    std::fs::create_dir(folder.0.join("pipelines")).unwrap();
    let launch = "v4l2src device={device} ! h264parse ! appsink name=video\n";
    std::fs::write(folder.0.join("pipelines/cam.launch"), launch).unwrap();
    let faults = faults(&check(&folder.0, &[]));
    assert_eq!(faults.len(), 2, "{faults:?}");
    for (fault, camera) in faults.iter().zip(["desk", "attic"]) {
        assert!(fault.contains(camera) && fault.contains("device") && fault.contains("cam.launch"), "{fault}");
    }
}

#[test]
fn a_missing_file_is_one_fault() {
    let folder = Folder::with("missing", b"");
    std::fs::remove_file(folder.0.join("config.toml")).unwrap();
    let faults = faults(&check(&folder.0, &[]));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("config.toml: found no such file, allowed: "), "{faults:?}");
}

#[test]
fn a_file_that_is_not_text_or_not_toml_is_one_fault() {
    for (content, start) in [
        (b"\n\xc3\x28".as_slice(), "config.toml:2: found a byte that is not UTF-8 at byte offset 1"),
        (b"\n\n[http".as_slice(), "config.toml:3: column "),
    ] {
        let folder = Folder::with("not-toml", content);
        let faults = faults(&check(&folder.0, &[]));
        assert!(faults.len() == 1 && faults[0].starts_with(start), "{faults:?}");
    }
}

#[test]
fn every_fault_has_its_line_and_no_secret_is_printed() {
    let config = r#"
[http]
listen = ":8080"
listenn = "0.0.0.0:80"

[[camera]]
name = "front"
url = "rtsp://admin:hunter2@192.168.1.20/stream1"

[[camera]]
name = "front"
url = "rtsps://192.168.1.21/stream1"
username = "viewer"
password = 20041997

[[camera]]
name = "Back Yard"
pipeline = "no-such-pipeline"
"#;
    let folder = Folder::with("several", config.as_bytes());
    let environment = [("CAMGATE_WEBRTC__LISTEN", "everywhere"), ("CAMGATE_CAMERA__FRNT__PASSWORD", "hunter2")];
    let faults = faults(&check(&folder.0, &environment));
    let expected = [
        "config.toml:3: http.listen: found \":8080\", allowed: an IP address and a port, such as",
        "config.toml:4: http.listenn: found an unknown key, did you mean \"listen\"?",
        "config.toml:8: camera[0] \"front\" url: found \"rtsp://***@192.168.1.20/...\", allowed: rtsp://host[:port]/path",
        "config.toml:11: camera[1] \"front\" name: found \"front\" again, first at config.toml:7",
        "config.toml:12: camera[1] \"front\" url: found \"rtsps://192.168.1.21/...\", allowed: rtsp://host[:port]/path",
        "config.toml:14: camera[1] \"front\" password: found a value that is not in quotes",
        "config.toml:17: camera[2] \"Back Yard\" name: found \"Back Yard\" ('B' cannot be part of a name)",
        "config.toml:18: camera[2] \"Back Yard\" pipeline: found \"no-such-pipeline\", but no no-such-pipeline.launch in pipelines, /usr",
        "CAMGATE_CAMERA__FRNT__PASSWORD: found a variable for a camera that the file does not have",
        "CAMGATE_WEBRTC__LISTEN: webrtc.listen: found \"everywhere\"",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault}\ndoes not start with\n{expected}");
        assert!(!fault.contains("hunter2") && !fault.contains("20041997"), "{fault}");
    }
}

/// As a unit with `LoadCredential=front.password:...` has it.
#[test]
fn a_password_file_is_a_credential_of_systemds_or_beside_the_configuration() {
    let config = b"[[camera]]\nname = \"front\"\nurl = \"rtsp://192.0.2.1/x\"\nusername = \"u\"\npassword_file = \"front.password\"\n";
    let folder = Folder::with("credentials", config);
    let credentials = folder.0.join("credentials");
    std::fs::create_dir_all(&credentials).unwrap();
    let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    let told = faults(&check(&folder.0, &environment));
    assert!(told.iter().any(|fault| fault.contains("front.password")), "{told:?}");
    std::fs::write(credentials.join("front.password"), "opensesame\n").unwrap();
    let output = check(&folder.0, &environment);
    assert!(output.status.success(), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains("opensesame"));
    assert!(!check(&folder.0, &[("CREDENTIALS_DIRECTORY", "/nonexistent")]).status.success());
    std::fs::write(folder.0.join("front.password"), "opensesame\n").unwrap();
    assert!(check(&folder.0, &[("CREDENTIALS_DIRECTORY", "/nonexistent")]).status.success());
    // As systemd names those of a whole folder.
    let config = String::from_utf8_lossy(config).replace("front.password", "secrets/front.password");
    std::fs::write(folder.0.join("config.toml"), config).unwrap();
    assert!(!check(&folder.0, &environment).status.success());
    std::fs::write(credentials.join("secrets_front.password"), "opensesame\n").unwrap();
    assert!(check(&folder.0, &environment).status.success());
}
