//! Cameras that publish to us (WHIP): a browser, OBS, or whatever else has no address to be asked at.
//!
//! In: what the camera's `hub::Intake` has of its publisher, RTP payloads in order and sender reports. Out: pictures (H.264)
//! and sound (Opus), published through a `Feed`, each with the time it was captured. Called by the supervisor, one publisher
//! at a time; who is let in the intake decides. A publisher makes keyframes when it is asked: for viewers, behind a loss, and
//! every few seconds, because browsers make none by themselves.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Error,
    clock::Clock,
    feed::Feed,
    rtsp::h264_rtp::{self, Depacketizer, Unit},
    supervisor::Connector,
};
use crate::{
    hub::{Camera, Item, Packet, Published},
    media::{AudioCodec, AudioFormat, ClockRate, Kind, MediaTime, VideoFormat},
};

/// From the answer to the first media: as long as a session may take to connect, and for a camera to be opened.
const FIRST_MEDIA_LIMIT: Duration = Duration::from_secs(25);
/// From one picture to the next, or one sound where there is no picture: packets that no picture comes of do not count. A
/// browser sends 30 in a second, and black ones when its camera is muted.
const MEDIA_LIMIT: Duration = Duration::from_secs(5);
/// From the first picture to the first keyframe: some twenty are asked for in it.
const KEYFRAME_LIMIT: Duration = Duration::from_secs(10);
/// Least time between two keyframes that are asked for: each costs the publisher's network several times a usual picture, and
/// one serves all who asked.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(500);
/// A newer keyframe is asked for after this, so that the cache that newcomers begin with is never longer. At 30 pictures a
/// second a keyframe in 120 costs some 5 % of the bit rate.
const KEYFRAME_EVERY: Duration = Duration::from_secs(4);
/// So long pictures are held back that a loss may have spoilt, while a keyframe is asked for. Publishers that make none for the
/// asking (FFmpeg) go on then as they are.
const HOLD: Duration = Duration::from_secs(1);

/// One camera that is published to.
pub(super) struct Input {
    camera: Arc<Camera>,
}

impl Input {
    pub(super) fn new(camera: Arc<Camera>) -> Self {
        Self { camera }
    }

    fn name(&self) -> String {
        self.camera.name().to_string()
    }
}

impl Connector for Input {
    async fn open(&mut self, feed: &mut Feed<'_>, leave: &CancellationToken) -> Result<(), Error> {
        let Some(published) = self.camera.intake().read() else {
            return Err(Error::NotPublished { camera: self.name() });
        };
        let tracks = published.tracks();
        let audio = AudioFormat { codec: AudioCodec::Opus, channels: AudioCodec::Opus.rtpmap_channels() };
        feed.tracks(tracks.video, Some(audio).filter(|_| tracks.audio));
        feed.set_audio_note(None);
        let mut receiver = Receiver::new(&self.camera, feed, tracks.video);
        tokio::select! {
            biased;
            () = leave.cancelled() => Ok(()),
            error = receiver.run(&published) => Err(error),
        }
    }

    async fn arrival(&self) {
        self.camera.intake().stirred().await;
    }

    fn is_announced(&self) -> bool {
        true
    }
}

struct Receiver<'a, 'p> {
    camera: &'a Camera,
    feed: &'a mut Feed<'p>,
    has_video: bool,
    depacketizer: Depacketizer,
    clock: Clock,
    /// Media times that wrap, as those that do not.
    times: [Unwrapped; 2],
    /// Until when pictures are held back, unless a keyframe comes.
    held_until: Option<Instant>,
    last_keyframe: Option<Instant>,
    first_picture: Option<Instant>,
    last_picture: Option<Instant>,
    last_packet: Option<Instant>,
}

impl<'a, 'p> Receiver<'a, 'p> {
    fn new(camera: &'a Camera, feed: &'a mut Feed<'p>, has_video: bool) -> Self {
        Self {
            camera,
            feed,
            has_video,
            depacketizer: Depacketizer::default(),
            clock: Clock::default(),
            times: Default::default(),
            held_until: None,
            last_keyframe: None,
            first_picture: None,
            last_picture: None,
            last_packet: None,
        }
    }

