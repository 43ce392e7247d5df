//! What is seen of a camera during a visit: numbers out of events. Reads no clock.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{clock::Clock, habits::Habits};
use crate::{
    media::{NtpTime, VideoFormat, h264::BFrames},
    source::visit::{Event, Greeting, Offer, Packet, Picture},
};

/// RTP packets whose headers a bug report has.
const MAX_ROWS: usize = 3_000;
/// From NTP's zero, 1900, to UNIX', 1970, in seconds (RFC 868).
const NTP_UNIX_S: u64 = 2_208_988_800;

/// How long to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first packet on.
    pub(super) watch: Duration,
    /// The same, for as long as there are not two keyframes.
    pub(super) patience: Duration,
}

/// Everything seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    /// When it began, on this machine's two clocks.
    began: (Instant, SystemTime),
    pub(super) connected: Option<Instant>,
    pub(super) greeting: Option<(Instant, Greeting)>,
    pub(super) described: Option<Instant>,
    pub(super) sdp: Vec<u8>,
    pub(super) tracks: Vec<Track>,
    pub(super) playing: Option<Instant>,
    pub(super) first_packet: Option<Instant>,
    pub(super) first_keyframe: Option<Instant>,
    pub(super) gop: Gop,
    pub(super) habits: Habits,
    pub(super) format: Option<VideoFormat>,
    b_frames: BFrames,
    pub(super) has_b_frames: bool,
    pub(super) rows: Vec<Row>,
    last: Instant,
}

/// One media section and what came of it.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) offer: Offer,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    /// Different RTP timestamps.
    pub(super) frames: u64,
    pub(super) clock: Clock,
    pub(super) reports: u64,
    /// The camera's clock in its last report, and by how many seconds it was ahead of ours.
    pub(super) camera_ahead_s: Option<f64>,
    ticks: Option<i64>,
}

/// An RTP packet without what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) stream: usize,
    /// Since PLAY was answered; negative for what came before.
    pub(super) ms: f64,
    pub(super) sequence: u16,
    pub(super) ticks: i64,
    pub(super) marker: bool,
    pub(super) lost: u32,
    pub(super) bytes: usize,
    /// The first byte of the payload: H.264's packet type.
    pub(super) first: u8,
}

/// Distances of keyframes.
#[derive(Debug, Default)]
pub(super) struct Gop {
    pub(super) keyframes: u64,
    /// Pictures and seconds of each that is complete.
    pub(super) lengths: Vec<(u64, f64)>,
    pictures: u64,
    last: Option<(u64, i64, Instant)>,
}

impl Watch {
    pub(super) fn new(limits: Limits, began: Instant, wall: SystemTime) -> Self {
        Self {
            limits,
            began: (began, wall),
            connected: None,
            greeting: None,
            described: None,
            sdp: Vec::new(),
            tracks: Vec::new(),
            playing: None,
            first_packet: None,
            first_keyframe: None,
            gop: Gop::default(),
            habits: Habits::default(),
            format: None,
            b_frames: BFrames::default(),
            has_b_frames: false,
            rows: Vec::new(),
            last: began,
        }
    }

