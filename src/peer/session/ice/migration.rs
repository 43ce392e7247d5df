//! Which pair media travels by after the viewer has moved: its NAT gave it another port, or it nominated a better pair.
//!
//! `rtc` keeps the pair that was nominated first, for good: RFC 8445 has no second nomination. Browsers make one all the
//! same (libwebrtc nominates with each check of the pair that it prefers, wherever that has got to), and viewers that do
//! not are found where they answer. The agent is left in the belief that nothing has changed: what it sends to the first
//! pair goes to the new one, and the answers come back to it as from the first, so that consent (RFC 7675) is of the path
//! that is in use.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rtc::shared::{TaggedBytesMut, TransportContext};

use super::DISCONNECTED;
use crate::peer::{
    session::datagram::{Transaction, is_stun_request, is_stun_response, transaction},
    transport::Remote,
};

/// STUN attribute (RFC 8445 section 16.1).
const USE_CANDIDATE: [u8; 4] = [0x00, 0x25, 0x00, 0x00];
/// A viewer that does not nominate is only followed when it has been silent on its old path for this long.
const SILENCE: Duration = DISCONNECTED;
/// Checks whose answers are waited for: all those of 20 candidates and three addresses of ours within the lifetime of one.
const MAX_CHECKS: usize = 512;
/// An answer later than this is none: `rtc` forgets its own checks after 4 s, the directory after 5 s.
const CHECK_LIFETIME: Duration = Duration::from_secs(5);

/// Nominations that wait for an answer, each of another pair: more than a viewer can have.
const MAX_NOMINATIONS: usize = 64;

/// Addresses that are remembered for an answer: more than a viewer can have candidates.
const MAX_PROVEN: usize = 64;

/// A check of the agent's that is not answered yet.
#[derive(Debug)]
struct Check {
    transaction: Transaction,
    /// Where it went, and when.
    to: Remote,
    at: Instant,
    /// Whether the agent believes that it went to the selected pair, and it did not.
    moved: bool,
}

/// Where the viewer is, beside the pair that `rtc` selected.
#[derive(Debug, Default)]
pub(super) struct Migration {
    to: Option<TransportContext>,
    /// When something authentic came by the path in use.
    heard: Option<Instant>,
    /// The last nomination of each pair, the newest last, until one is answered. A browser nominates all pairs at once as long
    /// as none works.
    nominations: VecDeque<(TransportContext, BytesMut)>,
    /// The agent's checks, oldest first.
    checks: VecDeque<Check>,
    /// Where checks were answered from.
    proven: VecDeque<Remote>,
}

impl Migration {
    /// The pair that media travels by.
    pub(super) fn path(&self, selected: TransportContext) -> TransportContext {
        self.to.unwrap_or(selected)
    }

    /// By which pair the agent is to believe that a message came.
    pub(super) fn inbound(
        &self,
        selected: Option<TransportContext>,
        from: TransportContext,
        message: &[u8],
    ) -> TransportContext {
        match (selected, self.answered(from, message)) {
            (Some(selected), Some(index)) if self.checks[index].moved => selected,
            _ => from,
        }
    }

    /// The check that a message answers: the agent takes any response that has the right key, and a viewer could write the
    /// sender of one itself.
    fn answered(&self, from: TransportContext, message: &[u8]) -> Option<usize> {
        let transaction = transaction(message).filter(|_| is_stun_response(message))?;
        let remote = Remote::of(&from);
        self.checks.iter().position(|check| check.transaction == transaction && check.to == remote)
    }

    /// Whether `message`, a nomination, gets no answer from the agent: it answers one only for a pair whose own check has
    /// succeeded.
    pub(super) fn is_left_unanswered(&self, from: TransportContext, message: &[u8]) -> bool {
        is_nomination(message) && !self.proven.contains(&Remote::of(&from))
    }

    /// Notes a message that the agent took for authentic, and returns the nomination that should be played once more: the
    /// agent has forgotten it, and the check that it waited for is answered now.
    pub(super) fn accepted(
        &mut self,
        selected: Option<TransportContext>,
        from: TransportContext,
        message: &BytesMut,
        now: Instant,
    ) -> Option<BytesMut> {
        if is_nomination(message) {
            self.note_nomination(from, message);
        }
        let answered = self.answered(from, message).and_then(|index| self.checks.remove(index));
        let answer = answered.is_some_and(|check| now.saturating_duration_since(check.at) <= CHECK_LIFETIME);
        if answer {
            self.note_proven(Remote::of(&from));
        }
        if let Some(selected) = selected {
            if from == self.path(selected) {
                self.heard = Some(now);
            } else {
                let heard = *self.heard.get_or_insert(now);
                if answer && now.saturating_duration_since(heard) > SILENCE {
                    self.move_to(selected, from, now);
                }
            }
        }
        let nominated = self.nominations.iter().find(|(by, _)| *by == from).filter(|_| answer);
        nominated.map(|(_, nomination)| nomination.clone())
    }

