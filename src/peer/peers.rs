//! The door to the viewer's side: opens and closes sessions, tells about them.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::{Duration, Instant, SystemTime},
};

use rand::distr::{Alphanumeric, SampleString};
use thiserror::Error;
use tokio::{sync::oneshot, time::sleep};
use tracing::info;

use super::{
    BindError, ChannelEnd, Config, Ended, IceServer, NoRoom, Role, SessionId, SessionStatus, ViewerTotals, Visitor,
    channel,
    directory::{Directory, Route},
    engine::{Blueprint, Engine},
    ice_description::{IceCredentials, IceFragment, is_candidate_length},
    ice_update::{Change, Expected, IceUpdate, IceUpdateError},
    line::{Line, read},
    negotiation::{self, Negotiated, Refusal},
    port::{Opened, Port},
    session::{End, Purpose, Session, Terms},
    transport::Transport,
    worker::Command,
};
use crate::{
    hub::{Camera, Formats, NotTaken, Publication, Tracks},
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
    /// Of a viewer that has offered a data channel. When it is dropped, the channel closes.
    pub channel: Option<ChannelEnd>,
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
    /// Nobody may publish to the camera, or somebody does.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// Draining.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// What was dropped instead of waited for, since the process started.
#[derive(Clone, Debug, Default)]
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

/// Between two looks whether an old port has still viewers. The first is later than any session that was being opened on it.
const LEAVING: Duration = Duration::from_secs(1);

/// All sessions, their workers and their port.
pub struct Peers {
    /// For new sessions.
    settings: RwLock<Arc<Config>>,
    engine: Engine,
    directory: Arc<Directory>,
    lines: Arc<RwLock<Lines>>,
    /// Threads of each line.
    workers: usize,
    /// Its owner keeps its port open, whatever is configured.
    is_activated: bool,
}

/// The ports that are open.
struct Lines {
    /// Where new sessions are.
    current: Arc<Line>,
    /// Those that were configured before, for as long as they have viewers.
    old: Vec<Arc<Line>>,
    /// What was dropped by those that are closed.
    past: Drops,
}

impl Lines {
    fn all(&self) -> impl Iterator<Item = &Arc<Line>> {
        std::iter::once(&self.current).chain(&self.old)
    }
}

/// A port that is open, and that nobody is told of yet.
pub struct Prepared(Option<Line>);

impl Peers {
    /// Opens what of the port is not `opened`, and starts `workers` threads, and one that reads. To be called on the runtime that will serve TCP.
    ///
    /// # Errors
    /// [`BindError`] when the port cannot be opened.
    pub fn bind(config: Config, workers: usize, opened: Opened) -> Result<Arc<Self>, BindError> {
        let (workers, is_activated) = (workers.max(1), opened.udp.is_some() || opened.tcp.is_some());
        let port = Port::complete(config.listen, config.max_tcp_connections, opened)?;
        let directory = Arc::new(Directory::new(config.checks_per_second));
        let fault = |source| BindError::new(config.listen, Transport::Udp, source);
        let engine = Engine::new().map_err(|e| fault(std::io::Error::other(e.to_string())))?;
        let current = Arc::new(Line::start(port, &config, 0, workers, &directory)?);
        let lines = Lines { current, old: Vec::new(), past: Drops::default() };
        let (settings, lines) = (RwLock::new(Arc::new(config)), Arc::new(RwLock::new(lines)));
        Ok(Arc::new(Self { settings, engine, directory, lines, workers, is_activated }))
    }

    /// Opens the port of other settings, if it is another one, for [`change`](Self::change).
    ///
    /// # Errors
    /// [`BindError`] when it cannot be opened; nothing has changed then.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, BindError> {
        let (before, current) = (self.settings().listen, self.line().local_address());
        // The number that is in use cannot be opened a second time.
        if config.listen == before || config.listen.port() == current.port() || self.is_activated {
            return Ok(Prepared(None));
        }
        let port = Port::complete(config.listen, config.max_tcp_connections, Opened::default())?;
        let first = read(&self.lines).all().map(|line| line.end()).max().unwrap_or_default();
        Ok(Prepared(Some(Line::start(port, config, first, self.workers, &self.directory)?)))
    }

    /// Takes up other settings: for new sessions, and bounds for all. Sessions that there are stay on their port, which is
    /// closed when the last has left. Tells whether it listens where that was asked for: not where the number stays and the
    /// address does not, nor where somebody else has opened the port.
    pub fn change(&self, config: Config, prepared: Prepared) -> bool {
        let before = self.settings();
        let listens = config.listen == before.listen || prepared.0.is_some();
        let config = Config { listen: if listens { config.listen } else { before.listen }, ..config };
        self.directory.checks.set(config.checks_per_second);
        let told = |config: &Config| {
            (config.advertise.clone(), config.interfaces.clone(), config.ice, config.ice_servers.clone())
        };
        let lines = &mut *self.lines.write().unwrap_or_else(|e| e.into_inner());
        match prepared.0 {
            Some(line) => {
                info!("webrtc listening on udp {} and on tcp, same port", line.local_address());
                let old = std::mem::replace(&mut lines.current, Arc::new(line));
                lines.old.push(old.clone());
                tokio::spawn(leave(self.lines.clone(), old));
            }
            None => lines.current.change(&config, told(&config) != told(&before)),
        }
        for line in &lines.old {
            line.change(&config, false);
        }
        *self.settings.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(config);
        listens
    }

    /// Where new sessions are.
    fn line(&self) -> Arc<Line> {
        read(&self.lines).current.clone()
    }

    /// Where the worker of that number is.
    fn line_of(&self, worker: usize) -> Option<Arc<Line>> {
        read(&self.lines).all().find(|line| line.worker(worker).is_some()).cloned()
    }

    fn settings(&self) -> Arc<Config> {
        read(&self.settings).clone()
    }

    /// Where it listens, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.line().local_address()
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
        self.line().addresses().settled().await;
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
        let negotiated = negotiation::negotiate(offer, formats)?;
        self.begin(Purpose::View(camera.view()), negotiated, visitor)
    }

    /// What can be said about an offer to publish, before there is a place for it.
    ///
    /// # Errors
    /// A [`Refusal`].
    pub fn check_publication(&self, offer: &str, role: Role) -> Result<(), Refusal> {
        negotiation::check_publication(offer, role)
    }

    /// Answers an offer of `visitor` to be `camera`.
    ///
    /// # Errors
    /// [`OpenError`]; whoever publishes goes on then.
    pub fn publish(&self, camera: &Arc<Camera>, offer: &str, visitor: Visitor) -> Result<Answer, OpenError> {
        let negotiated = negotiation::negotiate_publication(offer, Role::Publisher)?;
        self.check_room(camera, &visitor)?;
        let choice = &negotiated.choice;
        let tracks = Tracks { video: choice.video.is_some(), audio: choice.audio.is_some() };
        let publication = camera.intake().publish(tracks, visitor.user.clone(), Instant::now())?;
        self.begin(Purpose::Publish(Role::Publisher, camera.clone(), publication), negotiated, visitor)
    }

    /// Answers an offer of `visitor` to be heard where `camera` is, who has the floor there.
    ///
    /// # Errors
    /// [`OpenError`]; the floor is free again then.
    pub fn talk(
        &self,
        camera: &Arc<Camera>,
        floor: Publication,
        offer: &str,
        visitor: Visitor,
    ) -> Result<Answer, OpenError> {
        let negotiated = negotiation::negotiate_publication(offer, Role::Talker)?;
        self.begin(Purpose::Publish(Role::Talker, camera.clone(), floor), negotiated, visitor)
    }

    fn begin(&self, purpose: Purpose, negotiated: Negotiated, visitor: Visitor) -> Result<Answer, OpenError> {
        let Negotiated { choice, offer, candidates, frame, note } = negotiated;
        let (camera, role) = (purpose.camera().clone(), purpose.role());
        let id = SessionId::random();
        let (client, user) = (visitor.address.to_canonical(), visitor.user.clone());
        let status = Arc::new(SessionStatus::new(id, camera.name().clone(), visitor).with_role(role));
        let (settings, line) = (self.settings(), self.line());
        let (offered, own) = line.addresses().gather();
        let theirs = IceCredentials::of(&offer)
            .ok_or_else(|| Refusal::Malformed("it has no a=ice-ufrag with an a=ice-pwd".to_owned()))?;
        let [video_ssrc, rtx_ssrc, audio_ssrc] = ssrcs();
        let blueprint = Blueprint {
            offer,
            role,
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
        let has_channel = blueprint.choice.has_channel;
        let now = Instant::now();
        let (mut session, sdp) = Session::new(self.engine.clone(), blueprint, own, purpose, status.clone(), now)
            .map_err(|e| Refusal::Malformed(e.to_string()))?;
        let worker = line.idlest().ok_or(OpenError::ShuttingDown)?;
        let commands = line.worker(worker).filter(|_| has_channel).map(|worker| worker.commands.clone());
        let channel = commands.map(|commands| {
            let (near, end) = channel::pair(id, commands);
            session.attach_channel(near, now);
            end
        });
        let generation = ufrag.clone();
        self.directory.enter(Route { worker, session: id }, ufrag, status, &settings.limits)?;
        if !line.adopt(worker, session) {
            self.directory.forget(id, End::Shutdown, None);
            return Err(OpenError::ShuttingDown);
        }
        info!(camera = %camera.name(), session = ?id, %client, user, note, "{} answered", role.name());
        Ok(Answer { id, sdp, generation, channel })
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
        let line = self.line_of(route.worker);
        let worker = line.as_ref().and_then(|line| line.worker(route.worker));
        if worker.is_none_or(|worker| worker.commands.send(Command::Close(id, end, done)).is_err()) {
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
        let line = self.line_of(route.worker).ok_or(IceUpdateError::NoSuchSession)?;
        let worker = line.worker(route.worker).ok_or(IceUpdateError::NoSuchSession)?;
        let update = Change { expected, fragment, ours: credentials(), offered: line.addresses().gather().0 };
        let (done, wait) = oneshot::channel();
        let command = Command::UpdateIce(id, Box::new(update), done);
        worker.commands.send(command).map_err(|_| IceUpdateError::NoSuchSession)?;
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

    /// All viewers' sessions, oldest first.
    pub fn sessions(&self) -> Vec<Arc<SessionStatus>> {
        self.sessions_of(Role::Viewer)
    }

    /// All sessions of this role, oldest first.
    pub fn sessions_of(&self, role: Role) -> Vec<Arc<SessionStatus>> {
        self.directory.all(role)
    }

    /// All viewers' sessions, with what the viewers of each camera have come to, those that have left included.
    pub fn census(&self) -> (Vec<Arc<SessionStatus>>, BTreeMap<CameraName, ViewerTotals>) {
        self.directory.census()
    }

    /// Offers that there was no room for, by the key of the limit.
    pub fn refused_sessions(&self) -> BTreeMap<&'static str, u64> {
        self.directory.refused()
    }

    /// How many entries lead datagrams to sessions, by what they are found by.
    pub fn routes(&self) -> [(&'static str, usize); 4] {
        self.directory.routes()
    }

    /// How many sessions each worker drives, by its number.
    pub fn loads(&self) -> Vec<(usize, usize)> {
        read(&self.lines).all().flat_map(|line| line.loads()).collect()
    }

    /// What was dropped so far.
    pub fn drops(&self) -> Drops {
        let lines = read(&self.lines);
        let mut drops = lines.past.clone();
        lines.all().for_each(|line| line.count(&mut drops));
        drops.unknown_datagrams = self.directory.unknown.total();
        drops.withheld_checks = self.directory.checks.withheld.total();
        drops
    }

    /// The threads that serve viewers, for a person, each with a count that grows at least once a second while it is well.
    pub fn rounds(&self) -> Vec<(String, u64)> {
        read(&self.lines).all().flat_map(|line| line.rounds()).collect()
    }

    /// Connections that viewers have on TCP now.
    pub fn tcp_connections(&self) -> usize {
        read(&self.lines).all().map(|line| line.tcp_connections()).sum()
    }

    /// Says goodbye to every viewer and ends all threads and tasks.
    pub async fn shutdown(&self) {
        let lines: Vec<_> = read(&self.lines).all().cloned().collect();
        for line in lines {
            line.close().await;
        }
    }
}

/// Closes a port once its last viewer has left.
async fn leave(lines: Arc<RwLock<Lines>>, old: Arc<Line>) {
    loop {
        sleep(LEAVING).await;
        if old.loads().all(|(_, sessions)| sessions == 0) {
            break;
        }
    }
    {
        let lines = &mut *lines.write().unwrap_or_else(|e| e.into_inner());
        lines.old.retain(|line| !Arc::ptr_eq(line, &old));
        old.count(&mut lines.past);
    }
    old.close().await;
    info!(port = %old.local_address(), "closed the WebRTC port of before: its last viewer has left");
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::{
        hub::GopLimits,
        media::VideoFormat,
        panics,
        peer::{Ending, IceMode, Interfaces, Limits, Playout},
    };

    const LIMIT: Duration = Duration::from_secs(20);

    async fn until(met: impl Fn() -> bool) {
        let met = async {
            while !met() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, met).await.expect("in time");
    }

    /// A door with one worker.
    fn door() -> Arc<Peers> {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: Vec::new(),
            interfaces: Interfaces::default(),
            ice: IceMode::Full,
            playout: Playout::Adaptive,
            ice_servers: Vec::new(),
            limits: Limits::all(100),
            max_tcp_connections: 10,
            checks_per_second: 50,
        };
        Peers::bind(config, 1, Opened::default()).expect("a port")
    }

    #[tokio::test]
    async fn a_worker_that_panics_says_goodbye_to_its_viewers_and_goes_on() {
        let peers = door();
        let camera = Camera::new("front".parse().expect("a name"), GopLimits { max_bytes: 0, max_age: Duration::ZERO });
        let (sps, pps) = (vec![0x67, 0x42, 0xc0, 0x1e].into(), vec![vec![0x68].into()]);
        let video = Some(VideoFormat { sps, pps, width: 16, height: 16 });
        let formats = Formats { video, ..Formats::default() };
        let offer = include_str!("../../tests/offers/webrtc-rs.sdp");
        let join = || peers.open(&camera, &formats, offer, Visitor::here()).expect("there is room").id;
        let total = || panics::totals().find(|(part, _)| *part == "worker").expect("it is counted").1;
        for round in 1..=2 {
            let joined = [join(), join()];
            let [one, other] = joined.map(|id| peers.session(id).expect("it lives").ended());
            assert_eq!(peers.loads(), [(0, 2)]);
            let line = peers.line();
            let worker = line.worker(0).expect("it has one");
            assert!(worker.commands.send(Command::Panic).is_ok(), "the worker is there");
            for mut ended in [one, other] {
                let ending = timeout(LIMIT, ended.wait_for(Option::is_some)).await.expect("in time");
                assert_eq!(*ending.expect("it is told"), Some(Ending::Reconnect));
            }
            assert_eq!(total(), round);
            for id in joined {
                until(|| peers.end_of("front", id).is_some_and(|ended| ended.reason.code == "internal-error")).await;
            }
            assert!(peers.sessions().is_empty());
            assert_eq!(peers.loads(), [(0, 0)]);
        }
        let id = join();
        assert!(timeout(LIMIT, peers.close("front", id)).await.expect("in time"), "the worker serves new ones");
        peers.shutdown().await;
    }
}