    /// Takes in what happened; breaks when enough was seen.
    pub(super) fn note(&mut self, at: Instant, event: Event<'_>) -> ControlFlow<()> {
        self.last = self.last.max(at);
        match event {
            Event::Connected => self.connected = Some(at),
            Event::Greeted(greeting) => self.greeting = Some((at, greeting)),
            Event::Described { sdp, offers } => {
                self.described = Some(at);
                self.sdp = sdp.to_vec();
                let sets = offers.iter().find_map(|offer| offer.parameter_sets.clone());
                self.use_parameter_sets(sets);
                self.tracks = offers.into_iter().map(Track::new).collect();
            }
            Event::Playing => self.playing = Some(at),
            Event::Packet(packet) => self.packet(&packet),
            Event::Picture(picture) => self.picture(at, picture),
            Event::Report { stream, camera } => {
                let now = self.began.1 + at.saturating_duration_since(self.began.0);
                if let Some(track) = self.tracks.get_mut(stream) {
                    track.reports += 1;
                    track.camera_ahead_s = Some(ahead_s(camera, now));
                }
            }
        }
        if self.has_enough(at) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Since the begin, in milliseconds.
    pub(super) fn since_begin(&self, at: Option<Instant>) -> Option<f64> {
        at.map(|at| at.saturating_duration_since(self.began.0).as_secs_f64() * 1_000.0)
    }

    /// How long the GOP under way is already, in seconds.
    pub(super) fn open_gop_s(&self) -> Option<f64> {
        self.gop.last.map(|(_, _, at)| self.last.saturating_duration_since(at).as_secs_f64())
    }

    fn has_enough(&self, at: Instant) -> bool {
        let Some(first) = self.first_packet else { return false };
        let watched = at.saturating_duration_since(first);
        let waits_for_keyframe = self.video().is_some_and(Track::is_h264) && self.gop.keyframes < 2;
        watched >= self.limits.watch && (!waits_for_keyframe || watched >= self.limits.patience)
    }

    /// The video track that is watched: the one that is sent.
    pub(super) fn video(&self) -> Option<&Track> {
        let videos = || self.tracks.iter().filter(|track| track.offer.media == "video");
        videos().find(|track| track.packets > 0).or_else(|| videos().next())
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        self.first_packet.get_or_insert(packet.received);
        let since = self.playing.unwrap_or(packet.received);
        if self.rows.len() < MAX_ROWS {
            let ms = match packet.received.checked_duration_since(since) {
                Some(after) => after.as_secs_f64() * 1_000.0,
                None => -since.duration_since(packet.received).as_secs_f64() * 1_000.0,
            };
            let &Packet { stream, sequence, ticks, marker, lost, payload, .. } = packet;
            let first = payload.first().copied().unwrap_or_default();
            self.rows.push(Row { stream, ms, sequence, ticks, marker, lost, bytes: payload.len(), first });
        }
        let Some(track) = self.tracks.get_mut(packet.stream) else { return };
        track.packets += 1;
        track.bytes += packet.payload.len() as u64;
        track.lost += u64::from(packet.lost);
        if track.ticks != Some(packet.ticks) {
            track.ticks = Some(packet.ticks);
            track.frames += 1;
            track.clock.note(packet.ticks, packet.received);
        }
        if track.is_h264() {
            self.habits.note(packet.ticks, packet.marker, packet.payload);
        }
    }

    fn picture(&mut self, at: Instant, picture: Picture) {
        if let Some(sets) = picture.parameter_sets {
            self.use_parameter_sets(Some(sets));
        }
        if picture.keyframe {
            self.first_keyframe.get_or_insert(at);
        }
        self.has_b_frames |= self.b_frames.note(&picture.data, picture.received);
        self.gop.note(picture.keyframe, picture.ticks, picture.received);
    }

    fn use_parameter_sets(&mut self, sets: Option<(bytes::Bytes, Vec<bytes::Bytes>)>) {
        if let Some((sps, pps)) = sets {
            self.b_frames = BFrames::of(&sps);
            self.format = VideoFormat::from_parameter_sets(sps, pps).ok().or_else(|| self.format.take());
        }
    }
}

impl Track {
    fn new(offer: Offer) -> Self {
        let clock = Clock::new(offer.clock_rate_hz);
        Self { offer, packets: 0, bytes: 0, lost: 0, frames: 0, clock, reports: 0, camera_ahead_s: None, ticks: None }
    }

    pub(super) fn is_h264(&self) -> bool {
        self.offer.codec == "H.264"
    }

    /// Frames per second on the camera's clock.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        let span = self.clock.span_s();
        (self.frames > 1 && span > 0.0).then(|| (self.frames - 1) as f64 / span)
    }

    /// Bits per second of RTP payload.
    pub(super) fn bit_rate(&self) -> Option<f64> {
        // The last frame's bytes are taken for an average frame's.
        let rate = self.frame_rate()?;
        Some(self.bytes as f64 * 8.0 / self.frames as f64 * rate)
    }
}

impl Gop {
    pub(super) fn note(&mut self, keyframe: bool, ticks: i64, received: Instant) {
        if keyframe {
            self.keyframes += 1;
            if let Some((number, last, _)) = self.last {
                // H.264's RTP clock (RFC 6184 section 8.2.1).
                self.lengths.push((self.pictures - number, ticks.saturating_sub(last) as f64 / 90_000.0));
            }
            self.last = Some((self.pictures, ticks, received));
        }
        self.pictures += 1;
    }

