//! What programs and the pages may know: cameras and sessions as JSON.

use std::time::{Duration, Instant, SystemTime};

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use url::form_urlencoded;

use super::{
    Action, Context,
    auth::Caller,
    problem::{BadParameter, Problem},
    waiting,
};
use crate::{
    hub::{Camera, CameraState, Talking},
    media::{Reason, h264},
    peer::{Role, SessionStatus},
};

#[derive(Debug, Serialize)]
pub(super) struct CameraView {
    name: String,
    state: &'static str,
    since: String,
    reason: Option<String>,
    /// Of `reason`; so with the notes.
    code: Option<&'static str>,
    retry_in_seconds: Option<f64>,
    viewers: usize,
    reconnects: u64,
    video: Option<VideoView>,
    video_note: Option<String>,
    video_code: Option<&'static str>,
    audio: Option<AudioView>,
    audio_note: Option<String>,
    audio_code: Option<&'static str>,
    /// How many seconds are kept for clips.
    clip_seconds: Option<f64>,
    /// Of a camera that can be talked to.
    talk: Option<TalkView>,
}

#[derive(Debug, Serialize)]
struct TalkView {
    /// How long one may talk.
    limit_seconds: f64,
    /// Somebody does.
    busy: bool,
    /// That user's name, where there are users.
    speaker: Option<String>,
}

#[derive(Debug, Serialize)]
struct VideoView {
    codec: &'static str,
    profile: &'static str,
    profile_level_id: String,
    width: u32,
    height: u32,
    fps: f64,
    bitrate_bps: u64,
    gop_seconds: Option<f64>,
    b_frames: bool,
}

