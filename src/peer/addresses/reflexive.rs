//! Our own addresses as servers outside see them (server-reflexive, RFC 8445 section 5.1.1.2), asked for by STUN (RFC 8489)
//! from the port that viewers use, so that the router's mapping is the one that viewers need.
//!
//! In: which servers to ask from which addresses, and the responses among the port's datagrams. Out: mappings. Only the task
//! that asks waits for a server.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, RwLock},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rtc::stun::{
    message::{BINDING_REQUEST, Getter, Message, TransactionId},
    xoraddr::XorMappedAddress,
};
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use crate::peer::socket::{Received, Socket};

/// How long each transmission of a request waits for its response (RFC 8489 section 6.2.1, cut short: what answers later
/// than this is no use).
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_millis(1_000), Duration::from_millis(1_500)];
/// A mapping that was confirmed within this time still counts: its server may be restarting.
const LIFETIME: Duration = Duration::from_secs(300);
/// Pairs of an address of ours and a server; more are not asked in one round.
const MAX_QUESTIONS: usize = 32;
/// Binding success and error responses (RFC 8489 section 5).
const RESPONSES: [[u8; 2]; 2] = [[0x01, 0x01], [0x01, 0x11]];
/// Where the transaction id stands in a STUN header.
const TRANSACTION: std::ops::Range<usize> = 8..20;

/// One address of ours as a server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Where it was asked from.
    pub(super) base: SocketAddr,
    /// What the server saw.
    pub(super) mapped: SocketAddr,
    /// Who was asked.
    pub(super) server: SocketAddr,
    heard: Instant,
}

/// A question under way.
#[derive(Debug)]
struct Pending {
    server: SocketAddr,
    answer: oneshot::Sender<Option<SocketAddr>>,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// Questions there were.
    pub(super) asked: usize,
    /// Questions that were answered.
    pub(super) answered: usize,
}

/// The gateway's own STUN transactions, and what they brought.
#[derive(Debug, Default)]
pub(super) struct Reflexive {
    pending: Mutex<HashMap<[u8; 12], Pending>>,
    mappings: RwLock<Vec<Mapping>>,
}

