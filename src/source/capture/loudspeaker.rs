//! A loudspeaker of this machine, or whatever else a pipeline makes of sound: `appsrc name=talk` is fed with what is said.
//!
//! In: samples at 48 kHz. Out: buffers with the time they were pushed. GStreamer's own threads play them; nothing here waits for
//! them: what finds the pipeline's queue full is dropped there, so that nothing is ever heard late.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSrc, AppStreamType};
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};
use tracing::warn;

use super::{
    descriptors,
    element::Words,
    exit::{End, finish},
    launch::{self, Flow},
    pipeline::parse,
};
use crate::{
    panics::{Part, Whose, caught},
    source::{Error, Step},
};

/// Samples per second.
pub(in crate::source) const HZ: u32 = 48_000;
/// For loading plugins and opening the device: somebody holds a button meanwhile.
const START_LIMIT: Duration = Duration::from_secs(8);
/// For going to NULL, which waits for drivers. When hit, it goes on by itself on its own thread.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// What may wait in appsrc. Older sound is dropped.
const MAX_WAITING: gst::ClockTime = gst::ClockTime::from_mseconds(200);
const NO_SOURCE: &str = "it has no element \"appsrc name=talk\"";

/// A pipeline that plays what is said.
#[derive(Debug)]
pub(in crate::source) struct Loudspeaker {
    running: Running,
    end: oneshot::Receiver<Error>,
    name: String,
}

/// A pipeline that is fed. Dropping it stops it, on a thread of its own.
#[derive(Debug)]
pub(super) struct Running {
    pipeline: gst::Pipeline,
    talk: AppSrc,
}

impl Loudspeaker {
    /// Builds the pipeline of `file` and starts it.
    ///
    /// # Errors
    /// The file cannot be used, or GStreamer does not start what it describes.
    pub(in crate::source) async fn open(
        name: &str,
        file: &Path,
        with: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let words = Words::new(name, with);
        if !descriptors::are_left() {
            return Err(words.failed("GStreamer", "this process has no file descriptors left for it", ""));
        }
        let description = launch::read(file, with, Flow::Out)?.description(None);
        let (running, end) = started(description, words, HZ, true).await?;
        Ok(Self { running, end, name: name.to_owned() })
    }

    /// Plays samples as soon as it can. Never waits.
    pub(in crate::source) fn say(&self, samples: &[i16]) {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        // One that does not flow has ended, which `lost` tells.
        let _ = self.running.push(gst::Buffer::from_slice(bytes));
    }

    /// Why the pipeline has ended, once it has.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(in crate::source) async fn lost(&mut self) -> Error {
        let ended = (&mut self.end).await;
        ended.unwrap_or_else(|_| Error::EndOfStream { pipeline: self.name.clone() })
    }

    /// Plays out what there is and stops.
    pub(in crate::source) async fn close(self) {
        let pipeline = self.running.pipeline.clone();
        let stopping = spawn_blocking(move || stop(&pipeline));
        if timeout(STOP_LIMIT, stopping).await.is_err() {
            warn!(pipeline = self.name, "the loudspeaker's pipeline does not stop; leaving it to itself");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // To stop it waits for drivers, which this thread must not.
        let pipeline = self.pipeline.clone();
        std::thread::spawn(move || stop(&pipeline));
    }
}

fn stop(pipeline: &gst::Pipeline) {
    let _ = pipeline.set_state(gst::State::Null);
    if let Some(bus) = pipeline.bus() {
        bus.unset_sync_handler();
    }
}

impl Running {
    pub(super) fn element(&self, name: &str) -> Option<gst::Element> {
        self.pipeline.by_name(name)
    }

    /// Never waits.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.talk.push_buffer(buffer)
    }
}

/// Starts a pipeline whose `appsrc name=talk` takes samples at `hz`; `now`: they have the time at which they are pushed.
///
/// # Errors
/// GStreamer does not start it.
pub(super) async fn started(
    description: String,
    words: Words,
    hz: u32,
    now: bool,
) -> Result<(Running, oneshot::Receiver<Error>), Error> {
    let starting = {
        let words = words.clone();
        spawn_blocking(move || caught(Part::Pipeline, Whose::NOBODYS, || start(&description, &words, hz, now)).ok())
    };
    // What starts later than that is dropped, and so stopped, on its own thread.
    match timeout(START_LIMIT, starting).await {
        Ok(Ok(Some(started))) => started,
        Ok(_) => Err(words.unusable("GStreamer failed without a reason")),
        Err(_) => {
            let peer = format!("pipeline {}", words.pipeline());
            Err(Error::Timeout { peer, step: Step::Start, limit: START_LIMIT })
        }
    }
}

/// Blocks while devices are opened.
fn start(description: &str, words: &Words, hz: u32, now: bool) -> Result<(Running, oneshot::Receiver<Error>), Error> {
    gst::init().map_err(|error| words.failed("GStreamer", error.message(), ""))?;
    let pipeline = parse(description, words)?;
    let talk = pipeline.by_name("talk").and_then(|talk| talk.downcast::<AppSrc>().ok());
    let talk = talk.ok_or_else(|| words.unusable(NO_SOURCE))?;
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", hz as i32)
        .field("channels", 1)
        .build();
    talk.set_caps(Some(&caps));
    talk.set_format(gst::Format::Time);
    talk.set_stream_type(AppStreamType::Stream);
    talk.set_is_live(true);
    talk.set_do_timestamp(now);
    // GStreamer 1.20 and newer.
    if talk.has_property("leaky-type") && talk.has_property("max-time") {
        talk.set_property_from_str("leaky-type", "downstream");
        talk.set_property("max-time", MAX_WAITING);
    }
    talk.set_block(false);
    let (end, ended) = oneshot::channel();
    let end: End = Arc::new(Mutex::new(Some(end)));
    let running = Running { pipeline, talk };
    listen(&running.pipeline, end, words.clone());
    if running.pipeline.set_state(gst::State::Playing).is_err() {
        let mut ended = ended;
        return Err(ended.try_recv().unwrap_or_else(|_| words.failed("GStreamer", "the pipeline does not start", "")));
    }
    Ok((running, ended))
}

/// Reports the first error, or the end of the stream. Every message is dropped, so that none piles up.
fn listen(pipeline: &gst::Pipeline, end: End, words: Words) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        // A panic that came as far as C would end the process.
        let error = caught(Part::Pipeline, Whose::NOBODYS, || match message.view() {
            gst::MessageView::Error(message) => Some(words.element(message)),
            gst::MessageView::Eos(_) => Some(Error::EndOfStream { pipeline: words.pipeline().to_owned() }),
            _ => None,
        });
        if let Some(error) = error.unwrap_or_else(|panic| Some(words.unusable(panic.to_string()))) {
            finish(&end, error);
        }
        gst::BusSyncReply::Drop
    });
}
