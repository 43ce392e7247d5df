//! What a service manager is told of the program (sd_notify(3)): that it is ready, reloads or ends, what it is at, and, as
//! long as everything in it moves, that it is alive.
//!
//! In: counts that grow while the program is well, and a sentence about it. Out: messages to systemd, where it waits for
//! them, and a line in the log when something stands still; and the ports that systemd has opened. Knows nothing of cameras
//! and viewers.

mod judge;
mod sockets;
mod watch;

use sd_notify::NotifyState;
use tracing::debug;

pub use self::{
    judge::Sign,
    sockets::{BadSocket, Port, Sockets},
    watch::{Look, Watch},
};

/// The ports are open and answer.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Another configuration is being read; [`ready`] is to follow, whether it is good or not.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no time to tell systemd of a reload by"),
    }
}

/// The program ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says nothing where no service manager listens. What is lost is told again, or ends in a timeout of systemd's, which its
/// journal names.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "cannot tell systemd");
    }
}
