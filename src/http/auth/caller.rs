//! Who sent a request, and what is there for them.

use std::sync::Arc;

use super::{Action, Cameras, Gate, User, cookies::Login};
use crate::{
    hub::{Camera, Hub},
    peer::SessionId,
};

/// An extension of each request that got past the [`Gate`].
#[derive(Clone)]
pub(in crate::http) enum Caller {
    /// There are no users, so that everything is everybody's.
    Anyone,
    /// Somebody who has said who they are.
    User {
        /// Who.
        user: Arc<User>,
        /// What the login page's cookie says, if that is how.
        login: Option<Login>,
        /// Who said so.
        gate: Arc<Gate>,
    },
    /// A preflight, which has no credentials and is told nothing (Fetch standard, section 4.8).
    Nobody,
}

impl Caller {
    /// The user's name, where there are users.
    pub(in crate::http) fn user(&self) -> Option<&str> {
        match self {
            Self::User { user, .. } => Some(user.name.as_str()),
            Self::Anyone | Self::Nobody => None,
        }
    }

    /// Whether this is one of theirs.
    pub(super) fn may(&self, action: Action) -> bool {
        match self {
            Self::Anyone => true,
            Self::User { user, .. } => user.actions.contains(&action),
            Self::Nobody => false,
        }
    }

    /// Whether the camera of that name is there for them; whether there is one is another question.
    pub(in crate::http) fn sees(&self, camera: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::User { user, .. } => match &user.cameras {
                Cameras::All => true,
                Cameras::Only(names) => names.iter().any(|name| name == camera),
            },
            Self::Nobody => false,
        }
    }

    /// The camera of that name, if it is there for them.
    pub(in crate::http) fn camera(&self, hub: &Hub, name: &str) -> Option<Arc<Camera>> {
        hub.get(name).filter(|_| self.sees(name))
    }

    /// All cameras that are there for them, in the order of the configuration.
    pub(in crate::http) fn cameras(&self, hub: &Hub) -> Vec<Arc<Camera>> {
        let mut cameras = hub.cameras();
        cameras.retain(|camera| self.sees(camera.name().as_str()));
        cameras
    }

    /// Notes that a session is theirs; `exists` tells which sessions are not over.
    pub(in crate::http) fn opened(&self, session: SessionId, exists: impl Fn(SessionId) -> bool) {
        if let Self::User { user, gate, .. } = self {
            gate.owners().note(session, user, exists);
        }
    }

    /// Whether a session is theirs, or was.
    pub(in crate::http) fn owns(&self, session: SessionId) -> bool {
        match self {
            Self::Anyone => true,
            Self::User { user, gate, .. } => gate.owners().has(user, session),
            Self::Nobody => false,
        }
    }

    /// Completes when they are not taken for this user any more: what they have opened is to end then.
    pub(in crate::http) async fn over(self) {
        match self {
            Self::User { login: Some(login), gate, .. } => gate.cookies().over(&login).await,
            _ => std::future::pending().await,
        }
    }

    /// Whether they may know what only users are told, such as the passwords of TURN servers.
    pub(in crate::http) fn is_known(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::auth::state_dir::StateDir;

    #[test]
    fn a_user_has_what_the_configuration_says_and_nobody_has_nothing() {
        let user = User {
            name: "guest".parse().expect("a name"),
            password: None,
            token: None,
            cameras: Cameras::Only(vec!["front".to_owned()]),
            actions: vec![Action::Watch],
        };
        let gate = Arc::new(Gate::new(&[], false, Duration::ZERO, StateDir::forgotten()));
        let guest = Caller::User { user: Arc::new(user), login: None, gate };
        assert!(guest.sees("front") && !guest.sees("back") && !guest.sees("fron") && !guest.sees("*"));
        assert!(guest.may(Action::Watch) && !guest.may(Action::Api) && !guest.may(Action::Metrics));
        assert!(Caller::Anyone.sees("back") && Caller::Anyone.may(Action::Metrics));
        assert!(!Caller::Nobody.sees("front") && !Caller::Nobody.may(Action::Watch));
    }
}
