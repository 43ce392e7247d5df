//! A worker's bounded inbox for the units of every camera that its viewers watch.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use super::{Camera, Unit};
use crate::media::Kind;

/// One unit on its way to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// [`Camera::id`] of the camera it comes from.
    pub camera: u64,
    /// The unit.
    pub unit: Arc<Unit>,
}

/// Where cameras put units; cheap to clone. The camera never waits: a unit that finds the mailbox full is dropped and
/// counted, and so is every video unit up to the next keyframe, because they could not be decoded.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: mpsc::Sender<Delivery>,
}

/// A mailbox for at most `capacity` units and the end that its worker reads.
pub fn mailbox(capacity: usize) -> (Mailbox, mpsc::Receiver<Delivery>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Mailbox { sender }, receiver)
}

/// One camera's way into one mailbox.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: u64,
    mailbox: Mailbox,
    awaiting_keyframe: AtomicBool,
}

impl Slot {
    pub(super) fn new(id: u64, mailbox: Mailbox) -> Self {
        Self { id, mailbox, awaiting_keyframe: AtomicBool::new(false) }
    }

    /// Whether the unit was taken.
    pub(super) fn offer(&self, camera: u64, unit: &Arc<Unit>) -> bool {
        let video = unit.kind == Kind::Video;
        if video && self.awaiting_keyframe.load(Ordering::Relaxed) && !unit.keyframe {
            return false;
        }
        let taken = self.mailbox.sender.try_send(Delivery { camera, unit: unit.clone() }).is_ok();
        if video {
            self.awaiting_keyframe.store(!taken, Ordering::Relaxed);
        }
        taken
    }
}

/// Keeps a mailbox attached to a camera; dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    camera: Weak<Camera>,
    id: u64,
}

impl Attachment {
    pub(super) fn new(camera: Weak<Camera>, id: u64) -> Self {
        Self { camera, id }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(camera) = self.camera.upgrade() {
            camera.detach(self.id);
        }
    }
}
