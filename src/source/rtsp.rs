//! IP cameras over RTSP: the only place that knows retina.
//!
//! In: a URL, credentials, a transport. Out: pictures (H.264) and sound (G.711, G.722, Opus), published through a `Feed`, each
//! with the time it was captured. Called by the supervisor, one connection at a time. Refuses what has no H.264 video;
//! sound that cannot be passed on is left out and never costs the picture.
//!
//! retina has no deadlines, so every await here has one. Its policies are set to whatever tolerates most: what a
//! camera says beside the media is of no use to us when the media itself is good.

mod aac_rtp;
pub(super) mod backchannel;
mod events;
mod failure;
mod faults;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod greeting;
pub(super) mod h264_rtp;
mod media;
mod raw;
mod receive;
mod samples;
mod tracks;
pub mod visit;

use std::{sync::Arc, time::Duration};

use retina::client::{
    Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions, Playing, Session, SessionGroup,
    SessionIdPolicy, SessionOptions, SetupOptions, TcpTransportOptions, TeardownPolicy, UdpTransportOptions,
    UnassignedChannelDataPolicy, UnknownRtcpSsrcPolicy,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use url::Url;

use self::tracks::{Tracks, Unusable};
use super::{
    Error, Step,
    config::{Audio, Credentials, Transport},
    door::Door,
    feed::Feed,
    supervisor::Connector,
};
use crate::{
    media::{CameraName, Reason},
    panics::catch_task,
};

/// For the TCP connection and DESCRIBE together, with its second round for digest authentication. Cameras that wake
/// from standby take up to 8 s for it.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(10);
/// For finding out, after DESCRIBE was not answered, whether anything listens there at all. Only words depend on it.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// For each SETUP. Starting an encoder takes some cameras 2 to 3 s.
const SETUP_LIMIT: Duration = Duration::from_secs(8);
/// For PLAY.
const PLAY_LIMIT: Duration = Duration::from_secs(8);
/// For TEARDOWN, and before the next connection for one that is still under way: many cameras serve only two to four
/// sessions and keep one that was not torn down for a minute. When hit, the camera finds out by itself.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(3);
/// The same after a failure, when viewers wait for the picture: who answers at all does so within milliseconds, and a
/// camera that has restarted does not know the session any more.
const TEARDOWN_LIMIT_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// RTSP's port (RFC 2326 section 3.2).
const PORT: u16 = 554;

/// How the gateway introduces itself; some cameras answer 401 to a client without a name.
const USER_AGENT: &str = concat!("camgate/", env!("CARGO_PKG_VERSION"));

/// What is wanted of a camera's sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound {
    pub(super) policy: Audio,
    /// Of sound that is transcoded, in bits per second.
    pub(super) bitrate_bps: Option<u32>,
}

/// One RTSP camera.
pub(super) struct Input {
    camera: CameraName,
    url: Url,
    peer: String,
    door: Door,
    credentials: Option<Credentials>,
    transport: Transport,
    sound: Sound,
    /// Whether it is asked for what it notices.
    events: bool,
    /// Sessions that are still being torn down.
    group: Arc<SessionGroup>,
    /// The camera broke off when it was asked for its sound, so it is not asked again.
    without_sound: bool,
    /// The camera refused a login behind DESCRIBE, and was tried again at once. That is done once until it plays, because
    /// cameras that want no login for DESCRIBE lock out who comes with a wrong one too often.
    asked_again: bool,
    /// retina does not understand its pictures.
    is_odd: bool,
    /// What the log already has about the sound.
    told: Option<Reason>,
    /// What there is to say about the sound of this connection.
    note: Option<Reason>,
}

impl Input {
    /// Does not connect yet.
    pub(super) fn new(
        camera: CameraName,
        url: Url,
        credentials: Option<Credentials>,
        transport: Transport,
        sound: Sound,
    ) -> Self {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(PORT));
        let peer = format!("{host}:{port}");
        let door = Door::new(host.trim_matches(['[', ']']), port, &peer);
        let group = Arc::new(SessionGroup::default().named(camera.to_string()));
        Self {
            camera,
            url,
            peer,
            door,
            credentials,
            transport,
            sound,
            events: false,
            group,
            without_sound: false,
            asked_again: false,
            is_odd: false,
            told: None,
            note: None,
        }
    }
}

impl Input {
    /// Whether the camera is asked for what it notices, too.
    pub(super) fn with_events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }
}

impl Connector for Input {
    async fn open(&mut self, feed: &mut Feed<'_>, leave: &CancellationToken) -> Result<(), Error> {
        let result = tokio::select! {
            biased;
            () = leave.cancelled() => Ok(()),
            ended = self.watch(feed) => ended,
        };
        // The session is dropped by now, which makes retina send TEARDOWN. After a failure the next try waits for it.
        if result.is_ok() {
            self.torn_down(TEARDOWN_LIMIT).await;
        }
        result
    }

