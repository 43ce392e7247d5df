//! `GET /api/v1/cameras/{camera}/snapshot.jpg`: what the camera sees, as a JPEG, for Home Assistant, scripts and notifications.
//!
//! Who asks is a viewer while they wait, so that an on-demand camera starts. The picture is the last keyframe while that is
//! fresh, else the newest that can be decoded from there in bounded time; all who ask within a second share it. Decoding is done
//! off the asynchronous threads, by one thread at a time for one camera and by half of the processors at most for all; who would
//! wait for long is told to come back.

mod decoding;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task::spawn_blocking,
    time::{sleep, timeout, timeout_at},
};
use url::form_urlencoded;

use self::decoding::newest_picture;
use super::{
    Context,
    auth::{Caller, Seat},
    join::{absent, not_live},
    problem::{BadParameter, Problem},
};
use crate::{
    hub::{Camera, Unit, mailbox},
    media::{
        Kind,
        still::{Picture, Quality, StillError, Wish},
    },
    panics::{Part, Whose, caught},
};

/// So long a picture is shown to all who ask: a script in a loop costs nothing, and nobody sees a second's difference.
const SHARED: Duration = Duration::from_secs(1);
/// Who would wait longer for a processor is told to come back: scripts and notifications give up after 10 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// JPEGs of other sizes and qualities that are kept of one picture; who asks for more has them made again.
const VARIANTS: usize = 8;
/// Units on their way here while a camera's first keyframe is awaited; they are taken at once.
const INBOX: usize = 64;
/// Widest and highest that can be asked for, in pixels: JPEG's own bound.
const MAX_SIDE: u32 = 65_535;
/// Of a snapshot (RFC 1341).
pub(super) const MEDIA_TYPE: &str = "image/jpeg";
/// When the picture was captured, to the millisecond, which `Last-Modified` does not tell.
const CAPTURED: HeaderName = HeaderName::from_static("camgate-captured");

/// The pictures of the last second, and who may make others.
#[derive(Clone)]
pub(super) struct Snapshots {
    cameras: Arc<Mutex<HashMap<u64, Slot>>>,
    processors: Arc<Semaphore>,
}

/// One camera's, locked by who makes it.
type Slot = Arc<AsyncMutex<Option<Taken>>>;

struct Taken {
    at: Instant,
    picture: Result<Arc<Captured>, StillError>,
    jpegs: Vec<(Wish, Bytes)>,
}

/// A decoded picture.
struct Captured {
    picture: Picture,
    at: Instant,
}

impl Snapshots {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() / 2).max(1);
        Self { cameras: Arc::default(), processors: Arc::new(Semaphore::new(processors)) }
    }

    /// The picture of `camera`, made of `units` if there is none of the last second.
    async fn take(&self, camera: &Camera, units: Vec<Arc<Unit>>, wish: Wish) -> Result<(Bytes, Instant), Problem> {
        let busy = || {
            camera.counters.snapshots_refused.add(1);
            Problem::snapshots_busy()
        };
        let slot = self.slot(camera.id());
        let mut taken = timeout(PATIENCE, slot.clone().lock_owned()).await.map_err(|_| busy())?;
        let fresh = taken.take().filter(|taken| taken.at.elapsed() < SHARED);
        if let Some(jpeg) = fresh.as_ref().and_then(|fresh| fresh.jpeg(&wish)) {
            *taken = fresh;
            return Ok(jpeg);
        }
        let processor = timeout(PATIENCE, self.processors.clone().acquire_owned()).await.ok().and_then(Result::ok);
        let processor = processor.ok_or_else(busy)?;
        let is_new = fresh.is_none();
        let work = move || {
            let _processor = processor;
            let mut taken = fresh.unwrap_or_else(|| Taken::of(&units));
            let jpeg = taken.make(wish);
            (taken, jpeg)
        };
        let done = spawn_blocking(move || caught(Part::Request, Whose::NOBODYS, work)).await;
        let (made, jpeg) = done.map_err(|_| Problem::snapshots_busy())?.map_err(Problem::internal)?;
        if is_new {
            let counters = &camera.counters;
            let counter = if made.picture.is_ok() { &counters.snapshots } else { &counters.snapshot_failures };
            counter.add(1);
            tokio::spawn(self.clone().forget(camera.id(), slot));
        }
        *taken = Some(made);
        jpeg.map_err(|error| Problem::no_still(camera.name().as_str(), &error))
    }

    fn slot(&self, camera: u64) -> Slot {
        self.cameras.lock().unwrap_or_else(|e| e.into_inner()).entry(camera).or_default().clone()
    }

    /// Gives the memory back when nobody is shown the picture any more.
    async fn forget(self, camera: u64, slot: Slot) {
        sleep(SHARED).await;
        slot.lock().await.take_if(|taken| taken.at.elapsed() >= SHARED);
        let mut cameras = self.cameras.lock().unwrap_or_else(|e| e.into_inner());
        // One is the map's and one is ours: nobody else has it, and nobody comes by it now.
        if Arc::strong_count(&slot) == 2 {
            cameras.remove(&camera);
        }
    }
}

impl Taken {
    fn of(units: &[Arc<Unit>]) -> Self {
        let at = Instant::now();
        Self { at, picture: newest_picture(units, at).map(Arc::new), jpegs: Vec::new() }
    }

