//! One test for each kind of fault, and what a good configuration becomes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::http::{Action, Cameras, CertificateSource, ProxyHeaders};
use crate::peer::{Advertise, Credential, IceMode, Playout, TurnLogin};
use crate::source::config::{
    Credentials, GopLimits, Input, Loudspeaker, Secret, Start, Takeover, Transport, parse_url,
};

/// A folder with a config.toml that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn with(config: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("camgate-config-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(folder.0.join("pipelines")).unwrap();
        folder.file("config.toml", config);
        folder.file("pipelines/test-pattern.launch", "videotestsrc");
        folder.file("pipelines/v4l2-encode.launch", "v4l2src device={device=/dev/video0}");
        folder
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config, Faults> {
        let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        load_with(&self.0.join("config.toml"), environment)
    }

    /// The messages, with paths as seen from the folder, one per line.
    fn faults(&self, environment: &[(&str, &str)]) -> String {
        let faults = self.load(environment).unwrap_err();
        let text = faults.to_string();
        assert_eq!(text.lines().count(), faults.len(), "{text}");
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn good(config: &str) -> Config {
    Folder::with(config).load(&[]).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(config: &str) -> String {
    Folder::with(config).faults(&[])
}

/// The faults of a camera `front` at lines 1 to 2 with `keys` from line 3 on.
fn camera_faults(keys: &str) -> String {
    faults(&format!("[[camera]]\nname = \"front\"\n{keys}"))
}

#[track_caller]
fn assert_starts(messages: &str, start: &str) {
    assert_eq!(messages.lines().count(), 1, "{messages}");
    assert!(messages.starts_with(start), "{messages}\ndoes not start with\n{start}");
}

#[test]
fn an_empty_file_has_the_defaults_and_no_camera() {
    let config = good("");
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.http.start_deadline, Duration::from_secs(10));
    assert_eq!((config.http.rate_limit.per_second.get(), config.http.rate_limit.burst.get()), (20, 200));
    assert_eq!(config.peer.listen.to_string(), "0.0.0.0:8189");
    assert_eq!((config.peer.advertise.len(), config.peer.ice_servers.len()), (0, 0));
    assert_eq!(config.peer.interfaces.include, []);
    assert!(config.peer.interfaces.exclude.contains(&"docker*".parse().unwrap()));
    assert_eq!(config.peer.limits, defaults::LIMITS);
    assert_eq!(config.shutdown_grace, Duration::from_secs(5));
    assert_eq!(config.cameras, []);
}

#[test]
fn every_key_arrives() {
    let config = good(
        r#"
        [http]
        listen = "127.0.0.1:0"
        start_deadline_seconds = 2.5
        trusted_proxies = ["127.0.0.1", "fd00::/8"]
        proxy_headers = "forwarded"
        base_path = "/cams/"
        hosts = ["cam.example.org"]
        cors_origins = ["https://player.example.org"]
        frame_ancestors = ["https://*.example.org"]
        [webrtc]
        listen = "[::1]:0"
        advertise = ["203.0.113.7", "cam.example.org"]
        ice = "lite"
        playout = "smooth"
        include_interfaces = ["eth*", "10.0.0.0/8"]
        exclude_interfaces = ["eth7"]
        ice_servers = ["stun:stun.example.org:3478", { urls = ["turn:turn.example.org"], username = "u", credential = "c" }]
        max_sessions = 7
        [shutdown]
        grace_seconds = 0
        [[camera]]
        name = "front"
        url = "rtsp://192.168.1.20/stream1"
        username = "viewer"
        password = "hunter2"
        transport = "udp"
        start = "always"
        linger_seconds = 0.5
        gop_cache_mib = 0
        gop_cache_seconds = 12
        [[camera]]
        name = "desk"
        pipeline = "test-pattern"
        with = { device = "/dev/video0", width = 1280, fps = 12.5, flip = true }
        "#,
    );
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.http.start_deadline, Duration::from_millis(2500));
    let surroundings = &config.http.surroundings;
    assert_eq!(surroundings.trusted_proxies, ["127.0.0.1".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    assert_eq!(surroundings.proxy_headers, ProxyHeaders::Forwarded);
    assert_eq!(surroundings.base_path, "/cams".parse().unwrap());
    assert_eq!(surroundings.hosts, ["cam.example.org"]);
    assert_eq!(surroundings.cors_origins, ["https://player.example.org".parse().unwrap()]);
    assert_eq!(surroundings.frame_ancestors, ["https://*.example.org".parse().unwrap()]);
    assert_eq!(config.peer.listen.to_string(), "[::1]:0");
    assert_eq!(
        config.peer.advertise,
        [Advertise::Ip([203, 0, 113, 7].into()), Advertise::Host("cam.example.org".into())]
    );
    let interfaces = &config.peer.interfaces;
    assert_eq!(interfaces.include, ["eth*".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    assert_eq!(interfaces.exclude, ["eth7".parse().unwrap()]);
    assert_eq!((config.peer.ice, config.peer.playout), (IceMode::Lite, Playout::Smooth));
    let [stun, turn] = config.peer.ice_servers.as_slice() else { panic!("{:?}", config.peer) };
    assert_eq!((stun.urls[0].as_str(), &stun.login), ("stun:stun.example.org:3478", &None));
    let login = TurnLogin::Fixed { username: "u".into(), credential: Credential::new("c") };
    assert_eq!((turn.urls[0].is_turn(), &turn.login), (true, &Some(login)));
    assert_eq!(config.peer.limits.sessions, 7);
    assert_eq!(config.shutdown_grace, Duration::ZERO);

    let [front, desk] = config.cameras.as_slice() else { panic!("{:?}", config.cameras) };
    assert_eq!(front.name.as_str(), "front");
    let credentials = Some(Credentials { username: "viewer".into(), password: Secret::new("hunter2") });
    let url = parse_url("rtsp://192.168.1.20/stream1").unwrap();
    assert_eq!(front.input, Input::Rtsp { url, credentials, transport: Transport::Udp });
    assert_eq!((front.start, front.linger), (Start::Always, Duration::from_millis(500)));
    assert_eq!(front.gop, GopLimits { max_bytes: 0, max_age: Duration::from_secs(12) });

    assert_eq!((desk.start, desk.linger), (Start::OnDemand, Duration::from_secs(10)));
    assert_eq!(desk.gop, GopLimits { max_bytes: 16 << 20, max_age: Duration::from_secs(30) });
    let Input::Pipeline { name, file, with, .. } = &desk.input else { panic!("{desk:?}") };
    assert!(name == "test-pattern" && file.ends_with("pipelines/test-pattern.launch"), "{desk:?}");
    let with: Vec<_> = with.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(with, [("device", "/dev/video0"), ("flip", "true"), ("fps", "12.5"), ("width", "1280")]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// Of no password that anybody knows.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

#[test]
fn users_arrive_with_their_rights() {
    let token = "ab".repeat(32);
    let config = good(&format!(
        "[http]\nlogin_lifetime_seconds = 3600\n\
         [[camera]]\nname = \"front\"\nurl = \"rtsp://a/\"\n\
         [[user]]\nname = \"anna\"\npassword_hash = \"{HASH}\"\n\
         [[user]]\nname = \"guest\"\npassword_hash = \"{HASH}\"\ncameras = [\"front\"]\nactions = []\n\
         [[user]]\nname = \"robot\"\ntoken_hash = \"sha256:{token}\"\ncameras = \"front\"\nactions = [\"api\", \"metrics\"]\n"
    ));
    assert_eq!(config.http.login_lifetime, Duration::from_secs(3_600));
    assert!(!config.http.allow_anonymous);
    let [anna, guest, robot] = config.http.users.as_slice() else { panic!("{:?}", config.http.users) };
    let front = Cameras::Only(vec!["front".to_owned()]);
    assert_eq!(
        (anna.name.as_str(), &anna.cameras, anna.actions.as_slice()),
        ("anna", &Cameras::All, &[Action::Watch][..])
    );
    assert_eq!((&guest.cameras, guest.actions.as_slice()), (&front, &[][..]));
    assert_eq!((&robot.cameras, robot.actions.as_slice()), (&front, &[Action::Api, Action::Metrics][..]));
    assert!(anna.password.is_some() && anna.token.is_none() && robot.password.is_none() && robot.token.is_some());
    let shown = format!("{config:?}");
    assert!(!shown.contains("MTIzNDU2") && !shown.contains(&token) && !shown.contains("171"), "{shown}");
    assert!(good("[http]\nallow_anonymous = true").http.allow_anonymous);
    let folder = Folder::with("");
    assert!(folder.load(&[("CAMGATE_HTTP__ALLOW_ANONYMOUS", "true")]).unwrap().http.allow_anonymous);
}

#[test]
fn what_is_wrong_with_a_user_is_said_without_showing_secrets() {
    let user = |keys: &str| faults(&format!("[[camera]]\nname = \"front\"\nurl = \"rtsp://a/\"\n[[user]]\n{keys}"));
    let good = format!("name = \"anna\"\npassword_hash = \"{HASH}\"\n");
    for (keys, start) in [
        ("name = \"anna\"\n".to_owned(), "config.toml:4: user[0] \"anna\": found neither password_hash nor token_hash"),
        (
            "name = \"anna\"\npassword_hash = \"hunter22\"".to_owned(),
            "config.toml:6: user[0] \"anna\" password_hash: found something else (it is no argon2id hash), allowed: what `camgate password` prints",
        ),
        (
            "name = \"anna\"\ntoken_hash = \"hunter22\"".to_owned(),
            "config.toml:6: user[0] \"anna\" token_hash: found something else (it is no sha256: and 64 hexadecimal digits)",
        ),
        (format!("password_hash = \"{HASH}\""), "config.toml:4: user[0] name: found no name, allowed: 1 to 64 letters"),
        (
            format!("name = \"an na\"\npassword_hash = \"{HASH}\""),
            "config.toml:5: user[0] \"an na\" name: found \"an na\" (it is empty",
        ),
        (
            format!("{good}cameras = [\"front\", \"frnt\"]"),
            "config.toml:7: user[0] \"anna\" cameras[1]: found \"frnt\", which no camera is called, did you mean \"front\"?",
        ),
        (
            format!("{good}cameras = \"back\""),
            "config.toml:7: user[0] \"anna\" cameras: found \"back\", which no camera is called, allowed: the name of a camera",
        ),
        (
            format!("{good}cameras = 7"),
            "config.toml:7: user[0] \"anna\" cameras: found 7, allowed: the name of a camera",
        ),
        (
            format!("{good}actions = [\"watch\", \"rule\"]"),
            "config.toml:7: user[0] \"anna\" actions[1]: found \"rule\" (there is no such action), allowed: watch, publish, talk, api, metrics or share",
        ),
        (format!("{good}password = \"hunter22\""), "config.toml:7: user[0] \"anna\" password: found an unknown key"),
        (
            format!(
                "name = \"a\"\n{0}\n[[user]]\nname = \"b\"\n{0}",
                format!("token_hash = \"sha256:{}\"", "0".repeat(64))
            ),
            "config.toml:9: user[1] \"b\" token_hash: found the token of the user a, allowed: a token that no other user has",
        ),
        (
            format!("{good}[[user]]\n{good}"),
            "config.toml:8: user[1] \"anna\" name: found \"anna\" again, first at config.toml:5, allowed: a name that no other user has",
        ),
    ] {
        let messages = user(&keys);
        assert_starts(&messages, start);
        assert!(!messages.contains("hunter22"), "{messages}");
    }
    assert_starts(
        &faults(&format!("[http]\nallow_anonymous = true\n[[user]]\n{good}")),
        "config.toml:2: http.allow_anonymous: found both allow_anonymous and [[user]], allowed: at most one of the two",
    );
    assert_starts(
        &faults("[http]\nallow_anonymous = \"yes\""),
        "config.toml:2: http.allow_anonymous: found \"yes\", allowed: true or false",
    );
}

#[test]
fn naming_interfaces_to_include_replaces_what_is_left_out_by_default() {
    let interfaces = good("[webrtc]\ninclude_interfaces = [\"docker0\"]").peer.interfaces;
    assert_eq!((interfaces.include.len(), interfaces.exclude.len()), (1, 0));
    let messages = faults("[webrtc]\nexclude_interfaces = [\n\"docker*\",\n\"10.0.0/8\"]");
    assert_starts(
        &messages,
        "config.toml:4: webrtc.exclude_interfaces[1]: found \"10.0.0/8\" (neither the name of an interface nor a network), \
         allowed: names of interfaces",
    );
}

#[test]
fn a_turn_server_may_share_a_secret() {
    let folder = Folder::with(
        "[webrtc]\nice_servers = [{ urls = [\"turn:a\"], secret = \"north\", username = \"camgate\", lifetime_seconds = 600 },\n\
         { urls = [\"turn:b\"], secret_file = \"turn.secret\" }]",
    );
    folder.file("turn.secret", "south\n");
    let config = folder.load(&[]).unwrap();
    let shared = |secret: &str, name: Option<&str>, seconds| TurnLogin::Shared {
        secret: Credential::new(secret),
        name: name.map(str::to_owned),
        lifetime: Duration::from_secs(seconds),
    };
    let logins: Vec<_> = config.peer.ice_servers.iter().map(|server| server.login.clone()).collect();
    assert_eq!(logins, [Some(shared("north", Some("camgate"), 600)), Some(shared("south", None, 86_400))]);
}

#[test]
fn fault_turn_logins() {
    let fault = |keys: &str| faults(&format!("[webrtc]\nice_servers = [\n{{ urls = [\"turn:a\"], {keys} }}]"));
    let place = "config.toml:3: webrtc.ice_servers[0]";
    for (keys, expected) in [
        ("username = \"u\"", ": found a username without credential, secret or secret_file"),
        ("credential = \"hunter2\"", ": found a credential without username"),
        ("username = \"u\", credential = \"hunter2\", secret = \"hunter2\"", ": found both credential and secret"),
        ("secret = \"hunter2\", secret_file = \"x\"", ".secret_file: found both secret and secret_file"),
        ("secret_file = \"none\"", ".secret_file: found \"none\", which cannot be read (No such file"),
        (
            "secret = \"hunter2\", lifetime_seconds = 5",
            ".lifetime_seconds: found 5, allowed: seconds from 60 to 604800",
        ),
        (
            "username = \"u\", credential = \"hunter2\", lifetime_seconds = 600",
            ".lifetime_seconds: found a lifetime_seconds without secret or secret_file",
        ),
    ] {
        let messages = fault(keys);
        assert_starts(&messages, &format!("{place}{expected}"));
        assert!(!messages.contains("hunter2"), "{messages}");
    }
}

#[test]
fn the_password_file_is_read_without_its_line_end() {
    for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
        let folder =
            Folder::with("[[camera]]\nname = \"a\"\nurl = \"rtsp://a/\"\nusername = \"u\"\npassword_file = \"p\"");
        folder.file("p", content);
        let config = folder.load(&[]).unwrap();
        let Input::Rtsp { credentials: Some(credentials), .. } = &config.cameras[0].input else { panic!() };
        assert_eq!(credentials.password.expose(), "hunter2");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let folder = Folder::with(
        r#"
        http = { listen = "127.0.0.1:1" }
        [[camera]]
        name = "front-door"
        url = "rtsp://a/"
        username = "u"
        [[camera]]
        name = "desk"
        pipeline = "test-pattern"
        with.device = "/dev/video0"
        "#,
    );
    let config = folder.load(&[
        ("CAMGATE_HTTP__LISTEN", "127.0.0.1:2"),
        ("CAMGATE_HTTP__START_DEADLINE_SECONDS", "1.5"),
        ("CAMGATE_WEBRTC__ADVERTISE", "192.0.2.1, cam.example.org"),
        ("CAMGATE_WEBRTC__ICE_SERVERS", "stun:a,stun:b"),
        ("CAMGATE_WEBRTC__MAX_SESSIONS", "3"),
        ("CAMGATE_CAMERA__FRONT_DOOR__PASSWORD", "0123"),
        ("CAMGATE_CAMERA__FRONT_DOOR__TRANSPORT", "udp"),
        ("CAMGATE_CAMERA__DESK__WITH__DEVICE", "/dev/video1"),
        ("HOME", "/root"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.http.start_deadline, Duration::from_millis(1500));
    assert_eq!((config.peer.advertise.len(), config.peer.ice_servers.len(), config.peer.limits.sessions), (2, 2, 3));
    let Input::Rtsp { credentials: Some(credentials), transport, .. } = &config.cameras[0].input else { panic!() };
    assert_eq!((credentials.password.expose(), *transport), ("0123", Transport::Udp));
    let Input::Pipeline { with, .. } = &config.cameras[1].input else { panic!() };
    assert_eq!(with["device"], "/dev/video1");
}

#[test]
fn fault_no_file() {
    let folder = Folder::with("");
    let faults = load_with(&folder.0.join("none.toml"), []).unwrap_err().to_string();
    assert!(faults.ends_with(
        "none.toml: found no such file, allowed: the path of a configuration file, as in camgate run --config FILE"
    ));
}

#[test]
fn fault_unreadable_file() {
    let folder = Folder::with("");
    let faults = load_with(&folder.0, []).unwrap_err().to_string();
    assert!(faults.contains("found something that cannot be read (Is a directory"), "{faults}");
}

#[test]
fn fault_not_utf8() {
    let messages = Folder::with(b"# ok\n# \xff\n").faults(&[]);
    assert_eq!(messages, "config.toml:2: found a byte that is not UTF-8 at byte offset 7, allowed: UTF-8 text");
}

#[test]
fn fault_not_toml_shows_the_place_but_not_the_line() {
    for config in ["[[camera]]\npassword = hunter2\n", "[[camera]]\npassword = \"hunter2\n", "a = 1\nhunter2\n"] {
        let messages = faults(config);
        assert_starts(&messages, "config.toml:2: column ");
        assert!(messages.contains("found no TOML (") && !messages.contains("hunter2"), "{messages}");
    }
    assert_starts(&faults("\nä = 1 2"), "config.toml:2: column ");
    assert_starts(
        &faults("\n[http]\nstart_deadline_seconds = 99999999999999999999"),
        "config.toml:3: column 26: found no TOML",
    );
}

#[test]
fn fault_unknown_key() {
    assert_starts(
        &faults("[http]\nlistn = 1"),
        "config.toml:2: http.listn: found an unknown key, did you mean \"listen\"?, \
         allowed: listen, start_deadline_seconds, rate_limit_per_second, ",
    );
    assert_starts(
        &faults("\n[htpp]\n"),
        "config.toml:2: htpp: found an unknown key, did you mean \"http\"?, allowed: http,",
    );
    assert_starts(&faults("colour = 1"), "config.toml:1: colour: found an unknown key, allowed: http, webrtc, ");
    let messages = camera_faults("pipeline = \"test-pattern\"\npasword = \"hunter2\"");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" pasword: found an unknown key, did you mean \"password\"?",
    );
    let messages = faults("[webrtc]\nice_servers = [\n\"stun:a\",\n{ urls = [\"stun:b\"], user = \"c\" }]");
    assert_starts(
        &messages,
        "config.toml:4: webrtc.ice_servers[1].user: found an unknown key, allowed: urls, username",
    );
}

#[test]
fn a_quoted_path_is_an_unknown_key_and_no_way_to_a_setting() {
    for key in ["http.listen", "camera[3]", "camera[-9].name"] {
        let messages = faults(&format!("{key:?} = \"127.0.0.1:1\""));
        assert_starts(&messages, &format!("config.toml:1: {key}: found an unknown key, allowed: http, webrtc, "));
    }
}

#[test]
fn fault_wrong_type() {
    let cases = [
        ("[http]\nlisten = 8080", "config.toml:2: http.listen: found 8080, allowed: an IP address and a port"),
        ("http = 1", "config.toml:1: http: found 1, allowed: a table with the keys listen, "),
        (
            "[webrtc]\nadvertise = \"a\"",
            "config.toml:2: webrtc.advertise: found \"a\", allowed: a list of IP addresses",
        ),
        ("[webrtc]\nadvertise = [\"a\",\n2]", "config.toml:3: webrtc.advertise[1]: found 2, allowed: a list of IP"),
        (
            "[webrtc]\nmax_sessions = \"9\"",
            "config.toml:2: webrtc.max_sessions: found \"9\", allowed: a whole number from 1",
        ),
        ("[webrtc]\nice_servers = [1]", "config.toml:2: webrtc.ice_servers[0]: found 1, allowed: a list of \"stun:"),
        ("[camera]\nname = \"a\"", "config.toml:1: camera: found a table, allowed: [[camera]], with two brackets"),
        ("camera = [1]", "config.toml:1: camera[0]: found 1, allowed: a table with the keys name, url"),
        (
            "[shutdown]\ngrace_seconds = true",
            "config.toml:2: shutdown.grace_seconds: found true, allowed: seconds from 0 to 300",
        ),
    ];
    for (config, start) in cases {
        assert_starts(&faults(config), start);
    }
    let messages = camera_faults("pipeline = \"test-pattern\"\n[camera.with]\nsize = [1, 2]");
    assert_starts(&messages, "config.toml:5: camera[0] \"front\" with.size: found a list, allowed: a string, a number");
    let messages = camera_faults("pipeline = \"test-pattern\"\nstart = \"now\"");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" start: found \"now\", allowed: \"on-demand\" or \"always\"",
    );
}

#[test]
fn fault_wrong_type_of_a_password_does_not_show_it() {
    let messages = camera_faults("url = \"rtsp://a/\"\nusername = \"u\"\npassword = 20041997");
    assert_eq!(
        messages,
        "config.toml:5: camera[0] \"front\" password: found a value that is not in quotes, \
         allowed: the password of that user, in quotes"
    );
    let messages = faults("[webrtc]\nice_servers = [{ urls = [\"stun:a\"], username = \"u\", credential = 20041997 }]");
    assert!(messages.contains("ice_servers[0].credential: ") && !messages.contains("20041997"), "{messages}");
    for url in ["[\"rtsp://u:hunter2@a/\"]", "{ a = \"hunter2\" }", "\"u:hunter2@a\""] {
        assert!(!camera_faults(&format!("url = {url}")).contains("hunter2"));
    }
}

#[test]
fn fault_out_of_range() {
    for number in ["0", "-1", "120.1", "nan", "inf", "1e300"] {
        let messages = faults(&format!("[http]\nstart_deadline_seconds = {number}"));
        assert_starts(&messages, "config.toml:2: http.start_deadline_seconds: found ");
        assert!(messages.ends_with(", allowed: seconds from 0.1 to 120"), "{messages}");
    }
    let messages = camera_faults("pipeline = \"test-pattern\"\ngop_cache_mib = 1025");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" gop_cache_mib: found 1025, allowed: a whole number from 0 to 1024",
    );
}

#[test]
fn fault_name() {
    let messages = faults("[[camera]]\nname = \"Front Door\"\npipeline = \"test-pattern\"");
    assert_eq!(
        messages,
        "config.toml:2: camera[0] \"Front Door\" name: found \"Front Door\" ('F' cannot be part of a name), \
         allowed: 1 to 64 of a-z, 0-9, _ and -"
    );
    let messages = faults("\n[[camera]]\npipeline = \"test-pattern\"");
    assert_starts(&messages, "config.toml:2: camera[0] name: found no name, allowed: 1 to 64");
}

#[test]
fn fault_duplicate_name_tells_both_lines() {
    let camera = "[[camera]]\nname = \"a\"\npipeline = \"test-pattern\"\n";
    let messages = faults(&camera.repeat(2));
    assert_starts(
        &messages,
        "config.toml:5: camera[1] \"a\" name: found \"a\" again, first at config.toml:2, allowed: ",
    );
}

#[test]
fn fault_inputs() {
    assert_starts(
        &camera_faults(""),
        "config.toml:1: camera[0] \"front\": found neither url nor pipeline nor source, allowed: exactly one",
    );
    let messages = camera_faults("url = \"rtsp://a/\"\npipeline = \"test-pattern\"");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" pipeline: found both url and pipeline, allowed: exactly one",
    );
}

#[test]
fn a_camera_may_be_published_to() {
    let config = good(
        "[[camera]]\nname = \"phone\"\nsource = \"whip\"\n[[camera]]\nname = \"obs\"\nsource = \"whip\"\ntakeover = true\n",
    );
    let inputs: Vec<_> = config.cameras.iter().map(|camera| (&camera.input, camera.start)).collect();
    let whip = |takeover| Input::Whip { takeover };
    assert_eq!(inputs, [(&whip(Takeover::Refused), Start::Always), (&whip(Takeover::Allowed), Start::Always)]);
}

#[test]
fn fault_what_a_published_camera_does_not_have() {
    let place = |key: &str| format!("config.toml:4: camera[0] \"front\" {key}: ");
    let fault = |line: &str| camera_faults(&format!("source = \"whip\"\n{line}"));
    let both = fault("url = \"rtsp://a/\"");
    assert!(both.contains("found both url and source, allowed: exactly one of url, pipeline and source"), "{both}");
    let other = camera_faults("source = \"rtmp\"");
    assert_starts(&other, "config.toml:3: camera[0] \"front\" source: found \"rtmp\", allowed: \"whip\"");
    for (key, value, needs) in [
        ("transport", "\"udp\"", "url"),
        ("username", "\"u\"", "url"),
        ("start", "\"always\"", "url or pipeline"),
        ("linger_seconds", "3", "url or pipeline"),
    ] {
        let expected = format!("{}found a key that a camera with source does not have", place(key));
        let found = fault(&format!("{key} = {value}"));
        assert_starts(&found, &expected);
        assert!(found.contains(&format!("only together with {needs}")), "{found}");
    }
    let takeover = camera_faults("url = \"rtsp://a/\"\ntakeover = true");
    assert_starts(&takeover, &format!("{}found a key that a camera with url does not have", place("takeover")));
    assert_starts(&fault("takeover = \"yes\""), &format!("{}found \"yes\", allowed: true or false", place("takeover")));
}

#[test]
fn fault_url() {
    let fault = |url: &str| camera_faults(&format!("url = \"{url}\""));
    let place = "config.toml:3: camera[0] \"front\" url: ";
    let allowed = "allowed: rtsp://host[:port]/path without credentials";
    assert_eq!(
        fault("rtsp://admin:hunter2@192.168.1.20/stream1"),
        format!(
            "{place}found \"rtsp://***@192.168.1.20/...\", {allowed}; they have their own keys, username and password, where no character has to be escaped"
        )
    );
    assert_starts(&fault("http://x"), &format!("{place}found \"http://x\", {allowed}; what plain RTSP cannot do"));
    assert_starts(
        &fault("rtsps://x/y"),
        &format!("{place}found \"rtsps://x/...\", {allowed}; what plain RTSP cannot do"),
    );
    assert_starts(&fault("rtsp:///y"), &format!("{place}found \"rtsp:///...\", which names no host, {allowed}"));
    assert_starts(&fault("192.168.1.20"), &format!("{place}found \"192.168.1.20\", {allowed}; rtsp:// comes first"));
}

#[test]
fn fault_half_of_the_credentials() {
    let messages = camera_faults("url = \"rtsp://a/\"\nusername = \"u\"");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" username: found a username without password or password_file",
    );
    let messages = camera_faults("url = \"rtsp://a/\"\npassword = \"hunter2\"");
    assert_starts(&messages, "config.toml:4: camera[0] \"front\" password: found a password without username");
    let messages = faults("[webrtc]\nice_servers = [{ urls = [\"stun:a\"], username = \"u\" }]");
    assert_starts(&messages, "config.toml:2: webrtc.ice_servers[0]: found a username without credential");
}

#[test]
fn fault_password_file() {
    let keys = "url = \"rtsp://a/\"\nusername = \"u\"\npassword_file = \"secret\"\n";
    let both = camera_faults(&format!("{keys}password = \"hunter2\""));
    assert_starts(&both, "config.toml:5: camera[0] \"front\" password_file: found both password and password_file");
    assert_starts(
        &camera_faults(keys),
        "config.toml:5: camera[0] \"front\" password_file: found \"secret\", which cannot be read (No such file",
    );

    let folder = Folder::with(format!("[[camera]]\nname = \"front\"\n{keys}"));
    folder.file("secret", "\n");
    assert!(folder.faults(&[]).contains("found \"secret\", which is empty, allowed: "));
    folder.file("secret", "x".repeat(5000));
    assert!(folder.faults(&[]).contains("which is longer than 4096 bytes"));
    folder.file("secret", b"\xff");
    assert!(folder.faults(&[]).contains("which is not UTF-8"));
}

#[test]
fn fault_key_of_the_other_input() {
    let messages =
        camera_faults("pipeline = \"test-pattern\"\nusername = \"u\"\npassword = \"hunter2\"\ntransport = \"tcp\"");
    let lines: Vec<_> = messages.lines().collect();
    assert_eq!(lines.len(), 3, "{messages}");
    assert_eq!(
        lines[0],
        "config.toml:4: camera[0] \"front\" username: found a key that a camera with pipeline does not have, \
         allowed: only together with url"
    );
    let messages = camera_faults("url = \"rtsp://a/\"\nwith = {}");
    assert_starts(
        &messages,
        "config.toml:4: camera[0] \"front\" with: found a key that a camera with url does not have",
    );
}

#[test]
fn fault_pipeline() {
    for name in ["../etc/passwd", "/etc/passwd", "", "a.launch", "a b"] {
        let messages = camera_faults(&format!("pipeline = \"{name}\""));
        assert_starts(
            &messages,
            &format!("config.toml:3: camera[0] \"front\" pipeline: found {name:?}, allowed: the name of a"),
        );
    }
    let messages = camera_faults("pipeline = \"v4l2\"\n[pipelines]\npath = [\"pipelines\", \"/nowhere\"]");
    assert_eq!(
        messages,
        "config.toml:3: camera[0] \"front\" pipeline: found \"v4l2\", but no v4l2.launch in pipelines, /nowhere, \
         allowed: test-pattern, v4l2-encode"
    );
    assert_starts(
        &faults("pipelines.path = []"),
        "config.toml:1: pipelines.path: found an empty list, allowed: at least one",
    );
}

#[test]
fn fault_listen() {
    for text in [":8080", "8080", "localhost:8080", "0.0.0.0", "0.0.0.0:99999"] {
        let messages = faults(&format!("[http]\nlisten = \"{text}\"\n[webrtc]\nlisten = \"{text}\""));
        let lines: Vec<_> = messages.lines().collect();
        assert!(lines[0].starts_with(&format!(
            "config.toml:2: http.listen: found \"{text}\", allowed: an IP address and a port, such as \"0.0.0.0:8080\""
        )));
        assert!(lines[1].starts_with("config.toml:4: webrtc.listen: "));
    }
}

#[test]
fn a_certificate_may_be_ordered() {
    let folder = Folder::with(
        "[http.acme]\ndomains = [\"cam.example.org\"]\nemail = \"a@example.org\"\n[http.tls]\nhsts_seconds = 7",
    );
    let tls = folder.load(&[]).unwrap().http.tls.unwrap();
    assert_eq!(tls.hsts, Some(Duration::from_secs(7)));
    let CertificateSource::Acme(acme) = tls.certificate else { panic!("{tls:?}") };
    assert_eq!((acme.domains, acme.contact), (vec!["cam.example.org".into()], vec!["mailto:a@example.org".into()]));
    assert!(acme.cache.starts_with(&folder.0) && acme.cache.ends_with("acme"), "{:?}", acme.cache);
    assert_eq!(acme.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
    let messages = faults(
        "[http.tls]\nkey = \"key.pem\"\n[http.acme]\ndomains = [\"*.example.org\", \"192.0.2.1\", \"nas\"]\nemail = \"me\"\n\
         directory = \"http://example.org\"\n",
    );
    let places: Vec<_> = messages.lines().map(|line| line.split(": found").next().unwrap()).collect();
    let expected = [
        "2: http.tls.key",
        "4: http.acme.domains[0]",
        "4: http.acme.domains[1]",
        "4: http.acme.domains[2]",
        "5: http.acme.email",
        "6: http.acme.directory",
    ];
    assert_eq!(places, expected.map(|place| format!("config.toml:{place}")), "{messages}");
    assert_starts(
        &faults("[http.acme]\nemail = \"a@b.c\""),
        "config.toml:1: http.acme.domains: found no name, allowed: public",
    );
}

#[test]
fn fault_names_and_origins() {
    let messages =
        faults("[http]\nhosts = [\"https://cam\"]\ncors_origins = [\"player\"]\nframe_ancestors = [\"'self'\"]\n");
    let places: Vec<_> = messages.lines().map(|line| line.split(": found").next().unwrap()).collect();
    let expected = ["2: http.hosts[0]", "3: http.cors_origins[0]", "4: http.frame_ancestors[0]"];
    assert_eq!(places, expected.map(|place| format!("config.toml:{place}")), "{messages}");
}

#[test]
fn fault_reverse_proxies() {
    let messages = faults(
        "[http]\ntrusted_proxies = [\"10.0.0.0/33\", \"nginx\"]\nproxy_headers = \"via\"\nbase_path = \"cams\"\n",
    );
    let found: Vec<_> = messages.lines().map(|line| line.split(", allowed").next().unwrap()).collect();
    assert_eq!(found.len(), 4, "{messages}");
    assert!(found[0].starts_with("config.toml:2: http.trusted_proxies[0]: found \"10.0.0.0/33\" ("), "{messages}");
    assert!(found[1].starts_with("config.toml:2: http.trusted_proxies[1]: found \"nginx\" ("), "{messages}");
    assert_eq!(found[2], "config.toml:3: http.proxy_headers: found \"via\"");
    assert!(
        found[3].starts_with("config.toml:4: http.base_path: found \"cams\" (it does not begin with"),
        "{messages}"
    );
}

#[test]
fn fault_advertise_and_ice_servers() {
    let messages = faults("webrtc.advertise = [\"a\", \"192.0.2.1:8189\"]");
    assert_starts(
        &messages,
        "config.toml:1: webrtc.advertise[1]: found \"192.0.2.1:8189\" (the port does not belong here), allowed: IP",
    );
    let messages = faults("webrtc.ice_servers = [\"stun://a\"]");
    assert_starts(
        &messages,
        "config.toml:1: webrtc.ice_servers[0]: found \"stun://a\" (no // after the scheme), allowed: stun:",
    );
    let messages = faults("webrtc.ice_servers = [\"turn:me:hunter2@a\"]");
    assert!(
        messages.contains("found \"***@a\" (username and credential") && !messages.contains("hunter2"),
        "{messages}"
    );
    let messages = faults("webrtc.ice_servers = [\"turn:a\"]");
    assert_starts(
        &messages,
        "config.toml:1: webrtc.ice_servers[0]: found a turn URL without username and credential and without secret, allowed: {",
    );
    let messages = faults("webrtc.ice_servers = [{}]");
    assert_starts(&messages, "config.toml:1: webrtc.ice_servers[0].urls: found no URL, allowed: at least one stun:");
}

#[test]
fn fault_in_the_environment_names_the_variable() {
    let folder = Folder::with("[[camera]]\nname = \"front\"\nurl = \"rtsp://a/\"\n");
    let fault = |name: &str, value: &str| folder.faults(&[(name, value)]);
    assert_starts(
        &fault("CAMGATE_HTTP__LISTEN", "8080"),
        "CAMGATE_HTTP__LISTEN: http.listen: found \"8080\", allowed: an IP address",
    );
    assert_starts(
        &fault("CAMGATE_WEBRTC__MAX_SESSIONS", "many"),
        "CAMGATE_WEBRTC__MAX_SESSIONS: found \"many\", allowed: a whole number",
    );
    assert_starts(
        &fault("CAMGATE_WEBRTC__MAX_SESSIONS", "0"),
        "CAMGATE_WEBRTC__MAX_SESSIONS: webrtc.max_sessions: found 0, allowed:",
    );
    assert_starts(
        &fault("CAMGATE_WEBRTC__ADVERTISE", "a,b:1"),
        "CAMGATE_WEBRTC__ADVERTISE: webrtc.advertise[1]: found \"b:1\"",
    );
    assert_starts(
        &fault("CAMGATE_HTTP_LISTEN", "x"),
        "CAMGATE_HTTP_LISTEN: found an unknown variable, did you mean \"CAMGATE_HTTP__LISTEN\"?",
    );
    assert_starts(&fault("CAMGATE_X", "x"), "CAMGATE_X: found an unknown variable, allowed: CAMGATE_SECTION__KEY");
    assert_starts(
        &fault("CAMGATE_CAMERA__FRONT__PASWORD", "hunter2"),
        "CAMGATE_CAMERA__FRONT__PASWORD: found an unknown variable, did you mean \"CAMGATE_CAMERA__FRONT__PASSWORD\"?",
    );
    assert_starts(
        &fault("CAMGATE_CAMERA__BACK__PASSWORD", "hunter2"),
        "CAMGATE_CAMERA__BACK__PASSWORD: found a variable for a camera that the file does not have, allowed: CAMGATE_CAMERA__FRONT__...",
    );
    assert_starts(
        &fault("CAMGATE_CAMERA__FRONT__URL", "rtsp://u:hunter2@b/"),
        "CAMGATE_CAMERA__FRONT__URL: camera[0] \"front\" url: found \"rtsp://***@b/\", allowed: rtsp://host",
    );
    assert_starts(
        &fault("CAMGATE_CAMERA__FRONT__NAME", "back"),
        "CAMGATE_CAMERA__FRONT__NAME: found an unknown variable",
    );
}

#[test]
fn a_variable_that_fits_two_cameras_is_a_fault() {
    let folder = Folder::with(
        "[[camera]]\nname = \"a-b\"\nurl = \"rtsp://a/\"\n[[camera]]\nname = \"a_b\"\nurl = \"rtsp://a/\"\n",
    );
    let messages = folder.faults(&[("CAMGATE_CAMERA__A_B__START", "always")]);
    assert_starts(
        &messages,
        "CAMGATE_CAMERA__A_B__START: found a variable that fits camera[0] and camera[1], allowed:",
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_a_fault() {
    use std::os::unix::ffi::OsStringExt;
    let folder = Folder::with("");
    let variable = (OsString::from("CAMGATE_HTTP__LISTEN"), OsString::from_vec(vec![0xff]));
    let faults = load_with(&folder.0.join("config.toml"), [variable]).unwrap_err();
    assert_starts(&faults.to_string(), "CAMGATE_HTTP__LISTEN: found a value that is not Unicode");
}

#[test]
fn all_faults_at_once_in_the_order_of_the_file() {
    let folder = Folder::with(
        "[[camera]]\nname = \"A\"\nurl = 5\nstart = \"never\"\n[[camera]]\nname = \"b\"\nurl = \"http://x\"\nlingr = 3\n\
         [http]\nlisten = \"x\"\nstart_deadline_seconds = \"y\"\n[webrct]\n",
    );
    let messages = folder.faults(&[("CAMGATE_ZZZ", ""), ("CAMGATE_CAMERA__B__TRANSPORT", "sctp")]);
    let starts: Vec<_> = messages.lines().map(|line| line.split(": found").next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "config.toml:2: camera[0] \"A\" name",
            "config.toml:3: camera[0] \"A\" url",
            "config.toml:4: camera[0] \"A\" start",
            "config.toml:7: camera[1] \"b\" url",
            "config.toml:8: camera[1] \"b\" lingr",
            "config.toml:10: http.listen",
            "config.toml:11: http.start_deadline_seconds",
            "config.toml:12: webrct",
            "CAMGATE_CAMERA__B__TRANSPORT: camera[1] \"b\" transport",
            "CAMGATE_ZZZ",
        ]
    );
}

/// The names of the struct's fields, from serde's own message about a field that it does not have.
fn fields<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let message = toml::from_str::<T>("no_such_key = 1").err().unwrap().message().to_owned();
    let expected = message.split_once("expected ").unwrap().1;
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_table_of_keys_is_that_of_the_structs() {
    let keys = |section: &keys::Section| section.keys.iter().map(|key| key.name.to_owned()).collect::<Vec<_>>();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    for (section, fields) in [
        (&keys::HTTP, fields::<network::HttpSection>()),
        (&keys::TLS, fields::<tls::TlsSection>()),
        (&keys::ACME, fields::<tls::AcmeSection>()),
        (&keys::JWT, fields::<jwt::JwtSection>()),
        (&keys::FORWARD_AUTH, fields::<forward_auth::ForwardSection>()),
        (&keys::WEBRTC, fields::<network::WebrtcSection>()),
        (&keys::ICE_SERVER, fields::<ice_servers::IceServerSection>()),
        (&keys::PIPELINES, fields::<pipelines::PipelinesSection>()),
        (&keys::SHUTDOWN, fields::<ShutdownSection>()),
        (&keys::LOG, fields::<log::LogSection>()),
        (&keys::CAMERA, fields::<camera::CameraSection>()),
    ] {
        assert_eq!(sorted(keys(section)), sorted(fields), "{}", section.name);
    }
}

const SHIPPED: &str = include_str!("../../config.toml");

#[test]
fn the_shipped_file_has_one_camera_and_all_defaults() {
    let config = good(SHIPPED);
    let [camera] = config.cameras.as_slice() else { panic!("{:?}", config.cameras) };
    assert_eq!(camera.name.as_str(), "test-pattern");
    assert!(matches!(&camera.input, Input::Pipeline { name, .. } if name == "test-pattern"));
    assert_eq!(anywhere(Config { cameras: Vec::new(), ..config }), anywhere(good("")));
}

/// Wherever the file lies.
fn anywhere(mut config: Config) -> Config {
    config.http.state_dir = config.http.state_dir.file_name().expect("a folder").into();
    config
}

#[test]
fn the_shipped_file_documents_every_key() {
    let is_set = |table: &str, key: &str| {
        let mut current = "";
        SHIPPED.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).any(|line| {
            if line.starts_with('[') {
                current = line.trim_matches(['[', ']']);
            }
            current == table && line.starts_with(&format!("{key} = "))
        })
    };
    let is_table = |key: &keys::Key| matches!(key.kind, keys::Kind::Table(_));
    for section in keys::SECTIONS.into_iter().chain([&keys::TLS, &keys::ACME, &keys::JWT, &keys::FORWARD_AUTH]) {
        for key in section.keys.iter().filter(|key| !is_table(key)) {
            assert!(is_set(section.name, key.name), "[{}] {}", section.name, key.name);
        }
    }
    for key in keys::CAMERA.keys {
        let is_set = if key.name == "with" { SHIPPED.contains("[camera.with]") } else { is_set("camera", key.name) };
        assert!(is_set, "[[camera]] {}", key.name);
    }
    for key in keys::USER.keys {
        assert!(is_set("user", key.name), "[[user]] {}", key.name);
    }
    for key in keys::ICE_SERVER.keys {
        assert!(SHIPPED.contains(&format!("{} = ", key.name)), "ice_servers {}", key.name);
    }
}

#[test]
fn the_switched_off_settings_of_the_shipped_file_are_good_and_the_defaults() {
    // Two ways to give a password exclude each other, and the certificate is not there.
    let (before, rest) = SHIPPED.split_once("#[http.tls]").unwrap();
    let (_, rest) = rest.split_once("#[http.acme]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let lines = before
        .lines()
        .chain(after.lines())
        .filter(|line| !line.starts_with("#password_file") && !line.starts_with("#secret"));
    let is_switched_off =
        |line: &str| line.starts_with("#[") || line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let switched_on = lines.map(|line| match line.starts_with('#') && is_switched_off(line) {
        true => &line[1..],
        false => line,
    });
    let config = good(&switched_on.collect::<Vec<_>>().join("\n"));
    assert_eq!(config.cameras.len(), 4);
    let (first, shipped) = (&config.cameras[0], &good(SHIPPED).cameras[0]);
    assert_eq!((first.start, first.linger, first.gop), (shipped.start, shipped.linger, shipped.gop));
    assert_eq!(config.http.users.len(), 1);
    assert!(config.http.public_url.is_some() && config.http.jwt.is_some() && config.http.forward.is_some());
    let http = http::Config { users: Vec::new(), public_url: None, jwt: None, forward: None, ..config.http };
    assert_eq!(anywhere(Config { cameras: Vec::new(), http, ..config }), anywhere(good("")));
}

#[test]
fn fault_jwt() {
    let fault = |keys: &str| faults(&format!("[http.jwt]\nissuer = \"https://a\"\naudience = \"b\"\n{keys}"));
    assert_starts(
        &fault(""),
        "config.toml:1: http.jwt.jwks_url: found no jwks_url, allowed: an http:// or https:// address",
    );
    for bad in ["ftp://a/", "a", "https://u:hunter2@a/", "https://a/#b"] {
        let text = fault(&format!("jwks_url = \"{bad}\""));
        assert_starts(&text, "config.toml:4: http.jwt.jwks_url: found ");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = fault("secret = \"hunter2\"");
    assert_starts(&text, "config.toml:4: http.jwt.secret: found a shorter one, allowed: a secret of 32 bytes");
    assert!(!text.contains("hunter2"), "{text}");
    let text = fault("jwks_url = \"https://a/\"\nsecret = \"0123456789abcdef0123456789abcdef\"");
    assert_starts(&text, "config.toml:4: http.jwt.jwks_url: found both jwks_url and secret");
    assert!(fault("secret_file = \"none\"").contains("http.jwt.secret_file: found a file which cannot be read"));
    let text = faults("[http.jwt]\njwks_url = \"https://a/\"");
    assert!(text.contains("http.jwt.issuer: found no issuer") && text.contains("http.jwt.audience: found no audience"));
    let text = faults(
        "[http]\nallow_anonymous = true\n[http.jwt]\nissuer = \"a\"\naudience = \"b\"\njwks_url = \"https://a/\"",
    );
    assert_starts(&text, "config.toml:2: http.allow_anonymous: found both allow_anonymous and [http.jwt]");
    let config = good("[http.jwt]\nissuer = \"a\"\naudience = \"b\"\nsecret = \"0123456789abcdef0123456789abcdef\"");
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn fault_forward_auth() {
    let text = faults("[http.forward_auth]\nuser_header = \"Remote User\"");
    assert!(text.contains("http.forward_auth.url: found no url, allowed: an http:// or https:// address"), "{text}");
    assert!(
        text.contains("http.forward_auth.user_header: found \"Remote User\", allowed: the name of a header"),
        "{text}"
    );
    let text = faults("[http.forward_auth]\nurl = \"http://u:hunter2@a/\"");
    assert!(text.starts_with("config.toml:2: http.forward_auth.url: found ") && !text.contains("hunter2"), "{text}");
    let text = faults("[http]\nallow_anonymous = true\n[http.forward_auth]\nurl = \"http://a/\"");
    assert_starts(&text, "config.toml:2: http.allow_anonymous: found both allow_anonymous and [http.forward_auth]");
}

#[test]
fn how_a_camera_is_talked_to() {
    let talk = |keys: &str| good(&format!("[[camera]]\nname = \"front\"\n{keys}\n")).cameras.remove(0).talk;
    const URL: &str = "url = \"rtsp://192.0.2.7/\"\n";
    assert_eq!(talk(URL), None);
    let own = talk(&format!("{URL}talk = \"onvif\"")).expect("a loudspeaker");
    assert_eq!((own.to, own.limit), (Loudspeaker::Onvif, Duration::from_secs(60)));
    let keys = "talk = \"pipeline\"\ntalk_pipeline = \"v4l2-encode\"\ntalk_with = { device = \"hw:1\" }\ntalk_limit_seconds = 5";
    let other = talk(&format!("{URL}{keys}")).expect("a loudspeaker");
    let Loudspeaker::Pipeline(pipeline) = other.to else { panic!("it is a pipeline") };
    assert_eq!((pipeline.name.as_str(), pipeline.with["device"].as_str()), ("v4l2-encode", "hw:1"));
    assert_eq!(other.limit, Duration::from_secs(5));
    assert_eq!(talk(&format!("{URL}{}", keys.replace("\"pipeline\"", "\"off\""))), None, "switched off for now");

    let whip = camera_faults("source = \"whip\"\ntalk = \"onvif\"");
    assert_starts(
        &whip,
        "config.toml:4: camera[0] \"front\" talk: found a key that a camera with talk = \"onvif\" does not have",
    );
    let nameless = camera_faults(&format!("{URL}talk = \"pipeline\""));
    assert_starts(
        &nameless,
        "config.toml:4: camera[0] \"front\" talk: found \"pipeline\" without talk_pipeline, allowed: the name",
    );
    let unknown = camera_faults(&format!("{URL}talk = \"pipeline\"\ntalk_pipeline = \"none\""));
    assert_starts(&unknown, "config.toml:5: camera[0] \"front\" talk_pipeline: found \"none\", but no none.launch");
    let alone = camera_faults(&format!("{URL}talk_pipeline = \"v4l2-encode\""));
    assert_starts(
        &alone,
        "config.toml:4: camera[0] \"front\" talk_pipeline: found a key that a camera with talk does not have",
    );
}
