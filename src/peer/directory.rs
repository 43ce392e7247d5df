//! Which datagram belongs to which session, when all sessions share one port.
//!
//! By the ICE user name in a STUN request (RFC 8445 section 7.2.2: ours before the colon), by the transaction of a STUN
//! response to a request of ours, and by the remote address for everything else. What belongs to nobody is dropped
//! without an answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use rtc::stun::{attributes::ATTR_USERNAME, message::Message};

use super::{
    Ended, SessionId, SessionStatus,
    session::{Transaction, transaction},
    transport::Remote,
};

/// Remote addresses remembered per session, so that nobody fills the table by sending from many ports. A browser has a
/// handful of candidates.
const MAX_ADDRESSES: usize = 16;
/// Between two more addresses of one session beyond that: a phone that wanders for days changes its address seldom.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(60);
/// A STUN response later than this is not waited for: ICE gives up on a check after 1.4 s here (7 times 200 ms).
const TRANSACTION_LIFETIME: Duration = Duration::from_secs(5);
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
}

/// The table of all sessions, shared by the receiver, the workers and the API.
#[derive(Debug, Default)]
pub(super) struct Directory {
    tables: Mutex<Tables>,
}

impl Directory {
    /// Enters a session unless there are `limit` already; from now on its datagrams find it.
    pub(super) fn enter(&self, route: Route, ufrag: String, status: Arc<SessionStatus>, limit: usize) -> bool {
        let mut tables = self.lock();
        if tables.sessions.len() >= limit {
            return false;
        }
        tables.by_ufrag.insert(ufrag.clone(), route.session);
        let entry = Entry { route, ufrags: vec![ufrag], addresses: VecDeque::new(), last_new: None, status };
        tables.sessions.insert(route.session, entry);
        true
    }

    /// Forgets a session and all that leads to it.
    pub(super) fn forget(&self, session: SessionId) {
        let mut tables = self.lock();
        let Some(entry) = tables.sessions.remove(&session) else { return };
        for ufrag in &entry.ufrags {
            tables.by_ufrag.remove(ufrag);
        }
        for address in entry.addresses {
            if tables.by_address.get(&address) == Some(&entry.route) {
                tables.by_address.remove(&address);
            }
        }
    }

    /// Keeps what is to be known of a session that is over.
    pub(super) fn remember_end(&self, session: SessionId, ended: Ended) {
        let mut tables = self.lock();
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

    /// The session that a datagram from `remote` is for.
    pub(super) fn route(&self, remote: Remote, datagram: &[u8], now: Instant) -> Option<Route> {
        let mut tables = self.lock();
        match Stun::of(datagram) {
            Some(Stun::Request) => {
                let ufrag = own_ufrag(datagram)?;
                let session = *tables.by_ufrag.get(&ufrag)?;
                tables.remember(session, remote, now)
            }
            Some(Stun::Response(transaction)) => {
                let route = tables.by_transaction.remove(&transaction);
                route.or_else(|| tables.by_address.get(&remote).copied())
            }
            None => tables.by_address.get(&remote).copied(),
        }
    }

    /// Notes a datagram that a session sends: the answer to a STUN request finds back by its transaction.
    pub(super) fn note_sent(&self, route: Route, datagram: &[u8], now: Instant) {
        if !is_request(datagram) {
            return;
        }
        let Some(transaction) = transaction(datagram) else { return };
        let mut tables = self.lock();
        tables.by_transaction.insert(transaction, route);
        tables.transactions.push_back((now, transaction));
        while let Some((at, old)) = tables.transactions.front().copied()
            && now.saturating_duration_since(at) > TRANSACTION_LIFETIME
        {
            tables.transactions.pop_front();
            tables.by_transaction.remove(&old);
        }
    }

    /// Where a session lives.
    pub(super) fn find(&self, session: SessionId) -> Option<(Route, Arc<SessionStatus>)> {
        self.lock().sessions.get(&session).map(|entry| (entry.route, entry.status.clone()))
    }

    /// All sessions, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<SessionStatus>> {
        let mut all: Vec<_> = self.lock().sessions.values().map(|entry| entry.status.clone()).collect();
        all.sort_by_key(|status| status.since);
        all
    }

    pub(super) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Tables {
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

/// The part of USERNAME that names the receiver.
fn own_ufrag(datagram: &[u8]) -> Option<String> {
    let mut message = Message::new();
    message.unmarshal_binary(datagram).ok()?;
    let username = String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()?;
    username.split_once(':').map(|(ours, _)| ours.to_owned())
}

#[cfg(test)]
mod tests {
    use rtc::stun::{message::BINDING_REQUEST, textattrs::Username};

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
        let directory = Directory::default();
        let routes: Vec<_> = (0..count).map(|worker| Route { worker, session: SessionId::random() }).collect();
        for (index, route) in routes.iter().enumerate() {
            let status = SessionStatus::new(route.session, "front".parse().expect("a name"));
            directory.enter(*route, format!("ufrag{index}"), Arc::new(status), usize::MAX);
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
        directory.forget(routes[0].session);
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
        directory.note_sent(routes[0], &sent, now);
        assert_eq!(directory.route(addr(9), &response(&sent), now), Some(routes[0]));
        assert_eq!(directory.route(addr(9), &response(&sent), now), None);
        directory.note_sent(routes[0], &sent, now);
        directory.note_sent(routes[0], &request("a:b"), now + TRANSACTION_LIFETIME * 2);
        assert_eq!(directory.route(addr(9), &response(&sent), now), None);
    }

    #[test]
    fn a_new_session_takes_over_an_address_and_forgetting_the_old_one_keeps_it() {
        let (directory, routes) = directory(2);
        let now = Instant::now();
        directory.route(addr(1), &request("ufrag0:theirs"), now);
        directory.route(addr(1), &request("ufrag1:theirs"), now);
        directory.forget(routes[0].session);
        assert_eq!(directory.route(addr(1), &[22], now), Some(routes[1]));
        directory.forget(routes[1].session);
        assert_eq!(directory.route(addr(1), &[22], now), None);
        assert_eq!(directory.route(addr(1), &request("ufrag1:theirs"), now), None);
        assert_eq!(directory.len(), 0);
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
        let status = Arc::new(SessionStatus::new(route.session, "front".parse().expect("a name")));
        assert!(!directory.enter(route, "third".to_owned(), status, 2));
        assert_eq!(directory.len(), 2);
    }
}
