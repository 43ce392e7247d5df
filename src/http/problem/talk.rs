//! Why somebody is not heard where a camera is.

use axum::http::StatusCode;

use super::{Problem, SOON};
use crate::{
    hub::{NotTaken, Talking},
    media::Reason,
};

impl Problem {
    /// Nobody may talk there, or somebody does.
    pub(in crate::http) fn floor_not_taken(camera: &str, why: NotTaken, talking: &Talking) -> Self {
        let status = StatusCode::CONFLICT;
        match why {
            NotTaken::NotPublished => {
                let detail = format!(
                    "Nobody can talk to the people before the camera {camera}: only where its entry in the gateway's configuration \
                     has talk."
                );
                Self::new(status, "talk-off", "Not talked to", detail).about(camera)
            }
            NotTaken::Occupied => {
                let who = talking.speaker.as_deref().unwrap_or("Somebody else");
                let detail =
                    format!("{who} talks to the people before the camera {camera} now: wait until that is over.");
                let problem = Self::new(status, "already-talking", "Somebody else talks", detail).about(camera);
                Self { retry_after: Some(SOON), ..problem }
            }
        }
    }

    /// The camera, or the loudspeaker, does not take sound.
    pub(in crate::http) fn not_heard(camera: &str, Reason { code, sentence }: Reason) -> Self {
        let detail = format!("Nobody would be heard at the camera {camera}: {sentence}.");
        let mut problem = Self::new(StatusCode::BAD_GATEWAY, "not-heard", "The camera does not listen", detail);
        (problem.code, problem.reason) = (code.to_owned(), Some(sentence));
        problem.about(camera)
    }

    /// It takes too long to say so.
    pub(in crate::http) fn not_heard_in_time(camera: &str) -> Self {
        let detail = format!("The camera {camera} does not say whether it listens: try again, or restart it.");
        let problem = Self::new(StatusCode::GATEWAY_TIMEOUT, "not-heard", "The camera does not listen", detail);
        Self { retry_after: Some(SOON), ..problem.about(camera) }
    }
}
