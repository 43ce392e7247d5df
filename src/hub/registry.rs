//! The cameras by name.

use std::sync::{Arc, RwLock};

use super::Camera;

/// All cameras, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Hub {
    cameras: RwLock<Vec<Arc<Camera>>>,
}

impl Hub {
    /// Adds a camera, or replaces the one of that name in its place.
    pub fn insert(&self, camera: Arc<Camera>) {
        let mut cameras = self.cameras.write().unwrap_or_else(|e| e.into_inner());
        match cameras.iter_mut().find(|other| other.name() == camera.name()) {
            Some(place) => *place = camera,
            None => cameras.push(camera),
        }
    }

    /// Takes a camera out; its viewers' sessions end.
    pub fn remove(&self, name: &str) -> Option<Arc<Camera>> {
        let mut cameras = self.cameras.write().unwrap_or_else(|e| e.into_inner());
        let index = cameras.iter().position(|camera| camera.name().as_str() == name)?;
        let camera = cameras.remove(index);
        camera.close();
        Some(camera)
    }

    /// The camera of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Camera>> {
        let cameras = self.cameras.read().unwrap_or_else(|e| e.into_inner());
        cameras.iter().find(|camera| camera.name().as_str() == name).cloned()
    }

    /// All of them.
    pub fn cameras(&self) -> Vec<Arc<Camera>> {
        self.cameras.read().unwrap_or_else(|e| e.into_inner()).clone()
    }
}
