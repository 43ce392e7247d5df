//! What a connected viewer is sent, and when: the cached GOP first, squeezed to end at "now", then everything live.

mod leaving_out;
mod loss;
mod requests;

use std::{
    collections::VecDeque,
    iter,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rtc::{crypto::CryptoError, rtcp::sender_report::SenderReport};

use crate::{
    hub::{Camera, Unit},
    media::{ClockRate, Kind},
    peer::{
        SessionStatus,
        batch::Batch,
        congestion::Congestion,
        engine::Blueprint,
        outbound::{Departing, Outbound, Wire},
        pacer::Pacer,
        repairs::Repairs,
        srtp::Protector,
    },
    rtp::Timeline,
};

/// From the end of the DTLS handshake to the first packet. Clients on webrtc-rs install the keys a moment after they have
/// read our Finished, and drop what arrives in between: the parameter sets, of all packets.
const START_DELAY: Duration = Duration::from_millis(10);
/// Between two sender reports. RFC 3550 allows 5 s; browsers need two of them before they play in step.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Between a keyframe and the first answer to a request for another. A burst of a whole GOP into a network that is losing
/// packets must not be repeated faster than it can help, so each further one waits twice as long, up to a limit.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);
/// Units that may wait in and behind a burst, or for a viewer that reads slowly: a minute at 60 frames a second. Beyond, the viewer skips to the next
/// keyframe; the units are shared, so that this bounds time and not memory.
const MAX_WAITING: usize = 3_600;

/// When the viewer is next played the cached GOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// At this time.
    At(Instant),
    /// Together with the camera's next picture.
    WithNextPicture,
    /// It has been.
    Done,
}

/// A picture that waits for its turn.
#[derive(Debug)]
struct Waiting {
    unit: Arc<Unit>,
    timestamp: u32,
}

/// One viewer's playback. All of its media is written to a [`Batch`] on the way to the viewer.
pub(super) struct Playback {
    status: Arc<SessionStatus>,
    /// The session's keys, once the handshake has made them.
    protector: Option<Protector>,
    video: Option<Outbound>,
    audio: Option<Outbound>,
    /// The picture that is on its way.
    departing: Option<Departing>,
    waiting: VecDeque<Waiting>,
    /// Whether the way to the viewer is full: pictures wait meanwhile.
    congested: bool,
    pacer: Pacer,
    /// Where the viewer reports what arrives.
    congestion: Option<Congestion>,
    /// When more of what waits may leave.
    resume: Instant,
    entry: Entry,
    /// Number of the next unit to send.
    next: u64,
    awaiting_keyframe: bool,
    /// Tracks that the viewer does not want now: picture, sound.
    paused: [bool; 2],
    last_keyframe: Option<Instant>,
    /// When the source was last asked for one.
    asked: Option<Instant>,
    /// How long after the last keyframe a request is answered.
    replay_interval: Duration,
    repairs: Repairs,
    /// The number of the first packet, until the viewer has missed one.
    first: Option<u16>,
    next_report: Instant,
    /// One moment by two clocks: that of the last reports.
    clocks: Option<(Instant, SystemTime)>,
}

impl Playback {
    pub(super) fn new(blueprint: &Blueprint, status: Arc<SessionStatus>, now: Instant) -> Self {
        let choice = &blueprint.choice;
        let video = choice.video.as_ref().map(|codec| {
            let timeline = Timeline::new(ClockRate::VIDEO, rand::random());
            let stream = Outbound::new(blueprint.video_ssrc, codec.payload_type, timeline);
            match choice.rtx {
                Some(payload_type) => stream
                    .with_retransmission(blueprint.rtx_ssrc, payload_type)
                    .with_extensions(choice.video_extensions, blueprint.playout.bounds()),
                None => stream,
            }
        });
        let audio = choice.audio.as_ref().map(|(codec, kind)| {
            let timeline = Timeline::new(kind.clock_rate(), rand::random());
            let stream = Outbound::new(blueprint.audio_ssrc, codec.payload_type, timeline);
            stream.with_extensions(choice.audio_extensions, None)
        });
        // Of pictures that are repeated as they were nothing is known.
        let reported = choice.rtx.and(choice.video_extensions.transport_cc);
        Self {
            status,
            protector: None,
            video,
            audio,
            departing: None,
            waiting: VecDeque::new(),
            congested: false,
            pacer: Pacer::new(now),
            congestion: reported.map(|_| Congestion::new(now)),
            resume: now,
            entry: Entry::Done,
            next: 0,
            awaiting_keyframe: true,
            paused: [false; 2],
            last_keyframe: None,
            asked: None,
            replay_interval: KEYFRAME_INTERVAL,
            repairs: Repairs::new(now),
            first: None,
            next_report: now,
            clocks: None,
        }
    }

