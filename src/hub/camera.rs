//! One camera as its viewers see it: formats, state, the GOP cache, and who is watching.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Notify, broadcast, watch};

use super::{
    Attachment, CameraState, Clip, ClipLimits, Footage, Formats, GopLimits, Intake, Mailbox, Status, Talk, Unit,
    age::Age, footage::Ring, gop::GopCache, mailbox::Slot,
};
use crate::{
    media::{CameraEvent, CameraName, Kind},
    stats::{CameraCounters, RateMeter},
};

/// How far back frame rate and bitrate look. Long enough for a camera with one frame a second.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// How long an offer waits for the supervisor to react to it: a viewer makes most cameras be tried at once.
const REACTION: Duration = Duration::from_millis(500);
/// How long a live picture waits for the format of sound that was announced. A microphone starts after the camera.
const SOUND_PATIENCE: Duration = Duration::from_secs(1);
/// So long a viewer who has nothing to begin with waits for the camera's own keyframe, from the last one on. Longer than the
/// interval of all but cameras that never send another; an answer costs everybody else part of a second.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(60);

/// Events that somebody may be behind; the oldest are forgotten.
const EVENTS: usize = 64;

/// Measured properties of a camera at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it carries.
    pub formats: Formats,
    /// Frames per second over the last seconds.
    pub fps: f64,
    /// Video and audio, bits per second.
    pub bitrate_bps: f64,
    /// Time between the last two keyframes; `None` before the second.
    pub gop: Option<Duration>,
    /// By how many seconds sound is handed out later than the picture of the same instant; `None` before both were. Sound
    /// that is transcoded is so only for a listener.
    pub sound_lag: Option<f64>,
    /// When the newest picture was captured.
    pub newest_picture: Option<Instant>,
    /// When the newest frame of sound was.
    pub newest_sound: Option<Instant>,
}

/// What a viewer starts with.
#[derive(Debug)]
pub struct Join {
    /// The cached GOP, keyframe first; empty when nothing is cached.
    pub gop: Vec<Arc<Unit>>,
    /// Number of the first unit that is not part of `gop` and is delivered through the mailbox.
    pub next: u64,
}

/// Numbers cameras, so that one that took another's name is not taken for it.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One camera.
#[derive(Debug)]
pub struct Camera {
    id: u64,
    name: CameraName,
    /// Counted events; also visible in `/metrics`.
    pub counters: CameraCounters,
    pub(super) tracks: Mutex<Tracks>,
    formats: watch::Sender<Formats>,
    status: watch::Sender<Status>,
    viewers: watch::Sender<usize>,
    /// Viewers that take sound.
    listeners: AtomicUsize,
    keeps_clips: AtomicBool,
    keyframe_wanted: Notify,
    /// Sources that listen for such wishes now.
    keyframe_makers: AtomicUsize,
    closed: watch::Sender<bool>,
    intake: Intake,
    talk: Talk,
    events: broadcast::Sender<Arc<CameraEvent>>,
    next_slot: AtomicU64,
}

/// Everything that must change together with the next unit's number.
#[derive(Debug)]
pub(super) struct Tracks {
    pub(super) next: u64,
    pub(super) gop: GopCache,
    pub(super) footage: Ring,
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) frames: RateMeter,
    pub(super) bits: RateMeter,
    pub(super) last_keyframe: Option<Instant>,
    /// Somebody waits for a keyframe, and there is none in the cache.
    pub(super) keyframe_awaited: bool,
    pub(super) gop_length: Option<Duration>,
    pub(super) newest_picture: Option<Instant>,
    pub(super) newest_sound: Option<Instant>,
    pub(super) picture_age: Age,
    pub(super) sound_age: Age,
}

