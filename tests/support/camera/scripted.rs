//! A scripted camera: an RTSP server over real sockets whose every word and packet a test may choose, for what GStreamer's
//! server is too correct to do. The picture is real: x264's, coded once per process, with the frame number of [`picture`].
//!
//! ```ignore
//! // A camera as it should be; each method below makes it worse.
//! let camera = Scripted::builder().start();
//! let gateway = Gateway::builder(BIN).config(camera.toml("front")).spawn().await;
//! ```
//!
//! **What it says** ([`rtsp`]): every answer can be changed before it is sent. `{url}`, `{session}`, `{cseq}`, `{ssrc0}`
//! (hexadecimal), `{seq0}`, `{time0}` (of track 0; `1` is the sound), `{sprop}`, `{profile}` stand for the real values in
//! headers and in the SDP.
//!
//! ```ignore
//! Scripted::builder()
//!     .sdp(&sdp::VIDEO.replace("a=control:*\n", ""))
//!     .reply("PLAY", |request, reply| reply.with("RTP-Info", "url={url}/trackID=0;seq=0;rtptime=0"))
//!     .reply("OPTIONS", |_, _| Reply::none())
//! ```
//!
//! **What it sends** ([`packets`], [`pump`]): a hook turns each access unit into packets, others tell the media time and the
//! sender reports.
//!
//! ```ignore
//! Scripted::builder()
//!     .video(Video { fps: 30, gop: 300, profile: Profile::High, slices: 4, ..Video::default() })
//!     .shape(|line, unit| {
//!         let mut packets = line.packetize(unit);           // or line.single(nal), line.stap_a(&nals), line.fu_a(nal, size)
//!         packets.iter_mut().for_each(|packet| packet.marker = false);
//!         if line.frame == 60 { line.ssrc ^= 1; line.sequence = line.sequence.wrapping_sub(500); }
//!         packets
//!     })
//!     .timestamps(|frame, _| frame as u32 * 3_000)          // instead of the true time
//!     .reports(|now| packets::sender_report(now.ssrc, now.ntp + (60 << 32), now.rtp))
//!     .sound(Sound::Pcmu)
//!     .shape_sound(|line, payload| vec![line.packet(payload.to_vec(), false)])
//! ```
//!
//! **What the network does** ([`faults`]): while the test runs, by methods of [`Scripted`]: [`stall`](Scripted::stall),
//! [`half_close`](Scripted::half_close), [`reset`](Scripted::reset), [`hang_up`](Scripted::hang_up),
//! [`garbage`](Scripted::garbage), [`weather`](Scripted::weather) (drops, duplicates, swaps, seeded),
//! [`never_answer`](Scripted::never_answer), [`password`](Scripted::password), [`stop`](Scripted::stop) and
//! [`start_again`](Scripted::start_again) on the same port; `max_connections(1)` and `user(..)` of the builder.

pub mod clip;
mod connection;
pub mod faults;
mod login;
pub mod packets;
pub mod pps;
pub mod pump;
pub mod rtsp;
pub mod sdp;
mod server;
mod transport;

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use clip::{Unit, Video};
use faults::{Faults, Weather};
use login::Login;
use packets::{Line, Packet};
pub use pump::{Now, Sound};
use rtsp::{Reply, Request};
use server::Server;

type ReplyHook = Box<dyn Fn(&Request, Reply) -> Reply + Send + Sync>;
type Shape = Box<dyn Fn(&mut Line, &Unit) -> Vec<Packet> + Send + Sync>;
type SoundShape = Box<dyn Fn(&mut Line, &[u8]) -> Vec<Packet> + Send + Sync>;
type Timestamps = Box<dyn Fn(u64, Duration) -> u32 + Send + Sync>;
type Reports = Box<dyn Fn(&Now) -> Vec<u8> + Send + Sync>;

/// Everything that does not change while the camera runs.
struct Script {
    video: Video,
    sound: Sound,
    sdp: String,
    mount: String,
    /// The first is asked first; each gets what the one before it made.
    replies: Vec<(String, ReplyHook)>,
    shape: Shape,
    sound_shape: SoundShape,
    timestamps: Option<Timestamps>,
    reports: Reports,
    first_sequence: u16,
    keyframe_on_play: bool,
    max_connections: usize,
    udp: bool,
    sends_from: Option<Ipv4Addr>,
    session_limit: Option<Duration>,
    user: Option<String>,
}

