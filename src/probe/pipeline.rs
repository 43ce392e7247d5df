//! A camera behind a pipeline: what the gateway would get of it.

use std::time::{Duration, Instant};

use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    INTERRUPTED, Options, Probed, bug_report, judge,
    redact::Redactor,
    report::{Outcome, Report, TrackReport, tenths},
    watch::Gop,
};
use crate::{
    hub::{Camera, CameraState, Formats, mailbox},
    media::{Kind, h264},
    source::{
        self,
        config::{Input, Start},
    },
};

/// Units that may wait to be counted.
const QUEUE: usize = 1_024;
/// For the pipeline to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(7);

#[derive(Debug, Default)]
struct Counted {
    units: u64,
    bytes: u64,
    ticks: Option<(i64, i64)>,
}

impl Counted {
    fn note(&mut self, ticks: i64, bytes: usize) {
        self.units += 1;
        self.bytes += bytes as u64;
        let (first, last) = self.ticks.unwrap_or((ticks, ticks));
        self.ticks = Some((first, last.max(ticks)));
    }

    /// Units and bits per second.
    fn rates(&self, hz: u32) -> Option<(f64, f64)> {
        let (first, last) = self.ticks?;
        let seconds = (last - first) as f64 / f64::from(hz);
        let rate = (self.units - 1) as f64 / seconds;
        (seconds > 0.0).then(|| (rate, self.bytes as f64 * 8.0 / self.units as f64 * rate))
    }
}

/// Runs the pipeline as the gateway does, and counts what it yields.
pub(super) async fn probe(config: &source::Config, options: &Options, leave: &CancellationToken) -> Probed {
    let began = Instant::now();
    let camera = Camera::new(config.name.clone(), config.gop);
    let (mailbox, mut units) = mailbox(QUEUE);
    let attachment = camera.attach(&mailbox);
    let listening = camera.listen();
    let config = source::Config { start: Start::Always, ..config.clone() };
    let stop = leave.child_token();
    let (_settings, unchanged) = watch::channel(config.clone());
    let running = tokio::spawn(source::run(unchanged, camera.clone(), stop.clone()));
    let mut status = camera.status_changes();
    let (mut video, mut audio, mut gop) = (Counted::default(), Counted::default(), Gop::default());
    let mut report = Report::new(config.name.to_string());
    let mut failure = None;
    let (mut first, mut b_frames) = (None, false);
    loop {
        let due = first.map(|first: Instant| {
            let patience = if gop.keyframes < 2 && video.units > 0 { options.patience } else { options.watch };
            first + options.watch.max(patience)
        });
        let enough = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = leave.cancelled() => break,
            () = enough => break,
            Ok(()) = status.changed() => {
                if let CameraState::BackingOff { reason, .. } = &status.borrow_and_update().state {
                    failure = Some(reason.clone());
                    break;
                }
            }
            Some(delivery) = units.recv() => {
                let (unit, now) = (delivery.unit, Instant::now());
                let since = |at: Instant| Some(tenths(at.saturating_duration_since(began).as_secs_f64() * 1_000.0));
                if first.is_none() {
                    first = Some(now);
                    report.steps.first_packet_ms = since(now);
                }
                match unit.kind {
                    Kind::Video => {
                        if unit.keyframe && gop.keyframes == 0 {
                            report.steps.first_keyframe_ms = since(now);
                        }
                        video.note(unit.ticks, unit.bytes);
                        gop.note(unit.keyframe, unit.ticks, unit.captured);
                        b_frames |= camera.formats().b_frames;
                    }
                    Kind::Audio => audio.note(unit.ticks, unit.bytes),
                }
            }
        }
    }
    stop.cancel();
    // What does not end in time ends with the program.
    let _ = timeout(LEAVE_LIMIT, running).await;
    let formats = camera.formats().clone();
    drop((attachment, listening));
    report.tracks = tracks(&formats, &video, &audio, &gop, b_frames);
    report.notes.extend(formats.audio_note.as_ref().map(ToString::to_string));
    match (failure, &formats.video) {
        (Some(reason), _) => report.say(&reason),
        (None, Some(format)) if video.units > 0 => {
            judge(&mut report, format, b_frames);
        }
        (None, _) if audio.units > 0 => report.outcome = Outcome::Playable,
        (None, _) => report.reason = Some(INTERRUPTED.to_owned()),
    }
    let mut redactor = Redactor::default();
    if let Input::Pipeline { with, .. } = &config.input {
        with.values().for_each(|value| redactor.add(value, "<value>"));
    }
    let bug_report = bug_report::text(&report, None, &redactor);
    Probed { report, bug_report, wants_credentials: false }
}

fn tracks(formats: &Formats, video: &Counted, audio: &Counted, gop: &Gop, b_frames: bool) -> Vec<TrackReport> {
    let picture = formats.video.as_ref().map(|format| {
        let id = format.profile_level_id();
        let (rates, mean) = (video.rates(90_000), gop.mean());
        TrackReport {
            media: "video".into(),
            codec: "H.264".into(),
            fate: "passed",
            profile: Some(h264::Profile::of(id).name()),
            level: Some(format!("{}.{}", id[2] / 10, id[2] % 10)),
            width: Some(format.width),
            height: Some(format.height),
            fps: rates.map(|(fps, _)| tenths(fps)),
            bitrate_kbps: rates.map(|(_, bits)| tenths(bits / 1_000.0)),
            keyframes: Some(gop.keyframes),
            gop_frames: mean.map(|(frames, _, _)| tenths(frames)),
            gop_s: mean.map(|(_, seconds, _)| tenths(seconds)),
            longest_gop_s: mean.map(|(_, _, longest)| tenths(longest)),
            b_frames: Some(b_frames),
            ..TrackReport::default()
        }
    });
    let sound = formats.audio.map(|format| TrackReport {
        media: "audio".into(),
        codec: format.codec.encoding_name().to_uppercase(),
        fate: "passed",
        clock_rate: Some(format.codec.clock_rate().hz()),
        channels: Some(format.channels.into()),
        bitrate_kbps: audio.rates(format.codec.clock_rate().hz()).map(|(_, bits)| tenths(bits / 1_000.0)),
        ..TrackReport::default()
    });
    picture.into_iter().chain(sound).collect()
}