impl Camera {
    /// A camera that is idle and has no viewers.
    pub fn new(name: CameraName, limits: GopLimits) -> Arc<Self> {
        let idle = Status { state: CameraState::Idle, since: SystemTime::now(), reason: None };
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            counters: CameraCounters::default(),
            tracks: Mutex::new(Tracks {
                next: 0,
                gop: GopCache::new(limits),
                footage: Ring::default(),
                slots: Vec::new(),
                frames: RateMeter::new(RATE_WINDOW),
                bits: RateMeter::new(RATE_WINDOW),
                last_keyframe: None,
                keyframe_awaited: false,
                gop_length: None,
                newest_picture: None,
                newest_sound: None,
                picture_age: Age::default(),
                sound_age: Age::default(),
            }),
            formats: watch::Sender::new(Formats::default()),
            status: watch::Sender::new(idle),
            viewers: watch::Sender::new(0),
            listeners: AtomicUsize::new(0),
            keeps_clips: AtomicBool::new(false),
            keyframe_wanted: Notify::new(),
            keyframe_makers: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
            intake: Intake::default(),
            talk: Talk::default(),
            events: broadcast::Sender::new(EVENTS),
            next_slot: AtomicU64::new(0),
        })
    }

    /// Unlike any other camera's of this process, also if it has had the same name.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &CameraName {
        &self.name
    }

    /// Where somebody publishes to it.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Where somebody talks to the people before it.
    pub fn talk(&self) -> &Talk {
        &self.talk
    }

    /// What it notices from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<CameraEvent>> {
        self.events.subscribe()
    }

    /// Tells whoever listens what it has noticed.
    pub fn tell_event(&self, event: CameraEvent) {
        self.counters.events.add(1);
        // Nobody need listen.
        let _ = self.events.send(Arc::new(event));
    }

    /// State and since when.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The same, to wait for changes of it.
    pub fn status_changes(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn status_is(&self, state: &CameraState) -> bool {
        self.status.borrow().state == *state
    }

    /// Publishes a new state. `since` is kept when a failure follows a failed attempt, so that it tells since when the
    /// camera has been away.
    pub fn set_state(&self, state: CameraState) {
        self.status.send_modify(|status| {
            let retrying =
                status.reason.is_some() && matches!(state, CameraState::Connecting | CameraState::BackingOff { .. });
            if !retrying && status.state != state {
                status.since = SystemTime::now();
            }
            match &state {
                CameraState::BackingOff { reason, .. } => status.reason = Some(reason.clone()),
                CameraState::Connecting => {}
                CameraState::Idle | CameraState::Live | CameraState::Stopped => status.reason = None,
            }
            status.state = state;
        });
    }

    /// What it carries now. Held only for a look: a change of format waits for it.
    pub fn formats(&self) -> watch::Ref<'_, Formats> {
        self.formats.borrow()
    }

    pub(super) fn set_formats(&self, change: impl FnOnce(&mut Formats) -> bool) {
        self.formats.send_if_modified(change);
    }

    /// How many viewers there are; changes can be awaited. A supervisor connects and leaves by it.
    pub fn viewers(&self) -> watch::Receiver<usize> {
        self.viewers.subscribe()
    }

    /// Whether anybody takes sound: a viewer, or the clips that are kept. Sound that must be transcoded is, only while
    /// somebody does.
    pub fn is_listened_to(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0 || self.keeps_clips.load(Ordering::Relaxed)
    }

    /// Counts a viewer that takes sound until the guard is dropped.
    pub fn listen(self: &Arc<Self>) -> Listening {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listening { camera: self.clone() }
    }

    /// Counts a viewer until the guard is dropped.
    pub fn view(self: &Arc<Self>) -> Viewing {
        self.viewers.send_modify(|count| *count += 1);
        Viewing { camera: self.clone() }
    }

    /// A viewer cannot decode and wants a keyframe. Coalesced. Returns whether there is a source that can make one.
    pub fn request_keyframe(&self) -> bool {
        self.keyframe_wanted.notify_one();
        let mut tracks = self.lock();
        tracks.keyframe_awaited |= tracks.gop.units().is_empty();
        drop(tracks);
        self.makes_keyframes()
    }

    /// Whether somebody has waited for a keyframe in vain, the last one being more than a minute old.
    pub fn is_keyframe_overdue(&self, now: Instant) -> bool {
        let tracks = self.lock();
        let is_old = |last| now.saturating_duration_since(last) >= KEYFRAME_PATIENCE;
        tracks.keyframe_awaited && tracks.last_keyframe.is_some_and(is_old)
    }

    /// Whether there is a source that makes one when it is asked.
    pub(super) fn makes_keyframes(&self) -> bool {
        self.keyframe_makers.load(Ordering::Relaxed) > 0
    }

    /// Completes when a keyframe has been asked for.
    ///
    /// # Cancel safety
    /// A request that arrives while nobody waits is kept for the next call.
    pub async fn keyframe_requested(&self) {
        let _maker = Maker::new(&self.keyframe_makers);
        self.keyframe_wanted.notified().await;
    }

    /// Waits until a viewer that joins gets a picture: the camera is live, its format known and a keyframe cached or on
    /// its way.
    ///
    /// # Errors
    /// The status at `deadline` when it did not come to that, or at once when the next attempt is later than that, or when it
    /// is due already: then nobody is where the camera should be, for nobody knows how long.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<Formats, Status> {
        let asked_at = Instant::now();
        let (given_up_at, reacted_at) = (asked_at + deadline, asked_at + REACTION.min(deadline));
        let mut silent_until = None;
        let ready = async {
            let mut status = self.status.subscribe();
            let mut formats = self.formats.subscribe();
            loop {
                let live = status.borrow_and_update().state == CameraState::Live;
                let known = formats.borrow_and_update().clone();
                let now = Instant::now();
                let mut look_again = given_up_at;
                if live && (known.video.is_some() || known.audio.is_some()) {
                    let until = *silent_until.get_or_insert(now + SOUND_PATIENCE);
                    if !known.audio_expected || now >= until {
                        return Ok(known);
                    }
                    look_again = until;
                }
                let hopeless = match status.borrow().state {
                    CameraState::BackingOff { retry_at, .. } => retry_at > given_up_at || retry_at <= now,
                    CameraState::Stopped => true,
                    CameraState::Idle | CameraState::Connecting | CameraState::Live => false,
                };
                if hopeless && now >= reacted_at {
                    return Err(self.status());
                } else if hopeless {
                    look_again = look_again.min(reacted_at);
                }
                tokio::select! {
                    () = tokio::time::sleep_until(look_again.into()) => {}
                    changed = status.changed() => if changed.is_err() { std::future::pending::<()>().await },
                    changed = formats.changed() => if changed.is_err() { std::future::pending::<()>().await },
                }
            }
        };
        tokio::time::timeout(deadline, ready).await.unwrap_or_else(|_| Err(self.status()))
    }

    /// Delivers every unit from now on into `mailbox`, until the attachment is dropped.
    pub fn attach(self: &Arc<Self>, mailbox: &Mailbox) -> Attachment {
        let id = self.next_slot.fetch_add(1, Ordering::Relaxed);
        self.lock().slots.push(Arc::new(Slot::new(id, mailbox.clone())));
        Attachment::new(Arc::downgrade(self), id)
    }

    pub(super) fn detach(&self, id: u64) {
        self.lock().slots.retain(|slot| slot.id != id);
    }

    /// What a newcomer, or a viewer that lost its way, starts with. The mailbox must be attached before, or units
    /// between this and the attachment are missed.
    pub fn join(&self) -> Join {
        let tracks = self.lock();
        Join { gop: tracks.gop.units().to_vec(), next: tracks.next }
    }

    /// Rates and formats at `now`.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut tracks = self.lock();
        let (fps, _) = tracks.frames.rates(now);
        let (_, bitrate_bps) = tracks.bits.rates(now);
        let sound_lag = tracks.sound_age.later_than(tracks.picture_age);
        Snapshot {
            formats: self.formats.borrow().clone(),
            fps,
            bitrate_bps,
            gop: tracks.gop_length,
            sound_lag,
            newest_picture: tracks.newest_picture,
            newest_sound: tracks.newest_sound,
        }
    }

    /// The camera went away: what is cached would show newcomers an old picture as if it were live.
    pub fn forget_gop(&self) {
        let mut tracks = self.lock();
        tracks.gop.clear();
        // The time until its next keyframe will be that of an outage.
        tracks.last_keyframe = None;
        tracks.keyframe_awaited = false;
    }

    /// Other bounds of the cache, from the next picture on.
    pub fn set_gop_limits(&self, limits: GopLimits) {
        self.lock().gop.set_limits(limits);
    }

    /// How much of the past is kept for clips from now on; `None` keeps and has nothing.
    pub fn set_clip_limits(&self, limits: Option<ClipLimits>) {
        self.keeps_clips.store(limits.is_some(), Ordering::Relaxed);
        self.lock().footage.set_limits(limits);
    }

    /// What is kept for clips; `None` for a camera that keeps none.
    pub fn footage(&self) -> Option<Footage> {
        self.lock().footage.measure()
    }

    /// The last `length` of what is kept, from a keyframe on, or all of it: shared handles, as many as there are units. `None`
    /// when there is no keyframe yet.
    pub fn clip(&self, length: Option<Duration>) -> Option<Clip> {
        self.lock().footage.clip(length)
    }

    /// The camera was removed: its sessions end.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Whether it was removed.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tracks> {
        // Nothing panics while it is held; if something did, the numbers in it are still usable.
        self.tracks.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Hands a finished unit to the cache and to every consumer.
    pub(super) fn deliver(&self, make: impl FnOnce(u64) -> Unit) {
        let mut tracks = self.lock();
        let unit = Arc::new(make(tracks.next));
        tracks.next += 1;
        self.counters.units.add(1);
        self.counters.bytes.add(unit.bytes as u64);
        tracks.bits.note(unit.captured, unit.bytes as u64);
        match unit.kind {
            Kind::Video => {
                tracks.picture_age.note(unit.captured.elapsed());
                tracks.newest_picture = Some(unit.captured);
            }
            Kind::Audio => {
                tracks.sound_age.note(unit.captured.elapsed());
                tracks.newest_sound = Some(unit.captured);
            }
        }
        if unit.kind == Kind::Video {
            tracks.frames.note(unit.captured, 0);
            if unit.keyframe {
                tracks.keyframe_awaited = false;
                let last = tracks.last_keyframe.replace(unit.captured);
                tracks.gop_length = last.map(|last| unit.captured.saturating_duration_since(last));
            }
            if !tracks.gop.push(&unit) {
                self.counters.cache_overflows.add(1);
            }
        }
        if tracks.footage.is_on() && !tracks.footage.push(&unit, self.formats.borrow().audio) {
            self.counters.footage_overflows.add(1);
        }
        let refused = tracks.slots.iter().filter(|slot| !slot.offer(self.id, &unit)).count();
        self.counters.dropped.add(refused as u64);
    }
}

/// Counts as a listener for keyframe requests while it lives.
struct Maker<'a>(&'a AtomicUsize);

impl<'a> Maker<'a> {
    fn new(makers: &'a AtomicUsize) -> Self {
        makers.fetch_add(1, Ordering::Relaxed);
        Self(makers)
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts as one viewer while it lives.
#[derive(Debug)]
pub struct Viewing {
    camera: Arc<Camera>,
}

impl Viewing {
    /// The camera that is watched.
    pub fn camera(&self) -> &Arc<Camera> {
        &self.camera
    }
}

/// Counts as one listener while it lives.
#[derive(Debug)]
pub struct Listening {
    camera: Arc<Camera>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.camera.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.camera.viewers.send_modify(|count| *count = count.saturating_sub(1));
    }
}