    /// The connection is there: begins, after [`START_DELAY`], with what the camera has cached.
    pub(super) fn start(&mut self, now: Instant, protector: Protector) {
        self.protector = Some(protector);
        self.next_report = now + START_DELAY;
        self.entry = Entry::At(now + START_DELAY);
    }

    /// What was sent so far cannot have been read: begins once more, if it has begun. Returns whether it does.
    pub(super) fn restart(&mut self, now: Instant) -> bool {
        let has_begun = self.is_started() && !matches!(self.entry, Entry::At(_));
        if has_begun {
            self.entry = Entry::At(now + START_DELAY);
        }
        has_begun
    }

    /// Sends nothing of a track until it is wanted again; a picture then begins as for a newcomer.
    pub(super) fn pause(&mut self, kind: Kind, is_paused: bool, now: Instant) {
        let before = std::mem::replace(&mut self.paused[usize::from(kind == Kind::Audio)], is_paused);
        if kind == Kind::Video && is_paused {
            self.leave_out(0, 0);
        } else if kind == Kind::Video && before && self.is_started() {
            self.entry = Entry::At(now);
        }
    }

    /// Whether it ever began.
    pub(super) fn is_started(&self) -> bool {
        self.protector.is_some()
    }

    /// Pictures wait while the way to the viewer is full; a keyframe makes those before it superfluous.
    pub(super) fn set_congested(&mut self, congested: bool) {
        self.congested = congested;
    }

    /// Everything from the last keyframe on, on this viewer's timeline.
    fn enter(&mut self, now: Instant, camera: &Camera, out: &mut Batch) -> Result<(), CryptoError> {
        let join = camera.join();
        self.entry = Entry::Done;
        self.next = join.next;
        self.waiting.clear();
        if self.paused[0] {
            return Ok(());
        }
        let (Some(video), Some(last)) = (&mut self.video, join.gop.last()) else {
            self.await_keyframe(self.video.is_some());
            camera.request_keyframe();
            return Ok(());
        };
        let span = Pacer::span(join.gop.iter().map(|unit| unit.bytes).sum());
        let timestamps = video.timeline.squeezed(last.ticks, join.gop.len(), span);
        self.waiting =
            join.gop.iter().cloned().zip(timestamps).map(|(unit, timestamp)| Waiting { unit, timestamp }).collect();
        self.awaiting_keyframe = false;
        self.status.set_awaits_keyframe(false);
        self.last_keyframe = Some(now);
        if video.is_fresh() {
            self.first = Some(video.next_number());
        }
        self.send_waiting(now, out)
    }

    /// Whether there was no picture yet to begin with.
    pub(super) fn awaits_first_keyframe(&self) -> bool {
        self.video.is_some() && self.awaiting_keyframe && self.last_keyframe.is_none()
    }

    fn await_keyframe(&mut self, awaits: bool) {
        self.awaiting_keyframe = awaits;
        self.status.set_awaits_keyframe(awaits);
    }

    /// A unit of the camera.
    ///
    /// # Errors
    /// Those of [`Protector::protect`]; the session is over then. So with the other functions.
    pub(super) fn on_unit(
        &mut self,
        now: Instant,
        unit: &Arc<Unit>,
        camera: &Camera,
        out: &mut Batch,
    ) -> Result<(), CryptoError> {
        if unit.number < self.next {
            return Ok(());
        }
        match self.entry {
            Entry::At(_) => return Ok(()),
            // The cache holds this unit, so the burst ends with it and not with one that was sent already.
            Entry::WithNextPicture if unit.kind == Kind::Video => return self.enter(now, camera, out),
            Entry::WithNextPicture | Entry::Done => {}
        }
        self.next = unit.number + 1;
        if self.paused[usize::from(unit.kind == Kind::Audio)] {
            return Ok(());
        }
        match unit.kind {
            Kind::Audio => self.on_sound(now, unit, out),
            Kind::Video => self.on_picture(now, unit, out),
        }
    }

    /// Sound never waits: there is little of it, and a gap is heard.
    fn on_sound(&mut self, now: Instant, unit: &Arc<Unit>, out: &mut Batch) -> Result<(), CryptoError> {
        let (Some(audio), Some(protector)) = (&mut self.audio, &mut self.protector) else { return Ok(()) };
        if audio.is_fresh() {
            // A browser needs reports of both streams before it plays them in step.
            self.next_report = now;
        }
        let timestamp = audio.timeline.live(unit.ticks);
        let mut departing = audio.depart(now, unit.clone(), timestamp);
        audio.send(
            &mut departing,
            |_| true,
            &mut Wire { now, clocks: self.clocks, protector, congestion: self.congestion.as_mut(), out },
        )
    }

