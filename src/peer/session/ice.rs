//! ICE of one session (RFC 8445), through its restarts.
//!
//! A restart is checked beside what is in use and takes over when the viewer has nominated a pair of it, so that media
//! goes on meanwhile, and for good if nothing comes of the restart.

mod migration;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rtc::{
    crypto::{RTCCrypto, RTCCryptoProvider},
    ice::{
        Agent, AgentConfig,
        candidate::{Candidate, CandidateType, unmarshal_candidate},
        mdns::MulticastDnsMode,
        state::ConnectionState,
    },
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, error::Error},
};

use self::migration::Migration;
use super::{
    binding::success,
    datagram::{is_stun_request, is_stun_response},
};
use crate::peer::{
    IceMode, Origin,
    diagnosis::Seen,
    engine::local_candidates,
    ice_description::{IceCredentials, useful_candidates},
    transport::Remote,
};

/// No packet for this long: the connection shows as disconnected. Twice Chromium's interval between consent checks.
const DISCONNECTED: Duration = Duration::from_secs(5);
/// Disconnected for this long: given up, and everything freed (RFC 7675 allows 30 s in all).
const FAILED: Duration = Duration::from_secs(10);
/// Our own consent checks (RFC 7675 section 5.1: about every 5 s; more often finds a dead viewer sooner).
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Rounds of checks at `rtc`'s pace (five a second) after candidates came; later ones are for what opens late: a TURN server
/// lets nothing through to a viewer that has not taken the answer yet.
const QUICK_ROUNDS: u32 = 8;
/// Between later rounds. A check through a symmetric NAT is all that tells the viewer of its address, so that they go on.
const SLOW_CHECKS: Duration = Duration::from_secs(1);
/// Checks of a pair without an answer. At that pace they last until the session is given up.
const MAX_CHECKS: u16 = 25;
/// A session with a pair may be woken this much later, together with its sender reports: `rtc` would look five times a
/// second. What a viewer asks is answered at once all the same.
const LEEWAY: Duration = Duration::from_millis(800);

/// RFC 6762 section 2.
const MDNS_PORT: u16 = 5353;
/// Candidates that are kept for a diagnosis.
const MAX_TOLD: usize = 40;

/// One side each of what ICE begins with.
#[derive(Clone, Debug)]
pub(in crate::peer) struct Terms {
    pub(in crate::peer) ours: IceCredentials,
    pub(in crate::peer) theirs: IceCredentials,
    /// Our candidates.
    pub(in crate::peer) offered: Vec<crate::peer::Candidate>,
    /// The viewer's candidates, as values of `a=candidate`.
    pub(in crate::peer) candidates: Vec<String>,
}

/// ICE of one session.
pub(super) struct Ice {
    provider: Arc<dyn RTCCryptoProvider>,
    mode: IceMode,
    current: Generation,
    /// A restart that has no pair yet.
    next: Option<Generation>,
    /// Where everything but STUN goes.
    path: Option<TransportContext>,
    /// User name fragments of ours that no check is expected for any more.
    retired: Vec<String>,
    seen: Seen,
    /// The viewer's candidates, useful or not, for who asks why there is no connection.
    told: Vec<String>,
}

impl Ice {
    pub(super) fn new(
        provider: Arc<dyn RTCCryptoProvider>,
        mode: IceMode,
        terms: Terms,
        now: Instant,
    ) -> Result<Self, Error> {
        let told = terms.candidates.iter().take(MAX_TOLD).cloned().collect();
        let current = Generation::new(&provider, mode, terms, now)?;
        Ok(Self { provider, mode, current, next: None, path: None, retired: Vec::new(), seen: Seen::default(), told })
    }

    /// Begins a restart; one that is under way is forgotten.
    ///
    /// # Errors
    /// What `rtc` does not like about the terms; nothing has changed then.
    pub(super) fn restart(&mut self, terms: Terms, now: Instant) -> Result<(), Error> {
        let next = Generation::new(&self.provider, self.mode, terms, now)?;
        if let Some(given_up) = self.next.replace(next) {
            self.retired.push(given_up.ours.ufrag);
        }
        Ok(())
    }

    /// Candidates of the viewer's that came after its offer or its last restart; what is of no use is left out.
    pub(super) fn add_candidates(&mut self, candidates: &[String]) {
        self.told.extend(candidates.iter().take(MAX_TOLD.saturating_sub(self.told.len())).cloned());
        self.newest_mut().add_candidates(candidates);
    }

