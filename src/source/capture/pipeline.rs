//! A running GStreamer pipeline: built, started and stopped away from the async threads.
//!
//! Out: what its two appsinks deliver, through one bounded channel, and why it ended. GStreamer's own threads call in
//! here; they never wait for us. A pipeline that is dropped is stopped.

use std::sync::{Arc, Mutex, atomic::AtomicU64};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::{
    certificate::Fingerprint,
    element::Words,
    exit::{End, Exit, Unit, finish},
    launch::Launch,
    probe,
    repeat::Repeat,
    tls::Guard,
};
use crate::{
    media::Kind,
    panics::{Part, Whose, caught},
    source::Error,
};

/// Units on their way from GStreamer's threads to the hub, both tracks: more than a second of them. A unit that finds
/// it full is dropped and counted; so are the pictures after it up to the next keyframe.
const QUEUE: usize = 128;
/// Buffers inside an appsink. Each is taken out in the moment it comes; this only keeps a sink whose consumer is gone
/// from growing.
const SINK_BUFFERS: u32 = 4;
/// The encoder that needs a request in its own words.
const V4L2_ENCODER: &str = "v4l2h264enc";
const NO_SINK: &str = "it has no element \"appsink name=video\" or \"appsink name=audio\"";

/// The receiving end of a pipeline.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) units: mpsc::Receiver<Unit>,
    pub(super) end: oneshot::Receiver<Error>,
    pub(super) has_video: bool,
    /// Whether it has a sink for sound, which tells its format later.
    pub(super) has_audio: bool,
    /// Units that did not fit into the queue.
    pub(super) dropped: Arc<AtomicU64>,
}

/// Keeps a pipeline running.
#[derive(Debug)]
pub(super) struct Pipeline {
    pipeline: gst::Pipeline,
    video: Option<AppSink>,
}

impl Pipeline {
    /// Builds and starts it. Blocks while devices are opened.
    pub(super) fn start(description: &str, pin: Option<Fingerprint>, words: &Words) -> Result<(Self, Output), Error> {
        gst::init().map_err(|error| words.failed("GStreamer", error.message(), ""))?;
        let pipeline = parse(description, words)?;
        let (units, received) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let end: End = Arc::new(Mutex::new(Some(end)));
        let dropped = Arc::new(AtomicU64::new(0));
        let guard = Guard::new(&pipeline, pin);
        let [video, audio] = [Kind::Video, Kind::Audio].map(|kind| {
            let sink = sink(&pipeline, kind)?;
            let (units, end, dropped) = (units.clone(), end.clone(), dropped.clone());
            Exit { kind, units, end, dropped, words: words.clone(), guard: guard.clone() }.attach(&sink);
            Some(sink)
        });
        if video.is_none() && audio.is_none() {
            return Err(words.unusable(NO_SINK));
        }
        let repeat = Repeat::prepare(&pipeline, &[&video, &audio].into_iter().flatten().collect::<Vec<_>>());
        let output =
            Output { units: received, end: ended, has_video: video.is_some(), has_audio: audio.is_some(), dropped };
        // From here on dropping it stops it.
        let running = Self { pipeline, video };
        running.listen(end, words.clone(), guard, repeat);
        if running.pipeline.set_state(gst::State::Playing).is_err() {
            let mut output = output;
            return Err(match output.end.try_recv() {
                Ok(error) => error,
                Err(_) => words.failed("GStreamer", "the pipeline does not start", ""),
            });
        }
        Ok((running, output))
    }

