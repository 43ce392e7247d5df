//! What a connected viewer is sent, and when: the cached GOP first, squeezed to end at "now", then everything live.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rtc::{
    peer_connection::{
        RTCPeerConnection,
        message::{RTCMessage, TaggedRTCMessage},
    },
    rtp::Packet,
    sansio::Protocol,
};

use crate::{
    hub::{Camera, Unit},
    media::{ClockRate, Kind},
    peer::{SessionStatus, engine::Blueprint, outbound::Outbound, pacer::Pacer, repairs::Repairs},
    rtp::Timeline,
};

/// From the end of the DTLS handshake to the first packet. Clients on webrtc-rs install the keys a moment after they have
/// read our Finished, and drop what arrives in between: the parameter sets, of all packets.
const START_DELAY: Duration = Duration::from_millis(10);
/// Between two sender reports. RFC 3550 allows 5 s; browsers need two of them before they play in step.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Between a keyframe and the first answer to a request for another. A burst of a whole GOP into a network that is losing
/// packets must not be repeated faster than it can help, so each further one waits twice as long, up to [`MAX_REPLAY`].
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait between two bursts; also the calm after which the next one is the first again.
const MAX_REPLAY: Duration = Duration::from_secs(16);
/// A keyframe of the camera's own that comes this soon is waited for.
const SOON: Duration = Duration::from_secs(1);
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

/// A unit that waits for its turn in a burst.
#[derive(Debug)]
struct Waiting {
    unit: Arc<Unit>,
    timestamp: u32,
}

/// One viewer's playback.
#[derive(Debug)]
pub(super) struct Playback {
    status: Arc<SessionStatus>,
    video: Option<Outbound>,
    audio: Option<Outbound>,
    waiting: VecDeque<Waiting>,
    /// Whether the way to the viewer is full: pictures wait meanwhile.
    congested: bool,
    pacer: Pacer,
    entry: Entry,
    /// Number of the next unit to send.
    next: u64,
    awaiting_keyframe: bool,
    last_keyframe: Option<Instant>,
    /// How long after the last keyframe a request is answered.
    replay_interval: Duration,
    repairs: Repairs,
    next_report: Instant,
}

impl Playback {
    pub(super) fn new(blueprint: &Blueprint, status: Arc<SessionStatus>, now: Instant) -> Self {
        let choice = &blueprint.choice;
        let video = choice.video.as_ref().map(|codec| {
            let timeline = Timeline::new(ClockRate::VIDEO, rand::random());
            let stream = Outbound::new(blueprint.video_ssrc, codec.payload_type, timeline);
            match choice.rtx {
                Some(payload_type) => stream.with_retransmission(blueprint.rtx_ssrc, payload_type),
                None => stream,
            }
        });
        let audio = choice.audio.as_ref().map(|(codec, kind)| {
            let timeline = Timeline::new(kind.clock_rate(), rand::random());
            Outbound::new(blueprint.audio_ssrc, codec.payload_type, timeline)
        });
        Self {
            status,
            video,
            audio,
            waiting: VecDeque::new(),
            congested: false,
            pacer: Pacer::new(now),
            entry: Entry::Done,
            next: 0,
            awaiting_keyframe: true,
            last_keyframe: None,
            replay_interval: KEYFRAME_INTERVAL,
            repairs: Repairs::new(now),
            next_report: now,
        }
    }

    /// The connection is there: begins, after [`START_DELAY`], with what the camera has cached.
    pub(super) fn start(&mut self, now: Instant) {
        self.next_report = now + START_DELAY;
        self.entry = Entry::At(now + START_DELAY);
    }

    /// Pictures wait while the way to the viewer is full; a keyframe makes those before it superfluous.
    pub(super) fn set_congested(&mut self, congested: bool) {
        self.congested = congested;
    }

