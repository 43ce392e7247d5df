//! Whose sessions are whose, so that one user cannot end, move or look at another's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::User;
use crate::peer::SessionId;

/// Sessions up to which those that are over are remembered too: their users may ask why they ended.
const REMEMBERED: usize = 4_096;

/// Who opened which session.
#[derive(Debug, Default)]
pub(in crate::http) struct Owners(Mutex<HashMap<SessionId, Arc<User>>>);

impl Owners {
    /// Notes that `user` has opened `session`; `exists` tells which sessions are not over.
    pub(super) fn note(&self, session: SessionId, user: &Arc<User>, exists: impl Fn(SessionId) -> bool) {
        let mut owners = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if owners.len() >= REMEMBERED {
            owners.retain(|session, _| exists(*session));
        }
        owners.insert(session, user.clone());
    }

    /// Whether `session` was opened by `user`.
    pub(super) fn has(&self, user: &Arc<User>, session: SessionId) -> bool {
        let owners = self.0.lock().unwrap_or_else(|e| e.into_inner());
        owners.get(&session).is_some_and(|owner| owner.name == user.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::{Cameras, User};

    fn user(name: &str) -> Arc<User> {
        let name = name.parse().expect("a name");
        Arc::new(User { name, password: None, token: None, cameras: Cameras::All, actions: Vec::new() })
    }

    fn session(number: usize) -> SessionId {
        format!("{number:032x}").parse().expect("an id")
    }

    #[test]
    fn sessions_are_their_openers_and_those_that_are_over_are_forgotten_in_time() {
        let (owners, anna, bert) = (Owners::default(), user("anna"), user("bert"));
        owners.note(session(0), &anna, |_| true);
        assert!(owners.has(&anna, session(0)) && !owners.has(&bert, session(0)) && !owners.has(&anna, session(1)));
        for number in 1..=REMEMBERED {
            owners.note(session(number), &bert, |id| id == session(0));
        }
        assert!(owners.has(&anna, session(0)), "it goes on");
        assert!(!owners.has(&bert, session(1)) && owners.has(&bert, session(REMEMBERED)));
    }
}