    /// Publishes everything until the publisher fails.
    async fn run(&mut self, published: &Published) -> Error {
        let camera = self.camera.name().to_string();
        let start = now();
        let (mut due, mut limit) = (start + FIRST_MEDIA_LIMIT, FIRST_MEDIA_LIMIT);
        let mut keyframe_allowed = start;
        loop {
            if !self.feed.is_live() && self.first_picture.is_some_and(|first| now() > first + KEYFRAME_LIMIT) {
                return Error::NoKeyframeFor { camera, limit: KEYFRAME_LIMIT };
            }
            let is_wanted = self.held_until.is_some();
            let next_keyframe = self.last_keyframe.map_or(start, |last| last + KEYFRAME_EVERY);
            let feed = &*self.feed;
            let keyframe = async {
                // Nobody can be asked before something has come.
                sleep_until(keyframe_allowed.into()).await;
                if is_wanted {
                    return;
                }
                let mut old = pin!(sleep_until(next_keyframe.into()));
                tokio::select! {
                    () = feed.keyframe_requested() => {}
                    () = &mut old => {}
                }
            };
            tokio::select! {
                biased;
                item = published.next() => match item {
                    None => return Error::PublisherGone { camera },
                    Some(Item::Report { kind, timestamp, clock, received }) => {
                        let time = self.time(kind, timestamp);
                        self.clock.sender_report(kind, time, clock, received);
                    }
                    Some(Item::Packet(packet)) => {
                        self.packet(packet);
                        let last = if self.has_video { self.last_picture } else { self.last_packet };
                        if let Some(last) = last {
                            (due, limit) = (last + MEDIA_LIMIT, MEDIA_LIMIT);
                        }
                    }
                },
                () = sleep_until(due.into()) => {
                    let comes = self.last_packet.is_some_and(|last| now() < last + MEDIA_LIMIT);
                    return if comes {
                        Error::PublisherUnreadable { camera, limit }
                    } else {
                        Error::PublisherSilent { camera, limit }
                    };
                }
                () = keyframe, if self.has_video => {
                    keyframe_allowed = now() + KEYFRAME_PAUSE;
                    published.request_keyframe();
                }
            }
        }
    }

    fn time(&mut self, kind: Kind, timestamp: u32) -> MediaTime {
        let (index, rate) = match kind {
            Kind::Video => (0, ClockRate::VIDEO),
            Kind::Audio => (1, ClockRate::OPUS),
        };
        MediaTime { ticks: self.times[index].of(timestamp), rate }
    }

    fn packet(&mut self, packet: Packet) {
        self.feed.counters().lost_packets.add(packet.lost.into());
        let time = self.time(packet.kind, packet.timestamp);
        if packet.kind == Kind::Video || !self.has_video {
            self.last_packet = Some(now());
        }
        if packet.kind == Kind::Audio {
            // Without content it only keeps the way open.
            if !packet.payload.is_empty() {
                let captured = self.clock.captured(Kind::Audio, time, packet.received);
                let time = self.clock.time(Kind::Audio, time);
                self.feed.audio(time, captured, packet.payload);
            }
            return;
        }
        if packet.lost > 0 {
            self.held_until = Some(now() + HOLD);
        }
        let Packet { received, marker, lost, payload, .. } = packet;
        let packet = h264_rtp::Packet { ticks: time.ticks, received, marker, lost, payload: &payload };
        for unit in self.depacketizer.push(packet) {
            self.picture(unit);
        }
    }

    fn picture(&mut self, unit: Unit) {
        self.first_picture.get_or_insert_with(now);
        self.last_picture = Some(now());
        if unit.keyframe {
            self.last_keyframe = Some(now());
            self.held_until = None;
        }
        if let Some((sps, pps)) = self.depacketizer.new_parameters() {
            match VideoFormat::from_parameter_sets(sps, pps) {
                Ok(format) => {
                    info!(camera = %self.camera.name(), width = format.width, height = format.height, "the publisher's picture");
                    self.feed.set_video(format);
                }
                Err(error) => {
                    warn!(camera = %self.camera.name(), reason = %error, "the publisher's H.264 parameter sets cannot be used");
                }
            }
        }
        if self.held_until.is_some_and(|until| now() < until) {
            return;
        }
        self.held_until = None;
        let time = MediaTime { ticks: unit.ticks, rate: ClockRate::VIDEO };
        let captured = self.clock.captured(Kind::Video, time, unit.received);
        let time = self.clock.time(Kind::Video, time);
        self.feed.video(time, captured, unit.keyframe, unit.data);
    }
}

/// Times of 32 bits as times that do not wrap.
#[derive(Debug, Default)]
struct Unwrapped(Option<(u32, i64)>);

impl Unwrapped {
    fn of(&mut self, timestamp: u32) -> i64 {
        let ticks = match self.0 {
            None => i64::from(timestamp),
            Some((last, ticks)) => ticks + i64::from(timestamp.wrapping_sub(last).cast_signed()),
        };
        self.0 = Some((timestamp, ticks));
        ticks
    }
}

/// On tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
