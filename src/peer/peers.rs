//! The door to the viewer's side: opens and closes sessions, tells about them.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard},
    time::{Instant, SystemTime},
};

use rand::distr::{Alphanumeric, SampleString};
use thiserror::Error;
use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{error, info};

use super::{
    BindError, Config, Ended, IceServer, NoRoom, SessionId, SessionStatus, ViewerTotals, Visitor,
    addresses::Addresses,
    directory::{Directory, Route},
    engine::{Blueprint, Engine},
    ice_description::{IceCredentials, IceFragment, is_candidate_length},
    ice_update::{Change, Expected, IceUpdate, IceUpdateError},
    negotiation::{self, Negotiated, Refusal},
    port::{Opened, Port},
    reader::Reader,
    session::{End, Session, Terms},
    socket::Received,
    transport::Transport,
    worker::{self, Command, Handle},
};
use crate::{
    hub::{Camera, Formats},
    media::CameraName,
};

/// The answer to an offer.
pub struct Answer {
    /// The session's id.
    pub id: SessionId,
    /// The SDP, with all candidates in it.
    pub sdp: String,
    /// Names what ICE is at; see [`Expected`].
    pub generation: String,
}

impl fmt::Debug for Answer {
    /// Without the SDP, which has the password of ICE.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a session was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The offer does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are too many already.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Draining.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// What was dropped instead of waited for, since the process started.
#[derive(Debug)]
pub struct Drops {
    /// Datagrams to viewers that the kernel had no room for.
    pub unsent_datagrams: u64,
    /// Datagrams to viewers on TCP who read too slowly.
    pub unsent_frames: u64,
    /// Datagrams from viewers that a worker had no room for.
    pub unread_datagrams: u64,
    /// TCP connections that were one too many, or that did not begin as ICE does.
    pub refused_connections: u64,
    /// Datagrams from strangers.
    pub unknown_datagrams: u64,
    /// Connectivity checks that were one too many for an address.
    pub withheld_checks: u64,
}

/// All sessions, their workers and their port.
pub struct Peers {
    /// For new sessions.
    settings: RwLock<Arc<Config>>,
    engine: Engine,
    port: Arc<Port>,
    directory: Arc<Directory>,
    workers: Arc<[Handle]>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    reader: Mutex<Option<Reader>>,
    addresses: Arc<RwLock<Known>>,
}

/// What viewers are told, and the task that keeps it true.
struct Known {
    addresses: Arc<Addresses>,
    keeping: JoinHandle<()>,
}

impl Known {
    fn new(config: &Config, port: &Arc<Port>) -> Self {
        let addresses = Arc::new(Addresses::new(config.clone(), port.local_address()));
        let keeping = tokio::spawn(addresses.clone().keep(port.clone()));
        Self { addresses, keeping }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

impl Peers {
    /// Opens what of the port is not `opened`, and starts `workers` threads, and one that reads. To be called on the runtime that will serve TCP.
    ///
    /// # Errors
    /// [`BindError`] when the port cannot be opened.
    pub fn bind(config: Config, workers: usize, opened: Opened) -> Result<Arc<Self>, BindError> {
        let port = Arc::new(Port::complete(config.listen, config.max_tcp_connections, opened)?);
        let directory = Arc::new(Directory::new(config.checks_per_second));
        let listen = config.listen;
        let fault = |source| BindError::new(listen, Transport::Udp, source);
        let engine = Engine::new().map_err(|e| fault(std::io::Error::other(e.to_string())))?;
        let mut handles = Vec::new();
        let mut threads = Vec::new();
        for index in 0..workers.max(1) {
            let (handle, thread) = worker::start(index, port.clone(), directory.clone()).map_err(fault)?;
            handles.push(handle);
            threads.push(thread);
        }
        let addresses = Arc::new(RwLock::new(Known::new(&config, &port)));
        let peers = Arc::new(Self {
            addresses,
            settings: RwLock::new(Arc::new(config)),
            engine,
            port,
            directory,
            workers: handles.into(),
            threads: Mutex::new(threads),
            tasks: Mutex::new(Vec::new()),
            reader: Mutex::new(None),
        });
        let (directory, workers) = (peers.directory.clone(), peers.workers.clone());
        let (routes, drivers, addresses) = (directory.clone(), workers.clone(), peers.addresses.clone());
        let reader = Reader::start(peers.port.udp.clone(), move |datagram| {
            if !read(&addresses).addresses.take(&datagram) {
                deliver(&routes, &drivers, datagram);
            }
        });
        *peers.reader.lock().unwrap_or_else(|e| e.into_inner()) = Some(reader.map_err(fault)?);
        let sessions = directory.clone();
        let lives = move |session| sessions.find(session).is_some();
        let tasks =
            vec![tokio::spawn(peers.port.tcp.clone().serve(move |frame| deliver(&directory, &workers, frame), lives))];
        *peers.tasks.lock().unwrap_or_else(|e| e.into_inner()) = tasks;
        Ok(peers)
    }

    /// Takes up other settings: for new sessions, and bounds for all. `listen` stays as it was; tells whether
    /// that is what was asked for.
    pub fn change(&self, config: Config) -> bool {
        let before = self.settings();
        let stays = config.listen == before.listen;
        let config = Config { listen: before.listen, ..config };
        self.port.tcp.allow(config.max_tcp_connections);
        self.directory.checks.set(config.checks_per_second);
        let told = |config: &Config| {
            (config.advertise.clone(), config.interfaces.clone(), config.ice, config.ice_servers.clone())
        };
        if told(&config) != told(&before) {
            *self.addresses.write().unwrap_or_else(|e| e.into_inner()) = Known::new(&config, &self.port);
        }
        *self.settings.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(config);
        stays
    }

    fn settings(&self) -> Arc<Config> {
        read(&self.settings).clone()
    }

    fn addresses(&self) -> Arc<Addresses> {
        read(&self.addresses).addresses.clone()
    }

    /// Where it listens, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.port.local_address()
    }

    /// STUN and TURN servers, as a viewer that comes `now` is told of them.
    pub fn ice_servers(&self, now: SystemTime) -> Vec<IceServer> {
        self.settings().ice_servers.iter().map(|server| server.told(now)).collect()
    }

    /// Whether one more session of `camera` for `visitor` would be too many.
    ///
    /// # Errors
    /// [`OpenError::NoRoom`] then.
    pub fn check_room(&self, camera: &Camera, visitor: &Visitor) -> Result<(), OpenError> {
        Ok(self.directory.check_room(&self.settings().limits, visitor, camera.name().as_str())?)
    }

    /// Reads an offer without opening anything, so that a bad one costs the camera nothing. Codecs are judged by
    /// [`open`](Self::open), when the camera's are known.
    ///
    /// # Errors
    /// A [`Refusal`] that blames the offer.
    pub fn check_offer(&self, offer: &str) -> Result<(), Refusal> {
        negotiation::check(offer)
    }

    /// Waits until the addresses that somebody outside has to tell have been asked for once: at most for a second after the
    /// start of the program, and never later.
    pub async fn addresses_settled(&self) {
        self.addresses().settled().await;
    }

    /// Answers an offer of `visitor` for `camera`, which sends `formats`.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left behind then.
    pub fn open(
        &self,
        camera: &Arc<Camera>,
        formats: &Formats,
        offer: &str,
        visitor: Visitor,
    ) -> Result<Answer, OpenError> {
        let Negotiated { choice, offer, candidates, frame, note } = negotiation::negotiate(offer, formats)?;
        let id = SessionId::random();
        let (client, user) = (visitor.address.to_canonical(), visitor.user.clone());
        let status = Arc::new(SessionStatus::new(id, camera.name().clone(), visitor));
        let (settings, (offered, own)) = (self.settings(), self.addresses().gather());
        let theirs = IceCredentials::of(&offer)
            .ok_or_else(|| Refusal::Malformed("it has no a=ice-ufrag with an a=ice-pwd".to_owned()))?;
        let [video_ssrc, rtx_ssrc, audio_ssrc] = ssrcs();
        let blueprint = Blueprint {
            offer,
            choice,
            frame,
            ice: settings.ice,
            playout: settings.playout,
            terms: Terms { ours: credentials(), theirs, offered, candidates },
            stream_id: format!("camgate-{}", camera.name()),
            video_ssrc,
            rtx_ssrc,
            audio_ssrc,
        };
        let ufrag = blueprint.terms.ours.ufrag.clone();
        let viewing = camera.view();
        let (session, sdp) = Session::new(self.engine.clone(), blueprint, own, viewing, status.clone(), Instant::now())
            .map_err(|e| Refusal::Malformed(e.to_string()))?;
        let (index, worker) =
            self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.load()).ok_or(OpenError::ShuttingDown)?;
        let generation = ufrag.clone();
        self.directory.enter(Route { worker: index, session: id }, ufrag, status, &settings.limits)?;
        if !worker.adopt(session) {
            self.directory.forget(id, End::Shutdown);
            return Err(OpenError::ShuttingDown);
        }
        info!(camera = %camera.name(), session = ?id, %client, user, note, "viewer answered");
        Ok(Answer { id, sdp, generation })
    }