    fn door(&self) -> Option<Door> {
        Some(self.door.clone())
    }
}

impl Input {
    /// From the name server to a failure.
    async fn watch(&mut self, feed: &mut Feed<'_>) -> Result<(), Error> {
        self.door.addresses().await?;
        self.torn_down(TEARDOWN_LIMIT_AFTER_FAILURE).await;
        loop {
            self.session(feed).await?;
            self.torn_down(TEARDOWN_LIMIT).await;
        }
    }

    /// One session, until it fails or should be another one.
    async fn session(&mut self, feed: &mut Feed<'_>) -> Result<(), Error> {
        let mut played = self.play().await;
        if matches!(played, Err(Broken::Login(_))) && !std::mem::replace(&mut self.asked_again, true) {
            debug!(camera = %self.camera, "the camera wants another login than for DESCRIBE: once more from the start");
            self.torn_down(TEARDOWN_LIMIT).await;
            played = self.play().await;
        }
        if let Err(Broken::Sound(error)) = &played {
            let sentence = format!("no sound: the camera broke off when it was asked for it ({error})");
            self.tell(Reason::new("sound-refused", sentence));
        }
        if matches!(played, Err(Broken::Sound(_))) {
            self.without_sound = true;
            self.torn_down(TEARDOWN_LIMIT).await;
            played = self.play().await;
        }
        let (session, tracks) = played?;
        self.asked_again = false;
        receive::receive(self, session, &tracks, feed).await
    }

    /// DESCRIBE, SETUP of what can be used, PLAY.
    async fn play(&mut self) -> Result<(Session<Playing>, Tracks), Broken> {
        let mut session = self.describe().await?;
        let mut tracks = Tracks::choose(session.streams(), self.sound.policy)?;
        if let Some(sound) = tracks.unusable_sound.take() {
            self.tell(unusable(&sound, self.sound.policy));
        }
        if self.without_sound && tracks.video.is_some() {
            tracks.audio = None;
        }
        if let Some(index) = tracks.video {
            self.setup(&mut session, index).await?.map_err(Broken::behind_describe)?;
        }
        if let Some((index, _)) = tracks.audio {
            match self.setup(&mut session, index).await {
                Ok(Ok(())) => {}
                Ok(Err(error @ Error::BadCredentials { status: 401, .. })) => return Err(Broken::Login(error)),
                answered @ Ok(Err(_)) if tracks.video.is_none() => answered?.map_err(Broken::from)?,
                Ok(Err(error)) => {
                    let sentence = format!("no sound: the camera does not give it ({error})");
                    self.tell(Reason::new("sound-refused", sentence));
                    tracks.audio = None;
                }
                Err(error) if tracks.video.is_none() => return Err(error.into()),
                Err(error) => return Err(Broken::Sound(error)),
            }
        }
        if let Some(index) = tracks.metadata.take_if(|_| self.events) {
            match self.setup(&mut session, index).await {
                Ok(Ok(())) => tracks.metadata = Some(index),
                Ok(Err(error)) => info!(camera = %self.camera, reason = %error, "the camera does not give its events"),
                Err(error) => {
                    info!(camera = %self.camera, reason = %error, "the camera broke off when it was asked for its events: without");
                    self.events = false;
                    return Err(error.into());
                }
            }
        }
        Ok((self.start(session).await.map_err(Broken::behind_describe)?, tracks))
    }

    async fn describe(&self) -> Result<Session<Described>, Error> {
        match self.describe_at(&self.url).await {
            Err(Error::Status { status: status @ (301 | 302 | 307), .. }) => {
                let place = self.moved(status).await?;
                debug!(camera = %self.camera, status, "the camera sends its clients to another place of its own");
                self.describe_at(&place).await
            }
            described => described,
        }
    }

    async fn describe_at(&self, url: &Url) -> Result<Session<Described>, Error> {
        let described = catch_task(Session::describe(url.clone(), self.session_options()));
        match timeout(DESCRIBE_LIMIT, described).await {
            Ok(Ok(described)) => described.map_err(|error| self.failure(&error, Step::Describe)),
            Ok(Err(panic)) => Err(self.undescribed(panic)),
            Err(_) => {
                let listens = self.door.knock_within(PROBE_LIMIT).await.is_ok();
                let step = if listens { Step::Describe } else { Step::Connect };
                Err(self.late(step, DESCRIBE_LIMIT))
            }
        }
    }

    async fn start(&self, session: Session<Described>) -> Result<Session<Playing>, Error> {
        match timeout(PLAY_LIMIT, session.play(play_options())).await {
            Ok(played) => played.map_err(|error| self.failure(&error, Step::Play)),
            Err(_) => Err(self.late(Step::Play, PLAY_LIMIT)),
        }
    }

