//! Cameras behind a GStreamer pipeline: capture devices, the test pattern, and what retina cannot reach.
//!
//! In: a `.launch` file and values for its placeholders. Out: what its `appsink`s named `video` (H.264) and `audio`
//! (Opus or G.711) deliver, published through a `Feed`. Called by the supervisor, one run at a time; this is the
//! only place that knows GStreamer, and without the feature `gstreamer` it says so instead.

#[cfg(feature = "gstreamer")]
mod element;
pub mod launch;
#[cfg(feature = "gstreamer")]
mod pipeline;
#[cfg(feature = "gstreamer")]
mod run;
#[cfg(feature = "gstreamer")]
mod sample;

use std::{collections::BTreeMap, path::PathBuf};

use tokio_util::sync::CancellationToken;

pub use self::launch::{LaunchError, check};
use super::{Error, feed::Feed, supervisor::Connector};

/// One pipeline.
pub(super) struct Input {
    name: String,
    file: PathBuf,
    with: BTreeMap<String, String>,
}

impl Input {
    /// Does not read the file yet: it may be mended while the gateway runs.
    pub(super) fn new(name: String, file: PathBuf, with: BTreeMap<String, String>) -> Self {
        Self { name, file, with }
    }
}

impl Connector for Input {
    async fn open(&mut self, feed: &mut Feed<'_>, leave: &CancellationToken) -> Result<(), Error> {
        let description = launch::read(&self.file, &self.with)?;
        #[cfg(feature = "gstreamer")]
        return run::run(&self.name, description, &self.with, feed, leave).await;
        #[cfg(not(feature = "gstreamer"))]
        {
            let _ = (description, feed, leave);
            Err(Error::NoGstreamer { pipeline: self.name.clone() })
        }
    }
}
