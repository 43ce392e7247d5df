//! Who sent a request, and what is there for them.

use std::{sync::Arc, time::SystemTime};

use tokio::time::sleep;

use super::{Action, Gate, Maker, Seat, Share, ShareToken, User, cookies::Login, forward::Question, owners::Owner};
use crate::{
    hub::{Camera, Hub},
    peer::SessionId,
};

/// An extension of each request that got past the [`Gate`].
#[derive(Clone)]
pub(in crate::http) enum Caller {
    /// There are no users, so that everything is everybody's.
    Anyone {
        /// In a private network.
        is_near: bool,
        /// Who said so.
        gate: Arc<Gate>,
    },
    /// Somebody who has said who they are.
    User {
        /// Who.
        user: Arc<User>,
        /// What the login page's cookie says, if that is how.
        login: Option<Login>,
        /// When what somebody else has said of them is over.
        ends: Option<End>,
        /// Who said so.
        gate: Arc<Gate>,
    },
    /// Somebody with a link to one camera.
    Guest {
        /// What it shows.
        share: Arc<Share>,
        /// The link's token, if it came in the URL: the addresses that are answered have to have it too.
        in_url: Option<ShareToken>,
        /// Who said so.
        gate: Arc<Gate>,
    },
    /// A preflight, which has no credentials and is told nothing (Fetch standard, section 4.8).
    Nobody,
}

/// When somebody is taken for a user no more whom another service knows.
#[derive(Clone)]
pub(in crate::http) enum End {
    /// Then.
    At(SystemTime),
    /// When the service says so that was asked this.
    Refused(Arc<Question>),
}

impl Caller {
    /// The user's name, where there are users.
    pub(in crate::http) fn user(&self) -> Option<&str> {
        match self {
            Self::User { user, .. } => Some(user.name.as_str()),
            Self::Anyone { .. } | Self::Guest { .. } | Self::Nobody => None,
        }
    }

    /// Whether this is one of theirs.
    pub(in crate::http) fn may(&self, action: Action) -> bool {
        match self {
            Self::Anyone { .. } => true,
            Self::User { user, .. } => user.actions.contains(&action),
            // What a link opens is no question of actions.
            Self::Guest { .. } | Self::Nobody => false,
        }
    }

    /// Whether the camera of that name is there for them; whether there is one is another question.
    pub(in crate::http) fn sees(&self, camera: &str) -> bool {
        match self {
            Self::Anyone { .. } => true,
            Self::User { user, .. } => user.cameras.has(camera),
            Self::Guest { share, .. } => share.camera == camera,
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
        if let Some((owner, gate)) = self.owner() {
            gate.owners().note(session, owner, exists);
        }
    }

    /// Whether a session is theirs, or was.
    pub(in crate::http) fn owns(&self, session: SessionId) -> bool {
        match self {
            Self::Anyone { .. } => true,
            Self::Nobody => false,
            Self::User { .. } | Self::Guest { .. } => {
                self.owner().is_some_and(|(owner, gate)| gate.owners().has(&owner, session))
            }
        }
    }

    fn owner(&self) -> Option<(Owner, &Gate)> {
        match self {
            Self::User { user, gate, .. } => Some((Owner::User(user.name.clone()), gate)),
            Self::Guest { share, gate, .. } => Some((Owner::Link(share.id), gate)),
            Self::Anyone { .. } | Self::Nobody => None,
        }
    }

    /// A seat of the link that they have, if it is by a link that they watch; it is theirs until it is dropped.
    ///
    /// # Errors
    /// How many seats there are, all of which are taken.
    pub(in crate::http) fn seat(&self) -> Result<Option<Seat>, u32> {
        match self {
            Self::Guest { share, gate, .. } => gate.shares().seat(share).map(Some),
            _ => Ok(None),
        }
    }

    /// As whom they make links.
    pub(in crate::http) fn maker(&self) -> Option<Maker> {
        match self {
            Self::Anyone { .. } => Some(Maker::Anyone),
            Self::User { user, .. } => Some(Maker::User(user.name.to_string())),
            Self::Guest { .. } | Self::Nobody => None,
        }
    }

    /// Who they are, in a log.
    pub(in crate::http) fn name(&self) -> String {
        match self {
            Self::User { user, .. } => format!("user {}", user.name),
            Self::Anyone { .. } | Self::Nobody => "somebody".to_owned(),
            Self::Guest { share, .. } => format!("somebody with the link {}", share.id),
        }
    }

    /// Whether a link is theirs to see and to end.
    pub(in crate::http) fn manages(&self, share: &Share) -> bool {
        matches!(self, Self::Anyone { .. }) || self.maker().is_some_and(|maker| maker == share.by)
    }

    /// An address of ours as they have to ask for it.
    pub(in crate::http) fn address(&self, path: String) -> String {
        match self {
            Self::Guest { in_url: Some(token), .. } => format!("{path}?{}={}", super::guest::PARAMETER, token.expose()),
            _ => path,
        }
    }

    /// Whether they are strangers to whom somebody has given a link.
    pub(in crate::http) fn is_guest(&self) -> bool {
        matches!(self, Self::Guest { .. })
    }

    /// Completes when they are not taken for this user any more, or may not have any more what takes this `right` to a camera, or
    /// everything of theirs: what they have opened is to end then.
    pub(in crate::http) async fn over(self, right: Option<(String, Action)>) {
        let barred = async {
            match &self {
                Self::Anyone { gate, .. } | Self::User { gate, .. } | Self::Guest { gate, .. } => {
                    let right = right.as_ref().map(|(camera, action)| (&**camera, *action));
                    gate.bars(&self, right).await;
                }
                Self::Nobody => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.ended() => {}
            () = barred => {}
        }
    }

    async fn ended(&self) {
        match self {
            Self::User { login: Some(login), gate, .. } => gate.cookies().over(login).await,
            Self::User { ends: Some(End::At(time)), .. } => {
                sleep(time.duration_since(SystemTime::now()).unwrap_or_default()).await;
            }
            Self::User { user, ends: Some(End::Refused(question)), gate, .. } => gate.refused(question, user).await,
            Self::Guest { share, gate, .. } => gate.shares().over(share).await,
            _ => std::future::pending().await,
        }
    }

    #[cfg(test)]
    pub(in crate::http) fn anyone() -> Self {
        let gate = Gate::new(&[], false, std::time::Duration::ZERO, super::state_dir::StateDir::forgotten());
        Self::Anyone { is_near: true, gate: Arc::new(gate) }
    }

    /// Whether they may know what only those are told who may watch, such as the passwords of TURN servers.
    pub(in crate::http) fn is_known(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::auth::{Cameras, state_dir::StateDir};

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
        let guest = Caller::User { user: Arc::new(user), login: None, ends: None, gate };
        assert!(guest.sees("front") && !guest.sees("back") && !guest.sees("fron") && !guest.sees("*"));
        assert!(guest.may(Action::Watch) && !guest.may(Action::Api) && !guest.may(Action::Metrics));
        assert!(Caller::anyone().sees("back") && Caller::anyone().may(Action::Metrics));
        assert!(!Caller::Nobody.sees("front") && !Caller::Nobody.may(Action::Watch));
    }
}