    /// Everything from the last keyframe on, on this viewer's timeline.
    fn enter(&mut self, connection: &mut RTCPeerConnection, now: Instant, camera: &Camera) {
        let join = camera.join();
        self.entry = Entry::Done;
        self.next = join.next;
        self.waiting.clear();
        let (Some(video), Some(last)) = (&mut self.video, join.gop.last()) else {
            self.awaiting_keyframe = true;
            camera.request_keyframe();
            return;
        };
        let span = Pacer::span(join.gop.iter().map(|unit| unit.bytes).sum());
        let timestamps = video.timeline.squeezed(last.ticks, join.gop.len(), span);
        self.waiting =
            join.gop.iter().cloned().zip(timestamps).map(|(unit, timestamp)| Waiting { unit, timestamp }).collect();
        self.awaiting_keyframe = false;
        self.last_keyframe = Some(now);
        self.send_waiting(connection, now);
    }

    pub(super) fn on_unit(
        &mut self,
        connection: &mut RTCPeerConnection,
        now: Instant,
        unit: &Arc<Unit>,
        camera: &Camera,
    ) {
        if unit.number < self.next {
            return;
        }
        match self.entry {
            Entry::At(_) => return,
            // The cache holds this unit, so the burst ends with it and not with one that was sent already.
            Entry::WithNextPicture if unit.kind == Kind::Video => return self.enter(connection, now, camera),
            Entry::WithNextPicture | Entry::Done => {}
        }
        self.next = unit.number + 1;
        match unit.kind {
            Kind::Audio => {
                if let Some(audio) = &mut self.audio {
                    if audio.is_fresh() {
                        // A browser needs reports of both streams before it plays them in step.
                        self.next_report = now;
                    }
                    let timestamp = audio.timeline.live(unit.ticks);
                    send_all(connection, now, &self.status, audio.packets(unit, timestamp));
                }
            }
            Kind::Video => self.on_picture(connection, now, unit),
        }
    }

    fn on_picture(&mut self, connection: &mut RTCPeerConnection, now: Instant, unit: &Arc<Unit>) {
        let Some(video) = &mut self.video else { return };
        if self.awaiting_keyframe && !unit.keyframe {
            self.status.skipped_units.add(1);
            return;
        }
        if unit.keyframe {
            // Whoever waits for a picture need not be sent the old ones first.
            self.status.skipped_units.add(self.waiting.len() as u64);
            self.waiting.clear();
            self.awaiting_keyframe = false;
            self.last_keyframe = Some(now);
        }
        let timestamp = video.timeline.live(unit.ticks);
        if self.waiting.is_empty() && !self.congested {
            send_all(connection, now, &self.status, video.packets(unit, timestamp));
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(Waiting { unit: unit.clone(), timestamp });
        } else {
            self.status.skipped_units.add(self.waiting.len() as u64 + 1);
            self.waiting.clear();
            self.awaiting_keyframe = true;
        }
    }

