//! The thin part of a source that publishes: one connection's way into the hub.
//!
//! `rtsp` and `capture` say what tracks there are and hand over coded media; this counts, cuts sound into packets,
//! holds back pictures that nobody could decode, and tells the supervisor when media flows.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::slices::{Picture, Slices};
use crate::{
    hub::Producer,
    media::{AccessUnit, AudioCodec, AudioFormat, CameraEvent, Kind, MediaTime, Reason, VideoFormat},
    stats::CameraCounters,
};

/// Longest packet of G.711 or G.722, which both have 8 bytes per millisecond, that is passed on whole: 40 ms. Cameras send up to 128 ms, which a browser's jitter buffer
/// plays with as much delay.
const G711_WHOLE: usize = 320;
/// What longer ones are cut into: 20 ms, the packet time of RFC 3551 section 4.2.
const G711_PACKET: usize = 160;

/// One connection's way into the hub.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    producer: &'a mut Producer,
    live: Option<oneshot::Sender<()>>,
    has_video: bool,
    format_known: bool,
    keyframe_seen: bool,
    slices: Slices,
    /// Sound is not wanted; what comes is thrown away.
    mute: bool,
}

impl<'a> Feed<'a> {
    /// `live` is told when the first keyframe, or without video the first sound, was published.
    pub(super) fn new(producer: &'a mut Producer, live: oneshot::Sender<()>, mute: bool) -> Self {
        Self {
            producer,
            live: Some(live),
            has_video: false,
            format_known: false,
            keyframe_seen: false,
            slices: Slices::default(),
            mute,
        }
    }

    /// The tracks of this connection, before its first unit.
    pub(super) fn tracks(&mut self, has_video: bool, audio: Option<AudioFormat>) {
        self.has_video = has_video;
        self.producer.set_audio(audio.filter(|_| !self.mute));
    }

    /// What of the sound does not come through.
    pub(super) fn set_audio_note(&mut self, note: Option<Reason>) {
        self.producer.set_audio_note(note);
    }

    /// Sound will come; its format is told by [`set_audio`](Self::set_audio).
    #[cfg(feature = "gstreamer")]
    pub(super) fn expect_audio(&mut self) {
        if !self.mute {
            self.producer.expect_audio();
        }
    }

    /// Parameter sets in force from the next picture on.
    pub(super) fn set_video(&mut self, format: VideoFormat) {
        if let Some(before) = self.slices.take() {
            self.picture(before);
        }
        self.format_known = true;
        self.producer.set_video(format);
    }

    /// The sound's format from the next packet on.
    #[cfg(feature = "gstreamer")]
    pub(super) fn set_audio(&mut self, format: AudioFormat) {
        self.producer.set_audio(Some(format).filter(|_| !self.mute));
    }

    /// The camera's counters.
    /// Something that the camera has noticed.
    pub(super) fn event(&self, event: CameraEvent) {
        self.producer.camera().tell_event(event);
    }

    pub(super) fn counters(&self) -> &CameraCounters {
        &self.producer.camera().counters
    }

    /// Whether some viewer takes sound.
    pub(super) fn has_listeners(&self) -> bool {
        self.producer.camera().is_listened_to()
    }

    /// Whether a keyframe was published.
    pub(super) fn is_live(&self) -> bool {
        self.live.is_none()
    }

    /// Whether keyframes came, but never what says how they are coded.
    pub(super) fn lacks_parameter_sets(&self) -> bool {
        self.keyframe_seen && !self.format_known
    }

    /// Whether a viewer has waited for a keyframe for so long that the camera should be made to send one.
    pub(super) fn is_keyframe_overdue(&self) -> bool {
        self.producer.camera().is_keyframe_overdue(Instant::now())
    }

    /// Publishes a picture, or what the camera takes for one; `data` is framed by four-byte lengths. Pictures before the first
    /// keyframe are dropped.
    pub(super) fn video(&mut self, time: MediaTime, captured: Instant, keyframe: bool, data: Bytes) {
        if let Some(whole) = self.slices.join(Picture { time, captured, keyframe, data }) {
            self.picture(whole);
        }
    }