    /// Mean number of pictures and seconds; the longest in seconds.
    pub(super) fn mean(&self) -> Option<(f64, f64, f64)> {
        // Cameras that make a keyframe for whoever comes have a first GOP that is shorter than the others.
        let lengths = if self.lengths.len() > 1 { &self.lengths[1..] } else { &self.lengths[..] };
        let count = lengths.len() as f64;
        let pictures: u64 = lengths.iter().map(|length| length.0).sum();
        let seconds: f64 = lengths.iter().map(|length| length.1).sum();
        let longest = lengths.iter().map(|length| length.1).fold(0.0, f64::max);
        (!lengths.is_empty()).then(|| (pictures as f64 / count, seconds / count, longest))
    }
}

fn ahead_s(camera: NtpTime, now: SystemTime) -> f64 {
    let ours = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() + NTP_UNIX_S as f64;
    camera.0 as f64 / 4_294_967_296.0 - ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::visit::Fate;

    fn offer(media: &str, codec: &str) -> Offer {
        Offer {
            media: media.into(),
            codec: codec.into(),
            clock_rate_hz: 90_000,
            channels: None,
            frame_rate: None,
            parameter_sets: None,
            size: None,
            fate: Fate::Passed,
        }
    }

    /// Pictures of 25 a second, every `gop`th a keyframe, until the watch has enough; how many it took.
    fn pictures_until_enough(watch: &mut Watch, start: Instant, gop: u64) -> u64 {
        let _ = watch.note(start, Event::Described { sdp: b"v=0", offers: vec![offer("video", "H.264")] });
        for frame in 0..100_000 {
            let received = start + Duration::from_millis(40 * frame);
            let ticks = (frame * 3_600).cast_signed();
            let payload = [0x41; 100];
            let packet =
                Packet { stream: 0, received, sequence: frame as u16, ticks, marker: true, lost: 0, payload: &payload };
            let enough = watch.note(received, Event::Packet(packet)).is_break();
            let keyframe = frame % gop == 0;
            let picture = Picture { ticks, received, keyframe, data: bytes::Bytes::new(), parameter_sets: None };
            if watch.note(received, Event::Picture(picture)).is_break() || enough {
                return frame;
            }
        }
        panic!("it never has enough");
    }

    fn watch(start: Instant) -> Watch {
        let limits = Limits { watch: Duration::from_secs(4), patience: Duration::from_secs(20) };
        Watch::new(limits, start, SystemTime::now())
    }

    #[test]
    fn rates_and_keyframe_distances_are_measured() {
        let start = Instant::now();
        let mut watch = watch(start);
        assert_eq!(pictures_until_enough(&mut watch, start, 50), 100);
        let track = watch.video().unwrap();
        assert!((track.frame_rate().unwrap() - 25.0).abs() < 0.01);
        assert!((track.bit_rate().unwrap() - 20_000.0).abs() < 10.0, "{:?}", track.bit_rate());
        let (pictures, seconds, longest) = watch.gop.mean().unwrap();
        assert!((pictures - 50.0).abs() < 0.01 && (seconds - 2.0).abs() < 0.01 && (longest - 2.0).abs() < 0.01);
    }

    #[test]
    fn a_long_gop_is_waited_for_within_limits() {
        let start = Instant::now();
        let mut long = watch(start);
        assert_eq!(pictures_until_enough(&mut long, start, 200), 200, "until the second keyframe");
        let mut longer = watch(start);
        assert_eq!(pictures_until_enough(&mut longer, start, 10_000), 500, "until patience ends");
        assert!(longer.gop.mean().is_none() && longer.open_gop_s().is_some_and(|s| (s - 20.0).abs() < 0.1));
    }

    #[test]
    fn the_cameras_clock_is_compared_with_ours() {
        let start = Instant::now();
        let mut watch = watch(start);
        let _ = watch.note(start, Event::Described { sdp: b"", offers: vec![offer("video", "H.264")] });
        let ntp = watch.began.1.duration_since(UNIX_EPOCH).unwrap().as_secs() + NTP_UNIX_S + 3_600;
        let _ = watch.note(start, Event::Report { stream: 0, camera: NtpTime(ntp << 32) });
        let ahead = watch.tracks[0].camera_ahead_s.unwrap();
        assert!((3_598.0..3_602.0).contains(&ahead), "{ahead}");
    }
}
