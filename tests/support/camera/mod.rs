//! A camera for the tests: a real RTSP server (GStreamer's) in this process, that can misbehave.
//!
//! ```ignore
//! let camera = Camera::builder().gop(150).user("u", "p", Scheme::DigestMd5).start();
//! let gateway = Gateway::builder(BIN).config(camera.toml("front")).spawn().await;
//! camera.hang_up();
//! ```

mod auth;
pub mod doorbell;
mod feeder;
pub mod picture;
pub mod scripted;
mod server;
mod sha256;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gstreamer_rtsp::RTSPLowerTrans;

use auth::Credentials;
pub use auth::Scheme;
use feeder::{Controls, Feeder, Show, Tone};
pub use server::Answer;
use server::{AudioClock, Counters, Plan, Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Constrained Baseline, as x264 marks it.
    Baseline,
    Main,
    High,
}

/// What the picture is coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Video {
    /// With the builder's profile.
    H264,
    /// H.264 with 10 bits a sample.
    H264High10,
    /// H.264 with half the colour of every line.
    H264High422,
    H265,
    Mjpeg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    Tcp,
    Udp,
    Both,
}

/// The sound of the camera: a sine tone, or with [`Builder::flash_and_beep`] 40 ms of it each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    None,
    /// 48 kHz stereo, 20 ms packets.
    Opus,
    /// 8 kHz mono, 20 ms packets.
    Pcmu,
    Pcma,
    /// AAC-LC, 48 kHz stereo, `MPEG4-GENERIC`.
    Aac,
    /// AAC-LC whose description says that it is AAC-SSR, which hardly anything decodes.
    AacSsr,
    G722,
    L16,
}

/// Builds a [`Camera`]. The default is the cheapest picture that everything can decode: 320x180 at
/// 15 frames a second, Baseline, a keyframe each second, 300 kbit/s, no sound, no password.
#[derive(Clone)]
pub struct Builder {
    size: (u32, u32),
    fps: u32,
    gop: u32,
    bitrate_kbps: u32,
    slices: u32,
    b_frames: u32,
    noise_percent: u32,
    profile: Profile,
    video: Video,
    max_sessions: u32,
    sends_nothing: bool,
    transports: Transports,
    audio: Audio,
    tone_hertz: f64,
    credentials: Option<Credentials>,
    mount: String,
    port: u16,
    keyframe_on_play: bool,
    flash_and_beep: bool,
    audio_clock_ppm: i32,
    sender_reports: bool,
}

impl Builder {
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    pub fn fps(mut self, fps: u32) -> Self {
        self.fps = fps;
        self
    }

    /// Frames from one keyframe to the next.
    pub fn gop(mut self, frames: u32) -> Self {
        self.gop = frames;
        self
    }

    /// Upper bound of the video bitrate. To reach it the picture needs [`noise_percent`](Self::noise_percent).
    pub fn bitrate_kbps(mut self, kbps: u32) -> Self {
        self.bitrate_kbps = kbps;
        self
    }

    /// Slices of one picture (default 1): each is a NAL unit of its own.
    pub fn slices(mut self, slices: u32) -> Self {
        self.slices = slices;
        self
    }

    /// B-frames between two others (default 0); they want [`Profile::Main`] or [`Profile::High`].
    pub fn b_frames(mut self, count: u32) -> Self {
        self.b_frames = count;
        self
    }

    /// Share of the picture's height that is new noise in every frame (default 10).
    pub fn noise_percent(mut self, percent: u32) -> Self {
        self.noise_percent = percent;
        self
    }

    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    pub fn video(mut self, video: Video) -> Self {
        self.video = video;
        self
    }

    /// How many clients may have a session: others are refused at SETUP. 0 (the default) is any number.
    pub fn max_sessions(mut self, count: u32) -> Self {
        self.max_sessions = count;
        self
    }

    /// Agrees to everything, plays, and sends no packet.
    pub fn sends_nothing(mut self) -> Self {
        self.sends_nothing = true;
        self
    }

    pub fn user(mut self, name: &str, password: &str, scheme: Scheme) -> Self {
        self.credentials = Some(Credentials { user: name.into(), password: password.into(), scheme });
        self
    }