/// Builds a [`Scripted`] camera. The default is a camera that does everything right: 320x180, 15 frames and one keyframe a
/// second, Baseline, parameter sets in the SDP and before each keyframe, a sender report each second, no sound, no password,
/// TCP and UDP.
pub struct Builder {
    script: Script,
    password: String,
    port: u16,
}

impl Builder {
    /// How the picture is coded.
    pub fn video(mut self, video: Video) -> Self {
        self.script.video = video;
        self
    }

    /// Adds a sound track, also to the default SDP.
    pub fn sound(mut self, sound: Sound) -> Self {
        self.script.sound = sound;
        self
    }

    /// The description, with `\n` for line ends; `{sound}` stands for the media section of the sound.
    pub fn sdp(mut self, template: &str) -> Self {
        self.script.sdp = template.into();
        self
    }

    /// Path of the stream, with its slash (default `/cam`).
    pub fn mount(mut self, path: &str) -> Self {
        self.script.mount = path.into();
        self
    }

    /// Changes answers to requests with this method; several calls add up.
    pub fn reply(mut self, method: &str, change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Self {
        self.script.replies.push((method.into(), Box::new(change)));
        self
    }

    /// Turns each access unit into packets (default [`Line::packetize`]).
    pub fn shape(mut self, shape: impl Fn(&mut Line, &Unit) -> Vec<Packet> + Send + Sync + 'static) -> Self {
        self.script.shape = Box::new(shape);
        self
    }

    /// Turns 20 ms of coded sound into packets (default: one).
    pub fn shape_sound(mut self, shape: impl Fn(&mut Line, &[u8]) -> Vec<Packet> + Send + Sync + 'static) -> Self {
        self.script.sound_shape = Box::new(shape);
        self
    }

    /// RTP timestamp of a frame by its number since PLAY and the time since then (default: 90 kHz of that time). May be
    /// overridden by the hook of [`shape`](Self::shape), which sees it as `line.timestamp`.
    pub fn timestamps(mut self, tell: impl Fn(u64, Duration) -> u32 + Send + Sync + 'static) -> Self {
        self.script.timestamps = Some(Box::new(tell));
        self
    }

    /// The RTCP of each track, asked for at PLAY and each second; empty is none (default: a true sender report).
    pub fn reports(mut self, tell: impl Fn(&Now) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.script.reports = Box::new(tell);
        self
    }

    /// Sequence number of the first packet of each session (default 1000).
    pub fn first_sequence(mut self, number: u16) -> Self {
        self.script.first_sequence = number;
        self
    }

    /// Whether a session begins with a keyframe (default), or where the picture happens to be.
    pub fn keyframe_on_play(mut self, on: bool) -> Self {
        self.script.keyframe_on_play = on;
        self
    }

    /// Connections served at a time; another is closed at once.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.script.max_connections = count;
        self
    }

    /// Has `toml` ask for UDP. The camera always gives what it is asked for.
    pub fn udp(mut self) -> Self {
        self.script.udp = true;
        self
    }

    /// Sends media over UDP from a port that it does not tell, of this address.
    pub fn sends_from(mut self, address: Ipv4Addr) -> Self {
        self.script.sends_from = Some(address);
        self
    }

    /// Ends a session in which the client has asked nothing for so long.
    pub fn session_limit(mut self, limit: Duration) -> Self {
        self.script.session_limit = Some(limit);
        self
    }

    /// Asks for a password: Digest with MD5, as most cameras do.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.script.user = Some(name.into());
        self.password = password.into();
        self
    }

    /// A fixed port instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Listens and returns.
    pub fn start(self) -> Scripted {
        let clip = self.script.video.clip();
        let login = self.script.user.clone().map(|user| Login::new(user, self.password));
        let faults = Arc::new(Faults::default());
        let shared = Arc::new(Shared {
            script: self.script,
            clip,
            login,
            faults,
            seen: Mutex::default(),
            started: Instant::now(),
        });
        let server = Server::start(shared.clone(), self.port);
        Scripted { port: server.port(), server: Some(server), shared }
    }
}

/// What the threads of a camera share.
struct Shared {
    script: Script,
    clip: Arc<clip::Clip>,
    login: Option<Login>,
    faults: Arc<Faults>,
    /// Every request, in the order of arrival.
    seen: Mutex<Vec<Request>>,
    started: Instant,
}

impl Shared {
    /// The number of the frame that the camera sees now.
    fn shown(&self) -> u64 {
        (self.started.elapsed().as_secs_f64() * f64::from(self.script.video.fps)) as u64
    }
}