    fn on_picture(&mut self, now: Instant, unit: &Arc<Unit>, out: &mut Batch) -> Result<(), CryptoError> {
        if self.video.is_none() {
            return Ok(());
        }
        if self.awaiting_keyframe && !unit.keyframe {
            self.status.skipped_units.add(1);
            return Ok(());
        }
        if unit.keyframe {
            // Whoever waits for a picture need not be sent the old ones first.
            self.leave_out(0, 0);
        }
        let backlog = self.backlog();
        let fits = self.congestion.as_mut().is_none_or(|path| path.admits(now, unit.bytes, unit.keyframe, backlog));
        if !fits || self.waiting.len() >= MAX_WAITING {
            self.leave_out(if fits { 0 } else { self.waiting.len() }, 1);
            self.await_keyframe(true);
            return Ok(());
        }
        if unit.keyframe {
            self.await_keyframe(false);
            self.last_keyframe = Some(now);
        }
        let Some(video) = &mut self.video else { return Ok(()) };
        let timestamp = video.timeline.live(unit.ticks);
        self.waiting.push_back(Waiting { unit: unit.clone(), timestamp });
        self.send_waiting(now, out)
    }

    pub(super) fn on_timeout(
        &mut self,
        now: Instant,
        wall: SystemTime,
        camera: &Camera,
        out: &mut Batch,
    ) -> Result<(), CryptoError> {
        // The first picture is to say when it was captured.
        self.clocks.get_or_insert((now, wall));
        if matches!(self.entry, Entry::At(at) if now >= at) {
            self.enter(now, camera, out)?;
        }
        let due: Vec<u16> = iter::from_fn(|| self.repairs.due(now)).collect();
        self.repeat(now, &due, out)?;
        self.send_waiting(now, out)
    }

    /// Sender reports of both streams, when they are due.
    pub(super) fn reports(&mut self, now: Instant, wall: SystemTime) -> Vec<SenderReport> {
        if now < self.next_report {
            return Vec::new();
        }
        self.next_report = now + REPORT_INTERVAL;
        self.clocks = Some((now, wall));
        self.video.iter_mut().for_each(Outbound::grow_older);
        let streams = [&self.video, &self.audio].into_iter().flatten();
        streams.filter_map(|stream| stream.report(now, wall)).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let entry = if let Entry::At(at) = self.entry { Some(at) } else { None };
        [Some(self.next_report), self.next_burst(), entry, self.repairs.poll_timeout()].into_iter().flatten().min()
    }

    /// When the next part of a burst may leave. While the way to the viewer is full there is nothing to wake for: the next
    /// unit or report finds out that it is free again.
    pub(super) fn next_burst(&self) -> Option<Instant> {
        (self.is_sending() && !self.congested).then_some(self.resume)
    }

    /// Of the picture, or of the sound where there is none.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.video.as_ref().or(self.audio.as_ref()).map(Outbound::ssrc)
    }

    pub(super) fn is_video(&self, ssrc: u32) -> bool {
        self.video.as_ref().is_some_and(|video| video.ssrc() == ssrc)
    }

    /// Whether pictures wait for their turn.
    fn is_sending(&self) -> bool {
        self.departing.is_some() || !self.waiting.is_empty()
    }

    /// Sends as much of what waits as may leave at once. A picture that is begun is ended before the next, and also when a
    /// keyframe has made it superfluous: its numbers are taken.
    fn send_waiting(&mut self, now: Instant, out: &mut Batch) -> Result<(), CryptoError> {
        let front = self
            .departing
            .as_ref()
            .map(Departing::bytes)
            .or_else(|| self.waiting.front().map(|front| front.unit.bytes));
        let path = self.congestion.as_ref().zip(front);
        self.pacer.refill(now, path.map_or(f64::INFINITY, |(path, bytes)| path.pace(bytes)));
        let (Some(video), Some(protector)) = (&mut self.video, &mut self.protector) else { return Ok(()) };
        let mut allowance = self.congestion.as_ref().map_or(usize::MAX, |path| path.allowance(now));
        let mut wire = Wire { now, clocks: self.clocks, protector, congestion: self.congestion.as_mut(), out };
        while !self.congested {
            // What has not begun can still be left out.
            if self.departing.is_none() && allowance > 0 {
                let next = self.waiting.pop_front();
                self.departing = next.map(|Waiting { unit, timestamp }| video.depart(now, unit, timestamp));
            }
            let Some(departing) = &mut self.departing else { break };
            let may = |bytes| {
                let may = allowance > 0 && self.pacer.take(bytes);
                allowance = if may { allowance.saturating_sub(bytes) } else { allowance };
                may
            };
            video.send(departing, may, &mut wire)?;
            if !departing.is_done() {
                break;
            }
            self.departing = None;
        }
        let path = self.congestion.as_ref().filter(|_| allowance == 0).map(|path| path.next(now));
        self.resume = path.unwrap_or(now).max(self.pacer.next());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
