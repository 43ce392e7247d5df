//! Which browsers show what a camera sends, and which setting of the camera to change where they do not.
//!
//! Each verdict says where its facts come from: seen with this program's tests, in a recorded offer, or what the maker of
//! the decoder writes.

use serde::Serialize;

use crate::media::h264::Profile;

/// Macroblocks of the largest picture of levels 5.1 and 5.2 (H.264 table A-1), such as 4096x2304: where OpenH264, which is
/// Firefox's, and most decoders in hardware end.
const LEVEL_5_2: u32 = 36_864;
/// Of level 4.2, such as 1920x1080: what every device of Apple decodes.
const LEVEL_4_2: u32 = 8_704;

/// A family, and where it is known from what it shows.
type Family = (&'static str, &'static str);

const CHROMIUM: Family = ("Chromium", "tried with camgate's tests, its offer in tests/offers");
const FIREFOX: Family = ("Firefox", "tried by hand, its offer in tests/offers; sizes: OpenH264's README");
const SAFARI: Family =
    ("Safari", "not tried; its offer in tests/offers; sizes: Apple's HLS Authoring Specification, 1.3");

/// What a browser family makes of the picture.
#[derive(Clone, Debug, Serialize)]
pub struct Browser {
    /// Chromium is also Chrome, Edge, Opera; OBS's browser source.
    pub family: &'static str,
    /// In a word.
    pub verdict: Verdict,
    /// Why it does not simply play; empty when it does.
    pub why: String,
    /// Where that is known from.
    pub source: &'static str,
}

/// Whether a browser shows the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Plays,
    /// With most pictures missing.
    Badly,
    /// On some machines.
    Perhaps,
    /// Not at all.
    No,
}

/// What matters of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    pub(super) profile: Profile,
    pub(super) size: (u32, u32),
    pub(super) b_frames: bool,
}

/// What each family makes of it, and what to change in the camera.
pub(super) fn judge(picture: &Picture) -> (Vec<Browser>, Vec<String>) {
    let Picture { profile, size: (width, height), b_frames } = *picture;
    let mut advice = Vec::new();
    let common = matches!(
        profile,
        Profile::Baseline | Profile::ConstrainedBaseline | Profile::Main | Profile::ConstrainedHigh | Profile::High
    );
    let blocks = width.div_ceil(16).saturating_mul(height.div_ceil(16));
    if !common {
        advice.push(format!("set the profile of its H.264 to High, Main or Baseline instead of {}", profile.name()));
    }
    if blocks > LEVEL_5_2 {
        advice.push(format!(
            "set a smaller resolution than {width}x{height}, or use its second stream: 3840x2160 is fine"
        ));
    }
    if b_frames {
        advice.push("set the profile of its H.264 to Baseline, or switch B-frames off".to_owned());
    }
    let browsers = [CHROMIUM, FIREFOX, SAFARI].map(|(family, source)| {
        let (verdict, why) = if !common {
            // Chromium's own decoder knows them (tests/why, High 10 and High 4:2:2; High 4:4:4 it offers), hardware does not.
            let studio = family == CHROMIUM.0 && profile >= Profile::High10;
            let verdict = if studio { Verdict::Perhaps } else { Verdict::No };
            (verdict, format!("H.264 {} is not what browsers decode", profile.name()))
        } else if b_frames {
            (Verdict::Badly, "B-frames: over WebRTC most pictures are missing".to_owned())
        } else if blocks > LEVEL_5_2 {
            // libwebrtc refuses it (its H264CommonTest.RejectsResolutionExceedingLevel52MaxFS); Chromium was tried (tests/why).
            let verdict = if family == SAFARI.0 { Verdict::Perhaps } else { Verdict::No };
            (verdict, format!("{width}x{height} is beyond level 5.2, where most decoders end"))
        } else if blocks > LEVEL_4_2 && family == SAFARI.0 {
            (Verdict::Perhaps, format!("{width}x{height} is beyond what every device of Apple decodes"))
        } else {
            (Verdict::Plays, String::new())
        };
        Browser { family, verdict, why, source }
    });
    (browsers.into(), advice)
}

/// No family shows anything but H.264 here.
pub(super) fn none(codec: &str) -> Vec<Browser> {
    let why = format!("camgate passes on H.264 only, and this is {codec}");
    let refuse = |(family, source)| Browser { family, verdict: Verdict::No, why: why.clone(), source };
    [CHROMIUM, FIREFOX, SAFARI].map(refuse).into()
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Plays => "plays",
            Self::Badly => "plays badly",
            Self::Perhaps => "may play",
            Self::No => "does not play",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(picture: &Picture) -> Vec<Verdict> {
        judge(picture).0.iter().map(|browser| browser.verdict).collect()
    }

    #[test]
    fn what_cameras_usually_send_plays_everywhere() {
        for profile in [Profile::Baseline, Profile::ConstrainedBaseline, Profile::Main, Profile::High] {
            for size in [(640, 360), (1280, 960), (1920, 1080)] {
                let picture = Picture { profile, size, b_frames: false };
                assert_eq!(verdicts(&picture), [Verdict::Plays; 3], "{picture:?}");
                assert!(judge(&picture).1.is_empty());
            }
        }
    }

    #[test]
    fn what_does_not_play_says_which_setting_to_change() {
        let good = Picture { profile: Profile::High, size: (1920, 1080), b_frames: false };
        let with_b = Picture { b_frames: true, ..good };
        assert_eq!(verdicts(&with_b), [Verdict::Badly; 3]);
        assert!(judge(&with_b).1[0].contains("B-frames off"));
        let large = Picture { size: (7680, 4320), ..good };
        assert_eq!(verdicts(&large), [Verdict::No, Verdict::No, Verdict::Perhaps]);
        assert!(judge(&large).1[0].contains("smaller resolution"));
        let uhd = Picture { size: (3840, 2160), ..good };
        assert_eq!(verdicts(&uhd), [Verdict::Plays, Verdict::Plays, Verdict::Perhaps]);
        assert!(judge(&uhd).1.is_empty());
        let studio = Picture { profile: Profile::High422, ..good };
        assert_eq!(verdicts(&studio), [Verdict::Perhaps, Verdict::No, Verdict::No]);
        assert!(judge(&studio).1[0].contains("instead of High 4:2:2"));
        assert!(none("H.265").iter().all(|browser| browser.verdict == Verdict::No && browser.why.contains("H.265")));
    }
}