impl Reflexive {
    /// What is known, the longest known first.
    pub(super) fn mappings(&self) -> Vec<Mapping> {
        self.mappings.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Asks every server from every address of its family; tells what was heard. Ends when all have answered or after three
    /// seconds.
    pub(super) async fn ask(
        &self,
        socket: &Socket,
        bases: &[SocketAddr],
        servers: &[SocketAddr],
    ) -> (Round, Vec<Mapping>) {
        let pairs = bases.iter().flat_map(|base| servers.iter().map(|server| (*base, *server)));
        let pairs = pairs.filter(|(base, server)| base.is_ipv4() == server.is_ipv4()).take(MAX_QUESTIONS);
        let questions: Vec<_> = pairs.map(|(base, server)| self.question(socket, base, server)).collect();
        let asked = questions.len();
        let answers: Vec<_> = join_all(questions).await.into_iter().flatten().collect();
        let round = Round { asked, answered: answers.len() };
        let mut mappings = self.mappings.write().unwrap_or_else(|e| e.into_inner());
        mappings.retain(|known| bases.contains(&known.base) && known.heard.elapsed() < LIFETIME);
        for answer in &answers {
            let same = |known: &&mut Mapping| (known.base, known.server) == (answer.base, answer.server);
            match mappings.iter_mut().find(same) {
                Some(known) => *known = answer.clone(),
                None => mappings.push(answer.clone()),
            }
        }
        (round, answers)
    }

    /// Takes a datagram that answers a question. Whether it was one.
    pub(super) fn take(&self, datagram: &Received) -> bool {
        if !RESPONSES.iter().any(|response| datagram.data.starts_with(response)) {
            return false;
        }
        let Some(id) = datagram.data.get(TRANSACTION) else { return false };
        let mut pending = self.lock();
        // Only the server that was asked knows the transaction, unless somebody listens on the way.
        if pending.get(id).is_none_or(|question| question.server != datagram.remote.address) {
            return false;
        }
        if let Some(question) = pending.remove(id) {
            // The round may be over.
            let _ = question.answer.send(mapped_address(&datagram.data));
        }
        true
    }

    async fn question(&self, socket: &Socket, base: SocketAddr, server: SocketAddr) -> Option<Mapping> {
        let mut request = Message::new();
        request.build(&[Box::new(BINDING_REQUEST), Box::new(TransactionId::new())]).ok()?;
        let id = request.transaction_id.0;
        let (answer, mut answered) = oneshot::channel();
        self.lock().insert(id, Pending { server, answer });
        let mut mapped = None;
        for wait in WAITS {
            if let Err(error) = socket.send_one(base.ip(), server, &request.raw) {
                // Without a route there is nothing to wait for.
                debug!(%base, %server, %error, "cannot ask this STUN server");
                break;
            }
            if let Ok(answer) = timeout(wait, &mut answered).await {
                mapped = answer.ok().flatten();
                break;
            }
        }
        self.lock().remove(&id);
        Some(Mapping { base, mapped: mapped?, server, heard: Instant::now() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 12], Pending>> {
        self.pending.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// XOR-MAPPED-ADDRESS, if it is one that somebody can send to.
fn mapped_address(response: &[u8]) -> Option<SocketAddr> {
    let mut message = Message::new();
    message.unmarshal_binary(response).ok()?;
    let mut mapped = XorMappedAddress::default();
    mapped.get_from(&message).ok()?;
    let ip = mapped.ip.to_canonical();
    (!ip.is_unspecified() && !ip.is_multicast() && mapped.port != 0).then(|| SocketAddr::new(ip, mapped.port))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rtc::stun::message::BINDING_SUCCESS;
    use tokio::net::UdpSocket;

    use super::*;
    use crate::peer::{
        reader::Reader,
        transport::{Remote, Transport},
    };

    /// A STUN server that sees every client at `mapped`, and drops the first `lost` requests.
    async fn server(mapped: &str, mut lost: usize) -> SocketAddr {
        let mapped: SocketAddr = mapped.parse().expect("an address");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if lost > 0 {
                    lost -= 1;
                    continue;
                }
                let mut request = Message::new();
                request.unmarshal_binary(&buffer[..length]).expect("a request");
                let mut response = Message::new();
                let address = XorMappedAddress { ip: mapped.ip(), port: mapped.port() };
                let id = request.transaction_id;
                response.build(&[Box::new(BINDING_SUCCESS), Box::new(id), Box::new(address)]).expect("a response");
                let _ = socket.send_to(&response.raw, from).await;
            }
        });
        address
    }

    fn datagram(from: SocketAddr, data: &[u8]) -> Received {
        let remote = Remote { transport: Transport::Udp, address: from };
        Received { remote, to: None, data: data.into(), at: Instant::now() }
    }

    struct Asker {
        reflexive: Arc<Reflexive>,
        socket: Arc<Socket>,
        _reader: Reader,
    }

    impl Asker {
        fn new() -> Self {
            let socket = Arc::new(Socket::bind(([127, 0, 0, 1], 0).into()).expect("a port"));
            let reflexive = Arc::new(Reflexive::default());
            let taking = reflexive.clone();
            let reader = Reader::start(socket.clone(), move |datagram| _ = taking.take(&datagram)).expect("a thread");
            Self { reflexive, socket, _reader: reader }
        }

        async fn ask(&self, servers: &[SocketAddr]) -> (Round, Vec<String>) {
            let base = self.socket.local_address();
            let (round, heard) = self.reflexive.ask(&self.socket, &[base], servers).await;
            assert_eq!(heard.len(), round.answered);
            let mappings = self.reflexive.mappings();
            assert!(mappings.iter().all(|mapping| mapping.base == base));
            (round, mappings.iter().map(|mapping| mapping.mapped.to_string()).collect())
        }
    }

    #[tokio::test]
    async fn servers_tell_what_they_see() {
        let asker = Asker::new();
        let servers = [server("203.0.113.7:4567", 0).await, server("203.0.113.7:4568", 1).await];
        let (round, mapped) = asker.ask(&servers).await;
        assert_eq!(round, Round { asked: 2, answered: 2 });
        assert_eq!(mapped, ["203.0.113.7:4567", "203.0.113.7:4568"]);
        assert!(asker.reflexive.lock().is_empty());
    }

    #[tokio::test]
    async fn a_server_that_is_away_for_a_round_still_counts() {
        let asker = Asker::new();
        let server = server("203.0.113.7:4567", 0).await;
        asker.ask(&[server]).await;
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let (round, mapped) = asker.ask(&[silent.local_addr().expect("an address")]).await;
        assert_eq!(round, Round { asked: 1, answered: 0 });
        assert_eq!(mapped, ["203.0.113.7:4567"]);
        asker.reflexive.ask(&asker.socket, &[], &[]).await;
        assert_eq!(asker.reflexive.mappings(), [], "the address it was asked from is gone");
    }

    #[tokio::test]
    async fn nonsense_is_no_mapping() {
        let asker = Asker::new();
        let servers = [server("0.0.0.0:9", 0).await, server("203.0.113.7:0", 0).await];
        assert_eq!(asker.ask(&servers).await, (Round { asked: 2, answered: 0 }, Vec::new()));
    }

    #[tokio::test]
    async fn only_the_server_that_was_asked_answers() {
        let reflexive = Reflexive::default();
        let server: SocketAddr = ([192, 0, 2, 1], 3478).into();
        let (answer, _answered) = oneshot::channel();
        reflexive.lock().insert([7; 12], Pending { server, answer });
        let response = |from: SocketAddr, id: u8| {
            let mut data = vec![0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
            data.extend([id; 12]);
            datagram(from, &data)
        };
        assert!(!reflexive.take(&response(([192, 0, 2, 2], 3478).into(), 7)));
        assert!(!reflexive.take(&response(server, 8)));
        assert!(!reflexive.take(&datagram(server, &[0x01, 0x01])));
        assert!(reflexive.take(&response(server, 7)));
        assert!(!reflexive.take(&response(server, 7)), "once");
    }
}
