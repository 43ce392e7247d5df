//! `camgate discover` in a network of its own, with cameras that answer well, and such as try what a stranger could.

use std::{net::Ipv4Addr, process::Output, time::Duration};

use camgate::config;
use tokio::process::Command;

use crate::support::{
    network::{Network, ROUTER},
    onvif::{Device, Login, start},
};

const RUN_LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "open sesame";

/// The `number`th camera's address; the router has them all.
fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 7, 100 + number)
}

/// Runs the program where viewers are, with the cameras on the other side of the link.
fn discover(devices: Vec<Device>, arguments: &[&str], password: Option<&str>) -> (i32, String) {
    let network = Network::new();
    for device in &devices {
        network.run("router", &format!("ip addr add {}/24 dev viewer", device.ip));
    }
    let mut command = network.on("viewer");
    command.push(env!("CARGO_BIN_EXE_camgate").to_owned());
    command.extend(["discover", "--seconds", "2"].map(str::to_owned));
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let password = password.map(str::to_owned);
    let output = network.inside("router", async move {
        start(ROUTER.parse().unwrap(), devices).await;
        let mut program = Command::new(&command[0]);
        program.args(&command[1..]).stdin(std::process::Stdio::null()).kill_on_drop(true).env_remove("CAMERA_PASSWORD");
        if let Some(password) = password {
            program.env("CAMERA_PASSWORD", password);
        }
        tokio::time::timeout(RUN_LIMIT, program.output()).await.expect("it ends by itself").unwrap()
    });
    let Output { status, stdout, stderr } = output;
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    assert!(!said.contains(PASSWORD), "{said}");
    (status.code().unwrap(), said)
}

/// The entries load as a configuration; names and users of the cameras.
fn load(said: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let entries = &said[said.find("\n#").unwrap_or(said.len())..];
    for line in entries.lines().filter_map(|line| line.strip_prefix("password_file = \"")) {
        std::fs::write(folder.path().join(line.split('"').next().unwrap()), PASSWORD).unwrap();
    }
    let path = folder.path().join("config.toml");
    std::fs::write(&path, entries).unwrap();
    let config = config::load_with(&path, std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}\n{entries}"));
    config.cameras.iter().map(|camera| (camera.name.to_string(), format!("{:?}", camera.input))).collect()
}

#[test]
fn cameras_are_found_and_their_entries_load() {
    let open = Device::new(address(1), "Front%20Door");
    let new = Device {
        media_2: true,
        profiles: format!("a 4k H265 3840 2160 rtsp://{ip}/0\nb hd H264 1280 720 rtsp://{ip}/1", ip = address(2)),
        ..Device::new(address(2), "Front%20Door")
    };
    let (code, said) = discover(vec![open, new], &[], None);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("192.168.7.101   Front Door") && said.contains("Maker\\u{9}Ltd X-1"), "{said}");
    assert!(said.contains("H265 3840x2160, H264 1280x720"), "{said}");
    assert!(said.contains("url = \"rtsp://192.168.7.101:554/main?a=1&b=2\""), "{said}");
    assert!(said.contains("#url = \"rtsp://192.168.7.101:554/sub\""), "{said}");
    let names: Vec<_> = load(&said).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["front-door", "front-door-2"]);
}

#[test]
fn cameras_with_a_login_are_asked_with_it_by_their_own_clock() {
    let login =
        |number, login, behind_s| Device { login, behind_s, ..Device::new(address(number), &format!("c{number}")) };
    let devices = || {
        let other = Device { password: "open barley".into(), ..login(3, Login::Token, 0) };
        vec![login(1, Login::Token, 7 * 86_400), login(2, Login::Digest, 0), other, Device::new(address(4), "c4")]
    };
    let (code, said) = discover(devices(), &["--username", "viewer", "--interface", "eth0"], Some(PASSWORD));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("its clock is 7days behind"), "{said}");
    assert!(
        said.contains("refused the user name or password (400): check username and password of camera c3"),
        "{said}"
    );
    let cameras = load(&said);
    let with_user: Vec<_> = cameras.iter().map(|(name, input)| (&**name, input.contains("viewer"))).collect();
    assert_eq!(with_user, [("c1", true), ("c2", true), ("c4", false)], "{said}");

    let (code, said) = discover(devices(), &[], None);
    assert_eq!(code, 0, "one tells without: {said}");
    assert_eq!(said.matches("give --username").count(), 3, "{said}");
}

#[test]
fn hostile_devices_are_shown_and_not_followed() {
    let victim = Device::new(address(1), "victim");
    let asked = victim.asked.clone();
    let lures = format!("file:///etc/passwd http://127.0.0.1:1/ http://{}:1/x", address(1));
    let devices = vec![
        victim,
        Device { addresses: lures, ..Device::new(address(2), "%1B%5B2Jlure%07") },
        Device { answers: Some("<a>".to_owned() + "..."), ..Device::new(address(3), "endless") },
        Device { answers: Some("<a>".repeat(200_000)), ..Device::new(address(4), "deep") },
        Device { answers: Some("<!DOCTYPE a [<!ENTITY b \"b\">]><a>&b;</a>".into()), ..Device::new(address(5), "dtd") },
        Device {
            profiles: "p1 \u{202e}x H264 16 16 file:///etc/passwd\np2 y H264 16 16 rtsp://u:open@203.0.113.9/y".into(),
            ..Device::new(address(6), "elsewhere")
        },
    ];
    let (code, said) = discover(devices, &[], None);
    assert_eq!(code, 0, "{said}");
    let strange: Vec<_> = said.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
    assert_eq!(strange, [] as [char; 0], "{said}");
    assert!(said.contains("\\u{1b}[2Jlure\\u{7}") && said.contains("not at the address that answered"), "{said}");
    assert_eq!(said.matches("did not tell its streams").count(), 4, "{said}");
    assert!(said.contains("found \"file:///...\"") && !said.contains("passwd"), "{said}");
    assert!(said.contains("at another address than the camera's") && !said.contains("u:open"), "{said}");
    let questions = asked.lock().unwrap().len();
    assert_eq!(questions, 6, "the clock, the model, the services, the profiles, two streams: {said}");
    load(&said);
}

#[test]
fn nobody_answers() {
    let (code, said) = discover(Vec::new(), &[], None);
    assert_eq!(code, 1);
    assert!(said.contains("no camera answered"), "{said}");
    let (code, said) = discover(Vec::new(), &["--interface", "wlan7"], None);
    assert_eq!(code, 64);
    assert!(said.contains("--interface wlan7: found lo, eth0"), "{said}");
}