    pub fn transports(mut self, transports: Transports) -> Self {
        self.transports = transports;
        self
    }

    pub fn audio(mut self, audio: Audio) -> Self {
        self.audio = audio;
        self
    }

    /// Pitch of the tone (default 440).
    pub fn tone(mut self, hertz: f64) -> Self {
        self.tone_hertz = hertz;
        self
    }

    /// Path of the stream, with its slash (default `/cam`).
    pub fn mount(mut self, path: &str) -> Self {
        self.mount = path.into();
        self
    }

    /// A fixed port instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sends a keyframe whenever a client starts to play, as many cameras do. Off by default: the
    /// first client gets one anyway, a later one waits for the GOP to end.
    pub fn keyframe_on_play(mut self, on: bool) -> Self {
        self.keyframe_on_play = on;
        self
    }

    /// Each second a white frame (below the frame number) and, from the same instant on, 40 ms of tone; else silence. Wants
    /// a tone of at least 500 Hz, so that its begin is sharp.
    pub fn flash_and_beep(mut self) -> Self {
        self.flash_and_beep = true;
        self
    }

    /// How fast the sound card's crystal is, in millionths: so many more samples per second than it says, counted by the
    /// RTP timestamps. Sender reports stay true.
    pub fn audio_clock_ppm(mut self, ppm: i32) -> Self {
        self.audio_clock_ppm = ppm;
        self
    }

    /// Whether RTCP is sent (default).
    pub fn sender_reports(mut self, on: bool) -> Self {
        self.sender_reports = on;
        self
    }

    /// Listens and returns. Panics if GStreamer lacks a plugin or the port is taken.
    pub fn start(self) -> Camera {
        let controls = Arc::new(Controls::new(self.size.0, self.size.1));
        let counters = Arc::new(Counters::default());
        let epoch = Instant::now();
        let plan = Plan {
            mount: self.mount.clone(),
            launch: self.launch(),
            protocols: match self.transports {
                Transports::Tcp => RTSPLowerTrans::TCP,
                Transports::Udp => RTSPLowerTrans::UDP,
                Transports::Both => RTSPLowerTrans::TCP | RTSPLowerTrans::UDP,
            },
            credentials: self.credentials.clone(),
            keyframe_on_play: self.keyframe_on_play,
            sender_reports: self.sender_reports,
            max_sessions: self.max_sessions,
            sends_nothing: self.sends_nothing,
            audio_clock: (self.audio_clock_ppm != 0).then_some(AudioClock { ppm: self.audio_clock_ppm, epoch }),
        };
        let server = Server::start(&plan, self.port, &controls, &counters);
        // avenc_aac's timestamps are of the samples it took, one frame before those that a decoder gives.
        let priming = if matches!(self.audio, Audio::Aac | Audio::AacSsr) { 1_024 } else { 0 };
        let tone = match self.audio {
            Audio::None => None,
            Audio::Opus | Audio::Aac | Audio::AacSsr => Some(48_000),
            Audio::Pcmu | Audio::Pcma => Some(8_000),
            Audio::G722 | Audio::L16 => Some(16_000),
        }
        .map(|rate| Tone { hertz: self.tone_hertz, rate, ppm: self.audio_clock_ppm, priming });
        let show = Show { fps: self.fps, noise_percent: self.noise_percent, tone, flash_and_beep: self.flash_and_beep };
        let feeder = Feeder::start(controls.clone(), epoch, show);
        Camera {
            port: server.port(),
            server: Some(server),
            feeder: Some(feeder),
            epoch,
            plan,
            settings: self,
            controls,
            counters,
        }
    }

