//! Between cameras and viewers: packs each access unit once, hands it to every consumer as a shared handle, and keeps
//! the GOP that a newcomer needs to see a picture at once.
//!
//! A source drives a [`Producer`]; a viewer's worker owns a [`Mailbox`] and attaches it to [`Camera`]s. What travels
//! backwards (a keyframe is wanted, the last viewer left) goes through handles that the camera owns. Where somebody publishes to a
//! camera, what they send comes in by its [`Intake`]; what somebody says to the people before it by its [`Talk`].

mod age;
mod camera;
mod footage;
mod formats;
mod gop;
mod intake;
mod mailbox;
mod producer;
mod registry;
mod state;
mod talk;
mod unit;

pub use camera::{Camera, Join, Listening, Snapshot, Viewing};
pub use footage::{Clip, ClipLimits, Footage};
pub use formats::Formats;
pub use gop::GopLimits;
pub use intake::{Intake, Item, NotTaken, Over, Packet, Publication, Published, Takeover, Tracks};
pub use mailbox::{Attachment, Delivery, Mailbox, mailbox};
pub use producer::Producer;
pub use registry::Hub;
pub use state::{CameraState, Status};
pub use talk::{Talk, Talking};
pub use unit::Unit;
