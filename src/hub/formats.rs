//! What a camera sends, and what browsers make of it.

use std::time::Instant;

use super::{Camera, CameraState};
use crate::media::{
    AudioFormat, Reason, VideoFormat,
    h264::{MAX_SIDE, Profile, macroblocks},
};

/// A keyframe that is not older than this comes again soon enough.
const OLD: u64 = 10;

/// What a camera's tracks carry; `None` for a track it does not have or that is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// Pictures.
    pub video: Option<VideoFormat>,
    /// Whether the pictures come with B-frames.
    pub b_frames: bool,
    /// Sound that can be passed through.
    pub audio: Option<AudioFormat>,
    /// Whether sound will come whose format is not known yet.
    pub audio_expected: bool,
    /// What of the camera's sound does not come through, and why.
    pub audio_note: Option<Reason>,
}

impl Formats {
    /// Why browsers show the picture badly or not at all, and what to do.
    pub fn video_note(&self) -> Option<Reason> {
        if self.b_frames {
            let sentence = "the camera sends B-frames, which browsers cannot show over WebRTC, so that most pictures are missing: \
                            set the profile of its H.264 to Baseline, or switch B-frames off";
            return Some(Reason::new("b-frames", sentence));
        }
        let format = self.video.as_ref()?;
        too_large(format).or_else(|| rare_profile(format))
    }
}

/// libwebrtc, which Chrome, Firefox and Safari decode with, refuses what level 5.2 does not allow (its
/// `H264CommonTest.RejectsResolutionExceedingLevel52MaxFS`), and OpenH264 knows no more either.
fn too_large(format: &VideoFormat) -> Option<Reason> {
    let (width, height) = (format.width, format.height);
    (macroblocks(width, height) > Profile::MAX_MACROBLOCKS || width.max(height) > MAX_SIDE).then(|| {
        let sentence = format!(
            "the camera's picture of {width}x{height} is larger than browsers decode (H.264 level 5.2, 4096x2304): choose a \
             smaller resolution in the camera, or another stream of it in url"
        );
        Reason::new("picture-too-large", sentence)
    })
}

fn rare_profile(format: &VideoFormat) -> Option<Reason> {
    let profile = Profile::of(format.profile_level_id());
    (profile >= Profile::High10).then(|| {
        let sentence = format!(
            "the camera's H.264 has the profile {}, which not every browser decodes (Chromium does): set its \
             profile to Baseline, Main or High",
            profile.name()
        );
        Reason::new("rare-profile", sentence)
    })
}

impl Camera {
    /// Why somebody who comes `now` waits for a picture, when nothing is cached for them and the last keyframe is old.
    pub fn keyframe_note(&self, now: Instant) -> Option<Reason> {
        // A source that makes keyframes makes one for them.
        if self.status_is(&CameraState::Live) && !self.makes_keyframes() {
            let tracks = self.lock();
            let age = now.saturating_duration_since(tracks.last_keyframe?).as_secs();
            if !tracks.gop.units().is_empty() || age < OLD {
                return None;
            }
            let often = match tracks.gop_length.map(|gop| gop.as_secs()).filter(|gop| *gop >= age) {
                Some(gop) => format!("sends one only every {gop} s"),
                None => format!("has sent none for more than {} s", age / OLD * OLD),
            };
            let sentence = format!(
                "a new viewer's picture begins with the camera's next keyframe, and it {often}: set a shorter keyframe (I-frame) \
                 interval in the camera, such as 2 s"
            );
            return Some(Reason::new("long-gop", sentence));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(id: [u8; 3], width: u32, height: u32) -> Formats {
        let sps = [&[0x67][..], &id].concat();
        let video = VideoFormat { sps: sps.into(), pps: vec![vec![0x68].into()], width, height };
        Formats { video: Some(video), ..Formats::default() }
    }

    #[test]
    fn what_browsers_do_not_decode_is_told() {
        let code = |id, width, height| format(id, width, height).video_note().map(|note| note.code);
        assert_eq!(code([0x64, 0, 0x34], 4096, 2304), None);
        assert_eq!(code([0x64, 0, 0x34], 2304, 4096), None);
        assert_eq!(code([0x64, 0, 0x34], 4096, 2320), Some("picture-too-large"));
        assert_eq!(code([0x64, 0, 0x34], 8704, 16), Some("picture-too-large"));
        assert_eq!(code([0x4d, 0x40, 0x28], 1920, 1080), None);
        assert_eq!(code([0x6e, 0, 0x28], 1920, 1080), Some("rare-profile"));
        let b_frames = Formats { b_frames: true, ..format([0x6e, 0, 0x28], 8704, 16) };
        assert_eq!(b_frames.video_note().map(|note| note.code), Some("b-frames"));
    }
}
