//! A thread of its own that makes one camera's sound into Opus, so that neither the reader of the camera nor a viewer
//! waits for it.
//!
//! In: the camera's frames, through a bounded queue. Out: Opus frames with media and capture time, which the reader
//! publishes. Ends when it is dropped.

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
        transcode::{Options, OpusFrame, Source, TranscodeError, Transcoder},
    },
    stats::Counter,
};

/// Frames that may wait for the thread: a second and more. It falls behind only when the machine does; then frames are
/// dropped, counted, and concealed like any other loss.
const QUEUE: usize = 64;
/// Between two log lines about frames that cannot be decoded.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

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
        let worker = Worker { camera: camera.clone(), transcoder, sender, complained: None };
        let name: String = format!("sound-{camera}").chars().take(15).collect();
        if let Err(error) = thread::Builder::new().name(name).spawn(move || worker.run(&queue)) {
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

struct Worker {
    camera: CameraName,
    transcoder: Transcoder,
    sender: mpsc::Sender<OpusFrame>,
    complained: Option<Instant>,
}

impl Worker {
    fn run(mut self, frames: &Receiver<Coded>) {
        while let Ok(frame) = frames.recv() {
            if let Err(error) = self.transcoder.push(&frame.data, frame.time, frame.captured, frame.lost)
                && self.complained.is_none_or(|at| frame.captured.saturating_duration_since(at) > COMPLAINT_INTERVAL)
            {
                self.complained = Some(frame.captured);
                warn!(camera = %self.camera, %error, "a frame of sound is lost");
            }
            while let Some(opus) = self.transcoder.pull() {
                // Blocks while the reader is busy; it never waits for us, and is gone when the channel is closed.
                if self.sender.blocking_send(opus).is_err() {
                    return;
                }
            }
        }
    }
}