    /// Ends a session of `camera`, as its viewer wishes. Returns whether there was one.
    pub async fn close(&self, camera: &str, id: SessionId) -> bool {
        self.end(camera, id, End::Deleted).await
    }

    /// Ends a session of `camera` whose viewer may not watch any more. Returns whether there was one.
    pub async fn bar(&self, camera: &str, id: SessionId) -> bool {
        self.end(camera, id, End::Barred).await
    }

    async fn end(&self, camera: &str, id: SessionId, end: End) -> bool {
        let Some((route, status)) = self.directory.find(id) else { return false };
        if status.camera.as_str() != camera {
            return false;
        }
        let (done, wait) = oneshot::channel();
        if self.workers[route.worker].commands.send(Command::Close(id, end, done)).is_err() {
            return false;
        }
        wait.await.is_ok()
    }

    /// Why a session of `camera` is over, when it is one of the last that did not end as their viewers wished.
    pub fn end_of(&self, camera: &str, id: SessionId) -> Option<Ended> {
        self.directory.end_of(id).filter(|ended| ended.camera.as_str() == camera)
    }

    /// A session that is not over.
    pub fn session(&self, id: SessionId) -> Option<Arc<SessionStatus>> {
        self.directory.find(id).map(|(_, status)| status)
    }

    /// Tells a session of `camera` more about the viewer's side of ICE: candidates, or credentials that restart it.
    ///
    /// # Errors
    /// [`IceUpdateError`]; the session goes on as before then.
    pub async fn update_ice(
        &self,
        camera: &str,
        id: SessionId,
        expected: Expected,
        fragment: IceFragment,
    ) -> Result<IceUpdate, IceUpdateError> {
        let route = self.directory.find(id).filter(|(_, status)| status.camera.as_str() == camera);
        let (route, _) = route.ok_or(IceUpdateError::NoSuchSession)?;
        let update = Change { expected, fragment, ours: credentials(), offered: self.addresses().gather().0 };
        let (done, wait) = oneshot::channel();
        let command = Command::UpdateIce(id, Box::new(update), done);
        self.workers[route.worker].commands.send(command).map_err(|_| IceUpdateError::NoSuchSession)?;
        wait.await.unwrap_or(Err(IceUpdateError::NoSuchSession))
    }

