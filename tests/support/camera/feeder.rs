//! The clock of the camera: one thread that paints and pushes frames and tone.
//!
//! Frame `n` is shown at `epoch + n / fps`, whether or not anybody watches, so that the number in
//! the picture is a time too. Buffers carry that time on the pipeline's clock. A stalled camera
//! skips its frames; the timestamps jump over the gap as a real camera's do.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::picture::Painter;

/// Length of an audio buffer: what Opus packs into one packet.
const AUDIO_CHUNK: Duration = Duration::from_millis(20);

/// Length of a beep.
const BEEP: Duration = Duration::from_millis(40);

/// What the tests change while the camera runs.
pub struct Controls {
    pub stalled: AtomicBool,
    pub width: AtomicU32,
    pub height: AtomicU32,
    pub frames_fed: AtomicU64,
    pub feeds: Mutex<Vec<Feed>>,
    stop: AtomicBool,
}

impl Controls {
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            stalled: AtomicBool::new(false),
            width: width.into(),
            height: height.into(),
            frames_fed: AtomicU64::new(0),
            feeds: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        }
    }

    /// Makes the next frame of every pipeline a keyframe.
    pub fn force_keyframe(&self) {
        for feed in self.feeds.lock().unwrap().iter() {
            // What gst_video_event_new_upstream_force_key_unit() builds, sent downstream from the
            // input: the encoder takes either.
            let request = gst::Structure::builder("GstForceKeyUnit")
                .field("timestamp", gst::ClockTime::NONE)
                .field("stream-time", gst::ClockTime::NONE)
                .field("running-time", gst::ClockTime::NONE)
                .field("all-headers", true)
                .field("count", 0u32)
                .build();
            let _ = feed.video.send_event(gst::event::CustomDownstream::new(request));
        }
    }
}

/// The inputs of one RTSP media pipeline.
pub struct Feed {
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    /// Size the video input was last told.
    size: (u32, u32),
    video_time: Timeline,
    audio_time: Timeline,
}

impl Feed {
    pub fn new(video: gst_app::AppSrc, audio: Option<gst_app::AppSrc>) -> Self {
        Self { video, audio, size: (0, 0), video_time: Timeline::default(), audio_time: Timeline::default() }
    }
}

/// Turns time since the camera's epoch into the running time of one pipeline.
#[derive(Default)]
struct Timeline {
    /// The pipeline's base time this was computed for, and its running time at the epoch in ns.
    start: Option<(gst::ClockTime, i128)>,
}

impl Timeline {
    /// The timestamp for what is shown `at` after the epoch, or `None` while `source` does not run.
    ///
    /// The clock is read once per pipeline, so that the distance of two timestamps is exact.
    ///
    /// The state of the RTSP media is not asked: `RTSPMedia.get_status()` waits for the media to be
    /// prepared, which needs the frames that this thread would push next.
    fn timestamp(&mut self, source: &gst_app::AppSrc, epoch: Instant, at: Duration) -> Option<gst::ClockTime> {
        let base = source.base_time().filter(|base| !base.is_zero())?;
        if source.current_state() != gst::State::Playing {
            return None;
        }
        if self.start.is_none_or(|(of, _)| of != base) {
            let running = source.current_clock_time()?.checked_sub(base)?;
            let offset = i128::from(running.nseconds()) - epoch.elapsed().as_nanos() as i128;
            self.start = Some((base, offset));
        }
        let nanoseconds = self.start?.1 + at.as_nanos() as i128;
        u64::try_from(nanoseconds).ok().map(gst::ClockTime::from_nseconds)
    }
}

/// How the sound is made.
#[derive(Clone, Copy)]
pub struct Tone {
    pub hertz: f64,
    pub rate: u32,
    /// Millionths that its clock is too fast.
    pub ppm: i32,
    /// Samples by which a decoder gives beeps later than the encoder's timestamps say.
    pub priming: u64,
}

impl Tone {
    /// Samples in a second by the sound card's clock, per second.
    fn speed(self) -> f64 {
        1.0 + f64::from(self.ppm) / 1e6
    }

    /// The samples of a chunk. With `beep` the tone sounds only at the begin of each second of true time.
    fn samples(self, chunk: u64, beep: bool) -> Vec<u8> {
        let count = u64::from(self.rate) * AUDIO_CHUNK.as_millis() as u64 / 1000;
        (chunk * count..(chunk + 1) * count)
            .flat_map(|at| {
                let ahead = if beep { self.priming } else { 0 };
                let seconds = (at + ahead) as f64 / (f64::from(self.rate) * self.speed());
                // The first sample of a beep may lie up to half a sample before the second.
                let within = (seconds + 0.5 / f64::from(self.rate)).fract();
                let level = match beep {
                    true if within < BEEP.as_secs_f64() => {
                        (within * self.hertz * std::f64::consts::TAU).sin() * 16000.0
                    }
                    true => 0.0,
                    false => ((seconds * self.hertz).fract() * std::f64::consts::TAU).sin() * 8000.0,
                };
                (level as i16).to_le_bytes()
            })
            .collect()
    }
}

