//! Plays a file again and again: a pipeline with an element named `loop` never ends.
//!
//! The first buffer that arrives at a sink starts it: a flushing seek to the beginning that asks for a message in place
//! of the end of the stream. At each such message follows another seek, without a flush, so that nothing that is under
//! way is lost and the running time goes on. GStreamer's threads are never made to wait: seeks have a thread of their
//! own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gstreamer as gst;
use gstreamer::{glib::WeakRef, prelude::*};
use gstreamer_app::AppSink;

use crate::panics::{Part, Whose, caught};

/// The name of the element that says so.
const NAME: &str = "loop";

/// Starts a pipeline over whenever its file has come to an end.
#[derive(Debug)]
pub(super) struct Repeat {
    sinks: Vec<WeakRef<AppSink>>,
}

impl Repeat {
    /// For a pipeline that was not started yet; `None` if it has no element of that name. What arrives before it is
    /// ready to start over is dropped, as it comes again.
    pub(super) fn prepare(pipeline: &gst::Pipeline, sinks: &[&AppSink]) -> Option<Self> {
        pipeline.by_name(NAME)?;
        let begun = Arc::new(AtomicBool::new(false));
        for sink in sinks {
            let Some(pad) = sink.static_pad("sink") else { continue };
            let (begun, sink) = (begun.clone(), sink.downgrade());
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH, move |_, info| {
                if info.event().is_some_and(|event| event.type_() == gst::EventType::FlushStop) {
                    return gst::PadProbeReturn::Remove;
                }
                if info.buffer().is_none() {
                    return gst::PadProbeReturn::Ok;
                }
                if !begun.swap(true, Ordering::SeqCst)
                    && let Some(sink) = sink.upgrade()
                {
                    sink.call_async(|sink| complain_unless(sink, || seek(sink, gst::SeekFlags::FLUSH)));
                }
                // Takes the buffer away, as Drop would; with Drop, gstreamer-rs lets GStreamer 1.22 free it twice.
                gst::PadProbeReturn::Handled
            });
        }
        Some(Self { sinks: sinks.iter().map(|sink| sink.downgrade()).collect() })
    }

    /// Goes back to the beginning. Called from GStreamer's threads.
    pub(super) fn start_over(&self) {
        let sinks: Vec<AppSink> = self.sinks.iter().filter_map(WeakRef::upgrade).collect();
        let Some(first) = sinks.first().cloned() else { return };
        first.call_async(move |first| {
            // One is enough: the file is read by one element. A sink that nothing comes to does not reach it.
            complain_unless(first, || sinks.iter().any(|sink| seek(sink, gst::SeekFlags::empty())));
        });
    }
}

/// Not through the element, whose lock would be held meanwhile: GStreamer takes it too when the latency changes.
fn seek(sink: &AppSink, flags: gst::SeekFlags) -> bool {
    let (start, end) = (gst::ClockTime::ZERO, gst::ClockTime::NONE);
    let flags = flags | gst::SeekFlags::SEGMENT;
    let seek = gst::event::Seek::new(1.0, flags, gst::SeekType::Set, start, gst::SeekType::None, end);
    sink.static_pad("sink").is_some_and(|pad| pad.push_event(seek))
}

/// Ends the pipeline where that does not work. A panic that came as far as C would end the process.
fn complain_unless(sink: &AppSink, works: impl FnOnce() -> bool) {
    if caught(Part::Pipeline, Whose::NOBODYS, works).unwrap_or(false) {
        return;
    }
    gst::element_error!(sink, gst::ResourceError::Seek, ("the file cannot be played from its beginning"));
}
