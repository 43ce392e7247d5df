//! One thread that drives many sessions: waits for units, datagrams, commands and timers, and sends what they cause.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::{
    Phase, SessionId,
    batch::Batch,
    channel::Wish,
    directory::{Directory, Route},
    ice_update::{Change, IceUpdate, IceUpdateError},
    port::Port,
    session::{End, Outgoing, Session},
    socket::{Received, has_route},
    transport::{Remote, Transport},
};
use crate::{
    hub::{Attachment, Delivery, Mailbox, mailbox},
    panics::{PAUSE, Panicked, Part, Whose, catch, caught, caught_task},
    stats::Counter,
};

/// Units that may wait for one worker: five seconds of six cameras with sound. When it is full, units are dropped at the
/// camera, counted, and viewers go on at the next keyframe.
const MAILBOX: usize = 2_048;
/// Datagrams from viewers that may wait for one worker; more are dropped and counted. Each is a small RTCP or STUN packet.
const INBOX: usize = 4_096;
/// Things taken from one queue before the others get their turn.
const BATCH: usize = 64;
/// Shortest sleep. Timers of rtc that are due within it are handled together.
const MIN_SLEEP: Duration = Duration::from_millis(1);
/// Longest sleep, after which sessions notice that their camera is gone.
const MAX_SLEEP: Duration = Duration::from_millis(500);

/// What a worker is asked to do.
pub(super) enum Command {
    /// Drive this session.
    Adopt(Box<Session>),
    /// End a session; answered when it is gone.
    Close(SessionId, End, oneshot::Sender<()>),
    /// Change a session's ICE; answered with what came of it.
    UpdateIce(SessionId, Box<Change>, oneshot::Sender<Result<IceUpdate, IceUpdateError>>),
    /// There is something for a session's data channel.
    Stir(SessionId),
    /// The viewer of a session wishes something by its data channel.
    Wish(SessionId, Wish),
    /// Say goodbye to everyone and end; answered when done.
    Drain(oneshot::Sender<()>),
    /// Panic, as no session makes it.
    #[cfg(test)]
    Panic,
}

/// A worker as the others see it.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    inbox: mpsc::Sender<(SessionId, Received)>,
    load: Arc<AtomicUsize>,
    /// Datagrams that found the inbox full.
    pub(super) dropped: Counter,
    /// Rounds of its loop: at least two a second, whatever there is to do.
    pub(super) rounds: Arc<Counter>,
}

impl Handle {
    /// Hands over a datagram; never waits.
    pub(super) fn deliver(&self, session: SessionId, datagram: Received) {
        if self.inbox.try_send((session, datagram)).is_err() {
            self.dropped.add(1);
        }
    }

    /// How many sessions it drives.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Hands over a session. Returns whether the worker is still there.
    pub(super) fn adopt(&self, session: Session) -> bool {
        // Counted here, so that a wave of viewers does not pile up on the worker that was idle when it began.
        self.load.fetch_add(1, Ordering::Relaxed);
        self.commands.send(Command::Adopt(Box::new(session))).is_ok()
    }
}

/// Starts worker number `index` on a thread of its own; it ends after [`Command::Drain`] or when its handle is dropped.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(
    index: usize,
    port: Arc<Port>,
    directory: Arc<Directory>,
) -> std::io::Result<(Handle, std::thread::JoinHandle<()>)> {
    let (commands, command_queue) = mpsc::unbounded_channel();
    let (inbox, datagrams) = mpsc::channel(INBOX);
    let (mailbox, units) = mailbox(MAILBOX);
    let load = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let worker = Worker {
        index,
        batch: Batch::default(),
        port,
        directory,
        mailbox,
        sessions: HashMap::new(),
        feeds: HashMap::new(),
        load: load.clone(),
        rounds: Arc::default(),
        soonest: Instant::now(),
    };
    let rounds = worker.rounds.clone();
    let thread = std::thread::Builder::new()
        .name(format!("peer-{index}"))
        .spawn(move || runtime.block_on(worker.keep_running(Queues { commands: command_queue, datagrams, units })))?;
    Ok((Handle { commands, inbox, load, dropped: Counter::default(), rounds }, thread))
}

