//! Faults between a camera and the gateway, and what a viewer sees of each. The viewer is in the same session all the time;
//! each test tells how long it took from the moment at which the camera could be watched again to a keyframe at the viewer
//! (docs/cameras.md has the figures, and nothing here depends on them).

#![allow(clippy::print_stdout)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::LIMIT;
use crate::media::firsts;
use crate::support::camera::scripted::faults::Weather;
use crate::support::camera::scripted::rtsp::Reply;
use crate::support::camera::scripted::{Builder, Scripted};
use crate::support::gateway::Gateway;
use crate::support::viewer::h264::NalTypes;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// What the gateway allows a camera for a keyframe, for an answer, and from one frame to the next, and then some.
const PATIENT: Duration = Duration::from_secs(60);
/// A connection that was live for so long is made again at once.
const PROMPT: Duration = Duration::from_millis(3_500);

/// A camera, a gateway and a viewer that has pictures.
struct Scene {
    camera: Scripted,
    gateway: Gateway,
    viewer: Viewer,
    session: Value,
}

impl Scene {
    async fn of(camera: Scripted) -> Self {
        let entry = camera.toml("front");
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).spawn().await;
        Self::behind(camera, gateway).await
    }

    async fn new(builder: Builder) -> Self {
        Self::of(builder.start()).await
    }

    async fn behind(camera: Scripted, gateway: Gateway) -> Self {
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_keyframes(1, LIMIT).await;
        let session = session(&gateway).await;
        tokio::time::sleep(PROMPT).await;
        Self { camera, gateway, viewer, session }
    }

    /// Waits until the API says why there is no picture.
    async fn wait_code(&self, code: &str) -> Value {
        let what = format!("the camera is away because of {code}");
        let look = || self.gateway.camera("front");
        wait::until_value(&what, PATIENT, look, |it| it["code"] == code).await
    }

    /// Waits for a keyframe that came to the viewer after `back`, and for pictures after it.
    async fn recovers(&self, fault: &str, back: Instant) {
        let at = wait::until("a keyframe after the fault", PATIENT, || async {
            self.viewer.with(Kind::Video, |log| {
                let new = log.packets.iter().find(|packet| packet.at > back && packet.nals.has(NalTypes::IDR));
                new.map(|packet| packet.at)
            })
        })
        .await;
        println!("{fault}: a keyframe {:.2} s after the camera was back", (at - back).as_secs_f64());
        self.viewer.wait_more(Kind::Video, 30, LIMIT).await;
        self.is_whole().await;
    }

    /// The viewer has one session, one sequence of packets and one timeline.
    async fn is_whole(&self) {
        assert_eq!(session(&self.gateway).await, self.session);
        // What a busy viewer has no room for comes again when it asks.
        let missing = || async { self.viewer.with(Kind::Video, |log| log.missing()) };
        wait::until_value("every packet is there", LIMIT, missing, |count| *count == 0).await;
        let packets = firsts(&self.viewer, Kind::Video);
        let steps = packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
        assert!(steps.into_iter().all(|step| step < 90_000 * 120), "one timeline");
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = self.gateway.get("/metrics").await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

async fn session(gateway: &Gateway) -> Value {
    let sessions = gateway.wait_sessions(1, LIMIT).await;
    sessions[0]["id"].clone()
}

// --- the connection

/// The viewer sees its picture stand still and go on: the connection is the same.
#[tokio::test]
async fn tcp_that_stalls_and_goes_on_is_waited_for() {
    let scene = Scene::new(Scripted::builder()).await;
    scene.camera.stall();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let back = Instant::now();
    scene.camera.resume();
    scene.recovers("TCP stalls for 8 s and goes on", back).await;
    assert_eq!(scene.camera.plays_total(), 1);
}

/// The same for longer than a camera may be silent: "stopped sending", and another connection.
#[tokio::test]
async fn tcp_that_stalls_for_longer_is_connected_again() {
    let scene = Scene::new(Scripted::builder()).await;
    scene.camera.stall();
    scene.wait_code("media-stopped").await;
    let back = Instant::now();
    scene.camera.resume();
    scene.recovers("TCP stalls for longer than 10 s", back).await;
    assert_eq!(scene.camera.plays_total(), 2);
}

/// The viewer sees hardly more than a pause of one keyframe interval.
#[tokio::test]
async fn a_connection_that_is_closed_half_closed_or_reset_is_made_again_at_once() {
    let scene = Scene::new(Scripted::builder()).await;
    for (count, (fault, act)) in [
        ("closed", Scripted::hang_up as fn(&Scripted)),
        ("half closed", Scripted::half_close),
        ("reset", Scripted::reset),
    ]
    .into_iter()
    .enumerate()
    {
        let back = Instant::now();
        act(&scene.camera);
        wait::until("another PLAY", LIMIT, || async { (scene.camera.plays_total() == count + 2).then_some(()) }).await;
        scene.recovers(&format!("the connection is {fault}"), back).await;
        tokio::time::sleep(PROMPT).await;
    }
}

/// Bytes that belong to nothing: the stream cannot be followed any further, and begins anew.
#[tokio::test]
async fn garbage_between_interleaved_packets_costs_one_connection() {
    let scene = Scene::new(Scripted::builder()).await;
    let back = Instant::now();
    scene.camera.garbage(b"\x00\x01\x02garbage\xff\xfe");
    wait::until("another PLAY", LIMIT, || async { (scene.camera.plays_total() >= 2).then_some(()) }).await;
    scene.recovers("garbage between packets", back).await;
}

/// A firmware that drops each connection after some seconds is connected to again and again, but not in a loop.
#[tokio::test]
async fn a_camera_that_drops_every_connection_is_not_hammered() {
    let scene = Scene::new(Scripted::builder()).await;
    let before = scene.camera.plays_total();
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        scene.camera.hang_up();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tries = scene.camera.plays_total() - before;
    assert!((1..=25).contains(&tries), "{tries} sessions in 10 s");
    scene.recovers("a camera that drops every connection for 10 s", Instant::now()).await;
}

// --- a camera that goes and comes back

/// "Refuses connections", then "no stream of that name", then the picture.
#[tokio::test]
async fn a_camera_that_reboots_is_seen_as_soon_as_it_works() {
    let booting = Arc::new(AtomicBool::new(false));
    let says_no = booting.clone();
    let builder = Scripted::builder().reply("DESCRIBE", move |_, reply| match says_no.load(Ordering::SeqCst) {
        true => Reply::new(404, "Not Found"),
        false => reply,
    });
    let mut scene = Scene::new(builder).await;
    scene.camera.stop();
    scene.wait_code("camera-refuses-connections").await;
    booting.store(true, Ordering::SeqCst);
    scene.camera.start_again();
    scene.wait_code("no-such-stream").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let back = Instant::now();
    booting.store(false, Ordering::SeqCst);
    scene.recovers("a reboot: port closed, then 404 for 2 s", back).await;
}

/// Nobody closes the connection: "cannot be reached" stands on the page before a slow camera would have been given up.
#[tokio::test]
async fn a_camera_whose_power_is_cut_is_missed_and_seen_again() {
    let scene = Scene::new(Scripted::builder()).await;
    let cut = PowerCut::of(scene.camera.port());
    let away = scene.wait_code("camera-unreachable").await;
    assert!(away["reason"].as_str().unwrap().contains("cannot be reached"), "{away}");
    // As it boots: the connections of before are gone.
    scene.camera.reset();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let back = Instant::now();
    drop(cut);
    scene.recovers("the power is cut", back).await;
}

/// Knocks are bounded, and say nothing that a camera could take for a wrong login.
#[tokio::test]
async fn an_absent_camera_is_knocked_at_twice_a_second() {
    let scene = Scene::new(Scripted::builder()).await;
    let port = scene.camera.port();
    let Scene { mut camera, gateway, viewer, .. } = scene;
    camera.stop();
    gateway.wait_log("camera-refuses-connections", LIMIT).await;
    // Takes the place of the camera without being one: each knock is answered, and nobody speaks.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (knock, _) = tokio::time::timeout(LIMIT, listener.accept()).await.expect("a knock").unwrap();
    drop((knock, listener));
    camera.start_again();
    viewer.wait_more(Kind::Video, 30, PATIENT).await;
    assert_eq!(gateway.count_log("camera-refuses-connections"), 1, "one line, however often it was knocked");
}

/// The rules of the kernel by which nothing comes from a port and nothing gets there. Needs root.
struct PowerCut(String);

impl PowerCut {
    fn of(port: u16) -> Self {
        let table = format!("camgate_cut_{port}_{}", std::process::id());
        let rules = format!(
            "table inet {table} {{\nchain cut {{\ntype filter hook input priority 0\n\
             tcp dport {port} drop\ntcp sport {port} drop\n}}\n}}\n"
        );
        let output = nft().arg(rules).output().expect("nft: scripts/install installs it");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft cannot change rules, is this root? {error}");
        Self(table)
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        let _ = nft().args(["delete", "table", "inet", &self.0]).output();
    }
}

/// As root already, or as somebody who may become it.
fn nft() -> Command {
    root("/usr/sbin/nft")
}

fn root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

// --- its name

const HOST: &str = "camera.camgate-test.invalid";

/// A gateway whose /etc/hosts and /etc/resolv.conf are files of the test's, seen by nobody else. Needs root.
struct Named {
    directory: tempfile::TempDir,
}

impl Named {
    fn new() -> Self {
        let named = Self { directory: tempfile::tempdir().unwrap() };
        // Nobody listens there: the kernel says so at once.
        std::fs::write(named.path("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
        named.is(None);
        named
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Says which address the camera's name has.
    fn is(&self, address: Option<&str>) {
        let entry = address.map(|address| format!("{address} {HOST}\n")).unwrap_or_default();
        // In place: the file is mounted.
        std::fs::write(self.path("hosts"), format!("127.0.0.1 localhost\n{entry}")).unwrap();
    }

    async fn gateway(&self, port: u16) -> Gateway {
        let script = ["hosts", "resolv.conf"]
            .map(|name| format!("mount --bind {} /etc/{name}", self.path(name).display()))
            .join(" && ");
        let words = ["unshare", "--mount", "sh", "-ec", &format!("{script} && exec \"$0\" \"$@\"")];
        let entry = format!("[[camera]]\nname = \"front\"\nurl = \"rtsp://{HOST}:{port}/cam\"\n");
        let words = words.map(str::to_owned).to_vec();
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).under(words).spawn().await
    }
}

/// An address at which the camera is, as long as this lives.
struct Address {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Address {
    async fn new(at: SocketAddr, camera: u16) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                relays.spawn(async move {
                    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, camera)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { at, task }
    }

    /// The camera is not there any more.
    async fn leave(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The name is looked up at each try and each knock.
#[tokio::test]
async fn a_camera_whose_address_changes_is_found_by_its_name() {
    let camera = Scripted::builder().start();
    let named = Named::new();
    let old = Address::new(SocketAddr::from(([127, 0, 0, 1], 0)), camera.port()).await;
    named.is(Some("127.0.0.1"));
    let gateway = named.gateway(old.at.port()).await;
    let port = old.at.port();
    let scene = Scene::behind(camera, gateway).await;
    old.leave().await;
    scene.wait_code("camera-refuses-connections").await;
    let _new = Address::new(SocketAddr::from(([127, 0, 0, 2], port)), scene.camera.port()).await;
    let back = Instant::now();
    named.is(Some("127.0.0.2"));
    scene.recovers("another address of the same name", back).await;
}

/// "The host name has no address": said while nobody knows it, and over as soon as somebody does.
#[tokio::test]
async fn a_name_that_is_not_known_for_a_while_is_asked_for_again() {
    let camera = Scripted::builder().start();
    let named = Named::new();
    let at = Address::new(SocketAddr::from(([127, 0, 0, 1], 0)), camera.port()).await;
    let port = at.at.port();
    named.is(Some("127.0.0.1"));
    let gateway = named.gateway(port).await;
    let scene = Scene::behind(camera, gateway).await;
    named.is(None);
    at.leave().await;
    let away = scene.wait_code("name-not-found").await;
    assert!(away["reason"].as_str().unwrap().contains(HOST), "{away}");
    let _again = Address::new(SocketAddr::from(([127, 0, 0, 1], port)), scene.camera.port()).await;
    let back = Instant::now();
    named.is(Some("127.0.0.1"));
    scene.recovers("a name that is not known", back).await;
}

// --- who may watch it

/// The picture goes on until the connection breaks; then the sentence says whose password it is, the camera is left alone, and
/// the right one in the configuration is taken up at once.
#[tokio::test]
async fn a_password_that_was_changed_is_asked_for_once() {
    let scene = Scene::new(Scripted::builder().user("viewer", "open sesame")).await;
    scene.camera.password("open barley");
    scene.viewer.wait_more(Kind::Video, 30, LIMIT).await;
    scene.camera.reset();
    let away = scene.wait_code("wrong-password").await;
    assert!(away["reason"].as_str().unwrap().contains("check username and password of camera front"), "{away}");
    let asked = scene.camera.requests("DESCRIBE").len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.camera.requests("DESCRIBE").len(), asked, "cameras lock accounts");
    let toml = scene.gateway.toml().replace("open sesame", "open barley");
    let back = Instant::now();
    scene.gateway.reload(&toml).await;
    scene.recovers("another password, taken into the configuration", back).await;
}

/// Ours is the one connection; nothing that the gateway does beside it takes its place.
#[tokio::test]
async fn a_camera_that_allows_one_connection_is_taken_by_one() {
    let scene = Scene::new(Scripted::builder().max_connections(1)).await;
    let back = Instant::now();
    scene.camera.reset();
    scene.recovers("one connection only, and it breaks", back).await;
    scene.camera.stall();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let back = Instant::now();
    scene.camera.resume();
    scene.recovers("one connection only, silent for 6 s", back).await;
}

/// Somebody else has it: said so, and seen soon after they left.
#[tokio::test]
async fn a_camera_whose_one_connection_is_taken_is_seen_when_it_is_free() {
    let mut scene = Scene::new(Scripted::builder().max_connections(1)).await;
    scene.camera.stop();
    scene.wait_code("camera-refuses-connections").await;
    let port = scene.camera.port();
    scene.camera.start_again();
    let other = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let away = wait::until("it is told or seen", LIMIT, || async {
        let camera = scene.gateway.camera("front").await;
        (camera["code"] != "camera-refuses-connections").then_some(camera)
    })
    .await;
    let back = Instant::now();
    drop(other);
    scene.recovers(&format!("one connection only, taken ({})", away["code"]), back).await;
}

/// "No answer to DESCRIBE": a connection, and nobody speaks.
#[tokio::test]
async fn a_camera_that_accepts_and_never_answers_is_asked_again() {
    let scene = Scene::new(Scripted::builder()).await;
    scene.camera.never_answer(true);
    scene.camera.reset();
    let away = scene.wait_code("camera-does-not-answer").await;
    assert!(away["reason"].as_str().unwrap().contains("DESCRIBE"), "{away}");
    let back = Instant::now();
    scene.camera.never_answer(false);
    scene.recovers("accepts and never answers", back).await;
}

/// The same, until whatever hangs in it is restarted: its system closes the connection, and no answer is waited for.
#[tokio::test]
async fn a_camera_that_never_answers_and_is_restarted_is_not_waited_for() {
    let mut scene = Scene::new(Scripted::builder()).await;
    scene.camera.never_answer(true);
    scene.camera.reset();
    let asked = || async { (scene.camera.requests("DESCRIBE").len() > 1).then_some(()) };
    wait::until("a question that is not answered", LIMIT, asked).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.camera.stop();
    scene.camera.never_answer(false);
    let back = Instant::now();
    scene.camera.start_again();
    scene.recovers("accepts, never answers, and is restarted", back).await;
}

// --- UDP

/// The picture smears where a packet is lost and is whole again with the next keyframe; the viewer's own packets have no gap.
#[tokio::test]
async fn udp_that_loses_packets_keeps_the_picture_going() {
    let lost = weather(Weather { lose_permille: 10, seed: 1, ..Weather::default() }).await;
    assert!(lost > 0, "and it is counted");
}

/// A duplicate is not passed on twice, and is no loss.
#[tokio::test]
async fn udp_that_doubles_packets_is_no_trouble() {
    let lost = weather(Weather { duplicate_permille: 100, seed: 2, ..Weather::default() }).await;
    assert_eq!(lost, 0);
}

/// A packet that was overtaken is as good as lost: the RTSP library has no place where it could wait.
#[tokio::test]
async fn udp_that_swaps_packets_loses_the_late_ones() {
    let lost = weather(Weather { late_permille: 10, late_by: 1, seed: 3, ..Weather::default() }).await;
    assert!(lost > 0, "and it is counted");
}

/// How many packets of a minute's worth the gateway counts as lost.
async fn weather(weather: Weather) -> u64 {
    let scene = Scene::new(Scripted::builder().udp()).await;
    let (packets, before) =
        (scene.viewer.packets(Kind::Video), scene.metric("camgate_camera_lost_packets_total").await);
    scene.camera.weather(weather);
    scene.viewer.wait_more(Kind::Video, 400, PATIENT).await;
    let lost = scene.metric("camgate_camera_lost_packets_total").await - before;
    println!("{weather:?}: {lost} lost of about {}", scene.viewer.packets(Kind::Video) - packets + lost);
    scene.camera.weather(Weather::default());
    scene.recovers("UDP weather that clears", Instant::now()).await;
    assert_eq!(scene.camera.plays_total(), 1, "on one connection");
    lost
}