    pub(super) fn on_timeout(
        &mut self,
        connection: &mut RTCPeerConnection,
        now: Instant,
        wall: SystemTime,
        camera: &Camera,
    ) {
        if matches!(self.entry, Entry::At(at) if now >= at) {
            self.enter(connection, now, camera);
        }
        self.send_waiting(connection, now);
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            let streams = [&self.video, &self.audio].into_iter().flatten();
            let reports = streams.filter_map(|stream| stream.report(now, wall));
            let packets: Vec<Box<dyn rtc::rtcp::Packet>> = reports.map(|report| Box::new(report) as _).collect();
            if !packets.is_empty() {
                write(connection, now, RTCMessage::RtcpPacket(String::new(), packets));
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let entry = if let Entry::At(at) = self.entry { Some(at) } else { None };
        [Some(self.next_report), self.next_burst(), entry].into_iter().flatten().min()
    }

    /// When the next part of a burst may leave. While the way to the viewer is full there is nothing to wake for: the next
    /// unit or report finds out that it is free again.
    pub(super) fn next_burst(&self) -> Option<Instant> {
        (!self.waiting.is_empty() && !self.congested).then(|| self.pacer.next())
    }

    /// Sends again what the viewer missed; what is no longer known it will not get.
    pub(super) fn retransmit(&mut self, connection: &mut RTCPeerConnection, now: Instant, ssrc: u32, numbers: &[u16]) {
        self.status.nacks.add(numbers.len() as u64);
        let Some(video) = self.video.as_mut().filter(|video| video.ssrc() == ssrc) else { return };
        let granted = self.repairs.grant(now, self.status.rtt(), numbers);
        let packets: Vec<_> = granted.into_iter().filter_map(|number| video.again(number)).collect();
        self.status.retransmissions.add(packets.len() as u64);
        send_all(connection, now, &self.status, packets.into_iter());
    }

    /// The viewer's decoder is lost: ask the source where it can make a keyframe, else play it the cached GOP, unless the
    /// next keyframe is near anyhow.
    pub(super) fn on_keyframe_request(&mut self, now: Instant, camera: &Camera) {
        let since = self.last_keyframe.map(|last| now.saturating_duration_since(last));
        let recently = since.is_some_and(|since| since < self.replay_interval);
        let busy = self.entry != Entry::Done || !self.waiting.is_empty();
        if recently || busy || self.video.is_none() || camera.request_keyframe() {
            return;
        }
        let join = camera.join();
        let age = join.gop.first().map(|first| now.saturating_duration_since(first.captured));
        let due = camera.snapshot(now).gop.zip(age).map(|(gop, age)| gop.saturating_sub(age));
        let soon = due.is_some_and(|due| due > Duration::ZERO && due < SOON);
        if !soon && !join.gop.is_empty() {
            let calm = since.is_none_or(|since| since > MAX_REPLAY);
            self.replay_interval = if calm { KEYFRAME_INTERVAL } else { (self.replay_interval * 2).min(MAX_REPLAY) };
            self.entry = Entry::WithNextPicture;
        }
    }

    pub(super) fn is_video(&self, ssrc: u32) -> bool {
        self.video.as_ref().is_some_and(|video| video.ssrc() == ssrc)
    }

    fn send_waiting(&mut self, connection: &mut RTCPeerConnection, now: Instant) {
        self.pacer.refill(now);
        if self.congested {
            return;
        }
        let Some(video) = &mut self.video else { return };
        while let Some(front) = self.waiting.front()
            && self.pacer.take(front.unit.bytes)
            && let Some(Waiting { unit, timestamp }) = self.waiting.pop_front()
        {
            send_all(connection, now, &self.status, video.packets(&unit, timestamp));
        }
    }
}

fn send_all(
    connection: &mut RTCPeerConnection,
    now: Instant,
    status: &SessionStatus,
    packets: impl Iterator<Item = Packet>,
) {
    let mut count = 0;
    for packet in packets {
        // The name of the track is not looked at on the way out.
        write(connection, now, RTCMessage::RtpPacket(String::new(), packet));
        count += 1;
    }
    status.rtp_packets_sent.add(count);
}

fn write(connection: &mut RTCPeerConnection, now: Instant, message: RTCMessage) {
    // It fails only before the DTLS handshake, and nothing is sent before.
    let _ = connection.handle_write(TaggedRTCMessage { now, message });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::SessionId;

    #[test]
    fn a_full_way_is_not_looked_at_before_the_next_report() {
        let now = Instant::now();
        let status = SessionStatus::new(SessionId::random(), "front".parse().expect("a name"));
        let unit = Unit {
            number: 0,
            kind: Kind::Video,
            keyframe: true,
            ticks: 0,
            captured: now,
            payloads: Vec::new(),
            bytes: 0,
        };
        let mut playback = Playback {
            status: Arc::new(status),
            video: None,
            audio: None,
            waiting: [Waiting { unit: Arc::new(unit), timestamp: 0 }].into(),
            congested: false,
            pacer: Pacer::new(now),
            entry: Entry::Done,
            next: 1,
            awaiting_keyframe: false,
            last_keyframe: Some(now),
            replay_interval: KEYFRAME_INTERVAL,
            repairs: Repairs::new(now),
            next_report: now + REPORT_INTERVAL,
        };
        assert_eq!(playback.poll_timeout(), Some(now));
        playback.set_congested(true);
        assert_eq!((playback.next_burst(), playback.poll_timeout()), (None, Some(now + REPORT_INTERVAL)));
        playback.set_congested(false);
        assert_eq!(playback.next_burst(), Some(now));
    }
}