    /// Sends what the agent has for its selected pair to where the viewer is now, and follows it when the agent answers a
    /// nomination: that is how to learn that it was authentic. That the viewer is there an answer to a check has to say: it
    /// could give a nomination from elsewhere the transaction of a plain check, which the agent answers in any case.
    pub(super) fn outbound(&mut self, selected: Option<TransportContext>, out: &mut TaggedBytesMut) {
        if !is_stun_response(&out.message) {
            let to = self.to.filter(|_| Some(out.transport) == selected);
            out.transport = to.unwrap_or(out.transport);
            self.note_check(out, to.is_some());
        } else if let Some(selected) = selected {
            let answered = transaction(&out.message);
            let of = |(_, nomination): &(_, BytesMut)| transaction(nomination) == answered;
            if let Some((by, _)) = self.nominations.iter().position(of).and_then(|index| self.nominations.remove(index))
                && (by == selected || self.proven.contains(&Remote::of(&by)))
            {
                // Those of other pairs were made while this one did not work.
                self.nominations.clear();
                self.move_to(selected, by, out.now);
            }
        }
    }

    fn note_nomination(&mut self, by: TransportContext, nomination: &BytesMut) {
        self.nominations.retain(|(other, _)| *other != by);
        if self.nominations.len() >= MAX_NOMINATIONS {
            self.nominations.pop_front();
        }
        self.nominations.push_back((by, nomination.clone()));
    }

    fn note_proven(&mut self, remote: Remote) {
        if !self.proven.contains(&remote) {
            if self.proven.len() >= MAX_PROVEN {
                self.proven.pop_front();
            }
            self.proven.push_back(remote);
        }
    }

    fn note_check(&mut self, out: &TaggedBytesMut, moved: bool) {
        let Some(transaction) = transaction(&out.message).filter(|_| is_stun_request(&out.message)) else { return };
        let is_over = |check: &Check| out.now.saturating_duration_since(check.at) > CHECK_LIFETIME;
        while self.checks.front().is_some_and(is_over) || self.checks.len() >= MAX_CHECKS {
            self.checks.pop_front();
        }
        self.checks.push_back(Check { transaction, to: Remote::of(&out.transport), at: out.now, moved });
    }

    fn move_to(&mut self, selected: TransportContext, to: TransportContext, now: Instant) {
        self.to = (to != selected).then_some(to);
        self.heard = Some(now);
    }
}

fn is_nomination(message: &[u8]) -> bool {
    is_stun_request(message) && message.windows(4).any(|window| window == USE_CANDIDATE)
}

#[cfg(test)]
mod tests {
    use rtc::shared::TransportProtocol;

    use super::*;

    const REQUEST: [u8; 2] = [0x00, 0x01];
    const RESPONSE: [u8; 2] = [0x01, 0x01];

    fn pair(port: u16) -> TransportContext {
        let (local_addr, peer_addr) = (([198, 51, 100, 2], 8189).into(), ([192, 0, 2, 1], port).into());
        TransportContext { local_addr, peer_addr, transport_protocol: TransportProtocol::UDP, ecn: None }
    }

    fn stun(kind: [u8; 2], transaction: u8, attribute: &[u8]) -> BytesMut {
        let header = [&kind[..], &[0, 0], &[0x21, 0x12, 0xa4, 0x42], &[transaction; 12]].concat();
        BytesMut::from(&[&header, attribute].concat()[..])
    }

    fn sent(migration: &mut Migration, to: TransportContext, message: BytesMut, now: Instant) -> TransportContext {
        let mut out = TaggedBytesMut { now, transport: to, message };
        migration.outbound(Some(pair(1)), &mut out);
        out.transport
    }