    /// The viewer's credentials as they were last told.
    pub(super) fn theirs(&self) -> &IceCredentials {
        &self.newest().theirs
    }

    /// Names what ICE is at now; it changes with each restart.
    pub(super) fn generation(&self) -> &str {
        &self.newest().ours.ufrag
    }

    /// User name fragments to route no more.
    pub(super) fn take_retired(&mut self) -> Vec<String> {
        std::mem::take(&mut self.retired)
    }

    /// By which pair media travels, once there is one.
    pub(super) fn path(&self) -> Option<TransportContext> {
        self.path
    }

    /// What has come of the viewer, the handshake aside.
    pub(super) fn seen(&self) -> Seen {
        Seen { path: self.path.as_ref().map(Remote::of), ..self.seen }
    }

    /// The viewer's candidates as it told them.
    pub(super) fn told(&self) -> &[String] {
        &self.told
    }

    /// Whether the viewer is given up: it is not heard, and no restart is under way that could find it again.
    pub(super) fn is_lost(&self) -> bool {
        self.current.has_failed() && self.next.is_none()
    }

    /// A STUN message. Each generation knows its own by credentials.
    pub(super) fn read(&mut self, transport: TransportContext, message: BytesMut, now: Instant) {
        let provider = self.provider.clone();
        let mut read = |generation: &mut Generation| generation.read(transport, &message, now, provider.crypto());
        let taken = self.next.as_mut().is_some_and(&mut read) || read(&mut self.current);
        self.seen.foreign |= !taken;
        self.seen.answer |= taken && is_stun_response(&message);
        if taken && is_stun_request(&message) && self.seen.check.is_none() {
            self.seen.check = Some(Remote::of(&transport));
        }
        self.settle();
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        for generation in [Some(&mut self.current), self.next.as_mut()].into_iter().flatten() {
            generation.on_timeout(now);
        }
        self.settle();
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let leeway = if self.path.is_some() { LEEWAY } else { Duration::ZERO };
        let current = self.current.poll_timeout().map(|at| at + leeway);
        let next = self.next.as_mut().and_then(Generation::poll_timeout);
        [current, next].into_iter().flatten().min()
    }

    /// The next check or answer to send.
    pub(super) fn poll_transmit(&mut self) -> Option<TaggedBytesMut> {
        let next = self.next.as_mut().and_then(Generation::poll_transmit);
        let out = next.or_else(|| self.current.poll_transmit());
        // An answer to a nomination may have been among what is sent.
        self.path = self.current.path();
        out
    }

    fn newest(&self) -> &Generation {
        self.next.as_ref().unwrap_or(&self.current)
    }

    fn newest_mut(&mut self) -> &mut Generation {
        self.next.as_mut().unwrap_or(&mut self.current)
    }

    fn settle(&mut self) {
        // States are looked at, not listened for; an unread queue would grow.
        for generation in [Some(&mut self.current), self.next.as_mut()].into_iter().flatten() {
            while generation.agent.poll_event().is_some() {}
        }
        if let Some(next) = self.next.take_if(|next| next.path().is_some() || next.has_failed()) {
            let over = if next.has_failed() { next } else { std::mem::replace(&mut self.current, next) };
            self.retired.push(over.ours.ufrag);
        }
        self.path = self.current.path();
    }
}

/// ICE between two restarts.
struct Generation {
    agent: Agent,
    ours: IceCredentials,
    theirs: IceCredentials,
    migration: Migration,
    /// Answers to checks that the agent leaves unanswered.
    answers: VecDeque<TaggedBytesMut>,
    /// Rounds of checks since candidates came, and when the last was.
    rounds: u32,
    checked: Instant,
}