    /// The outer error means that the connection is of no use any more, the inner one that the camera said no.
    async fn setup(&self, session: &mut Session<Described>, index: usize) -> Result<Result<(), Error>, Error> {
        let transport = match self.transport {
            Transport::Tcp => retina::client::Transport::Tcp(TcpTransportOptions::default()),
            Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
        };
        // Four-byte lengths and no parameter sets inside: what media::AccessUnit asks for.
        let options = SetupOptions::default().transport(transport).frame_format(retina::codec::FrameFormat::MP4);
        match timeout(SETUP_LIMIT, session.setup(index, options)).await {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(error)) if error.status_code().is_some() => Ok(Err(self.failure(&error, Step::Setup))),
            Ok(Err(error)) => Err(self.failure(&error, Step::Setup)),
            Err(_) => Err(self.late(Step::Setup, SETUP_LIMIT)),
        }
    }

    fn session_options(&self) -> SessionOptions {
        let credentials = self.credentials.as_ref().map(|credentials| retina::client::Credentials {
            username: credentials.username.clone(),
            password: credentials.password.expose().to_owned(),
        });
        SessionOptions::default()
            .creds(credentials)
            .user_agent(USER_AGENT.to_owned())
            .session_group(self.group.clone())
            .teardown(TeardownPolicy::Auto)
            // Some cameras send streams that were never set up; nothing of that harms the others.
            .unassigned_channel_data(UnassignedChannelDataPolicy::Ignore)
            .session_id(SessionIdPolicy::UseFirst)
    }

    fn late(&self, step: Step, limit: Duration) -> Error {
        Error::Timeout { peer: self.peer.clone(), step, limit }
    }

    /// Waits until what was torn down is gone, within bounds.
    async fn torn_down(&self, limit: Duration) {
        match timeout(limit, self.group.await_teardown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(camera = %self.camera, %error, "TEARDOWN failed"),
            Err(_) => debug!(camera = %self.camera, "TEARDOWN was not answered"),
        }
    }

    /// Says something about the sound: to the log once, to the page as long as it is so.
    fn tell(&mut self, reason: Reason) {
        self.note = Some(reason.clone());
        if self.told.as_ref() != Some(&reason) {
            info!(camera = %self.camera, code = reason.code, %reason, "the sound is not whole");
            self.told = Some(reason);
        }
    }

    fn warn_about_parameter_sets(&self, reason: &dyn std::fmt::Display) {
        warn!(camera = %self.camera, %reason, "the camera's H.264 parameter sets cannot be used");
    }
}

/// Why there is no session.
enum Broken {
    /// The camera did not survive SETUP of the sound; it may do without.
    Sound(Error),
    /// The camera refused a login that it had taken for DESCRIBE: it may want the answer to another challenge by now.
    Login(Error),
    /// Anything else.
    Other(Error),
}

impl Broken {
    /// A failure of SETUP or PLAY.
    fn behind_describe(error: Error) -> Self {
        match error {
            Error::BadCredentials { status: 401, .. } => Self::Login(error),
            other => Self::Other(other),
        }
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        let (Broken::Sound(error) | Broken::Login(error) | Broken::Other(error)) = broken;
        error
    }
}

/// Sound that is neither passed on nor transcoded.
fn unusable(sound: &Unusable, policy: Audio) -> Reason {
    let sentence = match (sound, policy) {
        (Unusable::Undescribed(codec), _) => format!(
            "no sound: the camera does not say, or says wrongly, how its {codec} is coded: set its sound to G.711 or Opus, or to \
             AAC of another sample rate"
        ),
        (Unusable::Codec(codec), Audio::Passthrough) => format!(
            "no sound: browsers do not play {codec}, and audio = \"passthrough\" keeps it from being transcoded: \
             set audio = \"auto\", or G.711 or Opus in the camera"
        ),
        (Unusable::Codec(codec), Audio::Auto | Audio::Off) => format!(
            "no sound: browsers do not play {codec}, and it cannot be transcoded: set the camera's sound to AAC-LC, G.711 or Opus"
        ),
    };
    Reason::new("sound-unsupported", sentence)
}

fn play_options() -> PlayOptions {
    PlayOptions::default()
        // RTP-Info is not needed: media time comes from the packets, its meaning from sender reports.
        .initial_timestamp(InitialTimestampPolicy::Permissive)
        // A wrong one (Hikvision, Tapo) would look like a loss of thousands of packets, which ends a TCP session.
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        // Dropping the reports would also take the SSRC of the first one for the media's, and then refuse the media.
        // Whether a report can be believed is for the clock to decide.
        .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets)
}
