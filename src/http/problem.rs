//! The one place that decides how an error is answered: status, and a problem document (RFC 9457) whose `detail` is a
//! sentence that a person understands.

mod access;
mod keepsakes;
mod talk;

use std::time::{Duration, Instant};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

pub(super) use self::keepsakes::BadParameter;
use super::auth::Caller;
use crate::{
    hub::{CameraState, NotTaken, Status},
    media::{CameraName, Reason},
    panics::Panicked,
    peer::{Ended, IceUpdateError, OpenError, Refusal},
    places::NoPlace,
};

/// When an offer may be tried again while a camera is still being connected to.
const SOON: Duration = Duration::from_secs(2);
/// When a full gateway may be asked again.
const FULL: Duration = Duration::from_secs(10);

/// A problem document.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// The cause, as one word for programs: more exact than the type where more is known.
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    camera: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateway_candidates: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    viewer_candidates: Vec<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    login_at: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:camgate:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: kind.to_owned(),
            camera: None,
            reason: None,
            gateway_candidates: Vec::new(),
            viewer_candidates: Vec::new(),
            retry_after: None,
            login_at: None,
        }
    }

    pub(super) fn about(mut self, camera: &str) -> Self {
        self.camera = Some(camera.to_owned());
        self
    }

    /// Where a person can log in, if that is not here.
    pub(super) fn with_login_at(mut self, page: Option<String>) -> Self {
        self.login_at = page;
        self
    }

    /// The same.
    pub(super) fn login_at(&self) -> Option<&str> {
        self.login_at.as_deref()
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether it is because there are no users for strangers to be.
    pub(super) fn is_for_strangers(&self) -> bool {
        self.kind.ends_with(":stranger")
    }

    /// In a few words.
    pub(super) fn title(&self) -> &str {
        self.title
    }

    /// The cause, as one word for programs.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Whether it is about a camera that does not play for anybody.
    pub(super) fn is_about_source(&self) -> bool {
        self.kind.ends_with(":camera-not-live")
    }

    /// When it may be tried again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The sentence for people.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// A fault of ours.
    pub(super) fn internal(panic: Panicked) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal-error", "Internal error", capitalized(&panic.to_string()))
    }

    /// Also of a camera that is none for this caller.
    pub(super) fn unknown_camera(caller: &Caller, name: &str) -> Self {
        let hint = match caller {
            Caller::User { .. } => {
                ", or you may not see it: check the name, or ask whoever runs this gateway for the camera"
            }
            Caller::Guest { .. } => " for this link: use the link as it was given to you",
            Caller::Anyone { .. } | Caller::Nobody => {
                ": check the name, or add the camera to the gateway's configuration"
            }
        };
        // The name comes from the URL and goes into a page. Some clients put a stream's address there, with a password.
        let detail = if name.parse::<CameraName>().is_ok() {
            format!("There is no camera named \"{name}\"{hint}.")
        } else {
            format!("There is no camera of this name{hint}.")
        };
        Self::new(StatusCode::NOT_FOUND, "no-such-camera", "No such camera", detail)
    }

    /// Of a name that a camera had.
    pub(super) fn removed_camera(name: &str) -> Self {
        let detail = format!("The camera \"{name}\" was removed from the gateway's configuration: choose another one.");
        Self::new(StatusCode::NOT_FOUND, "camera-removed", "No such camera any more", detail)
    }

    pub(super) fn unknown_session() -> Self {
        let detail = "There is no such session; it may have ended already.";
        Self::new(StatusCode::NOT_FOUND, "no-such-session", "No such session", detail)
    }

    /// A session that is over.
    pub(super) fn ended(ended: &Ended) -> Self {
        let (kind, title) = if ended.connected {
            ("session-ended", "The session is over")
        } else {
            ("never-connected", "The session never connected")
        };
        let mut problem =
            Self::new(StatusCode::GONE, kind, title, capitalized(&ended.reason.sentence)).about(ended.camera.as_str());
        problem.code = ended.reason.code.to_owned();
        problem.gateway_candidates = ended.gateway_candidates.clone();
        problem.viewer_candidates = ended.viewer_candidates.clone();
        problem
    }

    pub(super) fn wrong_content_type(expected: &str, found: Option<&str>) -> Self {
        let found = found.map_or_else(|| "none".to_owned(), |found| format!("\"{found}\""));
        let detail = format!("This address takes Content-Type {expected}; the request has {found}.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "Wrong content type", detail)
    }

    pub(super) fn bad_fragment(reason: &str) -> Self {
        let detail = format!("The body is not a usable SDP fragment: {reason}.");
        Self::new(StatusCode::BAD_REQUEST, "bad-fragment", "Unusable SDP fragment", detail)
    }

    pub(super) fn precondition_required() -> Self {
        let detail = "A PATCH must say by If-Match which ICE session it is for: the last ETag, or * for a restart.";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "if-match-missing", "If-Match is missing", detail)
    }

    pub(super) fn ice_update(error: &IceUpdateError) -> Self {
        match error {
            IceUpdateError::NoSuchSession => Self::unknown_session(),
            IceUpdateError::Stale => {
                let detail = "ICE of this session has been restarted since; use the ETag of the last restart.";
                Self::new(StatusCode::PRECONDITION_FAILED, "stale-ice", "Not for the current ICE session", detail)
            }
            IceUpdateError::Refused(_) => {
                let detail = capitalized(&error.to_string());
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "restart-refused", "ICE restart refused", detail)
            }
        }
    }

    pub(super) fn no_upgrade() -> Self {
        let detail = "This address is for a WebSocket (RFC 6455): open it with ws:// or wss://.";
        Self::new(StatusCode::UPGRADE_REQUIRED, "not-a-websocket", "Not a WebSocket request", detail)
    }

    /// There is no place for another of `what`, which is a plural.
    pub(super) fn no_place(what: &str, why: NoPlace) -> Self {
        let (status, detail) = match why {
            NoPlace::Full(all) => (StatusCode::SERVICE_UNAVAILABLE, format!("All {all} places for {what} are taken.")),
            NoPlace::Enough(each) => {
                let detail = format!("Your address has {each} {what} open already, which is all that one may have.");
                (StatusCode::TOO_MANY_REQUESTS, detail)
            }
            NoPlace::EnoughOfUser(each) => {
                let detail = format!("This user has {each} {what} open already, which is all that one may have.");
                (StatusCode::TOO_MANY_REQUESTS, detail)
            }
        };
        let mut problem = Self::new(status, "full", "No place left", detail);
        problem.retry_after = Some(FULL);
        problem
    }

    pub(super) fn bad_events(reason: &str) -> Self {
        let detail = format!("The list of wanted events is of no use: {reason}.");
        Self::new(StatusCode::BAD_REQUEST, "bad-events", "Unusable list of events", detail)
    }

    pub(super) fn bad_quality(reason: &str) -> Self {
        let detail = format!("What the page measured is of no use: {reason}.");
        Self::new(StatusCode::BAD_REQUEST, "bad-quality", "Unusable measurement", detail)
    }

    pub(super) fn unknown_stream() -> Self {
        let detail = "There is no such event stream; its session may have ended.";
        Self::new(StatusCode::NOT_FOUND, "no-such-stream", "No such event stream", detail)
    }

    pub(super) fn too_many_requests(wait: Duration) -> Self {
        let detail = "Too many requests have come from this address; [http] rate_limit_per_second allows no more.";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limit", "Too many requests", detail);
        problem.retry_after = Some(wait);
        problem
    }

    /// Of a request in the clear where TLS is spoken.
    pub(super) fn https_only() -> Self {
        let detail = "This port speaks HTTPS only, and this request came in the clear: ask by https://.";
        Self::new(StatusCode::BAD_REQUEST, "https-only", "HTTPS only", detail)
    }

    pub(super) fn too_large(most: usize) -> Self {
        let detail = format!("The body is larger than {most} bytes, which is what [http] max_body_kib allows.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
    }

    pub(super) fn too_slow() -> Self {
        let detail = "The body took too long to arrive.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "Body too slow", detail)
    }

    pub(super) fn unreadable(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", "Unreadable body", detail)
    }

    /// A camera that did not become live in time.
    pub(super) fn not_live(camera: &str, status: &Status) -> Self {
        let now = Instant::now();
        let (what, retry_after) = match &status.state {
            CameraState::BackingOff { retry_at, .. } => {
                ("does not play", retry_at.saturating_duration_since(now).max(Duration::from_secs(1)))
            }
            CameraState::Stopped => ("is switched off", FULL),
            CameraState::Idle | CameraState::Connecting | CameraState::Live => ("did not send a picture in time", SOON),
        };
        let why = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let detail = format!("The camera {camera} {what}{why}.");
        let mut problem = Self::new(StatusCode::CONFLICT, "camera-not-live", "Camera not live", detail).about(camera);
        if let Some(Reason { code, sentence }) = &status.reason {
            (problem.code, problem.reason) = ((*code).to_owned(), Some(sentence.clone()));
        }
        problem.retry_after = Some(retry_after);
        problem
    }

    pub(super) fn refused(camera: &str, error: &OpenError) -> Self {
        let sentence = capitalized(&error.to_string());
        match error {
            OpenError::Refused(refusal) => Self::bad_offer(refusal).about(camera),
            OpenError::NotTaken(why) => Self::not_taken(camera, *why),
            OpenError::NoRoom(_) | OpenError::ShuttingDown => {
                let is_visitors = matches!(error, OpenError::NoRoom(why) if why.is_visitors());
                let status = if is_visitors { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
                let mut problem = Self::new(status, "full", "No place for another viewer", sentence).about(camera);
                if let OpenError::NoRoom(why) = error {
                    problem.code = why.code().to_owned();
                }
                problem.retry_after = Some(FULL);
                problem
            }
        }
    }

    /// Nobody may publish to the camera, or somebody does.
    fn not_taken(camera: &str, why: NotTaken) -> Self {
        let (kind, title, detail, retry_after) = match why {
            NotTaken::NotPublished => (
                "not-published",
                "Not published to",
                format!(
                    "The camera {camera} is not published to: only a camera with source = \"whip\" in the gateway's configuration is."
                ),
                None,
            ),
            NotTaken::Occupied => (
                "already-published",
                "Somebody else publishes",
                format!(
                    "Somebody else publishes to the camera {camera} already: stop that first, or set takeover = true for the camera in \
                     the gateway's configuration."
                ),
                Some(SOON),
            ),
        };
        Self { retry_after, ..Self::new(StatusCode::CONFLICT, kind, title, detail).about(camera) }
    }

    pub(super) fn bad_offer(refusal: &Refusal) -> Self {
        let sentence = capitalized(&refusal.to_string());
        if refusal.is_malformed() {
            Self::new(StatusCode::BAD_REQUEST, "bad-offer", "Unusable offer", sentence)
        } else {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-common-codec", "No common codec", sentence)
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after.map(|after| after.as_secs_f64().ceil().max(1.0) as u64);
        let mut response = (status, Json(self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(super) async fn no_such_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-page", "No such page", "There is nothing at this address.")
}

pub(super) async fn no_such_method() -> Problem {
    let detail = "This address does not answer requests of this method.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed", detail)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::peer::NoRoom;

    #[test]
    fn a_camera_that_is_away_says_why_and_when_to_come_back() {
        let reason = Reason::new("wrong-password", "wrong password");
        let retry_at = Instant::now() + Duration::from_millis(8_500);
        let state = CameraState::BackingOff { reason: reason.clone(), retry_at };
        let status = Status { state, since: SystemTime::now(), reason: Some(reason) };
        let problem = Problem::not_live("front", &status);
        assert_eq!(
            (problem.detail(), problem.code.as_str()),
            ("The camera front does not play: wrong password.", "wrong-password")
        );
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::RETRY_AFTER], "9");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_full_gateway_and_a_bad_offer_differ() {
        let full = Problem::refused("front", &OpenError::NoRoom(NoRoom::Full(3)));
        assert!(full.status == 503 && full.detail.starts_with("All 3 viewer places are taken: "), "{}", full.detail);
        let own = Problem::refused("front", &OpenError::NoRoom(NoRoom::Address(3)));
        assert_eq!((own.status, own.retry_after), (429, Some(FULL)));
        let bad = Problem::refused("front", &OpenError::Refused(Refusal::Malformed("it is empty".to_owned())));
        assert_eq!(bad.status, 400);
        let refusal = Refusal::NoCommonCodec { camera: "H264 High".to_owned(), offered: "VP8".to_owned() };
        assert_eq!(Problem::bad_offer(&refusal).status, 422);
    }
}
