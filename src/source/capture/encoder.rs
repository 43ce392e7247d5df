//! The H.264 encoders that the special placeholder `{encoder}` can stand for, best first, and how each is set up for
//! live pictures that every browser decodes: Constrained Baseline, no B-frames, no look-ahead, keyframes on request.
//!
//! Nothing here needs GStreamer; `probe` finds out which of them works.

use std::{fmt, num::NonZeroUsize, thread::available_parallelism};

/// An encoder that there is code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Hardware behind a V4L2 memory-to-memory device: Raspberry Pi 4 and older, many other boards.
    V4l2,
    /// The graphics processor of a PC, through VA-API.
    Va,
    /// The same on Intel processors that only have the low-power unit.
    VaLowPower,
    /// x264, in software.
    X264,
    /// Cisco's OpenH264, in software.
    OpenH264,
}

/// Best first: what costs the processor nothing, then what looks best for the same work.
pub(super) const ELEMENTS: [Element; 5] =
    [Element::V4l2, Element::Va, Element::VaLowPower, Element::X264, Element::OpenH264];

/// Placeholders that the encoder reads whether or not the file has them elsewhere.
pub(super) const PLACEHOLDERS: [&str; 3] = ["bitrate", "encoder", "gop"];
/// The value that leaves the choice to the gateway.
pub(super) const AUTO: &str = "auto";
/// Bounds of the bitrate in kbit/s: a thumbnail, and more than a browser takes.
pub(super) const BITRATE: (u32, u32) = (50, 100_000);
/// Bounds of the distance of keyframes in pictures; the upper one is VA-API's.
pub(super) const GOP: (u32, u32) = (1, 1_000);
const DEFAULT_BITRATE_KBPS: u32 = 2_500;
/// Distance of keyframes in seconds. A viewer gets one at once anyway: this bounds the memory that the GOP cache needs.
const DEFAULT_GOP_SECONDS: u32 = 2;
/// What is assumed of a picture that the file does not tell.
const DEFAULT_PICTURE: (u32, u32, u32) = (1_280, 720, 30);
/// Processors from which on x264 may think longer about each picture.
const MANY_CORES: usize = 4;

/// What an encoder is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) bitrate_kbps: u32,
    /// Pictures from keyframe to keyframe.
    pub(super) gop: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: u32,
}

impl Settings {
    /// What is not given is assumed.
    pub(super) fn new(
        bitrate_kbps: Option<u32>,
        gop: Option<u32>,
        width: Option<u32>,
        height: Option<u32>,
        fps: Option<u32>,
    ) -> Self {
        let fps = fps.unwrap_or(DEFAULT_PICTURE.2);
        Self {
            bitrate_kbps: bitrate_kbps.unwrap_or(DEFAULT_BITRATE_KBPS),
            gop: gop.unwrap_or_else(|| fps.saturating_mul(DEFAULT_GOP_SECONDS)).clamp(GOP.0, GOP.1),
            width: width.unwrap_or(DEFAULT_PICTURE.0),
            height: height.unwrap_or(DEFAULT_PICTURE.1),
            fps,
        }
    }

    /// The least level that allows it (Rec. ITU-T H.264 table A-1); 4 is what the hardware of a Raspberry Pi is made
    /// for and the least that is asked for.
    fn level(&self) -> &'static str {
        let blocks = u64::from(self.width.div_ceil(16)) * u64::from(self.height.div_ceil(16));
        match (blocks, blocks * u64::from(self.fps)) {
            (..=8_192, ..=245_760) => "4",
            (..=8_704, ..=522_240) => "4.2",
            _ => "5.1",
        }
    }
}

