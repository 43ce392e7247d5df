//! Reads JPEG and MP4 files with GStreamer, whose decoders are others than those that made them.

use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::camera::picture::read_counter;

/// A decoded picture: planes of brightness and of the two colours, in GStreamer's layout.
pub struct Frame {
    /// Since the beginning of the file.
    pub at: Duration,
    pub width: usize,
    pub height: usize,
    stride: usize,
    data: Vec<u8>,
}

impl Frame {
    /// The camera's frame number, if it is readable.
    pub fn counter(&self) -> Option<u32> {
        read_counter(&self.data, self.stride, self.width, self.height)
    }

    /// Brightness of the pixel at so many per cent of the width and of the height.
    pub fn luma(&self, x: usize, y: usize) -> u8 {
        self.data[self.height * y / 100 * self.stride + self.width * x / 100]
    }

    /// Blue and red of the same.
    pub fn chroma(&self, x: usize, y: usize) -> [u8; 2] {
        let stride = self.width.div_ceil(2).next_multiple_of(4);
        let plane = stride * self.height.div_ceil(2);
        let start = self.stride * self.height.next_multiple_of(2);
        let at = self.height.div_ceil(2) * y / 100 * stride + self.width.div_ceil(2) * x / 100;
        [self.data[start + at], self.data[start + plane + at]]
    }
}

/// What an MP4 file shows and plays.
pub struct Film {
    pub frames: Vec<Frame>,
    /// Samples at 48 kHz, the first of its channels, with the time of each packet.
    pub sound: Vec<(Duration, Vec<i16>)>,
    /// What it says of its own length.
    pub length: Duration,
}

impl Film {
    /// When something is heard for the first time at `loudness` after `from`.
    pub fn heard(&self, from: Duration, loudness: u16) -> Option<Duration> {
        let samples = self.sound.iter().flat_map(|(at, samples)| {
            let time = move |index: usize| *at + Duration::from_secs(1) * index as u32 / 48_000;
            samples.iter().enumerate().map(move |(index, sample)| (time(index), *sample))
        });
        samples.filter(|(at, _)| *at >= from).find(|(_, sample)| sample.unsigned_abs() >= loudness).map(|(at, _)| at)
    }
}

/// The picture of a JPEG file.
pub async fn still(jpeg: Vec<u8>) -> Frame {
    let frames = tokio::task::spawn_blocking(move || {
        let run = Run::new("appsrc name=in ! jpegdec ! video/x-raw,format=I420 ! appsink name=out sync=false", jpeg);
        run.frames("out")
    });
    frames.await.expect("a JPEG file").pop().expect("a picture")
}

/// Everything in an MP4 file, decoded.
pub async fn film(mp4: Vec<u8>, has_sound: bool) -> Film {
    let read = move || {
        let mut line = "appsrc name=in ! qtdemux name=file file.video_0 ! queue max-size-time=0 max-size-buffers=0 \
                        max-size-bytes=0 ! h264parse ! avdec_h264 ! video/x-raw,format=I420 ! appsink name=out sync=false"
            .to_owned();
        if has_sound {
            line += " file.audio_0 ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! opusdec ! \
                     audio/x-raw,format=S16LE,rate=48000 ! appsink name=sound sync=false";
        }
        let run = Run::new(&line, mp4);
        let frames = run.frames("out");
        let length = run.pipeline.query_duration::<gst::ClockTime>().expect("a file with a length").into();
        Film { frames, sound: if has_sound { run.sound("sound") } else { Vec::new() }, length }
    };
    tokio::task::spawn_blocking(read).await.expect("an MP4 file")
}

struct Run {
    pipeline: gst::Pipeline,
}

impl Run {
    fn new(line: &str, file: Vec<u8>) -> Self {
        gst::init().expect("GStreamer");
        let element = gst::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let pipeline = element.downcast::<gst::Pipeline>().expect("a pipeline");
        let source = pipeline.by_name("in").and_downcast::<AppSrc>().expect("a source");
        pipeline.set_state(gst::State::Playing).expect("it starts");
        source.push_buffer(gst::Buffer::from_slice(file)).expect("it reads");
        source.end_of_stream().expect("it ends");
        Self { pipeline }
    }

    fn samples(&self, sink: &str) -> impl Iterator<Item = (gst::Sample, Duration)> {
        let sink = self.pipeline.by_name(sink).and_downcast::<AppSink>().expect("a sink");
        let bus = self.pipeline.bus().expect("a bus");
        std::iter::from_fn(move || {
            // A minute: what is in a file is decoded in a moment.
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(60));
            if let Some(error) = bus.pop_filtered(&[gst::MessageType::Error]) {
                panic!("{error:?}");
            }
            let sample = sample?;
            let at = sample.segment().and_then(|segment| {
                let segment = segment.downcast_ref::<gst::ClockTime>()?;
                segment.to_stream_time(sample.buffer()?.pts()?)
            });
            Some((sample, at.unwrap_or_default().into()))
        })
    }

    fn frames(&self, sink: &str) -> Vec<Frame> {
        let frame = |(sample, at): (gst::Sample, Duration)| {
            let caps = sample.caps().expect("a format").structure(0).expect("one").to_owned();
            let side = |name| caps.get::<i32>(name).expect("a size") as usize;
            let (width, height) = (side("width"), side("height"));
            let data = sample.buffer().expect("a picture").map_readable().expect("its bytes").to_vec();
            Frame { at, width, height, stride: width.next_multiple_of(4), data }
        };
        self.samples(sink).map(frame).collect()
    }

    fn sound(&self, sink: &str) -> Vec<(Duration, Vec<i16>)> {
        let packet = |(sample, at): (gst::Sample, Duration)| {
            let channels =
                sample.caps().and_then(|caps| caps.structure(0)?.get::<i32>("channels").ok()).expect("channels");
            let data = sample.buffer().expect("sound").map_readable().expect("its bytes").to_vec();
            let samples = data.chunks_exact(2 * channels as usize);
            (at, samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect())
        };
        self.samples(sink).map(packet).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
