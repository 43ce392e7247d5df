//! The way of a unit out of an appsink: its format, its time, and the queue to the async side.
//!
//! Runs on GStreamer's threads and never waits.

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

use super::{element::Words, sample, tls::Guard};
use crate::{
    media::{AudioFormat, Kind, VideoFormat},
    panics::{Panicked, Part, Whose, caught},
    source::Error,
};

/// Steps back in time after which pictures are known to come out of order, if so many are at least one in
/// [`STEP_SHARE`]; fewer are a source's clock that was set.
const STEPS_BACK: u32 = 4;
/// With three B-frames in a row, the most that is usual, one picture in four steps back.
const STEP_SHARE: u32 = 8;
/// From one picture to the next, in nanoseconds, if its source gives both the same time.
const LEAST_STEP: i64 = 5_000_000;
const B_FRAMES: &str = "its video has B-frames, which browsers do not play live: switch them off where it is made, or \
                        encode it anew ({encoder}; for a file, pipeline = \"file\")";

/// Why a pipeline stopped by itself. Sent once.
pub(super) type End = Arc<Mutex<Option<oneshot::Sender<Error>>>>;

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

/// Ends the pipeline, unless it has ended already.
pub(super) fn finish(end: &End, error: Error) {
    let sender = end.lock().unwrap_or_else(|e| e.into_inner()).take();
    if let Some(sender) = sender {
        // Nobody listens any more while the pipeline is being stopped.
        let _ = sender.send(error);
    }
}

/// One appsink's way out.
pub(super) struct Exit {
    pub(super) kind: Kind,
    pub(super) units: mpsc::Sender<Unit>,
    pub(super) end: End,
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) words: Words,
    pub(super) guard: Guard,
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
    order: Order,
}

/// The order in which pictures come.
#[derive(Default)]
struct Order {
    last: Option<i64>,
    pictures: u32,
    steps_back: u32,
}

impl Order {
    /// When the next picture is shown, or `None` if it is clear by now that pictures come out of order. Two pictures of
    /// one time, as where a file starts over, would be one picture to a viewer.
    fn place(&mut self, running: i64) -> Option<i64> {
        let running = if self.last == Some(running) { running + LEAST_STEP } else { running };
        self.pictures = self.pictures.saturating_add(1);
        self.steps_back += u32::from(self.last.replace(running).is_some_and(|last| running < last));
        let has_b_frames = self.steps_back >= STEPS_BACK && self.steps_back.saturating_mul(STEP_SHARE) >= self.pictures;
        (!has_b_frames).then_some(running)
    }
}

impl Exit {
    /// Takes whatever the sink gets from now on.
    pub(super) fn attach(self, sink: &AppSink) {
        let mut seen = Seen::default();
        let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // Not left to gstreamer-rs, which puts what the panic says into an error that people see.
            let handed = caught(Part::Pipeline, Whose::NOBODYS, || -> Result<(), String> {
                let unit = self.unit(sink, &sample, &mut seen)?;
                unit.into_iter().for_each(|unit| self.hand_over(unit, &mut seen));
                Ok(())
            });
            let reason = match handed {
                Ok(Ok(())) => return Ok(gst::FlowSuccess::Ok),
                Ok(Err(reason)) => reason,
                Err(panic @ Panicked) => panic.to_string(),
            };
            finish(&self.end, self.words.unusable(reason));
            Err(gst::FlowError::Error)
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
        if !self.guard.is_satisfied() {
            return Err("the camera did not show the certificate that is pinned in its with".into());
        }
        let Some(running) = running_time(segment, buffer) else { return Ok(None) };
        let running = match self.kind {
            Kind::Video => seen.order.place(running).ok_or(B_FRAMES)?,
            Kind::Audio => running,
        };
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
