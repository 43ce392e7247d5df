//! A viewer's data channel, between its session and whoever answers it: two bounded queues, and a bell for the worker.
//!
//! In: what the viewer says. Out: texts and pieces of files for it. Neither side waits for the other: what a viewer says while
//! nobody takes it is dropped and counted, and what the viewer does not read stays with whoever would send it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{SessionId, worker::Command};
use crate::media::Kind;

/// Longest message of a viewer's, in bytes. All that it can ask for is shorter.
pub(super) const MAX_SAID: usize = 4 << 10;
/// Longest message for a viewer, in bytes: what every implementation takes in one piece (RFC 8831 section 6.6).
pub const MAX_PIECE: usize = 16 << 10;
/// Messages of a viewer that may wait.
const SAID: usize = 16;
/// Messages for a viewer that may wait for its session.
const WAITING: usize = 8;

/// What a viewer does on its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The channel is open.
    Opened,
    /// A text of 4096 bytes at most.
    Text(String),
    /// A longer one, or one that is no UTF-8, or binary.
    Unreadable,
}

/// What a viewer is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole text, of [`MAX_PIECE`] bytes at most.
    Text(String),
    /// As many bytes at most.
    Piece(Bytes),
}

/// What a viewer may wish of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// As by PLI.
    Keyframe,
    /// That nothing of a track is sent, or that it is again.
    Paused(Kind, bool),
}

/// The end of whoever answers.
#[derive(Debug)]
pub struct ChannelEnd {
    said: mpsc::Receiver<Said>,
    mouth: Mouth,
}

/// What sends to a viewer.
#[derive(Clone, Debug)]
pub struct Mouth {
    messages: mpsc::Sender<Message>,
    bell: Bell,
}

/// The session's end.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) said: mpsc::Sender<Said>,
    pub(super) messages: mpsc::Receiver<Message>,
    rung: Arc<AtomicBool>,
}

/// Wakes the worker of a session.
#[derive(Clone, Debug)]
struct Bell {
    session: SessionId,
    commands: mpsc::UnboundedSender<Command>,
    rung: Arc<AtomicBool>,
}

/// Both ends of the channel of `session`, whose worker takes `commands`.
pub(super) fn pair(session: SessionId, commands: mpsc::UnboundedSender<Command>) -> (Near, ChannelEnd) {
    let (say, said) = mpsc::channel(SAID);
    let (send, messages) = mpsc::channel(WAITING);
    let rung = Arc::new(AtomicBool::new(false));
    let bell = Bell { session, commands, rung: rung.clone() };
    (Near { said: say, messages, rung }, ChannelEnd { said, mouth: Mouth { messages: send, bell } })
}

impl Near {
    /// Notes that the bell was heard, so that it can be rung again.
    pub(super) fn heard_bell(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

impl ChannelEnd {
    /// What the viewer says next; `None` once its session is over.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    /// What sends to the viewer, for as long as anybody has it.
    pub fn mouth(&self) -> Mouth {
        self.mouth.clone()
    }

    /// Tells the session what its viewer wishes.
    pub fn wish(&self, wish: Wish) {
        let bell = &self.mouth.bell;
        // A worker that is gone has taken the session with it.
        let _ = bell.commands.send(Command::Wish(bell.session, wish));
    }
}

impl Mouth {
    /// Sends when the viewer has read what was sent before. Returns whether it has a session still.
    pub async fn send(&self, message: Message) -> bool {
        let sent = self.messages.send(message).await.is_ok();
        if !self.bell.rung.swap(true, Ordering::AcqRel) {
            let _ = self.bell.commands.send(Command::Stir(self.bell.session));
        }
        sent
    }
}