#[derive(Debug, Serialize)]
struct AudioView {
    codec: &'static str,
    clock_rate: u32,
    channels: u8,
    /// By how many milliseconds sound leaves later than the picture of the same instant.
    lag_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    id: String,
    camera: String,
    role: &'static str,
    state: &'static str,
    /// Why there is no picture, or not all of it.
    reason: Option<String>,
    code: Option<&'static str>,
    since: String,
    transport: Option<&'static str>,
    remote: Option<String>,
    packets_sent: u64,
    bytes_sent: u64,
    rtp_packets_sent: u64,
    nacks: u64,
    retransmissions: u64,
    plis: u64,
    skipped_units: u64,
    rtt_ms: Option<f64>,
    loss: Option<f64>,
    estimate_bps: Option<f64>,
    queueing_ms: f64,
    leaves_out: bool,
    camera_to_screen_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct UserView {
    name: Option<String>,
    /// Logged in by the login page, so that logging out means something.
    by_cookie: bool,
    actions: Vec<&'static str>,
    /// What the link shows by which they ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
}

#[derive(Debug, Serialize)]
struct LinkView {
    camera: String,
    expires: String,
}

/// `GET /api/v1/cameras`, in the order of the configuration.
pub(super) async fn cameras(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> Json<Vec<CameraView>> {
    let now = Instant::now();
    Json(caller.cameras(&context.hub).iter().map(|camera| CameraView::of(camera, now)).collect())
}

/// `GET /api/v1/sessions`, oldest first: of viewers, or of the `role` that is asked for.
pub(super) async fn sessions(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<SessionView>>, Problem> {
    let role = role(query.as_deref().unwrap_or_default()).map_err(|bad| Problem::bad_parameter(&bad))?;
    let mut sessions = context.peers.sessions_of(role);
    sessions.retain(|session| caller.sees(session.camera.as_str()));
    let now = Instant::now();
    let why = |session: &SessionStatus| waiting::why(session, &*context.hub.get(session.camera.as_str())?, now);
    Ok(Json(sessions.iter().map(|session| SessionView::of(session, why(session))).collect()))
}

fn role(query: &str) -> Result<Role, BadParameter> {
    let wished = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "role").last();
    let Some((_, wished)) = wished else { return Ok(Role::Viewer) };
    let role = [Role::Viewer, Role::Publisher, Role::Talker].into_iter().find(|role| role.name() == wished);
    role.ok_or_else(|| BadParameter { name: "role".to_owned(), allowed: "viewer, publisher, talker" })
}

/// `GET /api/v1/user`: who asks; without a name where nobody needs one. Of a link whose camera is gone: 410.
pub(super) async fn user(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<UserView>, Problem> {
    let nobody = UserView { name: None, by_cookie: false, actions: Vec::new(), link: None };
    let names = |actions: &[Action]| actions.iter().map(|action| action.name()).collect();
    Ok(Json(match &caller {
        Caller::User { user, login, .. } => UserView {
            name: Some(user.name.to_string()),
            by_cookie: login.is_some(),
            actions: names(&user.actions),
            ..nobody
        },
        Caller::Anyone { .. } => UserView { actions: names(&Action::ALL), ..nobody },
        Caller::Guest { share, .. } => {
            let camera = caller.camera(&context.hub, &share.camera).ok_or_else(Problem::link_ended)?;
            let (camera, expires) = (camera.name().to_string(), rfc3339(share.expires()));
            let actions = if share.publish { &[Action::Watch, Action::Publish][..] } else { &[Action::Watch] };
            UserView { actions: names(actions), link: Some(LinkView { camera, expires }), ..nobody }
        }
        Caller::Nobody => nobody,
    }))
}

impl CameraView {
    pub(super) fn of(camera: &Camera, now: Instant) -> Self {
        let status = camera.status();
        let snapshot = camera.snapshot(now);
        let retry_in_seconds = match &status.state {
            CameraState::BackingOff { retry_at, .. } => {
                Some(rounded(retry_at.saturating_duration_since(now).as_secs_f64(), 10.0))
            }
            _ => None,
        };
        let video = snapshot.formats.video.as_ref().map(|format| {
            let id = format.profile_level_id();
            VideoView {
                codec: "H264",
                profile: h264::Profile::of(id).name(),
                profile_level_id: format!("{:02x}{:02x}{:02x}", id[0], id[1], id[2]),
                width: format.width,
                height: format.height,
                fps: rounded(snapshot.fps, 10.0),
                bitrate_bps: snapshot.bitrate_bps as u64,
                gop_seconds: snapshot.gop.map(|gop| rounded(gop.as_secs_f64(), 100.0)),
                b_frames: snapshot.formats.b_frames,
            }
        });
        let audio = snapshot.formats.audio.map(|format| AudioView {
            codec: format.codec.encoding_name(),
            clock_rate: format.codec.clock_rate().hz(),
            channels: format.channels,
            lag_ms: snapshot.sound_lag.map(|seconds| rounded(seconds * 1e3, 1.0)),
        });
        let (reason, code) = parts(status.reason);
        let (video_note, video_code) = parts(snapshot.formats.video_note().or_else(|| camera.keyframe_note(now)));
        let (audio_note, audio_code) = parts(snapshot.formats.audio_note);
        Self {
            name: camera.name().to_string(),
            state: status.state.name(),
            since: rfc3339(status.since),
            reason,
            code,
            retry_in_seconds,
            viewers: *camera.viewers().borrow(),
            reconnects: camera.counters.reconnects.total(),
            video,
            video_note,
            video_code,
            audio,
            audio_note,
            audio_code,
            talk: TalkView::of(&camera.talk().state().borrow()),
            clip_seconds: camera.footage().map(|footage| footage.wanted.as_secs_f64()),
        }
    }
}

impl TalkView {
    fn of(talking: &Talking) -> Option<Self> {
        let limit_seconds = talking.limit?.as_secs_f64();
        Some(Self { limit_seconds, busy: talking.is_busy, speaker: talking.speaker.clone() })
    }
}

impl SessionView {
    fn of(session: &SessionStatus, reason: Option<Reason>) -> Self {
        let path = session.path();
        let (reason, code) = parts(reason);
        let milliseconds = |time: Duration| rounded(time.as_secs_f64() * 1_000.0, 100.0);
        Self {
            // The whole would let anybody end it.
            id: format!("{:?}", session.id),
            camera: session.camera.to_string(),
            role: session.role.name(),
            state: session.phase().name(),
            reason,
            code,
            since: rfc3339(session.since),
            transport: session.remote().map(|remote| remote.transport.name()),
            remote: session.remote().map(|remote| remote.address.to_string()),
            packets_sent: session.packets_sent.total(),
            bytes_sent: session.bytes_sent.total(),
            rtp_packets_sent: session.rtp_packets_sent.total(),
            nacks: session.nacks.total(),
            retransmissions: session.retransmissions.total(),
            plis: session.plis.total(),
            skipped_units: session.skipped_units.total(),
            rtt_ms: session.rtt().map(milliseconds),
            loss: session.loss(),
            estimate_bps: path.estimate_bps.map(f64::round),
            queueing_ms: milliseconds(path.queueing),
            leaves_out: path.leaves_out,
            camera_to_screen_ms: session.screen_delay().map(milliseconds),
        }
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Sentence and code.
fn parts(reason: Option<Reason>) -> (Option<String>, Option<&'static str>) {
    reason.map(|Reason { code, sentence }| (sentence, code)).unzip()
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
