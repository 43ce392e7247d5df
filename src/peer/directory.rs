//! Which datagram belongs to which session, when all sessions share one port.
//!
//! By the ICE user name in a STUN request (RFC 8445 section 7.2.2: ours before the colon), by the transaction of a STUN
//! response to a request of ours, and by the remote address for everything else. What belongs to nobody is dropped
//! without an answer.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{
    Ended, Role, SessionId, SessionStatus,
    checks::Checks,
    limits::{self, Limits, NoRoom, Visitor},
    session::{End, Transaction, transaction},
    totals::{Totals, ViewerTotals},
    transport::Remote,
};
use crate::{media::CameraName, stats::Counter};

/// Remote addresses remembered per session, so that nobody fills the table by sending from many ports. A browser has a
/// handful of candidates.
const MAX_ADDRESSES: usize = 16;
/// Between two more addresses of one session beyond that: a phone that wanders for days changes its address seldom.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(60);
/// A STUN response later than this is not waited for: ICE gives up on a check after 1.4 s here (7 times 200 ms).
const TRANSACTION_LIFETIME: Duration = Duration::from_secs(5);
/// STUN header, and the type of the attribute USERNAME (RFC 8489 sections 5 and 14.3).
const STUN_HEADER: usize = 20;
const USERNAME: [u8; 2] = [0x00, 0x06];
/// Sessions whose end is remembered, each with up to two dozen candidates. A viewer that fails asks within seconds.
const MAX_ENDED: usize = 256;

/// Where a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) worker: usize,
    pub(super) session: SessionId,
}

/// Whether a datagram is a STUN request, with which everything that a viewer sends begins.
pub(super) fn is_request(datagram: &[u8]) -> bool {
    Stun::of(datagram) == Some(Stun::Request)
}

#[derive(Debug)]
struct Entry {
    route: Route,
    /// Those that lead here: one, and another while ICE restarts.
    ufrags: Vec<String>,
    addresses: VecDeque<Remote>,
    /// When the newest address was added.
    last_new: Option<Instant>,
    status: Arc<SessionStatus>,
}

#[derive(Debug, Default)]
struct Tables {
    sessions: HashMap<SessionId, Entry>,
    by_ufrag: HashMap<String, SessionId>,
    by_address: HashMap<Remote, Route>,
    by_transaction: HashMap<Transaction, Route>,
    transactions: VecDeque<(Instant, Transaction)>,
    /// The newest last.
    ended: VecDeque<(SessionId, Ended)>,
    totals: Totals,
    /// Offers that there was no room for, by the key of the limit.
    refused: BTreeMap<&'static str, u64>,
}

/// The table of all sessions, shared by the receiver, the workers and the API.
#[derive(Debug)]
pub(super) struct Directory {
    tables: Mutex<Tables>,
    /// What strangers are sent because a viewer says that it is there.
    pub(super) checks: Checks,
    /// Datagrams that belong to nobody.
    pub(super) unknown: Counter,
}

impl Directory {
    /// Nobody is sent more than `checks_per_second` connectivity checks for long.
    pub(super) fn new(checks_per_second: u32) -> Self {
        Self { tables: Mutex::default(), checks: Checks::new(checks_per_second), unknown: Counter::default() }
    }

