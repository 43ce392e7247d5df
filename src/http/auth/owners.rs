//! Whose sessions are whose, so that one user cannot end, move or look at another's.

use std::{collections::HashMap, sync::Mutex};

use super::{ShareId, UserName};
use crate::peer::SessionId;

/// Sessions up to which those that are over are remembered too: their users may ask why they ended.
const REMEMBERED: usize = 4_096;

/// Who opened which session.
#[derive(Debug, Default)]
pub(in crate::http) struct Owners(Mutex<HashMap<SessionId, Owner>>);

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user's.
    User(UserName),
    /// Of those who have a link.
    Link(ShareId),
}

impl Owners {
    /// Notes that `owner` has opened `session`; `exists` tells which sessions are not over.
    pub(super) fn note(&self, session: SessionId, owner: Owner, exists: impl Fn(SessionId) -> bool) {
        let mut owners = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if owners.len() >= REMEMBERED {
            owners.retain(|session, _| exists(*session));
        }
        owners.insert(session, owner);
    }

    /// Whether `session` was opened by `owner`.
    pub(super) fn has(&self, owner: &Owner, session: SessionId) -> bool {
        let owners = self.0.lock().unwrap_or_else(|e| e.into_inner());
        owners.get(&session) == Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Owner {
        Owner::User(name.parse().expect("a name"))
    }

    fn session(number: usize) -> SessionId {
        format!("{number:032x}").parse().expect("an id")
    }

    #[test]
    fn sessions_are_their_openers_and_those_that_are_over_are_forgotten_in_time() {
        let (owners, anna, bert) = (Owners::default(), user("anna"), user("bert"));
        owners.note(session(0), anna.clone(), |_| true);
        assert!(owners.has(&anna, session(0)) && !owners.has(&bert, session(0)) && !owners.has(&anna, session(1)));
        let link = |id: &str| Owner::Link(id.parse().expect("an id"));
        owners.note(session(1), link("0123456789abcdef"), |_| true);
        assert!(
            owners.has(&link("0123456789abcdef"), session(1)) && !owners.has(&link("0000000000000000"), session(1))
        );
        for number in 1..=REMEMBERED {
            owners.note(session(number), bert.clone(), |id| id == session(0));
        }
        assert!(owners.has(&anna, session(0)), "it goes on");
        assert!(!owners.has(&bert, session(1)) && owners.has(&bert, session(REMEMBERED)));
    }
}
