//! `GET /api/v1/cameras/{camera}/clip.mp4`: the last seconds of a camera that keeps them (`clip_seconds`), as an MP4 to keep, to
//! send and to play.
//!
//! What is sent are the very packets that viewers were sent, taken from where they lie; made anew is only the index. Who reads
//! slowly keeps them in memory for as long, so that few may read at one time, and not for ever. Ranges are not answered: each
//! request has another film.

mod body;
mod film;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use url::form_urlencoded;

use self::body::reader;
pub(super) use self::film::Ready;
use super::{
    Context,
    auth::Caller,
    join::{absent, not_live},
    problem::{BadParameter, Problem},
    snapshot::{Seating, file_name},
};
use crate::{
    hub::CameraState,
    panics::{Part, Whose, caught},
};

/// Clips that are read at one time, by everybody: each may keep as much memory as its camera's clip_mib allows.
const READERS: usize = 4;
/// Of a clip (RFC 4337).
pub(super) const MEDIA_TYPE: &str = "video/mp4";

/// How many clips may be read at one time.
#[derive(Clone)]
pub(super) struct Clips(Arc<Semaphore>);

impl Clips {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }
}

/// `GET` and `HEAD`: 200 with the film, or a problem document.
pub(super) async fn get(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(clips): Extension<Clips>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (film, place) = taken(&context, &caller, &clips, &name, query.as_deref(), Seating::New).await?;
    let file_name = file_name(&name, film.ends, "mp4");
    let headers = [
        (header::CONTENT_TYPE, MEDIA_TYPE.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::LAST_MODIFIED, httpdate::fmt_http_date(film.ends)),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file_name}\"")),
        (header::CONTENT_LENGTH, film.size().to_string()),
    ];
    Ok((headers, reader(film.pieces, place)).into_response())
}

/// The film that `query` wishes, and the place of whoever reads it.
///
/// # Errors
/// The [`Problem`] to tell.
pub(super) async fn taken(
    context: &Context,
    caller: &Caller,
    clips: &Clips,
    name: &str,
    query: Option<&str>,
    seating: Seating,
) -> Result<(Ready, OwnedSemaphorePermit), Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| absent(context, caller, name))?;
    let length = length(query.unwrap_or_default()).map_err(|bad| Problem::bad_parameter(&bad))?;
    if camera.footage().is_none() {
        return Err(Problem::keeps_no_clips(name));
    }
    let _seat = seating.take(caller).map_err(|all| Problem::link_full(all).about(name))?;
    let place = clips.0.clone().try_acquire_owned().map_err(|_| Problem::clips_busy(READERS))?;
    let clip = camera.clip(length).ok_or_else(|| {
        let status = camera.status();
        match status.state {
            CameraState::BackingOff { .. } | CameraState::Stopped => not_live(caller, name, status),
            CameraState::Idle | CameraState::Connecting | CameraState::Live => Problem::nothing_kept(name),
        }
    })?;
    let work = move || film::of(&clip);
    let done = spawn_blocking(move || caught(Part::Request, Whose::NOBODYS, work)).await;
    let film = done.map_err(|_| Problem::clips_busy(READERS))?.map_err(Problem::internal)?;
    Ok((film.map_err(|error| Problem::no_film(name, &error))?, place))
}

/// By the parameters of an address; `None` for all that there is.
fn length(query: &str) -> Result<Option<Duration>, BadParameter> {
    let wished = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "seconds").last();
    let Some((name, value)) = wished else { return Ok(None) };
    let seconds = value.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let length = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let allowed = "a number of seconds above 0";
    length.map(Some).ok_or_else(|| BadParameter { name: name.into_owned(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_above_zero() {
        let length = |query: &str| length(query).map_err(|bad| Problem::bad_parameter(&bad).status());
        assert_eq!(length(""), Ok(None));
        assert_eq!(length("share=x"), Ok(None));
        assert_eq!(length("seconds=2.5"), Ok(Some(Duration::from_millis(2_500))));
        assert_eq!(length("seconds=999999"), Ok(Some(Duration::from_secs(999_999))));
        for bad in ["seconds=-1", "seconds=0", "seconds=abc", "seconds=", "seconds=inf", "seconds=NaN", "seconds=1e99"]
        {
            assert_eq!(length(bad), Err(400), "{bad}");
        }
    }
}