/// A running camera. Dropping it closes everything.
pub struct Scripted {
    port: u16,
    server: Option<Server>,
    shared: Arc<Shared>,
}

impl Scripted {
    pub fn builder() -> Builder {
        let script = Script {
            video: Video::default(),
            sound: Sound::None,
            sdp: sdp::VIDEO.into(),
            mount: "/cam".into(),
            replies: Vec::new(),
            shape: Box::new(Line::packetize),
            sound_shape: Box::new(|line, payload| vec![line.packet(payload.to_vec(), false)]),
            timestamps: None,
            reports: Box::new(|now| packets::sender_report(now.ssrc, now.ntp, now.rtp)),
            first_sequence: 1_000,
            keyframe_on_play: true,
            max_connections: usize::MAX,
            udp: false,
            sends_from: None,
            session_limit: None,
            user: None,
        };
        Builder { script, password: String::new(), port: 0 }
    }

    /// `rtsp://127.0.0.1:port/cam`.
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}{}", self.port, self.shared.script.mount)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `[[camera]]` entry of a config.toml; append more keys as you like.
    pub fn toml(&self, name: &str) -> String {
        let mut entry = format!("\n[[camera]]\nname = \"{name}\"\nurl = \"{}\"\n", self.url());
        if let Some(login) = &self.shared.login {
            entry += &format!("username = \"{}\"\npassword = \"{}\"\n", login.user, login.password());
        }
        if self.shared.script.udp {
            entry += "transport = \"udp\"\n";
        }
        entry
    }

    /// What it shows.
    pub fn clip(&self) -> &clip::Clip {
        &self.shared.clip
    }

    // --- what the clients did

    /// Every request so far, or those with one method.
    pub fn requests(&self, method: &str) -> Vec<Request> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|request| method.is_empty() || request.method == method).cloned().collect()
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.faults.open.load(Ordering::SeqCst)
    }

    /// Connections ever accepted.
    pub fn connections_total(&self) -> usize {
        self.shared.faults.accepted.load(Ordering::SeqCst)
    }

    /// Sessions that were ever played.
    pub fn plays_total(&self) -> usize {
        self.requests("PLAY").len()
    }

    /// Access units handed to sockets, over all sessions.
    pub fn frames_sent(&self) -> u64 {
        self.shared.faults.frames.load(Ordering::Relaxed)
    }

    // --- what the network does

    /// Keeps the connections and sends nothing at all: no media, no answer.
    pub fn stall(&self) {
        self.shared.faults.stalled.store(true, Ordering::SeqCst);
    }

    /// Ends [`stall`](Self::stall); what was not sent is skipped.
    pub fn resume(&self) {
        self.shared.faults.stalled.store(false, Ordering::SeqCst);
    }

    /// Sends no media and goes on answering requests; or sends again.
    pub fn mute(&self, on: bool) {
        self.shared.faults.muted.store(on, Ordering::SeqCst);
    }

    /// Leaves every request without an answer, also on new connections, and sends what it sends; or answers again.
    pub fn never_answer(&self, on: bool) {
        self.shared.faults.deaf.store(on, Ordering::SeqCst);
    }

    /// Ends every connection with FIN, both ways.
    pub fn hang_up(&self) {
        self.shared.faults.end(faults::End::Close);
    }

    /// Sends FIN and goes on reading.
    pub fn half_close(&self) {
        self.shared.faults.end(faults::End::HalfClose);
    }

    /// Ends every connection with RST.
    pub fn reset(&self) {
        self.shared.faults.end(faults::End::Reset);
    }

    /// Sends these bytes between two interleaved packets, once on each connection that is open now.
    pub fn garbage(&self, bytes: &[u8]) {
        self.shared.faults.garbage(bytes);
    }

    /// What happens to media packets from now on.
    pub fn weather(&self, weather: Weather) {
        *self.shared.faults.weather.lock().unwrap() = weather.into();
    }

    /// Changes the password, also for connections that are open: their next request is refused.
    pub fn password(&self, password: &str) {
        self.shared.login.as_ref().expect("a camera with a user").set_password(password);
    }

    /// Makes another nonce: who used the one before is told `stale=true` at the next request.
    pub fn new_nonce(&self) {
        self.shared.login.as_ref().expect("a camera with a user").new_nonce();
    }

    /// Pulls the plug: connections are closed and new ones refused.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Comes back on the same port.
    pub fn start_again(&mut self) {
        if self.server.is_none() {
            self.server = Some(Server::start(self.shared.clone(), self.port));
        }
    }
}
