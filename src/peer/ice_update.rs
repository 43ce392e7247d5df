//! Changes of a running session's ICE: what is asked for, and what comes of it.

use std::fmt;

use thiserror::Error;

use super::{
    Candidate,
    ice_description::{IceCredentials, IceFragment},
};

/// Which of a session's ICE generations a change is meant for. Changes may overtake each other on their way, and one that
/// was meant for what has been replaced must do nothing (WHEP section 4.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// One of these, as named by [`Answer`](super::Answer) or [`IceUpdate::Restarted`].
    OneOf(Vec<String>),
}

impl Expected {
    pub(super) fn allows(&self, generation: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.iter().any(|name| name == generation),
        }
    }
}

/// What came of a change.
#[derive(Clone, PartialEq, Eq)]
pub enum IceUpdate {
    /// The candidates were noted, those that are of use.
    Added,
    /// The viewer's credentials were new: ICE begins again. Media stays where it is until there is a new pair.
    Restarted {
        /// Names the new generation.
        generation: String,
        /// Our side of it, as `application/trickle-ice-sdpfrag`.
        fragment: String,
    },
}

impl fmt::Debug for IceUpdate {
    /// Without our side, which has the password of ICE.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("Added"),
            Self::Restarted { generation, .. } => f.debug_tuple("Restarted").field(generation).finish(),
        }
    }
}

/// Why a session's ICE did not change.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IceUpdateError {
    /// It is over, or never was.
    #[error("there is no such session")]
    NoSuchSession,
    /// Meant for a generation that has been replaced.
    #[error("ICE has been restarted since")]
    Stale,
    /// The restart cannot be.
    #[error("ICE cannot be restarted with this: {0}")]
    Refused(String),
}

/// A change on its way to the session.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) expected: Expected,
    pub(super) fragment: IceFragment,
    /// Credentials of ours, should it be a restart.
    pub(super) ours: IceCredentials,
    /// Our candidates, should it be a restart.
    pub(super) offered: Vec<Candidate>,
}