    /// Reports the first error, or the end of the stream. Every message is dropped, so that none piles up.
    fn listen(&self, end: End, words: Words, guard: Guard, repeat: Option<Repeat>) {
        let Some(bus) = self.pipeline.bus() else { return };
        let broken = words.clone();
        let error_of = move |message: &gst::Message| {
            match message.view() {
                gst::MessageView::Error(message) => {
                    Some(guard.refusal().map_or_else(|| words.element(message), |reason| words.unusable(reason)))
                }
                gst::MessageView::SegmentDone(_) => {
                    if let Some(repeat) = &repeat {
                        repeat.start_over();
                    }
                    None
                }
                gst::MessageView::Eos(_) => Some(Error::EndOfStream { pipeline: words.pipeline().to_owned() }),
                // The device that gave the time is gone; what is left has no common time any more.
                gst::MessageView::ClockLost(_) => Some(words.failed("GStreamer", "the pipeline lost its clock", "")),
                gst::MessageView::Warning(message) => {
                    let text = words.failed("", &message.error().to_string(), "").to_string();
                    debug!(pipeline = words.pipeline(), text, "warning");
                    None
                }
                _ => None,
            }
        };
        bus.set_sync_handler(move |_, message| {
            // A panic that came as far as C would end the process.
            let error = caught(Part::Pipeline, Whose::NOBODYS, || error_of(message));
            if let Some(error) = error.unwrap_or_else(|panic| Some(broken.unusable(panic.to_string()))) {
                finish(&end, error);
            }
            gst::BusSyncReply::Drop
        });
    }

    /// Asks the encoder for a keyframe. Encoders that cannot make one ignore it.
    pub(super) fn request_keyframe(&self) {
        let Some(video) = &self.video else { return };
        // What gst_video_event_new_upstream_force_key_unit makes, without its library.
        let structure = gst::Structure::builder("GstForceKeyUnit")
            .field("running-time", gst::ClockTime::NONE)
            .field("all-headers", true)
            .field("count", 0u32)
            .build();
        let taken = video.send_event(gst::event::CustomUpstream::new(structure));
        debug!(taken, "asked the encoder for a keyframe");
        // GStreamer's V4L2 encoders did not know the event for years. They pass controls on while they run.
        for element in self.pipeline.iterate_recurse().into_iter().flatten() {
            if element.factory().is_some_and(|factory| factory.name() == V4L2_ENCODER) {
                let control = gst::Structure::builder("controls").field("force_key_frame", 1).build();
                element.set_property("extra-controls", control);
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Waits for GStreamer's threads.
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}

/// Builds it and lets it go: no device is opened. Says what is missing.
pub(super) fn rehearse(launch: &Launch, words: &Words) -> Result<(), Error> {
    gst::init().map_err(|error| words.failed("GStreamer", error.message(), ""))?;
    let element = launch.encoder.map(|encoding| probe::likely(encoding.forced));
    let pipeline = parse(&launch.description(element), words)?;
    match [Kind::Video, Kind::Audio].into_iter().any(|kind| sink(&pipeline, kind).is_some()) {
        true => Ok(()),
        false => Err(words.unusable(NO_SINK)),
    }
}

pub(super) fn parse(description: &str, words: &Words) -> Result<gst::Pipeline, Error> {
    let mut context = gst::ParseContext::new();
    let element = gst::parse::launch_full(description, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
    let element = element.map_err(|error| {
        // So that the next attempt finds a plugin that was installed meanwhile. That it fails is no new failure.
        let _ = gst::Registry::update();
        words.unparsable(&error, &context.missing_elements())
    })?;
    element.downcast::<gst::Pipeline>().map_err(|_| words.unusable("it describes a single element and no pipeline"))
}

fn sink(pipeline: &gst::Pipeline, kind: Kind) -> Option<AppSink> {
    let (name, caps) = match kind {
        Kind::Video => ("video", "video/x-h264,stream-format=avc,alignment=au"),
        Kind::Audio => ("audio", "audio/x-opus;audio/x-mulaw,rate=8000,channels=1;audio/x-alaw,rate=8000,channels=1"),
    };
    let sink = pipeline.by_name(name)?.downcast::<AppSink>().ok()?;
    sink.set_caps(caps.parse::<gst::Caps>().ok().as_ref());
    // Viewers time what they show; waiting here would only add delay.
    sink.set_sync(false);
    sink.set_qos(false);
    // A sink that nothing comes to, as the camera has no sound, must not keep the other from starting.
    sink.set_property("async", false);
    sink.set_enable_last_sample(false);
    sink.set_max_buffers(SINK_BUFFERS);
    sink.set_drop(true);
    Some(sink)
}
