//! Codes speech for a camera, by an encoder of GStreamer's libav plugin: there is no crate for AAC whose licence fits.
//!
//! In: samples with their time. Out: frames with theirs, as they come; nothing here waits for them.

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::sync::{mpsc, oneshot};

use super::{
    element::Words,
    loudspeaker::{Running, started},
};
use crate::{
    media::transcode::Speech,
    panics::{Part, Whose, caught},
    source::{Error, speech::Coding},
};

/// Frames that may wait: a second and more. They are taken with each packet that is said.
const FRAMES: usize = 64;
const NO_SINK: &str = "it has no element \"appsink name=coded\"";

/// An encoder that runs.
#[derive(Debug)]
pub(in crate::source) struct SpeechCoder {
    running: Running,
    end: oneshot::Receiver<Error>,
    frames: mpsc::Receiver<Frame>,
    hz: u32,
    name: String,
}

/// What is to be sent in one packet.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) struct Frame {
    /// When its first sample is to be heard, in samples as [`Speech::time`].
    pub(in crate::source) time: u32,
    pub(in crate::source) data: Bytes,
}

impl SpeechCoder {
    /// Starts the encoder, for samples at `hz`.
    ///
    /// # Errors
    /// GStreamer does not have it, or does not start it.
    pub(in crate::source) async fn open(coding: Coding, hz: u32) -> Result<Self, Error> {
        let name = format!("for {coding}");
        let words = Words::new(&name, &Default::default());
        let encoder = match coding {
            Coding::Aac => format!("avenc_aac bitrate={}", if hz > 8_000 { 32_000 } else { 24_000 }),
        };
        let description = format!(
            "appsrc name=talk ! audioconvert ! {encoder} ! appsink name=coded sync=false async=false enable-last-sample=false"
        );
        let (running, end) = started(description, words.clone(), hz, false).await?;
        let sink = running.element("coded").and_then(|sink| sink.downcast::<AppSink>().ok());
        let sink = sink.ok_or_else(|| words.unusable(NO_SINK))?;
        let (send, frames) = mpsc::channel(FRAMES);
        let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // A panic that came as far as C would end the process.
            let frame = caught(Part::Pipeline, Whose::NOBODYS, || frame(&sample, hz));
            if let Some(frame) = frame.map_err(|_| gst::FlowError::Error)? {
                // What there is no room for is late anyway.
                let _ = send.try_send(frame);
            }
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
        Ok(Self { running, end, frames, hz, name })
    }

    /// Has it coded.
    ///
    /// # Errors
    /// The encoder has ended.
    pub(in crate::source) fn push(&mut self, speech: &Speech) -> Result<(), Error> {
        let bytes: Vec<u8> = speech.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let at = |samples: u64| gst::ClockTime::from_nseconds(samples * 1_000_000_000 / u64::from(self.hz));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at(speech.time.into()));
            buffer.set_duration(at(speech.samples.len() as u64));
        }
        self.running
            .push(buffer)
            .map(drop)
            .map_err(|_| self.end.try_recv().unwrap_or_else(|_| Error::EndOfStream { pipeline: self.name.clone() }))
    }

    /// The next frame, if there is one yet.
    pub(in crate::source) fn next(&mut self) -> Option<Frame> {
        self.frames.try_recv().ok()
    }
}

fn frame(sample: &gst::Sample, hz: u32) -> Option<Frame> {
    let buffer = sample.buffer()?;
    let nanoseconds = u128::from(buffer.pts()?.nseconds());
    let time = (nanoseconds * u128::from(hz) + 500_000_000) / 1_000_000_000;
    let data = Bytes::copy_from_slice(buffer.map_readable().ok()?.as_slice());
    (!data.is_empty()).then_some(Frame { time: time as u32, data })
}
