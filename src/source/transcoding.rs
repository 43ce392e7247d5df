//! A thread of its own that makes one camera's sound into Opus, so that neither the reader of the camera nor a viewer
//! waits for it.
//!
//! In: the camera's frames, through a bounded queue. Out: Opus frames with media and capture time, which the reader
//! publishes. Ends when it is dropped. A frame that makes it panic is lost, and the next is decoded from the beginning.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    media::{
        AudioFormat, CameraName, MediaTime,
        transcode::{FrameError, Options, OpusFrame, Source, TranscodeError, Transcoder},
    },
    panics::{Panicked, Part, Whose, caught},
    stats::Counter,
};

/// Frames that may wait for the thread: a second and more. It falls behind only when the machine does; then frames are
/// dropped, counted, and concealed like any other loss.
const QUEUE: usize = 64;
/// Between two log lines about frames that cannot be decoded.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Between two decoders that panicked, on the camera's clock: one that panics at once must not take a core. What comes meanwhile is
/// lost.
const REST: Duration = Duration::from_secs(1);

/// One frame as the camera sent it.
#[derive(Debug)]
pub(super) struct Coded {
    pub(super) data: Bytes,
    pub(super) time: MediaTime,
    pub(super) captured: Instant,
    /// Frames that were lost before this one.
    pub(super) lost: u32,
}

/// A running thread.
#[derive(Debug)]
pub(super) struct Transcoding {
    format: AudioFormat,
    reduction: Option<String>,
    frames: SyncSender<Coded>,
    opus: mpsc::Receiver<OpusFrame>,
    /// Frames that found the queue full since the last one that did not.
    skipped: u32,
}

impl Transcoding {
    /// Starts the thread.
    ///
    /// # Errors
    /// What cannot be decoded, in words for the log and the page.
    pub(super) fn start(camera: &CameraName, source: &Source, options: Options) -> Result<Self, TranscodeError> {
        let transcoder = Transcoder::new(source, options)?;
        let format = transcoder.format();
        let reduction = transcoder.reduction().map(|reduction| reduction.to_string());
        let (frames, queue) = sync_channel(QUEUE);
        let (sender, opus) = mpsc::channel(QUEUE);
        let anew = {
            let source = source.clone();
            move || Transcoder::new(&source, options).ok()
        };
        let worker = Worker { camera: camera.clone(), anew, sender, broke: None, complained: None };
        let name: String = format!("sound-{camera}").chars().take(15).collect();
        if let Err(error) = thread::Builder::new().name(name).spawn(move || worker.run(transcoder, &queue)) {
            warn!(camera = %camera, %error, "no thread for the sound: playing without");
        }
        Ok(Self { format, reduction, frames, opus, skipped: 0 })
    }

    /// What comes out.
    pub(super) fn format(&self) -> AudioFormat {
        self.format
    }

    /// What of the camera's sound does not come through, in a sentence.
    pub(super) fn reduction(&self) -> Option<&str> {
        self.reduction.as_deref()
    }

    /// Hands a frame over; never waits. What does not fit is counted in `dropped`.
    pub(super) fn push(&mut self, mut frame: Coded, dropped: &Counter) {
        frame.lost = frame.lost.saturating_add(self.skipped);
        if self.frames.try_send(frame).is_ok() {
            self.skipped = 0;
        } else {
            self.skipped = self.skipped.saturating_add(1);
            dropped.add(1);
        }
    }

    /// The next Opus frame; never completes when the thread is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> OpusFrame {
        match self.opus.recv().await {
            Some(frame) => frame,
            None => std::future::pending().await,
        }
    }
}

/// What makes sound into Opus, and may panic.
trait Decode {
    fn push(&mut self, frame: &Coded) -> Result<(), FrameError>;
    fn pull(&mut self) -> Option<OpusFrame>;
}

impl Decode for Transcoder {
    fn push(&mut self, frame: &Coded) -> Result<(), FrameError> {
        self.push(&frame.data, frame.time, frame.captured, frame.lost)
    }

    fn pull(&mut self) -> Option<OpusFrame> {
        self.pull()
    }
}

struct Worker<A> {
    camera: CameraName,
    /// Makes another decoder.
    anew: A,
    sender: mpsc::Sender<OpusFrame>,
    /// When the last frame was captured that made the decoder panic.
    broke: Option<Instant>,
    complained: Option<Instant>,
}

impl<D: Decode, A: Fn() -> Option<D>> Worker<A> {
    fn run(mut self, decoder: D, frames: &Receiver<Coded>) {
        let mut decoder = Some(decoder);
        while let Ok(frame) = frames.recv() {
            let is_due = self.broke.is_none_or(|broke| frame.captured.saturating_duration_since(broke) >= REST);
            let camera = self.camera.clone();
            let done = caught(Part::Sound, Whose::camera(&camera), || {
                if decoder.is_none() && is_due {
                    decoder = (self.anew)();
                }
                decoder.as_mut().is_none_or(|decoder| self.transcode(decoder, &frame))
            });
            match done {
                Ok(true) => {}
                Ok(false) => return,
                // What it was in the middle of is not to be trusted.
                Err(Panicked) => (decoder, self.broke) = (None, Some(frame.captured)),
            }
        }
    }

    /// Whether anybody takes what comes out.
    fn transcode(&mut self, decoder: &mut D, frame: &Coded) -> bool {
        if let Err(error) = decoder.push(frame)
            && self.complained.is_none_or(|at| frame.captured.saturating_duration_since(at) > COMPLAINT_INTERVAL)
        {
            self.complained = Some(frame.captured);
            warn!(camera = %self.camera, %error, "a frame of sound is lost");
        }
        while let Some(opus) = decoder.pull() {
            // Blocks while the reader is busy; it never waits for us, and is gone when the channel is closed.
            if self.sender.blocking_send(opus).is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ClockRate;

    /// One Opus frame for each frame, but for a frame that says otherwise.
    struct Touchy(Option<OpusFrame>);

    impl Decode for Touchy {
        fn push(&mut self, frame: &Coded) -> Result<(), FrameError> {
            assert_ne!(&frame.data[..], b"panic", "as the test wishes");
            self.0 = Some(OpusFrame { time: frame.time, captured: frame.captured, data: frame.data.clone() });
            Ok(())
        }

        fn pull(&mut self) -> Option<OpusFrame> {
            self.0.take()
        }
    }

    #[test]
    fn a_frame_that_makes_the_decoder_panic_ends_no_sound() {
        let ((frames, queue), (sender, mut opus)) = (sync_channel(QUEUE), mpsc::channel(QUEUE));
        let camera: CameraName = "front".parse().expect("a name");
        let anew = || Some(Touchy(None));
        let worker = Worker { camera, anew, sender, broke: None, complained: None };
        let start = Instant::now();
        for (data, after) in
            [("one", 0), ("panic", 20), ("lost", 40), ("two", 1_020), ("panic", 1_040), ("three", 9_000)]
        {
            let time = MediaTime { ticks: 0, rate: ClockRate::OPUS };
            let captured = start + Duration::from_millis(after);
            frames.send(Coded { data: Bytes::from_static(data.as_bytes()), time, captured, lost: 0 }).expect("room");
        }
        drop(frames);
        worker.run(Touchy(None), &queue);
        let heard: Vec<_> = std::iter::from_fn(|| opus.try_recv().ok()).map(|frame| frame.data).collect();
        assert_eq!(heard, ["one", "two", "three"]);
    }
}
