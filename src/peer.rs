//! The viewer's side: WebRTC sessions, many to a worker, all on one port, UDP and TCP.
//!
//! In: offers from http, units from the hub, datagrams from viewers. Out: answers, and trains of datagrams. The only
//! layer that knows webrtc-rs. A session is sans-I/O (no socket, no clock), a worker drives many of them, the
//! directory tells which datagram belongs to which session.

mod addresses;
mod batch;
mod candidates;
mod channel;
mod checks;
mod config;
mod congestion;
mod diagnosis;
mod directory;
mod dtls;
mod engine;
mod feedback;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod history;
mod ice_description;
mod ice_update;
mod limits;
mod line;
mod negotiation;
mod outbound;
mod pacer;
mod peers;
mod port;
mod read_pace;
mod reader;
mod reception;
mod repairs;
mod session;
mod socket;
mod srtp;
mod status;
mod survey;
mod tcp;
mod totals;
mod transport;
mod worker;

pub use candidates::{Candidate, Gathered, LeftOut, Origin, Reason};
pub use channel::{ChannelEnd, MAX_PIECE, Message, Mouth, Said, Wish};
pub use config::*;
pub use diagnosis::Ended;
pub use ice_description::{IceCredentials, IceFragment, MAX_CANDIDATE};
pub use ice_update::{Expected, IceUpdate, IceUpdateError};
pub use limits::{Limits, NoRoom, Visitor};
pub use negotiation::Refusal;
pub use peers::{Answer, Drops, OpenError, Peers, Prepared};
pub use port::{BindError, Opened};
pub use status::{Ending, PathState, Phase, Role, SessionId, SessionStatus};
pub use survey::survey;
pub use totals::ViewerTotals;
pub use transport::{Remote, Transport};
