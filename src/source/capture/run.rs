//! One run of a pipeline: start, publish, ask for keyframes, stop.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    descriptors,
    element::Words,
    exit::{Content, Unit},
    launch::Launch,
    pipeline::{Output, Pipeline},
    probe, sample,
};
use crate::{
    media::{ClockRate, MediaTime},
    panics::{Part, Whose, caught},
    source::{
        Error, Step,
        feed::{Feed, audio_packets},
    },
};

/// For loading plugins and opening devices. A USB camera that resets takes up to 5 s; when hit, the start is left to
/// itself and undone as soon as it returns.
const START_LIMIT: Duration = Duration::from_secs(15);
/// From the start to the first unit. Pipelines that fetch from a network connect in this time.
const FIRST_UNIT_LIMIT: Duration = Duration::from_secs(20);
/// From one picture to the next, or one sound where there is no picture.
const UNIT_LIMIT: Duration = Duration::from_secs(10);
/// From the start to the first keyframe.
const KEYFRAME_LIMIT: Duration = Duration::from_secs(30);
/// For going to NULL, which waits for drivers. When hit, it goes on by itself on its own thread.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Least time between two keyframes that are asked for: each costs the viewers several times a usual picture, and one
/// serves all who asked.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(500);

/// From the first picture to the first sound. What has none by then is taken for mute, so that viewers do not wait for
/// it; sound that comes later is passed on.
const SOUND_LIMIT: Duration = Duration::from_secs(2);

/// Runs the pipeline until it fails or `leave` is cancelled; it is stopped in either case.
pub(super) async fn run(
    name: &str,
    launch: Launch,
    with: &BTreeMap<String, String>,
    feed: &mut Feed<'_>,
    leave: &CancellationToken,
) -> Result<(), Error> {
    let words = Words::new(name, with);
    // Before encoders are tried, too: what is found of them is kept.
    if !descriptors::are_left() {
        let hint = ": if that lasts, raise the limit (LimitNOFILE= under systemd, ulimit -n)";
        return Err(words.failed("GStreamer", "this process has no file descriptors left for it", hint));
    }
    let element = match launch.encoder {
        None => None,
        // Tries encoders when it is the first, and ends by itself.
        Some(encoding) => match blocking(move || probe::element(encoding.forced)).await {
            Ok(Some(element)) => Some(element?),
            _ => return Err(words.unusable("GStreamer failed without a reason")),
        },
    };
    let mut starting = {
        let words = words.clone();
        blocking(move || Pipeline::start(&launch.description(element), launch.pin, &words))
    };
    let started = tokio::select! {
        biased;
        () = leave.cancelled() => {
            // What starts later than this is dropped, and so stopped, on the thread that started it.
            if let Ok(Ok(Some(Ok((pipeline, _))))) = timeout(STOP_LIMIT, starting).await {
                stop(name, Arc::new(pipeline)).await;
            }
            return Ok(());
        }
        started = timeout(START_LIMIT, &mut starting) => started,
    };
    let (pipeline, mut output) = match started {
        Ok(Ok(Some(started))) => started?,
        Ok(_) => return Err(words.unusable("GStreamer failed without a reason")),
        Err(_) => return Err(Error::Timeout { peer: pipeline_of(name), step: Step::Start, limit: START_LIMIT }),
    };
    let pipeline = Arc::new(pipeline);
    let result = tokio::select! {
        biased;
        () = leave.cancelled() => Ok(()),
        ended = publish(name, &pipeline, &mut output, feed) => ended,
    };
    stop(name, pipeline).await;
    result
}

/// What `work` comes to, on a thread that may wait for a driver; `None` when it panics.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<Option<T>> {
    spawn_blocking(|| caught(Part::Pipeline, Whose::NOBODYS, work).ok())
}

fn pipeline_of(name: &str) -> String {
    format!("pipeline {name}")
}

async fn stop(name: &str, pipeline: Arc<Pipeline>) {
    let stopping = spawn_blocking(move || drop(pipeline));
    if timeout(STOP_LIMIT, stopping).await.is_err() {
        warn!(pipeline = name, "the pipeline does not stop; leaving it to itself");
    }
}

async fn publish(name: &str, pipeline: &Arc<Pipeline>, output: &mut Output, feed: &mut Feed<'_>) -> Result<(), Error> {
    let start = Instant::now();
    feed.tracks(output.has_video, None);
    if output.has_audio {
        feed.expect_audio();
    }
    let (mut due, mut silent) = (start + FIRST_UNIT_LIMIT, true);
    let mut keyframe_allowed = start;
    let mut dropped = 0;
    // When to stop waiting for sound.
    let mut sound_due = None;
    let mut sound_expected = output.has_audio && output.has_video;
    loop {
        if !feed.is_live() && start.elapsed() > KEYFRAME_LIMIT {
            return Err(Error::NoKeyframe { limit: KEYFRAME_LIMIT });
        }
        let keyframe_wanted = async {
            sleep_until(keyframe_allowed).await;
            feed.keyframe_requested().await;
        };
        tokio::select! {
            biased;
            // Without a word only if the pipeline is gone, which this function prevents.
            ended = &mut output.end => return Err(ended.unwrap_or(Error::HungUp)),
            unit = output.units.recv() => {
                let Some(unit) = unit else { return Err(Error::HungUp) };
                if matches!(unit.content, Content::Picture { .. }) || !output.has_video {
                    (due, silent) = (Instant::now() + UNIT_LIMIT, false);
                }
                match unit.content {
                    Content::Sound { .. } => sound_expected = false,
                    Content::Picture { .. } => sound_due = sound_due.or_else(|| Some(Instant::now() + SOUND_LIMIT)),
                }
                if sound_expected && sound_due.is_some_and(|due| Instant::now() > due) {
                    feed.tracks(output.has_video, None);
                    sound_expected = false;
                }
                publish_unit(unit, feed);
            }
            () = keyframe_wanted => {
                keyframe_allowed = Instant::now() + KEYFRAME_PAUSE;
                let pipeline = pipeline.clone();
                // Drivers may take their time. Nothing waits for it, but the pipeline outlives it.
                spawn_blocking(move || caught(Part::Pipeline, Whose::NOBODYS, || pipeline.request_keyframe()));
            }
            () = sleep_until(due) => return Err(overdue(name, silent)),
        }
        let total = output.dropped.load(Ordering::Relaxed);
        feed.counters().dropped.add(total - dropped);
        dropped = total;
    }
}

fn publish_unit(unit: Unit, feed: &mut Feed<'_>) {
    match unit.content {
        Content::Picture { keyframe, format } => {
            if let Some(format) = format {
                feed.set_video(format);
            }
            let time = sample::media_time(unit.running, ClockRate::VIDEO);
            feed.video(time, unit.captured, keyframe, unit.data);
        }
        Content::Sound { format } => {
            feed.set_audio(format);
            let rate = format.codec.clock_rate();
            let start = sample::media_time(unit.running, rate);
            for (offset, data) in audio_packets(format.codec, unit.data) {
                // A buffer's time is that of its first sample, so the others were captured later.
                let captured = unit.captured + rate.duration(offset);
                feed.audio(MediaTime { ticks: start.ticks + offset, rate }, captured, data);
            }
        }
    }
}

fn overdue(name: &str, silent: bool) -> Error {
    let peer = pipeline_of(name);
    if silent {
        Error::Silent { peer, limit: FIRST_UNIT_LIMIT, hint: ": check that its source is connected" }
    } else {
        Error::Stalled { peer, limit: UNIT_LIMIT }
    }
}