/// A camera that at least one session of this worker shows.
struct Feed {
    /// Keeps the units coming.
    _attachment: Attachment,
    sessions: Vec<SessionId>,
}

struct Worker {
    index: usize,
    port: Arc<Port>,
    directory: Arc<Directory>,
    mailbox: Mailbox,
    sessions: HashMap<SessionId, Timed>,
    /// By the camera's id.
    feeds: HashMap<u64, Feed>,
    batch: Batch,
    load: Arc<AtomicUsize>,
    rounds: Arc<Counter>,
    /// No session wants to be woken before.
    soonest: Instant,
}

/// A session and when it wants to be woken.
struct Timed {
    session: Box<Session>,
    deadline: Option<Instant>,
}

/// What a worker waits for.
struct Queues {
    commands: mpsc::UnboundedReceiver<Command>,
    datagrams: mpsc::Receiver<(SessionId, Received)>,
    units: mpsc::Receiver<Delivery>,
}

impl Worker {
    /// Runs to the end, and on after a panic that is no session's: without those that there were, because nobody knows which of
    /// them it was about.
    async fn keep_running(mut self, mut queues: Queues) {
        while let Err(Panicked) = caught_task(Part::Worker, Whose::NOBODYS, self.run(&mut queues)).await {
            let ids: Vec<_> = self.sessions.keys().copied().collect();
            for id in ids {
                // One that cannot be taken leave of must not keep the others.
                let _ = caught(Part::Worker, Whose::NOBODYS, || self.remove(id, End::Broken));
            }
            (self.sessions, self.feeds) = (HashMap::new(), HashMap::new());
            self.batch.clear();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn run(&mut self, queues: &mut Queues) {
        let Queues { commands, datagrams, units } = queues;
        let mut unit_batch = Vec::with_capacity(BATCH);
        let mut datagram_batch = Vec::with_capacity(BATCH);
        loop {
            self.rounds.add(1);
            let wake = self.next_wake(Instant::now());
            // Not biased: a worker that cannot keep up with units must still hear its viewers, or it would lose them all.
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Adopt(session)) => self.adopt(session),
                    Some(Command::Close(id, end, done)) => {
                        self.close(id, end);
                        let _ = done.send(());
                    }
                    Some(Command::UpdateIce(id, change, done)) => {
                        let _ = done.send(self.update_ice(id, *change));
                    }
                    Some(Command::Stir(id)) => self.with(id, |session, _| session.pump_channel(Instant::now())),
                    Some(Command::Wish(id, wish)) => self.with(id, |session, _| session.on_wish(wish, Instant::now())),
                    Some(Command::Drain(done)) => {
                        self.drain();
                        let _ = done.send(());
                        return;
                    }
                    #[cfg(test)]
                    Some(Command::Panic) => panic!("as the test wishes"),
                    None => return self.drain(),
                },
                _ = units.recv_many(&mut unit_batch, BATCH) => {
                    for delivery in unit_batch.drain(..) {
                        self.on_unit(&delivery);
                    }
                }
                _ = datagrams.recv_many(&mut datagram_batch, BATCH) => {
                    for (id, datagram) in datagram_batch.drain(..) {
                        self.with(id, |session, out| session.on_datagram(datagram, SystemTime::now(), out));
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.on_time(Instant::now());
        }
    }

    fn next_wake(&self, now: Instant) -> Instant {
        self.soonest.clamp(now + MIN_SLEEP, now + MAX_SLEEP)
    }

    fn adopt(&mut self, session: Box<Session>) {
        let id = session.status.id;
        let camera = session.camera().clone();
        // First, so that it is taken leave of whatever goes wrong.
        let timed = self.sessions.entry(id).insert_entry(Timed { session, deadline: None }).into_mut();
        if timed.session.status.is_viewer() {
            let feed = self
                .feeds
                .entry(camera.id())
                .or_insert_with(|| Feed { _attachment: camera.attach(&self.mailbox), sessions: Vec::new() });
            feed.sessions.push(id);
        }
        let Some(deadline) = contained(&mut timed.session, Session::poll_timeout) else {
            return self.remove(id, End::Broken);
        };
        timed.deadline = deadline;
        self.soonest = earlier(self.soonest, deadline);
    }

    fn on_unit(&mut self, delivery: &Delivery) {
        let Some(feed) = self.feeds.get(&delivery.camera) else { return };
        let now = Instant::now();
        let mut broken = Vec::new();
        for id in &feed.sessions {
            let Some(timed) = self.sessions.get_mut(id) else { continue };
            let session = &mut timed.session;
            let happened = contained(session, |session| {
                heed_congestion(session, &self.port);
                session.on_unit(now, &delivery.unit, &mut self.batch);
                transmit(session, self.index, now, &mut self.batch, &self.port, &self.directory);
                session.next_playback()
            });
            match happened {
                Some(soon) => {
                    timed.deadline = [timed.deadline, soon].into_iter().flatten().min();
                    self.soonest = earlier(self.soonest, soon);
                }
                None => {
                    // What it was in the middle of must not go to the next viewer.
                    self.batch.clear();
                    broken.push(*id);
                }
            }
        }
        for id in broken {
            self.remove(id, End::Broken);
        }
    }

    fn on_time(&mut self, now: Instant) {
        if now < self.soonest {
            return;
        }
        let due = |timed: &Timed| timed.deadline.is_some_and(|deadline| deadline <= now);
        let ids: Vec<_> = self.sessions.iter().filter(|(_, timed)| due(timed)).map(|(id, _)| *id).collect();
        for id in ids {
            self.with(id, |session, out| session.on_timeout(now, SystemTime::now(), out));
        }
        let deadlines = self.sessions.values().filter_map(|timed| timed.deadline);
        self.soonest = deadlines.min().unwrap_or(now + MAX_SLEEP);
    }

    /// Lets something happen to a session, sends what it caused, and removes it if that was its end.
    fn with(&mut self, id: SessionId, happen: impl FnOnce(&mut Session, &mut Batch)) {
        let Some(timed) = self.sessions.get_mut(&id) else { return };
        let session = &mut timed.session;
        let before = session.status.phase();
        let happened = contained(session, |session| {
            heed_congestion(session, &self.port);
            happen(session, &mut self.batch);
            if let Some(end) = session.end() {
                // Before its viewer hears of it, and asks why.
                self.directory.forget(id, end, session.ended(end, Instant::now(), has_route));
            }
            transmit(session, self.index, Instant::now(), &mut self.batch, &self.port, &self.directory);
            session.poll_timeout()
        });
        let Some(deadline) = happened else { return self.remove(id, End::Broken) };
        timed.deadline = deadline;
        self.soonest = earlier(self.soonest, deadline);
        for ufrag in timed.session.take_retired() {
            self.directory.retire_ufrag(id, &ufrag);
        }
        if before != Phase::Connected && timed.session.status.phase() == Phase::Connected {
            let status = &timed.session.status;
            let remote = status.remote().map(|remote| remote.to_string());
            info!(camera = %status.camera, session = ?id, remote = remote.as_deref(), "{} connected", status.role.name());
        }
        if let Some(end) = timed.session.end() {
            self.remove(id, end);
        }
    }

    fn update_ice(&mut self, id: SessionId, change: Change) -> Result<IceUpdate, IceUpdateError> {
        let mut result = Err(IceUpdateError::NoSuchSession);
        let directory = self.directory.clone();
        self.with(id, |session, _| {
            result = session.update_ice(change, Instant::now());
            if let Ok(IceUpdate::Restarted { generation, .. }) = &result {
                directory.add_ufrag(id, generation.clone());
                info!(camera = %session.status.camera, session = ?id, "{} restarts ICE", session.status.role.name());
            }
        });
        result
    }

    fn close(&mut self, id: SessionId, end: End) {
        self.with(id, |session, _| session.close(end));
    }

    fn remove(&mut self, id: SessionId, end: End) {
        let now = Instant::now();
        let gone = self.sessions.remove(&id);
        let ended = gone.as_ref().and_then(|timed| timed.session.ended(end, now, has_route));
        if gone.is_some() {
            self.load.fetch_sub(1, Ordering::Relaxed);
        }
        self.directory.forget(id, end, ended.clone());
        self.port.tcp.forget(id);
        let Some(timed) = gone else { return };
        timed.session.status.set_ended(end.ending());
        // A session that broke may have left half of what it had to say.
        self.batch.clear();
        let camera = timed.session.camera().clone();
        let role = timed.session.status.role.name();
        match ended {
            Some(ended) => {
                let (ours, theirs) = (ended.gateway_candidates.join(", "), ended.viewer_candidates.join(", "));
                let (name, reason, code) = (camera.name(), &ended.reason, ended.reason.code);
                let left = matches!(end, End::Deleted | End::Barred | End::ViewerLeft | End::Shutdown);
                if ended.connected || (left && !timed.session.has_tried(now)) {
                    info!(camera = %name, session = ?id, code, %reason, "{role} gone");
                } else {
                    warn!(camera = %name, session = ?id, code, %reason, gateway = ours, viewer = theirs, "{role} never connected");
                }
            }
            None => {
                let reason = end.reason(timed.session.status.role);
                info!(camera = %camera.name(), session = ?id, code = reason.code, %reason, "{role} gone");
            }
        }
        if let Some(feed) = self.feeds.get_mut(&camera.id()) {
            feed.sessions.retain(|other| *other != id);
            if feed.sessions.is_empty() {
                self.feeds.remove(&camera.id());
            }
        }
    }

    fn drain(&mut self) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        debug!(worker = self.index, sessions = ids.len(), "saying goodbye");
        for id in ids {
            self.close(id, End::Shutdown);
        }
    }
}

fn earlier(soonest: Instant, deadline: Option<Instant>) -> Instant {
    deadline.map_or(soonest, |deadline| soonest.min(deadline))
}

/// Keeps a fault that one viewer provoked to that viewer: `None` when it made the code panic. What the session was in the
/// middle of is thrown away with it, so that nothing half done is seen.
fn contained<T>(session: &mut Session, happen: impl FnOnce(&mut Session) -> T) -> Option<T> {
    let happened = catch(|| happen(session));
    let status = &session.status;
    happened.map_err(|caught| caught.tell(Part::Session, Whose::session(&status.camera, &status.id))).ok()
}

/// Lets a session on TCP know whether its viewer keeps up. On UDP a viewer tells by its reports.
fn heed_congestion(session: &mut Session, port: &Port) {
    session.set_congested(match session.remote() {
        Some(Remote { transport: Transport::Tcp, address }) => port.tcp.is_congested(address),
        _ => false,
    });
}

/// Sends everything a session has to say: its media, over UDP in trains, and what else there is.
fn transmit(session: &mut Session, worker: usize, now: Instant, batch: &mut Batch, port: &Port, directory: &Directory) {
    if !batch.is_empty() {
        if let Some((source, remote)) = session.media_path() {
            session.status.note_media(batch.len(), batch.bytes());
            match remote.transport {
                Transport::Udp => port.udp.send(batch, source, remote.address, now),
                Transport::Tcp => {
                    batch.packets().for_each(|packet| port.tcp.send(remote.address, Bytes::copy_from_slice(packet)));
                }
            }
        }
        batch.clear();
    }
    let route = Route { worker, session: session.status.id };
    while let Some(Outgoing { source, remote, data }) = session.poll_transmit() {
        match remote.transport {
            Transport::Udp => {
                if directory.note_sent(route, remote, &data, now) {
                    port.udp.send_datagram(source, remote.address, &data);
                }
            }
            Transport::Tcp => port.tcp.send(remote.address, data.freeze()),
        }
    }
}