    fn jpeg(&self, wish: &Wish) -> Option<(Bytes, Instant)> {
        let captured = self.picture.as_ref().ok()?.at;
        let (_, jpeg) = self.jpegs.iter().find(|(made, _)| made == wish)?;
        Some((jpeg.clone(), captured))
    }

    fn make(&mut self, wish: Wish) -> Result<(Bytes, Instant), StillError> {
        let captured = self.picture.clone()?;
        let jpeg = Bytes::from(captured.picture.to_jpeg(&wish)?);
        if self.jpegs.len() < VARIANTS {
            self.jpegs.push((wish, jpeg.clone()));
        }
        Ok((jpeg, captured.at))
    }
}

/// Whether somebody who asks by a link takes one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seating {
    /// For as long as it takes.
    New,
    /// They have one, by their session.
    Taken,
}

impl Seating {
    /// # Errors
    /// How many places there are, which are all taken.
    pub(super) fn take(self, caller: &Caller) -> Result<Option<Seat>, u32> {
        match self {
            Self::New => caller.seat(),
            Self::Taken => Ok(None),
        }
    }
}

/// `GET` and `HEAD`: 200 with the picture, or a problem document.
pub(super) async fn get(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(snapshots): Extension<Snapshots>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (jpeg, captured) = taken(&context, &caller, &snapshots, &name, query.as_deref(), Seating::New).await?;
    let headers = [
        (header::CONTENT_TYPE, MEDIA_TYPE.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{}\"", file_name(&name, captured, "jpg"))),
        (header::LAST_MODIFIED, httpdate::fmt_http_date(captured)),
        (CAPTURED, humantime::format_rfc3339_millis(captured).to_string()),
    ];
    Ok((headers, jpeg).into_response())
}

/// The picture that `query` wishes, and when it was captured.
///
/// # Errors
/// The [`Problem`] to tell.
pub(super) async fn taken(
    context: &Context,
    caller: &Caller,
    snapshots: &Snapshots,
    name: &str,
    query: Option<&str>,
    seating: Seating,
) -> Result<(Bytes, SystemTime), Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| absent(context, caller, name))?;
    let wish = wish(query.unwrap_or_default()).map_err(|bad| Problem::bad_parameter(&bad))?;
    let _seat = seating.take(caller).map_err(|all| Problem::link_full(all).about(name))?;
    let until = Instant::now() + context.start_deadline;
    // Somebody who waits counts as a viewer: it is what makes an on-demand camera start.
    let _waiting = camera.view();
    let not_live = |status| not_live(caller, name, status);
    let formats = camera.wait_ready(context.start_deadline).await.map_err(not_live)?;
    if formats.video.is_none() {
        return Err(Problem::no_picture(name));
    }
    let units = pictures(&camera, until).await.ok_or_else(|| not_live(camera.status()))?;
    let (jpeg, captured) = snapshots.take(&camera, units, wish).await?;
    Ok((jpeg, SystemTime::now() - captured.elapsed()))
}

/// What a picture or a film that ends at this time is saved as.
pub(super) fn file_name(camera: &str, captured: SystemTime, extension: &str) -> String {
    let stamp = humantime::format_rfc3339_seconds(captured).to_string().replace(['-', ':'], "");
    format!("{camera}-{stamp}.{extension}")
}

/// What is cached, or else the next keyframe.
async fn pictures(camera: &Arc<Camera>, until: Instant) -> Option<Vec<Arc<Unit>>> {
    let cached = camera.join().gop;
    if !cached.is_empty() {
        return Some(cached);
    }
    let (mailbox, mut deliveries) = mailbox(INBOX);
    let _attached = camera.attach(&mailbox);
    camera.request_keyframe();
    let is_start = |unit: &Arc<Unit>| unit.kind == Kind::Video && unit.keyframe;
    let next = async {
        loop {
            let delivery = deliveries.recv().await?;
            if is_start(&delivery.unit) {
                return Some(vec![delivery.unit]);
            }
        }
    };
    timeout_at(until.into(), next).await.ok().flatten()
}

/// By the parameters of an address; those that nobody knows here are somebody else's, such as what keeps a cache away.
fn wish(query: &str) -> Result<Wish, BadParameter> {
    let mut wish = Wish { width: None, height: None, quality: Quality::DEFAULT };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = || value.parse::<u32>().ok();
        let bad = |allowed| BadParameter { name: name.to_string(), allowed };
        let side = || {
            let side = number().filter(|side| (1..=MAX_SIDE).contains(side));
            side.ok_or_else(|| bad("a whole number of pixels from 1 to 65535"))
        };
        match &*name {
            "width" => wish.width = Some(side()?),
            "height" => wish.height = Some(side()?),
            "quality" => {
                let quality = number().and_then(Quality::new);
                wish.quality = quality.ok_or_else(|| bad("a whole number from 1 to 100"))?;
            }
            _ => {}
        }
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers_within_bounds() {
        let size = |query: &str| {
            wish(query).map(|wish| (wish.width, wish.height)).map_err(|bad| Problem::bad_parameter(&bad).status())
        };
        assert_eq!(size(""), Ok((None, None)));
        assert_eq!(size("width=640&height=360&_=17&token=x"), Ok((Some(640), Some(360))));
        for bad in
            ["width=0", "width=-1", "width=1e3", "width=", "height=65536", "height=99999999999999999999", "quality=0"]
        {
            assert_eq!(size(bad), Err(400), "{bad}");
        }
    }
}
