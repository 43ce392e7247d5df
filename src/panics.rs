//! Panics: caught where a task, a thread or a callback begins, counted, told in the log; whoever ran the part begins it again.
//!
//! In: work that may panic, and whose it is. Out: what it came to, or [`Panicked`]; a line in the log with the place in the
//! source and the camera or session; sums for `/metrics`. What the panic itself says is told only when it is a text of the
//! source code: one that was put together may hold what a stranger or a camera sent, or a password.
//!
//! A panic that nobody here catches is counted and told all the same ([`Part::Other`]), by the hook.

mod told;

use std::{
    cell::{Cell, RefCell},
    fmt::{Debug, Display},
    io::{Write as _, stderr},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook},
    pin::pin,
    sync::{Mutex, MutexGuard},
    task::Poll,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::time::sleep;
use tracing::{error, field};

use self::told::Told;

#[cfg(not(panic = "unwind"))]
compile_error!("panics are kept to the part that they happen in: build with panic = \"unwind\"");

/// Before a part that panicked is begun again, where it would do nothing but panic otherwise. Long enough that a fault that
/// stays costs nothing, short enough that viewers wait for one that does not.
pub const PAUSE: Duration = Duration::from_secs(1);

static TOLD: Mutex<Told> = Mutex::new(Told::new());

thread_local! {
    /// How many of [`caught`] this thread is in.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    /// What the hook saw of the panic that is on its way to the innermost of them.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What can panic and go on. Whoever adds one says in docs/uptime.md what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A camera's source.
    Camera,
    /// The thread that makes a camera's sound into Opus.
    Sound,
    /// A callback or a call of GStreamer.
    Pipeline,
    /// What one viewer's session does.
    Session,
    /// A thread that drives sessions, outside of any of them.
    Worker,
    /// The thread that reads the WebRTC port.
    Reader,
    /// The WebRTC port's TCP side.
    Tcp,
    /// The task that keeps the gateway's addresses true.
    Addresses,
    /// One request over HTTP.
    Request,
    /// What serves HTTP apart from requests: connections, certificates, what pages are told.
    Http,
    /// The thread that checks passwords.
    Passwords,
    /// Reading and taking up a configuration.
    Configuration,
    /// The thread that looks whether everything moves.
    Watch,
    /// Whatever nobody catches.
    Other,
}

impl Part {
    /// All of them, in the order of `/metrics`.
    const ALL: [Self; 14] = [
        Self::Camera,
        Self::Sound,
        Self::Pipeline,
        Self::Session,
        Self::Worker,
        Self::Reader,
        Self::Tcp,
        Self::Addresses,
        Self::Request,
        Self::Http,
        Self::Passwords,
        Self::Configuration,
        Self::Watch,
        Self::Other,
    ];

    /// Its name in `/metrics`, and what goes on.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Camera => ("camera", "the camera is connected to again"),
            Self::Sound => ("sound", "the sound of this camera goes on with the next frame"),
            Self::Pipeline => ("pipeline", "the pipeline is started again"),
            Self::Session => ("session", "this viewer's session ends, its player begins another one"),
            Self::Worker => ("worker", "the sessions of this thread end, their players begin other ones"),
            Self::Reader => ("reader", "reading goes on with the next datagram"),
            Self::Tcp => ("tcp", "connections go on"),
            Self::Addresses => ("addresses", "they are found out anew"),
            Self::Request => ("request", "this request is answered with an error"),
            Self::Http => ("http", "it is begun again"),
            Self::Passwords => ("passwords", "this password was not accepted"),
            Self::Configuration => ("configuration", "what runs goes on"),
            Self::Watch => ("watch", "the next look is taken as always"),
            Self::Other => ("other", "what it was part of has ended"),
        }
    }
}

/// Whose work it was.
#[derive(Clone, Copy, Default)]
pub struct Whose<'a> {
    camera: Option<&'a (dyn Display + Sync)>,
    session: Option<&'a (dyn Debug + Sync)>,
}

impl<'a> Whose<'a> {
    /// Nobody's in particular.
    pub const NOBODYS: Self = Self { camera: None, session: None };

    /// A camera's.
    pub fn camera(camera: &'a (dyn Display + Sync)) -> Self {
        Self { camera: Some(camera), session: None }
    }

    /// A viewer's.
    pub fn session(camera: &'a (dyn Display + Sync), session: &'a (dyn Debug + Sync)) -> Self {
        Self { camera: Some(camera), session: Some(session) }
    }
}

/// It panicked; that is in the log and counted.
#[derive(Clone, Copy, Debug, Error)]
#[error("an internal error of camgate: please report it with its log")]
pub struct Panicked;

/// What the hook is told.
#[derive(Debug)]
struct Seen {
    thread: String,
    at: String,
    says: Option<&'static str>,
}

