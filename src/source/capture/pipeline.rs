//! A running GStreamer pipeline: built, started and stopped away from the async threads.
//!
//! Out: what its two appsinks deliver, through one bounded channel, and why it ended. GStreamer's own threads call in
//! here; they never wait for us. A pipeline that is dropped is stopped.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::{element::Words, sample};
use crate::{
    media::{AudioFormat, Kind, VideoFormat},
    source::Error,
};

/// Units on their way from GStreamer's threads to the hub, both tracks: more than a second of them. A unit that finds
/// it full is dropped and counted; so are the pictures after it up to the next keyframe.
const QUEUE: usize = 128;
/// Buffers inside an appsink. Each is taken out in the moment it comes; this only keeps a sink whose consumer is gone
/// from growing.
const SINK_BUFFERS: u32 = 4;

/// Why a pipeline stopped by itself. Sent once.
type End = Arc<Mutex<Option<oneshot::Sender<Error>>>>;

/// What an appsink delivered.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) content: Content,
    /// Nanoseconds since the pipeline started; the same line for both sinks.
    pub(super) running: i64,
    pub(super) captured: Instant,
    pub(super) data: Bytes,
}

/// What a unit holds.
#[derive(Debug)]
pub(super) enum Content {
    /// An H.264 access unit, and the format in force from it on, if that changed.
    Picture { keyframe: bool, format: Option<VideoFormat> },
    /// A packet of sound.
    Sound { format: AudioFormat },
}

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
    pub(super) fn start(description: &str, words: &Words) -> Result<(Self, Output), Error> {
        gst::init().map_err(|error| words.failed("GStreamer", error.message(), ""))?;
        let pipeline = parse(description, words)?;
        let (units, received) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let end: End = Arc::new(Mutex::new(Some(end)));
        let dropped = Arc::new(AtomicU64::new(0));
        let [video, audio] = [Kind::Video, Kind::Audio].map(|kind| {
            let sink = sink(&pipeline, kind)?;
            let exit =
                Exit { kind, units: units.clone(), end: end.clone(), dropped: dropped.clone(), words: words.clone() };
            exit.attach(&sink);
            Some(sink)
        });
        if video.is_none() && audio.is_none() {
            return Err(words.unusable("it has no element \"appsink name=video\" or \"appsink name=audio\""));
        }
        let output =
            Output { units: received, end: ended, has_video: video.is_some(), has_audio: audio.is_some(), dropped };
        // From here on dropping it stops it.
        let running = Self { pipeline, video };
        running.listen(end, words.clone());
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
    fn listen(&self, end: End, words: Words) {
        let Some(bus) = self.pipeline.bus() else { return };
        bus.set_sync_handler(move |_, message| {
            let error = match message.view() {
                gst::MessageView::Error(message) => Some(words.element(message)),
                gst::MessageView::Eos(_) => Some(Error::EndOfStream { pipeline: words.pipeline().to_owned() }),
                // The device that gave the time is gone; what is left has no common time any more.
                gst::MessageView::ClockLost(_) => Some(words.failed("GStreamer", "the pipeline lost its clock", "")),
                gst::MessageView::Warning(message) => {
                    let text = words.failed("", &message.error().to_string(), "").to_string();
                    debug!(pipeline = words.pipeline(), text, "warning");
                    None
                }
                _ => None,
            };
            if let Some(error) = error {
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

fn parse(description: &str, words: &Words) -> Result<gst::Pipeline, Error> {
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
    sink.set_enable_last_sample(false);
    sink.set_max_buffers(SINK_BUFFERS);
    sink.set_drop(true);
    Some(sink)
}

fn finish(end: &End, error: Error) {
    let sender = end.lock().unwrap_or_else(|e| e.into_inner()).take();
    if let Some(sender) = sender {
        // Nobody listens any more while the pipeline is being stopped.
        let _ = sender.send(error);
    }
}

/// One appsink's way out.
struct Exit {
    kind: Kind,
    units: mpsc::Sender<Unit>,
    end: End,
    dropped: Arc<AtomicU64>,
    words: Words,
}

/// What one appsink remembers from unit to unit.
#[derive(Default)]
struct Seen {
    caps: Option<gst::Caps>,
    /// The pictures' format, until it was handed over.
    new_format: Option<VideoFormat>,
    audio_format: Option<AudioFormat>,
    captured: Option<Instant>,
    awaiting_keyframe: bool,
}

impl Exit {
    fn attach(self, sink: &AppSink) {
        let mut seen = Seen::default();
        let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            match self.unit(sink, &sample, &mut seen) {
                Ok(Some(unit)) => self.hand_over(unit, &mut seen),
                Ok(None) => {}
                Err(reason) => {
                    finish(&self.end, self.words.unusable(reason));
                    return Err(gst::FlowError::Error);
                }
            }
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
    }

    /// `None` for a buffer that cannot be placed in time.
    fn unit(&self, sink: &AppSink, sample: &gst::Sample, seen: &mut Seen) -> Result<Option<Unit>, String> {
        let (Some(buffer), Some(caps), Some(segment)) = (sample.buffer(), sample.caps(), sample.segment()) else {
            return Ok(None);
        };
        if seen.caps.as_deref() != Some(caps) {
            match self.kind {
                Kind::Video => seen.new_format = Some(sample::video_format(caps)?),
                Kind::Audio => seen.audio_format = sample::audio_format(caps),
            }
            seen.caps = Some(caps.to_owned());
        }
        let Some(running) = running_time(segment, buffer) else { return Ok(None) };
        let data = Bytes::copy_from_slice(&buffer.map_readable().map_err(|error| error.to_string())?);
        let content = match (self.kind, seen.audio_format) {
            (Kind::Video, _) => {
                Content::Picture { keyframe: sample::is_keyframe(buffer, &data), format: seen.new_format.clone() }
            }
            (Kind::Audio, Some(format)) => Content::Sound { format },
            (Kind::Audio, None) => return Err(format!("its sound cannot be used: {caps}")),
        };
        let captured = captured(sink, running);
        let captured = seen.captured.map_or(captured, |last| captured.max(last));
        seen.captured = Some(captured);
        Ok(Some(Unit { content, running, captured, data }))
    }

    /// Never waits.
    fn hand_over(&self, unit: Unit, seen: &mut Seen) {
        let undecodable = matches!(unit.content, Content::Picture { keyframe: false, .. }) && seen.awaiting_keyframe;
        if !undecodable && self.units.try_send(unit).is_ok() {
            seen.awaiting_keyframe = false;
            seen.new_format = None;
        } else {
            seen.awaiting_keyframe = true;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Nanoseconds on the pipeline's own line; negative for what an encoder puts before the start.
fn running_time(segment: &gst::Segment, buffer: &gst::BufferRef) -> Option<i64> {
    let running = segment.downcast_ref::<gst::ClockTime>()?.to_running_time_full(buffer.pts()?)?;
    let nanos = i64::try_from(running.abs().nseconds()).ok()?;
    Some(if running.is_negative() { -nanos } else { nanos })
}

/// When the instant of a running time was: both clocks are read now, and the difference is how long ago it is. In a
/// pipeline that is not live, or whose clock is not known yet, that is now.
fn captured(sink: &AppSink, running: i64) -> Instant {
    let Some(clock) = sink.clock() else { return Instant::now() };
    let (now, clock) = read_both(&clock);
    let age = || {
        let base = sink.base_time().filter(|base| !base.is_zero())?;
        let base = i64::try_from(base.nseconds()).ok()?;
        u64::try_from(clock.checked_sub(base)?.checked_sub(running)?).ok()
    };
    age().and_then(|age| now.checked_sub(Duration::from_nanos(age))).unwrap_or(now)
}

/// One instant on our clock and, in nanoseconds, on the pipeline's. A thread that loses its core between the two
/// readings would be milliseconds off, so the closest of a few pairs counts.
fn read_both(clock: &gst::Clock) -> (Instant, i64) {
    const CLOSE: Duration = Duration::from_micros(50);
    let mut best: Option<(Duration, Instant, i64)> = None;
    for _ in 0..3 {
        let before = Instant::now();
        let time = i64::try_from(clock.time().nseconds()).unwrap_or(i64::MAX);
        let gap = before.elapsed();
        if best.is_none_or(|(least, ..)| gap < least) {
            best = Some((gap, before, time));
        }
        if gap < CLOSE {
            break;
        }
    }
    best.map_or_else(|| (Instant::now(), 0), |(_, now, time)| (now, time))
}