    /// Tells a session of one more candidate of the viewer's, a value of `a=candidate` with or without that name.
    ///
    /// # Errors
    /// [`IceUpdateError::NoSuchSession`].
    pub async fn add_candidate(&self, camera: &str, id: SessionId, candidate: &str) -> Result<(), IceUpdateError> {
        let value = candidate.trim_start_matches("a=").trim_start_matches("candidate:");
        let candidates = Some(value).filter(|value| is_candidate_length(value)).map(str::to_owned);
        let fragment = IceFragment { credentials: None, candidates: candidates.into_iter().collect() };
        self.update_ice(camera, id, Expected::Any, fragment).await.map(drop)
    }

    /// All sessions, oldest first.
    pub fn sessions(&self) -> Vec<Arc<SessionStatus>> {
        self.directory.all()
    }

    /// The same, with what the viewers of each camera have come to, those that have left included.
    pub fn census(&self) -> (Vec<Arc<SessionStatus>>, BTreeMap<CameraName, ViewerTotals>) {
        self.directory.census()
    }

    /// Offers that there was no room for, by the key of the limit.
    pub fn refused_sessions(&self) -> BTreeMap<&'static str, u64> {
        self.directory.refused()
    }

    /// How many sessions each worker drives.
    pub fn loads(&self) -> Vec<usize> {
        self.workers.iter().map(Handle::load).collect()
    }