    fn launch(&self) -> String {
        // Two raw frames at most wait for the encoder: what is older is dropped, as in a camera.
        let input = "is-live=true format=time block=false leaky-type=downstream";
        let (profile, options) = match self.profile {
            Profile::Baseline => ("constrained-baseline", ""),
            // Without these x264's ultrafast writes a Baseline stream whatever the caps say.
            Profile::Main => ("main", ":cabac=1"),
            Profile::High => ("high", ":cabac=1:8x8dct=1"),
        };
        let (convert, profile) = match self.video {
            Video::H264High10 => ("! videoconvert ! video/x-raw,format=I420_10LE", "high-10"),
            Video::H264High422 => ("! videoconvert ! video/x-raw,format=Y42B", "high-4:2:2"),
            Video::H264 | Video::H265 | Video::Mjpeg => ("", profile),
        };
        let (gop, kbps) = (self.gop, self.bitrate_kbps);
        let encoder = match self.video {
            Video::H265 => format!(
                "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps} \
                 ! rtph265pay name=pay0 pt=96 config-interval=-1"
            ),
            Video::Mjpeg => "jpegenc ! rtpjpegpay name=pay0 pt=26".to_owned(),
            Video::H264 | Video::H264High10 | Video::H264High422 => format!(
                "x264enc tune=zerolatency speed-preset=ultrafast threads=1 byte-stream=true \
                   bframes={b_frames} key-int-max={gop} bitrate={kbps} \
                   option-string=\"scenecut=0:slices={slices}{options}\" \
                 ! video/x-h264,profile={profile} \
                 ! rtph264pay name=pay0 pt=96 config-interval=-1",
                slices = self.slices,
                b_frames = self.b_frames,
            ),
        };
        let mut launch = format!("( appsrc name=video {input} max-buffers=2 max-bytes=0 {convert} ! {encoder}");
        let (rate, channels, encoder) = match self.audio {
            Audio::None => return launch + " )",
            Audio::Opus => (48_000, 2, "opusenc bitrate=64000 frame-size=20 ! rtpopuspay"),
            Audio::Pcmu => (8_000, 1, "mulawenc ! rtppcmupay"),
            Audio::Pcma => (8_000, 1, "alawenc ! rtppcmapay"),
            Audio::G722 => (16_000, 1, "avenc_g722 ! rtpg722pay"),
            Audio::L16 => (16_000, 1, "audioconvert ! audio/x-raw,format=S16BE ! rtpL16pay"),
            Audio::Aac => (48_000, 2, "avenc_aac bitrate=64000 ! aacparse ! rtpmp4gpay"),
            // ISO/IEC 14496-3 section 1.6.2.1: object type 3, 48 kHz, two channels.
            Audio::AacSsr => (
                48_000,
                2,
                "avenc_aac bitrate=64000 ! aacparse ! capssetter caps=audio/mpeg,codec_data=(buffer)1990 ! rtpmp4gpay",
            ),
        };
        let payload_type = match self.audio {
            Audio::Pcmu => 0,
            Audio::Pcma => 8,
            Audio::G722 => 9,
            _ => 97,
        };
        launch += &format!(
            " appsrc name=audio {input} max-buffers=50 max-bytes=0 \
               caps=audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels=1 \
             ! audioconvert ! audio/x-raw,channels={channels} ! {encoder} name=pay1 pt={payload_type}"
        );
        launch + " )"
    }
}

/// A running camera. Dropping it closes everything, its threads included.
pub struct Camera {
    server: Option<Server>,
    feeder: Option<Feeder>,
    port: u16,
    epoch: Instant,
    plan: Plan,
    settings: Builder,
    controls: Arc<Controls>,
    counters: Arc<Counters>,
}

impl Camera {
    pub fn builder() -> Builder {
        Builder {
            size: (320, 180),
            fps: 15,
            gop: 15,
            bitrate_kbps: 300,
            slices: 1,
            b_frames: 0,
            noise_percent: 10,
            profile: Profile::Baseline,
            video: Video::H264,
            max_sessions: 0,
            sends_nothing: false,
            transports: Transports::Both,
            audio: Audio::None,
            tone_hertz: 440.0,
            credentials: None,
            mount: "/cam".into(),
            port: 0,
            keyframe_on_play: false,
            flash_and_beep: false,
            audio_clock_ppm: 0,
            sender_reports: true,
        }
    }