    /// Whether `limits` leave room for a session like `status`.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(super) fn check_room(&self, limits: &Limits, visitor: &Visitor, camera: &str) -> Result<(), NoRoom> {
        self.lock().check_room(limits, visitor, camera)
    }

    /// Enters a session where `limits` leave room; from now on its datagrams find it.
    ///
    /// # Errors
    /// [`NoRoom`]; nothing has changed then.
    pub(super) fn enter(
        &self,
        route: Route,
        ufrag: String,
        status: Arc<SessionStatus>,
        limits: &Limits,
    ) -> Result<(), NoRoom> {
        let mut tables = self.lock();
        tables.check_room(limits, &status.visitor, status.camera.as_str())?;
        tables.by_ufrag.insert(ufrag.clone(), route.session);
        if status.is_viewer() {
            tables.totals.note_opened(&status);
        }
        let entry = Entry { route, ufrags: vec![ufrag], addresses: VecDeque::new(), last_new: None, status };
        tables.sessions.insert(route.session, entry);
        Ok(())
    }

    /// Forgets a session that is over and all that leads to it; `ended` is what is to be known of it from then on.
    pub(super) fn forget(&self, session: SessionId, end: End, ended: Option<Ended>) {
        let mut tables = self.lock();
        let Some(entry) = tables.sessions.remove(&session) else { return };
        if entry.status.is_viewer() {
            tables.totals.note_ended(&entry.status, end);
        }
        for ufrag in &entry.ufrags {
            tables.by_ufrag.remove(ufrag);
        }
        for address in entry.addresses {
            if tables.by_address.get(&address) == Some(&entry.route) {
                tables.by_address.remove(&address);
            }
        }
        // Under the same lock: whoever asks meanwhile finds either the session or its end.
        let Some(ended) = ended else { return };
        if tables.ended.len() >= MAX_ENDED {
            tables.ended.pop_front();
        }
        tables.ended.push_back((session, ended));
    }

    /// Why a session is over, if it is one of the last that ended by themselves.
    pub(super) fn end_of(&self, session: SessionId) -> Option<Ended> {
        self.lock().ended.iter().rev().find(|(id, _)| *id == session).map(|(_, ended)| ended.clone())
    }

    /// One more user name fragment that leads to a session. Its viewer restarts ICE and begins with addresses anew: those of
    /// before are forgotten, but for the one in use.
    pub(super) fn add_ufrag(&self, session: SessionId, ufrag: String) {
        let tables = &mut *self.lock();
        if let Some(entry) = tables.sessions.get_mut(&session) {
            tables.by_ufrag.insert(ufrag.clone(), session);
            entry.ufrags.push(ufrag);
            let used = entry.status.remote();
            let (kept, gone) =
                std::mem::take(&mut entry.addresses).into_iter().partition(|address| Some(*address) == used);
            entry.addresses = kept;
            for address in VecDeque::into_iter(gone) {
                if tables.by_address.get(&address) == Some(&entry.route) {
                    tables.by_address.remove(&address);
                }
            }
        }
    }

    /// A user name fragment that leads to a session no more.
    pub(super) fn retire_ufrag(&self, session: SessionId, ufrag: &str) {
        let tables = &mut *self.lock();
        if let Some(entry) = tables.sessions.get_mut(&session) {
            tables.by_ufrag.remove(ufrag);
            entry.ufrags.retain(|other| other != ufrag);
        }
    }

    /// The session that a datagram from `remote` is for; what is for none is counted, and neither answered nor kept.
    pub(super) fn route(&self, remote: Remote, datagram: &[u8], now: Instant) -> Option<Route> {
        let route = self.lock().route(remote, datagram, now);
        if route.is_none() {
            self.unknown.add(1);
        }
        route
    }

    /// Notes a datagram that a session wants to send: the answer to a STUN request finds back by its transaction. Whether it
    /// may be sent: a connectivity check may not that goes where nobody is known to be, and that is one too many there.
    pub(super) fn note_sent(&self, route: Route, remote: Remote, datagram: &[u8], now: Instant) -> bool {
        if !is_request(datagram) {
            return true;
        }
        let Some(transaction) = transaction(datagram) else { return true };
        let mut tables = self.lock();
        if !tables.is_viewer(route.session, remote) && !self.checks.allow(remote.address.ip(), now) {
            return false;
        }
        tables.by_transaction.insert(transaction, route);
        tables.transactions.push_back((now, transaction));
        while let Some((at, old)) = tables.transactions.front().copied()
            && now.saturating_duration_since(at) > TRANSACTION_LIFETIME
        {
            tables.transactions.pop_front();
            tables.by_transaction.remove(&old);
        }
        true
    }

    /// Where a session lives.
    pub(super) fn find(&self, session: SessionId) -> Option<(Route, Arc<SessionStatus>)> {
        self.lock().sessions.get(&session).map(|entry| (entry.route, entry.status.clone()))
    }

    /// All sessions of this role, oldest first.
    pub(super) fn all(&self, role: Role) -> Vec<Arc<SessionStatus>> {
        let all = self.lock().statuses(role);
        by_age(all)
    }

    /// All viewers' sessions, oldest first, and what the viewers of each camera have come to.
    pub(super) fn census(&self) -> (Vec<Arc<SessionStatus>>, BTreeMap<CameraName, ViewerTotals>) {
        let tables = self.lock();
        let all = tables.statuses(Role::Viewer);
        let totals = tables.totals.with(all.iter().map(|status| &**status));
        drop(tables);
        (by_age(all), totals)
    }

    /// Offers that there was no room for, by the key of the limit.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.lock().refused.clone()
    }

    /// How many entries lead to sessions, by what they are found by.
    pub(super) fn routes(&self) -> [(&'static str, usize); 4] {
        let tables = self.lock();
        [
            ("session", tables.sessions.len()),
            ("ufrag", tables.by_ufrag.len()),
            ("address", tables.by_address.len()),
            ("transaction", tables.by_transaction.len()),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Oldest first. Not done under the lock, which every datagram needs.
fn by_age(mut sessions: Vec<Arc<SessionStatus>>) -> Vec<Arc<SessionStatus>> {
    sessions.sort_by_key(|status| status.since);
    sessions
}

impl Tables {
    fn statuses(&self, role: Role) -> Vec<Arc<SessionStatus>> {
        let statuses = self.sessions.values().map(|entry| &entry.status);
        statuses.filter(|status| status.role == role).cloned().collect()
    }

    fn check_room(&mut self, limits: &Limits, visitor: &Visitor, camera: &str) -> Result<(), NoRoom> {
        let sessions = self.sessions.values().map(|entry| &*entry.status);
        limits::check(limits, sessions, visitor, camera)
            .inspect_err(|why| *self.refused.entry(why.key()).or_default() += 1)
    }

    /// Whether `remote` is where a session's media goes, so that its viewer has proved to be there.
    fn is_viewer(&self, session: SessionId, remote: Remote) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.status.remote() == Some(remote))
    }

    fn route(&mut self, remote: Remote, datagram: &[u8], now: Instant) -> Option<Route> {
        match Stun::of(datagram) {
            Some(Stun::Request) => {
                let session = *self.by_ufrag.get(own_ufrag(datagram)?)?;
                self.remember(session, remote, now)
            }
            Some(Stun::Response(transaction)) => {
                let route = self.by_transaction.remove(&transaction);
                route.or_else(|| self.by_address.get(&remote).copied())
            }
            None => self.by_address.get(&remote).copied(),
        }
    }

    /// A request that names our session came from `remote`. Whether it is authentic the session's ICE agent checks; until
    /// then all that this does is to lead this address's datagrams there, where DTLS and SRTP refuse forgeries.
    ///
    /// `None` for one address too many: each would become a peer-reflexive candidate of the session for good.
    fn remember(&mut self, session: SessionId, remote: Remote, now: Instant) -> Option<Route> {
        let owner = self.by_address.get(&remote).map(|route| route.session);
        // Nobody talks a connected viewer's datagrams away from it by sending from its address.
        let taken = owner.filter(|owner| *owner != session).and_then(|owner| self.sessions.get(&owner));
        let taken = taken.is_some_and(|owner| owner.status.remote() == Some(remote));
        let entry = self.sessions.get_mut(&session)?;
        let route = entry.route;
        if !entry.addresses.contains(&remote) {
            let full = entry.addresses.len() >= MAX_ADDRESSES;
            if full && entry.last_new.is_some_and(|last| now.saturating_duration_since(last) < ADDRESS_INTERVAL) {
                return None;
            }
            entry.last_new = Some(now);
            entry.addresses.push_back(remote);
            // Whoever moves keeps what it has: media goes there until there is something better.
            let used = entry.status.remote();
            if full
                && let Some(oldest) = entry.addresses.iter().position(|address| Some(*address) != used)
                && let Some(oldest) = entry.addresses.remove(oldest)
                && self.by_address.get(&oldest) == Some(&route)
            {
                self.by_address.remove(&oldest);
            }
        }
        if !taken {
            self.by_address.insert(remote, route);
        }
        Some(route)
    }
}

/// The two kinds of STUN message that ICE uses here.
#[derive(Debug, PartialEq, Eq)]
enum Stun {
    Request,
    Response(Transaction),
}

impl Stun {
    /// `None` for what is not STUN (RFC 7983 section 7) and for indications.
    fn of(datagram: &[u8]) -> Option<Self> {
        let transaction = transaction(datagram)?;
        match datagram[..2] {
            [0x00, 0x01] => Some(Self::Request),
            [0x01, 0x01] | [0x01, 0x11] => Some(Self::Response(transaction)),
            _ => None,
        }
    }
}

/// The part of USERNAME that names the receiver. Anybody may send requests, so that this walks the attributes (RFC 8489
/// section 14) where they are.
fn own_ufrag(request: &[u8]) -> Option<&str> {
    let length = usize::from(u16::from_be_bytes([*request.get(2)?, *request.get(3)?]));
    let mut rest = request.get(STUN_HEADER..STUN_HEADER + length)?;
    while let Some((header, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = after.get(..length)?;
        if header[..2] == USERNAME {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(ours, _)| ours);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use rtc::stun::{
        attributes::ATTR_USERNAME,
        message::{BINDING_REQUEST, Message},
        textattrs::Username,
    };

    use super::*;
    use crate::peer::transport::Transport;

    fn addr(port: u16) -> Remote {
        Remote { transport: Transport::Udp, address: ([192, 0, 2, 1], port).into() }
    }

    fn request(username: &str) -> Vec<u8> {
        let mut message = Message::new();
        let username = Username::new(ATTR_USERNAME, username.to_owned());
        message
            .build(&[Box::new(BINDING_REQUEST), Box::new(rtc::stun::message::TransactionId::new()), Box::new(username)])
            .expect("a request");
        message.raw.to_vec()
    }

    fn response(request: &[u8]) -> Vec<u8> {
        let mut response = request[..20].to_vec();
        response[0] = 1;
        response[2..4].fill(0);
        response
    }

    fn directory(count: usize) -> (Directory, Vec<Route>) {
        let directory = Directory::new(50);
        let routes: Vec<_> = (0..count).map(|worker| Route { worker, session: SessionId::random() }).collect();
        for (index, route) in routes.iter().enumerate() {
            let status = SessionStatus::new(route.session, "front".parse().expect("a name"), Visitor::here());
            let entered = directory.enter(*route, format!("ufrag{index}"), Arc::new(status), &Limits::all(100));
            assert_eq!(entered, Ok(()));
        }
        (directory, routes)
    }

    #[test]
    fn a_request_is_routed_by_our_ufrag_and_opens_the_address() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        assert_eq!(directory.route(addr(1), &[22, 1, 2], now), None);
        assert_eq!(directory.route(addr(1), &request("ufrag1:theirs"), now), Some(routes[1]));
        assert_eq!(directory.route(addr(1), &[22, 1, 2], now), Some(routes[1]));
        assert_eq!(directory.route(addr(2), &request("nobody:theirs"), now), None);
    }

    #[test]
    fn a_restart_is_routed_by_its_own_ufrag_and_the_old_one_until_it_is_retired() {
        let (directory, routes) = directory(1);
        let now = Instant::now();
        directory.add_ufrag(routes[0].session, "again".to_owned());
        assert_eq!(directory.route(addr(1), &request("again:theirs"), now), Some(routes[0]));
        assert_eq!(directory.route(addr(2), &request("ufrag0:theirs"), now), Some(routes[0]));
        directory.retire_ufrag(routes[0].session, "ufrag0");
        assert_eq!(directory.route(addr(2), &request("ufrag0:theirs"), now), None);
        directory.forget(routes[0].session, End::ViewerLeft, None);
        assert_eq!(directory.route(addr(1), &request("again:theirs"), now), None);
        directory.add_ufrag(routes[0].session, "late".to_owned());
        assert_eq!(directory.route(addr(1), &request("late:theirs"), now), None);
        assert!(directory.lock().by_ufrag.is_empty());
    }

    #[test]
    fn a_response_is_routed_by_its_transaction() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        let sent = request("theirs:ufrag0");
        directory.note_sent(routes[0], addr(9), &sent, now);
        assert_eq!(directory.route(addr(9), &response(&sent), now), Some(routes[0]));
        assert_eq!(directory.route(addr(9), &response(&sent), now), None);
        directory.note_sent(routes[0], addr(9), &sent, now);
        directory.note_sent(routes[0], addr(9), &request("a:b"), now + TRANSACTION_LIFETIME * 2);
        assert_eq!(directory.route(addr(9), &response(&sent), now), None);
    }

    #[test]
    fn a_new_session_takes_over_an_address_and_forgetting_the_old_one_keeps_it() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        directory.route(addr(1), &request("ufrag0:theirs"), now);
        directory.route(addr(1), &request("ufrag1:theirs"), now);
        directory.forget(routes[0].session, End::ViewerLeft, None);
        assert_eq!(directory.route(addr(1), &[22], now), Some(routes[1]));
        directory.forget(routes[1].session, End::ViewerLeft, None);
        assert_eq!(directory.route(addr(1), &[22], now), None);
        assert_eq!(directory.route(addr(1), &request("ufrag1:theirs"), now), None);
        assert!(directory.all(Role::Viewer).is_empty());
    }

    #[test]
    fn one_session_does_not_fill_the_table() {
        let (directory, routes) = directory(1);
        let start = Instant::now();
        for port in 1..1_000 {
            let expected = (usize::from(port) <= MAX_ADDRESSES).then_some(routes[0]);
            assert_eq!(directory.route(addr(port), &request("ufrag0:theirs"), start), expected);
        }
        assert_eq!(directory.lock().by_address.len(), MAX_ADDRESSES);
        let later = start + ADDRESS_INTERVAL;
        assert_eq!(directory.route(addr(2_000), &request("ufrag0:theirs"), later), Some(routes[0]));
        assert_eq!(directory.lock().by_address.len(), MAX_ADDRESSES);
        assert_eq!(directory.route(addr(1), &[22], later), None, "the oldest made room");
    }

    #[test]
    fn the_address_in_use_makes_no_room() {
        let (directory, routes) = directory(1);
        let now = Instant::now();
        directory.route(addr(1), &request("ufrag0:theirs"), now);
        directory.lock().sessions[&routes[0].session].status.set_remote(addr(1));
        for n in 2..100 {
            let later = now + ADDRESS_INTERVAL * n;
            let port = n.try_into().expect("a port");
            assert_eq!(directory.route(addr(port), &request("ufrag0:theirs"), later), Some(routes[0]));
        }
        assert_eq!(directory.route(addr(1), &[22], now), Some(routes[0]));
        assert_eq!(directory.route(addr(2), &[22], now), None, "it was the oldest that nobody uses");
        assert_eq!(directory.lock().by_address.len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_restart_begins_with_addresses_anew() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        for port in 1..=100 {
            directory.route(addr(port), &request("ufrag0:theirs"), now);
        }
        directory.route(addr(2), &request("ufrag1:theirs"), now);
        directory.lock().sessions[&routes[0].session].status.set_remote(addr(1));
        directory.add_ufrag(routes[0].session, "again".to_owned());
        assert_eq!(directory.route(addr(1), &[22], now), Some(routes[0]), "media goes on");
        assert_eq!(directory.route(addr(2), &[22], now), Some(routes[1]), "another's stays another's");
        assert_eq!(directory.route(addr(3), &[22], now), None);
        for port in 200..200 + MAX_ADDRESSES - 1 {
            let port = port.try_into().expect("a port");
            assert_eq!(directory.route(addr(port), &request("again:theirs"), now), Some(routes[0]));
        }
        assert_eq!(directory.route(addr(300), &request("again:theirs"), now), None);
    }

    #[test]
    fn a_connected_viewers_address_is_not_taken_over() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        directory.route(addr(1), &request("ufrag0:theirs"), now);
        directory.lock().sessions[&routes[0].session].status.set_remote(addr(1));
        assert_eq!(directory.route(addr(1), &request("ufrag1:theirs"), now), Some(routes[1]));
        assert_eq!(directory.route(addr(1), &[22], now), Some(routes[0]));
    }

    #[test]
    fn there_are_never_more_sessions_than_the_limit() {
        let (directory, _) = directory(2);
        let route = Route { worker: 0, session: SessionId::random() };
        let status = Arc::new(SessionStatus::new(route.session, "front".parse().expect("a name"), Visitor::here()));
        assert_eq!(directory.enter(route, "third".to_owned(), status, &Limits::all(2)), Err(NoRoom::Full(2)));
        assert_eq!(directory.all(Role::Viewer).len(), 2);
    }

    #[test]
    fn a_stranger_is_not_checked_for_ever_and_a_viewer_is() {
        let (directory, routes) = directory(2);
        let (now, check) = (Instant::now(), request("theirs:ufrag0"));
        directory.lock().sessions[&routes[0].session].status.set_remote(addr(1));
        let sent = |route, remote| (0..5_000).filter(|_| directory.note_sent(route, remote, &check, now)).count();
        assert_eq!(sent(routes[0], addr(1)), 5_000, "its viewer is there");
        assert_eq!(
            sent(routes[1], addr(2)) + sent(routes[0], addr(3)),
            1_000,
            "one address, whatever the session and port"
        );
        assert_eq!(directory.checks.withheld.total(), 9_000);
        assert!(directory.note_sent(routes[1], addr(2), &response(&check), now), "answers are not checks");
    }

    #[test]
    fn what_is_for_nobody_is_counted_and_not_kept() {
        let (directory, _) = directory(1);
        let now = Instant::now();
        let known = request("ufrag0:theirs");
        for length in 0..known.len() {
            assert_eq!(directory.route(addr(1), &known[..length], now), None, "{length}");
        }
        for stray in [&request("nobody:theirs")[..], &[22, 1, 2], &[128, 96], &[], &response(&known)] {
            assert_eq!(directory.route(addr(1), stray, now), None);
        }
        assert_eq!(directory.unknown.total(), known.len() as u64 + 5);
        assert!(directory.lock().by_address.is_empty());
    }
}