/// What the camera shows and plays.
#[derive(Clone, Copy)]
pub struct Show {
    pub fps: u32,
    pub noise_percent: u32,
    pub tone: Option<Tone>,
    pub flash_and_beep: bool,
}

pub struct Feeder {
    controls: Arc<Controls>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    pub fn start(controls: Arc<Controls>, epoch: Instant, show: Show) -> Self {
        let shared = controls.clone();
        let thread = std::thread::Builder::new()
            .name("camera-feeder".into())
            .spawn(move || {
                Loop { controls: shared, epoch, show }.run();
            })
            .expect("a thread for the camera");
        Self { controls, thread: Some(thread) }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.controls.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop {
    controls: Arc<Controls>,
    epoch: Instant,
    show: Show,
}

impl Loop {
    fn run(self) {
        let Show { fps, tone, .. } = self.show;
        let interval = Duration::from_secs(1) / fps;
        // A fast sound card has its chunks done earlier.
        let chunk_time = AUDIO_CHUNK.div_f64(tone.map_or(1.0, Tone::speed));
        let (mut frame, mut chunk) = (0u64, 0u64);
        let mut painter = Painter::new(0, 0, 0);
        while !self.controls.stop.load(Ordering::Relaxed) {
            // Never catch up on what is more than a second old: that would be a burst no camera sends.
            let elapsed = self.epoch.elapsed();
            let oldest = elapsed.saturating_sub(Duration::from_secs(1));
            frame = frame.max((oldest.as_secs_f64() * f64::from(fps)) as u64);
            chunk = chunk.max(oldest.div_duration_f64(chunk_time) as u64);
            let frame_at = Duration::from_secs(1).mul_f64(frame as f64 / f64::from(fps));
            let chunk_at = chunk_time.mul_f64(chunk as f64);
            let next = if tone.is_some() { frame_at.min(chunk_at) } else { frame_at };
            if next > elapsed {
                std::thread::sleep((next - elapsed).min(Duration::from_millis(50)));
                continue;
            }
            let silent = self.controls.stalled.load(Ordering::Relaxed);
            if next == frame_at {
                if !silent {
                    self.push_frame(&mut painter, frame, frame_at, interval);
                }
                frame += 1;
            } else {
                if let (false, Some(tone)) = (silent, tone) {
                    self.push_tone(tone, chunk);
                }
                chunk += 1;
            }
        }
    }

    fn push_frame(&self, painter: &mut Painter, frame: u64, at: Duration, interval: Duration) {
        let mut feeds = self.controls.feeds.lock().unwrap();
        let mut painted: Option<gst::Buffer> = None;
        feeds.retain_mut(|feed| {
            let time = feed.video_time.timestamp(&feed.video, self.epoch, at);
            let Some(pts) = time else { return true };
            let size = (self.controls.width.load(Ordering::Relaxed), self.controls.height.load(Ordering::Relaxed));
            if painter.size() != size {
                *painter = Painter::new(size.0, size.1, self.show.noise_percent);
                painted = None;
            }
            if feed.size != size {
                feed.video.set_caps(Some(&video_caps(size.0, size.1, self.show.fps)));
                feed.size = size;
            }
            let flash = self.show.flash_and_beep && frame.is_multiple_of(u64::from(self.show.fps));
            let mut paint = || match flash {
                true => painter.flash(frame as u32),
                false => painter.paint(frame as u32),
            };
            let mut buffer = painted.get_or_insert_with(|| gst::Buffer::from_slice(paint())).copy();
            let header = buffer.make_mut();
            header.set_pts(pts);
            header.set_duration(gst::ClockTime::try_from(interval).ok());
            self.controls.frames_fed.fetch_add(1, Ordering::Relaxed);
            // Flushing: the media was torn down. It is of no use any more.
            feed.video.push_buffer(buffer).is_ok()
        });
    }

    fn push_tone(&self, tone: Tone, chunk: u64) {
        let pcm = tone.samples(chunk, self.show.flash_and_beep);
        // Counts samples, so it runs ahead when the card is fast.
        let at = AUDIO_CHUNK.mul_f64(chunk as f64);
        for feed in self.controls.feeds.lock().unwrap().iter_mut() {
            let Some(audio) = &feed.audio else { continue };
            let Some(pts) = feed.audio_time.timestamp(audio, self.epoch, at) else {
                continue;
            };
            let mut buffer = gst::Buffer::from_slice(pcm.clone());
            let header = buffer.make_mut();
            header.set_pts(pts);
            header.set_duration(gst::ClockTime::try_from(AUDIO_CHUNK).ok());
            let _ = audio.push_buffer(buffer);
        }
    }
}

/// The caps of the raw picture.
pub fn video_caps(width: u32, height: u32, fps: u32) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(fps as i32, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}