    #[test]
    fn an_answered_nomination_moves_the_path_and_consent_with_it() {
        let now = Instant::now();
        let mut migration = Migration::default();
        migration.accepted(Some(pair(1)), pair(2), &stun(REQUEST, 7, &USE_CANDIDATE), now);
        assert_eq!(migration.path(pair(1)), pair(1), "nothing is known of the new pair yet");
        assert!(migration.is_left_unanswered(pair(2), &stun(REQUEST, 7, &USE_CANDIDATE)));
        let played = migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 8, &[]), now);
        assert_eq!(played, None, "answers nothing");
        assert_eq!(sent(&mut migration, pair(2), stun(REQUEST, 8, &[]), now), pair(2));
        let played = migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 8, &[]), now);
        assert_eq!(played, Some(stun(REQUEST, 7, &USE_CANDIDATE)), "now it would be answered");
        assert!(!migration.is_left_unanswered(pair(2), &stun(REQUEST, 7, &USE_CANDIDATE)));
        sent(&mut migration, pair(2), stun(RESPONSE, 7, &[]), now);
        assert_eq!(migration.path(pair(1)), pair(2));
        // The agent's consent check, and its answer.
        assert_eq!(sent(&mut migration, pair(1), stun(REQUEST, 9, &[]), now), pair(2));
        assert_eq!(migration.inbound(Some(pair(1)), pair(3), &stun(RESPONSE, 9, &[])), pair(3));
        assert_eq!(migration.inbound(Some(pair(1)), pair(2), &stun(RESPONSE, 9, &[])), pair(1));
        migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 9, &[]), now);
        assert_eq!(migration.inbound(Some(pair(1)), pair(2), &stun(RESPONSE, 9, &[])), pair(2), "only once");
        // And back.
        migration.accepted(Some(pair(1)), pair(1), &stun(REQUEST, 10, &USE_CANDIDATE), now);
        sent(&mut migration, pair(1), stun(RESPONSE, 10, &[]), now);
        assert_eq!(migration.path(pair(1)), pair(1));
    }

    #[test]
    fn of_several_nominated_pairs_the_first_that_works_is_taken() {
        let now = Instant::now();
        let mut migration = Migration::default();
        for port in [1, 2, 3] {
            migration.accepted(None, pair(port), &stun(REQUEST, port as u8, &USE_CANDIDATE), now);
            sent(&mut migration, pair(port), stun(REQUEST, 10 + port as u8, &[]), now);
        }
        let played = migration.accepted(None, pair(1), &stun(RESPONSE, 11, &[]), now);
        assert_eq!(played, Some(stun(REQUEST, 1, &USE_CANDIDATE)), "not the last that was nominated");
        sent(&mut migration, pair(1), stun(RESPONSE, 1, &[]), now);
        let played = migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 12, &[]), now);
        assert_eq!((played, migration.path(pair(1))), (None, pair(1)), "they were nominated for want of it");
        for port in 0..1_000 {
            migration.accepted(Some(pair(1)), pair(port), &stun(REQUEST, 1, &USE_CANDIDATE), now);
        }
        assert_eq!(migration.nominations.len(), MAX_NOMINATIONS);
    }

    #[test]
    fn without_a_nomination_only_silence_moves_it() {
        let start = Instant::now();
        let mut migration = Migration::default();
        let mut answer = |transaction, from, at| {
            sent(&mut migration, from, stun(REQUEST, transaction, &[]), at);
            migration.accepted(Some(pair(1)), from, &stun(RESPONSE, transaction, &[]), at);
            migration.path(pair(1))
        };
        answer(1, pair(2), start);
        answer(2, pair(1), start + SILENCE);
        assert_eq!(answer(3, pair(2), start + SILENCE * 2), pair(1));
        migration.accepted(Some(pair(1)), pair(2), &stun(REQUEST, 4, &[]), start + SILENCE * 3);
        assert_eq!(migration.path(pair(1)), pair(1), "that it can send does not say that it can hear");
        sent(&mut migration, pair(2), stun(REQUEST, 5, &[]), start + SILENCE * 3);
        migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 5, &[]), start + SILENCE * 3);
        assert_eq!(migration.path(pair(1)), pair(2));
    }

    #[test]
    fn a_nomination_from_where_no_check_was_answered_moves_nothing() {
        let now = Instant::now();
        let mut migration = Migration::default();
        let nominate = |migration: &mut Migration, transaction| {
            migration.accepted(Some(pair(1)), pair(2), &stun(REQUEST, transaction, &USE_CANDIDATE), now);
            // The answer to a plain check of that transaction.
            sent(migration, pair(2), stun(RESPONSE, transaction, &[]), now);
            migration.path(pair(1))
        };
        assert_eq!(nominate(&mut migration, 7), pair(1));
        migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 8, &[]), now);
        assert_eq!(nominate(&mut migration, 9), pair(1));
        sent(&mut migration, pair(2), stun(REQUEST, 10, &[]), now);
        migration.accepted(Some(pair(1)), pair(2), &stun(RESPONSE, 10, &[]), now);
        assert_eq!(nominate(&mut migration, 11), pair(2));
    }

    #[test]
    fn a_response_that_answers_no_check_moves_nothing() {
        let start = Instant::now();
        let mut migration = Migration::default();
        let forged = |migration: &mut Migration, transaction, from, at| {
            migration.accepted(Some(pair(1)), from, &stun(RESPONSE, transaction, &[]), at);
            assert_eq!(migration.path(pair(1)), pair(1));
        };
        migration.accepted(Some(pair(1)), pair(1), &stun(REQUEST, 0, &[]), start);
        let later = start + SILENCE * 2;
        forged(&mut migration, 1, pair(2), later);
        sent(&mut migration, pair(1), stun(REQUEST, 2, &[]), later);
        forged(&mut migration, 2, pair(2), later);
        sent(&mut migration, pair(2), stun(REQUEST, 3, &[]), later);
        forged(&mut migration, 3, pair(2), later + CHECK_LIFETIME * 2);
        for transaction in 0..=255 {
            for _ in 0..3 {
                sent(&mut migration, pair(2), stun(REQUEST, transaction, &[]), later);
            }
        }
        assert_eq!(migration.checks.len(), MAX_CHECKS);
        sent(&mut migration, pair(2), stun(REQUEST, 0, &[]), later + CHECK_LIFETIME * 2);
        assert_eq!(migration.checks.len(), 1, "what is over is not kept");
    }
}