impl Element {
    /// The element's name, and the value that forces it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4l2 => "v4l2h264enc",
            Self::Va => "vah264enc",
            Self::VaLowPower => "vah264lpenc",
            Self::X264 => "x264enc",
            Self::OpenH264 => "openh264enc",
        }
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        ELEMENTS.into_iter().find(|element| element.name() == name)
    }

    /// What does the work.
    pub(super) fn worker(self) -> &'static str {
        match self {
            Self::V4l2 => "hardware, V4L2",
            Self::Va => "hardware, VA-API",
            Self::VaLowPower => "hardware, VA-API, low power",
            Self::X264 | Self::OpenH264 => "software",
        }
    }

    /// The part of a pipeline that takes any raw picture and gives H.264.
    pub(super) fn launch(self, settings: &Settings) -> String {
        let Settings { bitrate_kbps: kbps, gop, .. } = settings;
        let encoder = match self {
            // Which control sets the distance of keyframes depends on the driver; those that a driver lacks are passed
            // over. Without a level the Raspberry Pi's driver refuses 1080p.
            Self::V4l2 => format!(
                "v4l2h264enc extra-controls=\"controls,video_bitrate={kbps}000,h264_i_frame_period={gop},\
                 video_gop_size={gop},video_b_frames=0,repeat_sequence_header=1\" \
                 ! video/x-h264,profile=constrained-baseline,level=(string){}",
                settings.level()
            ),
            Self::Va | Self::VaLowPower => format!(
                "{} bitrate={kbps} key-int-max={gop} b-frames=0 ! video/x-h264,profile=constrained-baseline",
                self.name()
            ),
            Self::X264 => format!(
                "x264enc tune=zerolatency speed-preset={} bitrate={kbps} key-int-max={gop} bframes=0 \
                 ! video/x-h264,profile=constrained-baseline",
                preset()
            ),
            Self::OpenH264 => format!(
                "openh264enc rate-control=bitrate bitrate={kbps}000 gop-size={gop} complexity=low usage-type=camera \
                 scene-change-detection=false ! video/x-h264,profile=constrained-baseline"
            ),
        };
        format!("videoconvert ! {encoder} ! h264parse")
    }

    /// What there is to know about it on this machine.
    pub(super) fn remark(self) -> String {
        match self {
            Self::X264 => format!("preset {}{}", preset(), board().map_or_else(String::new, |it| format!(" ({it})"))),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.worker())
    }
}

/// How long x264 may think. The cores of small boards carry only the quickest preset at 1080p.
fn preset() -> &'static str {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    match cfg!(any(target_arch = "aarch64", target_arch = "arm")) {
        true => "ultrafast",
        false if cores < MANY_CORES => "superfast",
        false => "veryfast",
    }
}

/// What is worth saying about a board.
fn board() -> Option<&'static str> {
    let model = std::fs::read_to_string("/proc/device-tree/model").ok()?;
    model.starts_with("Raspberry Pi 5").then_some("a Raspberry Pi 5 has no hardware encoder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoder_gets_its_own_units() {
        let settings = Settings::new(Some(1_500), Some(45), None, None, None);
        for (element, bitrate, gop) in [
            (Element::V4l2, "video_bitrate=1500000,", "h264_i_frame_period=45,"),
            (Element::Va, "vah264enc bitrate=1500 ", "key-int-max=45 "),
            (Element::VaLowPower, "vah264lpenc bitrate=1500 ", "key-int-max=45 "),
            (Element::X264, " bitrate=1500 ", "key-int-max=45 "),
            (Element::OpenH264, " bitrate=1500000 ", "gop-size=45 "),
        ] {
            let launch = element.launch(&settings);
            assert!(launch.contains(bitrate) && launch.contains(gop), "{launch}");
            assert!(launch.contains("profile=constrained-baseline"), "{launch}");
            assert_eq!(Element::by_name(element.name()), Some(element));
        }
        assert_eq!(Element::by_name("nvh264enc"), None);
    }

    #[test]
    fn keyframes_come_every_two_seconds_unless_told_otherwise() {
        assert_eq!(Settings::new(None, None, None, None, Some(15)).gop, 30);
        assert_eq!(Settings::new(None, None, None, None, Some(0)).gop, 1);
        assert_eq!(Settings::new(None, None, None, None, Some(u32::MAX)).gop, 1_000);
    }

    #[test]
    fn the_level_allows_the_picture() {
        let level = |width, height, fps| Settings::new(None, None, Some(width), Some(height), Some(fps)).level();
        assert_eq!(level(640, 480, 30), "4");
        assert_eq!(level(1_920, 1_080, 30), "4");
        assert_eq!(level(1_920, 1_080, 60), "4.2");
        assert_eq!(level(3_840, 2_160, 30), "5.1");
    }
}
