//! The cameras by name.

use std::{
    collections::HashSet,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::Camera;
use crate::media::CameraName;

/// Names of cameras that are gone and are remembered, so that who asks for one is told what became of it.
const MAX_REMOVED: usize = 1_000;

/// All cameras, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Hub {
    known: RwLock<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    cameras: Vec<Arc<Camera>>,
    removed: HashSet<CameraName>,
}

impl Hub {
    /// Adds a camera, or replaces the one of that name in its place.
    pub fn insert(&self, camera: Arc<Camera>) {
        let mut cameras = self.cameras();
        match cameras.iter_mut().find(|other| other.name() == camera.name()) {
            Some(place) => *place = camera,
            None => cameras.push(camera),
        }
        self.arrange(cameras);
    }

    /// Has these cameras from now on, in this order. Those that are not among them are closed: their viewers' sessions end.
    pub fn arrange(&self, cameras: Vec<Arc<Camera>>) {
        let known = &mut *self.write();
        let before = std::mem::replace(&mut known.cameras, cameras);
        let stays = |camera: &Arc<Camera>| known.cameras.iter().any(|other| other.id() == camera.id());
        for camera in before.iter().filter(|camera| !stays(camera)) {
            camera.close();
            if known.removed.len() < MAX_REMOVED {
                known.removed.insert(camera.name().clone());
            }
        }
        for camera in &known.cameras {
            known.removed.remove(camera.name());
        }
        self.changed.send_replace(());
    }

    /// The camera of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Camera>> {
        self.read().cameras.iter().find(|camera| camera.name().as_str() == name).cloned()
    }

    /// All of them.
    pub fn cameras(&self) -> Vec<Arc<Camera>> {
        self.read().cameras.clone()
    }

    /// Whether there was a camera of that name, and is none any more.
    pub fn was_removed(&self, name: &str) -> bool {
        self.read().removed.iter().any(|removed| removed.as_str() == name)
    }

    /// To wait until there are others.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(|e| e.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::GopLimits;

    fn camera(name: &str) -> Arc<Camera> {
        Camera::new(name.parse().expect("a name"), GopLimits { max_bytes: 0, max_age: Duration::ZERO })
    }

    #[test]
    fn cameras_that_are_left_out_are_closed_and_remembered_until_they_are_back() {
        let hub = Hub::default();
        let (front, back, yard) = (camera("front"), camera("back"), camera("yard"));
        hub.arrange(vec![front.clone(), back.clone()]);
        let mut changes = hub.changes();
        hub.arrange(vec![yard.clone(), front.clone()]);
        assert!(changes.has_changed().is_ok_and(|changed| changed));
        let names: Vec<_> = hub.cameras().iter().map(|camera| camera.name().to_string()).collect();
        assert_eq!(names, ["yard", "front"], "in the order of the configuration");
        assert!(back.is_closed() && !front.is_closed() && !yard.is_closed());
        assert!(hub.was_removed("back") && !hub.was_removed("front") && !hub.was_removed("shed"));
        changes.mark_unchanged();
        hub.insert(camera("back"));
        assert!(!hub.was_removed("back") && hub.get("back").is_some_and(|camera| !camera.is_closed()));
        hub.insert(camera("front"));
        assert!(front.is_closed(), "another one of that name");
    }
}
