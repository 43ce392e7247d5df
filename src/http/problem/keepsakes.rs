//! What is answered when there is no snapshot or no clip.

use axum::http::StatusCode;

use super::{Problem, SOON, capitalized};
use crate::media::{mp4::Mp4Error, still::StillError};

/// What an address asks for that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct BadParameter {
    /// Of the parameter.
    pub name: String,
    /// What could stand there.
    pub allowed: &'static str,
}

impl Problem {
    /// Of a parameter in the address.
    pub(in crate::http) fn bad_parameter(BadParameter { name, allowed }: &BadParameter) -> Self {
        let detail =
            format!("The address's parameter {name} has a value that makes no sense here; allowed: {allowed}.");
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Unusable parameter", detail)
    }

    /// Of a camera that has sound only.
    pub(in crate::http) fn no_picture(camera: &str) -> Self {
        let detail = format!("The camera {camera} sends sound, and no picture.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-picture", "No picture", detail).about(camera)
    }

    /// Of what the camera sends no picture can be made here.
    pub(in crate::http) fn no_still(camera: &str, error: &StillError) -> Self {
        let detail = capitalized(&error.to_string());
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-snapshot", "No snapshot of this camera", detail)
                .about(camera);
        problem.code = error.code().to_owned();
        problem
    }

    /// Too many others wait for theirs.
    pub(in crate::http) fn snapshots_busy() -> Self {
        let detail = "Too many snapshots are being made already.";
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "full", "Too many snapshots", detail);
        problem.retry_after = Some(SOON);
        problem
    }

    /// Of a camera whose past is not kept.
    pub(in crate::http) fn keeps_no_clips(camera: &str) -> Self {
        let detail = format!(
            "Of the camera {camera} nothing is kept for clips: set clip_seconds at this camera in the gateway's configuration, \
             such as clip_seconds = 30."
        );
        Self::new(StatusCode::CONFLICT, "no-clips", "This camera keeps no clips", detail).about(camera)
    }

    /// Of a camera that has not been connected for long enough.
    pub(in crate::http) fn nothing_kept(camera: &str) -> Self {
        let detail = format!(
            "Of the camera {camera} nothing has been kept yet: that begins with its first keyframe when it is connected, which an \
             on-demand camera is while somebody watches."
        );
        let mut problem = Self::new(StatusCode::CONFLICT, "nothing-kept", "Nothing is kept yet", detail).about(camera);
        problem.retry_after = Some(SOON);
        problem
    }

    /// Others have theirs sent.
    pub(in crate::http) fn clips_busy(all: usize) -> Self {
        let detail = format!("{all} clips are being sent already, which is all that are at one time.");
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "full", "Too many clips", detail);
        problem.retry_after = Some(SOON);
        problem
    }

    /// What was kept makes no film.
    pub(in crate::http) fn no_film(camera: &str, error: &Mp4Error) -> Self {
        let detail = format!("What was kept of the camera {camera} makes no clip: {error}.");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-clip", "No clip of this camera", detail).about(camera)
    }
}
