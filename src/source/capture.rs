//! Cameras behind a GStreamer pipeline: capture devices, the test pattern, and what retina cannot reach.
//!
//! In: a `.launch` file and values for its placeholders. Out: what its `appsink`s named `video` (H.264) and `audio`
//! (Opus or G.711) deliver, published through a `Feed`. Called by the supervisor, one run at a time; this is the
//! only place that knows GStreamer, and without the feature `gstreamer` it says so instead.
//!
//! [`check`] says what is wrong with the values for a pipeline; [`rehearse`] also lets GStreamer build it, and
//! [`encoder()`] tells which encoder this machine has. docs/pipelines.md is for those who write pipelines.

// Without GStreamer files are still read and checked, but nothing is made of them.
#[cfg_attr(not(feature = "gstreamer"), allow(dead_code))]
mod certificate;
#[cfg(feature = "gstreamer")]
mod descriptors;
#[cfg(feature = "gstreamer")]
mod element;
#[cfg_attr(not(feature = "gstreamer"), allow(dead_code))]
mod encoder;
#[cfg(feature = "gstreamer")]
mod environment;
#[cfg(feature = "gstreamer")]
mod exit;
pub mod launch;
#[cfg(feature = "gstreamer")]
pub(super) mod loudspeaker;
#[cfg(feature = "gstreamer")]
mod pipeline;
#[cfg(feature = "gstreamer")]
mod probe;
#[cfg(feature = "gstreamer")]
mod repeat;
#[cfg(feature = "gstreamer")]
mod run;
#[cfg(feature = "gstreamer")]
mod sample;
#[cfg(feature = "gstreamer")]
pub(super) mod speech_coder;
#[cfg(all(test, feature = "gstreamer"))]
mod tests;
#[cfg(feature = "gstreamer")]
mod tls;
#[cfg(feature = "gstreamer")]
mod trouble;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use self::launch::Flow;
pub use self::launch::{LaunchError, check};
#[cfg(feature = "gstreamer")]
pub use self::{
    environment::ENVIRONMENT,
    probe::{Encoder, encoder},
};
use super::{Error, feed::Feed, supervisor::Connector};

/// Whether GStreamer can build the pipeline of `file`: the values, the syntax, and that every element is installed.
/// Opens no device and starts nothing. `name` is what the error calls the pipeline.
///
/// # Errors
/// The first fault that was found; for a missing element the Debian package that has it.
pub fn rehearse(name: &str, file: &Path, with: &BTreeMap<String, String>) -> Result<(), Error> {
    let launch = launch::read(file, with, Flow::In)?;
    #[cfg(feature = "gstreamer")]
    return pipeline::rehearse(&launch, &element::Words::new(name, with));
    #[cfg(not(feature = "gstreamer"))]
    {
        let _ = launch;
        Err(Error::NoGstreamer { pipeline: name.to_owned() })
    }
}

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
        let launch = launch::read(&self.file, &self.with, Flow::In)?;
        #[cfg(feature = "gstreamer")]
        return run::run(&self.name, launch, &self.with, feed, leave).await;
        #[cfg(not(feature = "gstreamer"))]
        {
            let _ = (launch, feed, leave);
            Err(Error::NoGstreamer { pipeline: self.name.clone() })
        }
    }
}