    /// `rtsp://127.0.0.1:port/cam`, without credentials.
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}{}", self.port, self.plan.mount)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `[[camera]]` entry of a config.toml for this camera; append more keys as you like.
    pub fn toml(&self, name: &str) -> String {
        let mut entry = format!("\n[[camera]]\nname = \"{name}\"\nurl = \"{}\"\n", self.url());
        if let Some(Credentials { user, password, .. }) = &self.settings.credentials {
            entry += &format!("username = \"{user}\"\npassword = \"{password}\"\n");
        }
        if self.settings.transports == Transports::Udp {
            entry += "transport = \"udp\"\n";
        }
        entry
    }

    /// The number in the frame that the camera shows now.
    pub fn frame_now(&self) -> u32 {
        let frames = self.epoch.elapsed().as_secs_f64() * f64::from(self.settings.fps);
        (frames as u64 % u64::from(picture::COUNTER_MODULUS)) as u32
    }

    /// How long ago the frame with this number was shown.
    pub fn age_of(&self, counter: u32) -> Duration {
        let shown = Duration::from_secs_f64(f64::from(counter) / f64::from(self.settings.fps));
        self.epoch.elapsed().saturating_sub(shown)
    }

    // --- what the clients did

    /// RTSP connections open now.
    pub fn connections(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// RTSP connections ever accepted.
    pub fn connections_total(&self) -> usize {
        self.counters.connections.load(Ordering::SeqCst)
    }

    /// DESCRIBE requests answered with a description.
    pub fn describes_total(&self) -> usize {
        self.counters.describes.load(Ordering::SeqCst)
    }

    pub fn plays_total(&self) -> usize {
        self.counters.plays.load(Ordering::SeqCst)
    }

    pub fn teardowns_total(&self) -> usize {
        self.counters.teardowns.load(Ordering::SeqCst)
    }

    /// DESCRIBE requests refused because of [`refuse`](Self::refuse).
    pub fn refusals_total(&self) -> usize {
        self.counters.refusals.load(Ordering::SeqCst)
    }

    /// Frames given to encoders; stands still when nobody is connected.
    pub fn frames_fed(&self) -> u64 {
        self.controls.frames_fed.load(Ordering::Relaxed)
    }

    /// Waits until so many connections are open.
    pub async fn wait_connections(&self, count: usize, limit: Duration) {
        let what = format!("{count} RTSP connections at the camera");
        super::wait::until_value(&what, limit, || async { self.connections() }, |open| *open == count).await;
    }

    // --- misbehaviour

    /// Closes all client connections and keeps listening. Returns how many there were.
    pub fn hang_up(&self) -> usize {
        self.server.as_ref().map_or(0, Server::hang_up)
    }

    /// Keeps the connections and sends neither RTP nor RTCP. RTSP requests are still answered.
    pub fn stall(&self) {
        self.controls.stalled.store(true, Ordering::Relaxed);
    }

    pub fn resume(&self) {
        self.controls.stalled.store(false, Ordering::Relaxed);
    }

    /// Stalls and leaves RTSP requests and new connections without any answer.
    pub fn freeze(&self) {
        self.stall();
        if let Some(server) = &self.server {
            server.freeze();
        }
    }

    pub fn thaw(&self) {
        if let Some(server) = &self.server {
            server.thaw();
        }
        self.resume();
    }

    /// Changes the picture's size in the running session: new SPS and PPS in band, a keyframe.
    pub fn change_size(&self, width: u32, height: u32) {
        self.controls.width.store(width, Ordering::Relaxed);
        self.controls.height.store(height, Ordering::Relaxed);
    }

    /// Makes the next frame a keyframe, out of turn.
    pub fn force_keyframe(&self) {
        self.controls.force_keyframe();
    }

    /// Answers DESCRIBE with 503 from now on; who plays already is not touched.
    pub fn refuse(&self, on: bool) {
        self.answer(if on { Answer::Unavailable } else { Answer::Stream });
    }

    /// Like [`refuse`](Self::refuse), with a choice. [`start_again`](Self::start_again) ends it.
    pub fn answer(&self, answer: Answer) {
        if let Some(server) = &self.server {
            server.answer(answer);
        }
    }

    /// Pulls the plug: connections are closed and new ones refused.
    pub fn stop(&mut self) {
        self.server = None;
        self.controls.feeds.lock().unwrap().clear();
    }

    /// Comes back on the same port after [`stop`](Self::stop).
    pub fn start_again(&mut self) {
        if self.server.is_none() {
            self.counters.refusing.store(false, Ordering::SeqCst);
            let server = Server::start(&self.plan, self.port, &self.controls, &self.counters);
            self.server = Some(server);
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop();
        self.feeder = None;
    }
}