impl Seen {
    fn of(panic: &PanicHookInfo<'_>) -> Self {
        let thread = std::thread::current().name().unwrap_or("a thread without a name").to_owned();
        let at = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        Self { thread, at, says: panic.payload().downcast_ref::<&'static str>().copied() }
    }
}

/// Tells panics in the log from now on, and no longer on standard error with all that they say. To be called when there is a
/// log.
pub fn tell_in_log() {
    set_hook(Box::new(|panic| {
        let seen = Seen::of(panic);
        let is_caught = CATCHING.try_with(|catching| catching.get() > 0).unwrap_or(false);
        if !is_caught {
            note(Part::Other, Whose::NOBODYS, Some(seen));
        } else if let Some(second) = SEEN.try_with(|kept| keep(kept, seen)).unwrap_or_default() {
            // Before the first was caught: that ends the process, before the log is written.
            let Seen { at, thread, .. } = second;
            let _ = writeln!(
                stderr(),
                "camgate ends: a panic at {at}, in thread {thread}, while another one was on its way"
            );
        }
    }));
}

/// Gives it back where there is one already.
fn keep(kept: &RefCell<Option<Seen>>, seen: Seen) -> Option<Seen> {
    match kept.try_borrow_mut() {
        Ok(mut kept) if kept.is_none() => {
            *kept = Some(seen);
            None
        }
        _ => Some(seen),
    }
}

/// Does `work`.
///
/// What it was in the middle of must be thrown away or be good half done: the caller's duty.
///
/// # Errors
/// [`Panicked`] when it panics.
pub fn caught<T>(part: Part, whose: Whose<'_>, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch(work).map_err(|caught| caught.tell(part, whose))
}

/// The same, for whoever can say only afterwards whose work it was.
///
/// # Errors
/// [`Caught`], which is to be told.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    let depth = CATCHING.get();
    if depth == 0 {
        // Of one that somebody else has caught.
        SEEN.take();
    }
    CATCHING.set(depth + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(depth);
    done.map_err(|payload| {
        // What a panic says may itself panic when it goes.
        catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(std::mem::forget);
        Caught(SEEN.take())
    })
}

/// A panic that nobody has heard of.
#[derive(Debug)]
#[must_use]
pub struct Caught(Option<Seen>);

impl Caught {
    /// Whether it is in the source code of this dependency, which may panic where it should refuse.
    pub fn is_in(&self, package: &str) -> bool {
        self.0.as_ref().is_some_and(|seen| seen.at.contains(&format!("/{package}-")))
    }

    /// Counts it and puts it into the log.
    pub fn tell(self, part: Part, whose: Whose<'_>) -> Panicked {
        note(part, whose, self.0)
    }
}

/// The same for a task. The future is dropped when it has panicked.
///
/// # Errors
/// [`Panicked`] when it panics.
///
/// # Cancel safety
/// That of `work`.
pub async fn caught_task<F: Future>(part: Part, whose: Whose<'_>, work: F) -> Result<F::Output, Panicked> {
    catch_task(work).await.map_err(|caught| caught.tell(part, whose))
}

/// The same, for whoever can say only afterwards what it was.
///
/// # Errors
/// [`Caught`], which is to be told.
///
/// # Cancel safety
/// That of `work`.
pub async fn catch_task<F: Future>(work: F) -> Result<F::Output, Caught> {
    let mut work = pin!(work);
    let ended = std::future::poll_fn(|context| match catch(|| work.as_mut().poll(context)) {
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(caught) => Poll::Ready(Err(caught)),
    });
    ended.await
}

/// Does what `begin` begins until it ends by itself: once more, after [`PAUSE`], for each time that it panics.
///
/// # Cancel safety
/// That of the work.
pub async fn kept_up<F: Future>(part: Part, mut begin: impl FnMut() -> F) -> F::Output {
    loop {
        match caught_task(part, Whose::NOBODYS, begin()).await {
            Ok(done) => return done,
            Err(Panicked) => sleep(PAUSE).await,
        }
    }
}

/// How many there were so far of each part, by its name.
pub fn totals() -> impl Iterator<Item = (&'static str, u64)> {
    let told = lock();
    Part::ALL.map(|part| (part.words().0, told.total(part))).into_iter()
}

fn note(part: Part, whose: Whose<'_>, seen: Option<Seen>) -> Panicked {
    let unheard = lock().note(part, Instant::now());
    let Some(unheard) = unheard else { return Panicked };
    let (name, goes_on) = part.words();
    let (at, says, thread) = match seen {
        Some(Seen { at, says, thread }) => (at, says, thread),
        None => ("an unknown place".to_owned(), None, String::new()),
    };
    let (camera, session) = (whose.camera.map(field::display), whose.session.map(field::debug));
    let unheard = (unheard > 0).then_some(unheard);
    error!(part = name, camera, session, at, says, thread, unheard, "a panic, {goes_on}: please report it");
    Panicked
}

fn lock() -> MutexGuard<'static, Told> {
    TOLD.lock().unwrap_or_else(|e| e.into_inner())
}