    /// What was dropped so far.
    pub fn drops(&self) -> Drops {
        Drops {
            unsent_datagrams: self.port.udp.refused.total(),
            unsent_frames: self.port.tcp.dropped.total(),
            unread_datagrams: self.workers.iter().map(|worker| worker.dropped.total()).sum(),
            refused_connections: self.port.tcp.refused.total(),
            unknown_datagrams: self.directory.unknown.total(),
            withheld_checks: self.directory.checks.withheld.total(),
        }
    }

    /// The threads that serve viewers, for a person, each with a count that grows at least once a second while it is well.
    pub fn rounds(&self) -> Vec<(String, u64)> {
        let workers = self.workers.iter().enumerate();
        let workers = workers.map(|(index, worker)| (format!("worker {index} of viewers"), worker.rounds.total()));
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner());
        let reader = reader.as_ref().map(|reader| ("the reader of the WebRTC port".to_owned(), reader.rounds.total()));
        workers.chain(reader).collect()
    }

    /// Connections that viewers have on TCP now.
    pub fn tcp_connections(&self) -> usize {
        self.port.tcp.connections()
    }

    /// Says goodbye to every viewer and ends all threads and tasks.
    pub async fn shutdown(&self) {
        for worker in self.workers.iter() {
            let (done, wait) = oneshot::channel();
            if worker.commands.send(Command::Drain(done)).is_ok() {
                // A worker that is gone has no viewers.
                let _ = wait.await;
            }
        }
        self.port.tcp.shutdown().await;
        read(&self.addresses).keeping.abort();
        for task in self.tasks.lock().unwrap_or_else(|e| e.into_inner()).drain(..) {
            task.abort();
        }
        let reader = self.reader.lock().unwrap_or_else(|e| e.into_inner()).take();
        let threads: Vec<_> = self.threads.lock().unwrap_or_else(|e| e.into_inner()).drain(..).collect();
        // They end right after they answered.
        let joined = tokio::task::spawn_blocking(move || {
            drop(reader);
            threads.into_iter().try_for_each(|thread| thread.join())
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            error!("a viewer worker ended with a panic");
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|e| e.into_inner())
}

/// New ones of ours.
fn credentials() -> IceCredentials {
    let mut rng = rand::rng();
    // RFC 8445 section 5.3 asks for 24 and 128 bits of randomness at least; a character here has almost 6.
    IceCredentials { ufrag: Alphanumeric.sample_string(&mut rng, 16), pwd: Alphanumeric.sample_string(&mut rng, 32) }
}

/// Random ones (RFC 3550 section 8.1), no two the same: they keep the packets of one key apart.
fn ssrcs<const N: usize>() -> [u32; N] {
    let start: u32 = rand::random();
    let step = rand::random_range(1..=u32::MAX / N as u32);
    std::array::from_fn(|index| start.wrapping_add(step.wrapping_mul(index as u32)))
}

/// Hands a datagram to the worker of the session it is for, which is returned.
fn deliver(directory: &Directory, workers: &[Handle], datagram: Received) -> Option<SessionId> {
    let route = directory.route(datagram.remote, &datagram.data, datagram.at)?;
    workers[route.worker].deliver(route.session, datagram);
    Some(route.session)
}