    fn picture(&mut self, Picture { time, captured, keyframe, data }: Picture) {
        self.keyframe_seen |= keyframe;
        if !self.keyframe_seen {
            return;
        }
        self.producer.publish(&AccessUnit { kind: Kind::Video, time, captured, keyframe, data });
        if keyframe && self.format_known {
            self.now_live();
        }
    }

    /// Publishes one packet of sound.
    pub(super) fn audio(&mut self, time: MediaTime, captured: Instant, data: Bytes) {
        if self.mute {
            return;
        }
        self.producer.publish(&AccessUnit { kind: Kind::Audio, time, captured, keyframe: true, data });
        if !self.has_video {
            self.now_live();
        }
    }

    /// Notes a frame of sound that is not published because nobody listens: a camera without pictures is live by it.
    pub(super) fn unheard(&mut self) {
        self.counters().unheard.add(1);
        if !self.has_video && !self.mute {
            self.now_live();
        }
    }

    /// Completes when a viewer wants a keyframe.
    ///
    /// # Cancel safety
    /// A request that arrives while nobody waits is kept.
    pub(super) async fn keyframe_requested(&self) {
        self.producer.camera().keyframe_requested().await;
    }

    fn now_live(&mut self) {
        if let Some(live) = self.live.take() {
            // Nobody listens any more when the camera is being left in this moment.
            let _ = live.send(());
        }
    }
}

/// What a camera sent as one packet, cut into packets that can be passed on, each with its distance from the first in
/// ticks.
pub(super) fn audio_packets(codec: AudioCodec, data: Bytes) -> impl Iterator<Item = (i64, Bytes)> {
    let size = match codec {
        AudioCodec::Pcmu | AudioCodec::Pcma | AudioCodec::G722 if data.len() > G711_WHOLE => G711_PACKET,
        AudioCodec::Pcmu | AudioCodec::Pcma | AudioCodec::G722 | AudioCodec::Opus => data.len().max(1),
    };
    (0..data.len()).step_by(size).map(move |at| (at as i64, data.slice(at..data.len().min(at + size))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::{Camera, GopLimits};

    fn cut(codec: AudioCodec, length: usize) -> Vec<(i64, usize)> {
        audio_packets(codec, Bytes::from(vec![0; length])).map(|(ticks, data)| (ticks, data.len())).collect()
    }

    fn is_live_by_unheard_sound(has_video: bool, mute: bool) -> bool {
        let limits = GopLimits { max_bytes: 0, max_age: Duration::ZERO };
        let mut producer = Producer::new(Camera::new("front".parse().expect("a name"), limits));
        let (live, mut went_live) = oneshot::channel();
        let mut feed = Feed::new(&mut producer, live, mute);
        feed.has_video = has_video;
        feed.unheard();
        assert_eq!(feed.counters().unheard.total(), 1);
        went_live.try_recv().is_ok()
    }

    #[test]
    fn a_camera_with_sound_only_is_live_before_anybody_listens() {
        assert!(is_live_by_unheard_sound(false, false));
        assert!(!is_live_by_unheard_sound(true, false), "its picture has not come");
        assert!(!is_live_by_unheard_sound(false, true), "its sound is not wanted");
    }

    #[test]
    fn long_g711_packets_are_cut_into_20_ms() {
        assert_eq!(cut(AudioCodec::Pcma, 400), [(0, 160), (160, 160), (320, 80)]);
        assert_eq!(cut(AudioCodec::Pcmu, 1_024).len(), 7);
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(cut(AudioCodec::Pcmu, 320), [(0, 320)]);
        assert_eq!(cut(AudioCodec::Opus, 900), [(0, 900)]);
        assert_eq!(cut(AudioCodec::Pcmu, 0), []);
    }
}