impl Generation {
    fn new(provider: &Arc<dyn RTCCryptoProvider>, mode: IceMode, terms: Terms, now: Instant) -> Result<Self, Error> {
        let Terms { ours, theirs, offered, candidates } = terms;
        let config = AgentConfig {
            lite: mode == IceMode::Lite,
            // rtc asks this of a lite agent, which gathers nothing else either.
            candidate_types: if mode == IceMode::Lite { vec![CandidateType::Host] } else { Vec::new() },
            local_ufrag: ours.ufrag.clone(),
            local_pwd: ours.pwd.clone(),
            // Would open a multicast socket per session and fail where there is no multicast route.
            multicast_dns_mode: MulticastDnsMode::Disabled,
            disconnected_timeout: Some(DISCONNECTED),
            failed_timeout: Some(FAILED),
            keepalive_interval: Some(KEEPALIVE),
            max_binding_requests: Some(MAX_CHECKS),
            ..AgentConfig::default()
        };
        let mut agent = Agent::new(now, Arc::new(config), provider.clone())?;
        // Checks leave from the base; those of what a router maps to it would be the same once more (RFC 8445 section 6.1.2.4).
        let bases: Vec<_> =
            offered.into_iter().filter(|candidate| !matches!(candidate.origin, Origin::Reflexive { .. })).collect();
        for candidate in local_candidates(&bases)? {
            agent.add_local_candidate(candidate)?;
        }
        let (migration, answers) = (Migration::default(), VecDeque::new());
        let mut generation = Self { agent, ours, theirs, migration, answers, rounds: 0, checked: now };
        generation.add_candidates(&candidates);
        let IceCredentials { ufrag, pwd } = generation.theirs.clone();
        // The viewer offers, so that it controls.
        generation.agent.start_connectivity_checks(now, false, ufrag, pwd)?;
        Ok(generation)
    }

    fn add_candidates(&mut self, candidates: &[String]) {
        let known = self.agent.get_remote_candidates().len();
        let useful = useful_candidates(candidates, known);
        for candidate in useful.filter_map(|candidate| unmarshal_candidate(candidate).ok()) {
            // WHEP section 4.5.2: what cannot be used is left out without a word.
            let _ = self.agent.add_remote_candidate(candidate);
            self.rounds = 0;
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.rounds = self.rounds.saturating_add(1);
            self.checked = now;
            // A check that cannot be made is one that fails.
            let _ = self.agent.handle_timeout(now);
        }
    }

    /// When to look at the agent again.
    fn poll_timeout(&mut self) -> Option<Instant> {
        let slow = self.rounds >= QUICK_ROUNDS && self.selected().is_none();
        let due = self.agent.poll_timeout()?;
        Some(if slow { due.max(self.checked + SLOW_CHECKS) } else { due })
    }

    /// Returns whether the message was for this generation.
    fn read(&mut self, transport: TransportContext, message: &BytesMut, now: Instant, crypto: &dyn RTCCrypto) -> bool {
        // An indication is not authentic, and the agent would count it as a sign of life all the same.
        if !is_stun_request(message) && !is_stun_response(message) {
            return false;
        }
        // The agent takes what comes from this port for an answer to a name, and looks at no credentials.
        if transport.peer_addr.port() == MDNS_PORT {
            return false;
        }
        let seen_as = self.migration.inbound(self.selected(), transport, message);
        let read =
            |agent: &mut Agent, transport, message| agent.handle_read(TaggedBytesMut { now, transport, message });
        let accepted = read(&mut self.agent, seen_as, message.clone()).is_ok();
        self.on_timeout(now);
        if !accepted {
            return false;
        }
        // RFC 8445 section 7.3 answers every check at once. A browser that waits for our own begins its handshake a round trip
        // later, or two.
        if self.migration.is_left_unanswered(transport, message)
            && let Ok(answer) = success(message, transport.peer_addr, &self.ours.pwd, crypto)
        {
            self.answers.push_back(TaggedBytesMut { now, transport, message: BytesMut::from(&answer[..]) });
        }
        let selected = self.selected();
        if let Some(nomination) = self.migration.accepted(selected, transport, message, now) {
            let _ = read(&mut self.agent, transport, nomination);
        }
        true
    }

    fn poll_transmit(&mut self) -> Option<TaggedBytesMut> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let mut out = self.agent.poll_write()?;
        self.migration.outbound(self.selected(), &mut out);
        Some(out)
    }

    fn has_failed(&self) -> bool {
        self.agent.state() == ConnectionState::Failed
    }

    /// By which pair media travels.
    fn path(&self) -> Option<TransportContext> {
        self.selected().map(|selected| self.migration.path(selected))
    }

    /// The pair that the agent selected.
    fn selected(&self) -> Option<TransportContext> {
        let (local, remote): (&Candidate, &Candidate) = self.agent.get_selected_candidate_pair()?;
        Some(TransportContext {
            local_addr: local.base_addr(),
            peer_addr: remote.addr(),
            transport_protocol: local.network_type().to_protocol(),
            ecn: None,
        })
    }
}
