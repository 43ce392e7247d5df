//! The picture: some seconds of H.264, coded by x264 once per process for each way of coding, and then played in a loop.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::super::Profile;
use super::super::picture::Painter;

/// Frames in a clip, or one GOP if that is longer. The frame number begins again after them.
const FRAMES: u32 = 300;

/// Frames in a clip that has no other keyframe than the first.
const LONG: u32 = 1_500;

const SPS: u8 = 7;
const PPS: u8 = 8;
const AUD: u8 = 9;

/// Where a decoder can begin, each [`Video::gop`] frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresh {
    /// IDR pictures.
    Keyframes,
    /// The first picture is one; then some columns of each are coded anew, and recovery points (SEI) say when a round begins.
    Intra,
    /// The first picture is one; then pictures of intra slices that are none, with recovery points. Needs B-frames.
    OpenGops,
}

/// How the picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Video {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// Frames from one keyframe to the next.
    pub gop: u32,
    pub profile: Profile,
    pub slices: u32,
    pub b_frames: u32,
    pub bitrate_kbps: u32,
    pub refresh: Refresh,
    /// Share of the height that is new noise in every frame: what makes frames large.
    pub noise_percent: u32,
}

impl Video {
    /// The cheapest picture that everything can decode.
    pub const SMALL: Self = Self {
        width: 320,
        height: 180,
        fps: 15,
        gop: 15,
        profile: Profile::Baseline,
        slices: 1,
        b_frames: 0,
        bitrate_kbps: 300,
        refresh: Refresh::Keyframes,
        noise_percent: 10,
    };
}

impl Default for Video {
    fn default() -> Self {
        Self::SMALL
    }
}

/// One access unit, without parameter sets and delimiters.
#[derive(Clone, Debug)]
pub struct Unit {
    /// NAL units without start codes.
    pub nals: Vec<Vec<u8>>,
    pub keyframe: bool,
    /// The parameter sets in force.
    pub sps: Vec<u8>,
    pub pps: Vec<u8>,
    /// The number in the picture.
    pub counter: u32,
}

/// What a camera shows.
pub struct Clip {
    pub units: Vec<Unit>,
}

impl Clip {
    fn first(&self) -> &Unit {
        self.units.first().expect("a clip has frames")
    }

    /// Of the SDP's `sprop-parameter-sets`.
    pub fn sprop(&self) -> String {
        format!("{},{}", STANDARD.encode(&self.first().sps), STANDARD.encode(&self.first().pps))
    }

    /// Of the SDP's `profile-level-id`.
    pub fn profile(&self) -> String {
        self.first().sps[1..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first keyframe at or behind this frame.
    pub fn keyframe_at(&self, frame: u64) -> u64 {
        (frame..).find(|frame| self.unit(*frame).keyframe).expect("a clip begins with a keyframe")
    }

    /// The frame with this number since the camera was started.
    pub fn unit(&self, frame: u64) -> &Unit {
        &self.units[(frame % self.units.len() as u64) as usize]
    }
}

impl Video {
    /// Codes it, if this process has not yet.
    pub fn clip(self) -> Arc<Clip> {
        static CLIPS: LazyLock<Mutex<HashMap<Video, Arc<Clip>>>> = LazyLock::new(Mutex::default);
        let mut clips = CLIPS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        clips.entry(self).or_insert_with(|| Arc::new(self.encode())).clone()
    }

    fn encode(self) -> Clip {
        gst::init().expect("GStreamer");
        let (profile, options) = match self.profile {
            Profile::Baseline => ("constrained-baseline", ""),
            // Without these x264's ultrafast writes a Baseline stream whatever the caps say.
            Profile::Main => ("main", ":cabac=1"),
            Profile::High => ("high", ":cabac=1:8x8dct=1"),
        };
        let refresh = match self.refresh {
            Refresh::Keyframes => "",
            Refresh::Intra => ":intra-refresh=1",
            Refresh::OpenGops => ":open-gop=1",
        };
        let launch = format!(
            "appsrc name=in format=time block=false max-bytes=0 max-buffers=0 max-time=0 \
               caps=video/x-raw,format=I420,width={},height={},framerate={}/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 bframes={} key-int-max={} bitrate={} \
               option-string=\"scenecut=0:slices={}{options}{refresh}\" \
             ! video/x-h264,profile={profile},stream-format=byte-stream,alignment=au ! appsink name=out sync=false",
            self.width, self.height, self.fps, self.b_frames, self.gop, self.bitrate_kbps, self.slices,
        );
        let pipeline = gst::parse::launch(&launch).expect("x264enc").downcast::<gst::Pipeline>().expect("a pipeline");
        let element = |name| pipeline.by_name(name).expect("an element of ours");
        let input = element("in").downcast::<gst_app::AppSrc>().expect("an appsrc");
        let output = element("out").downcast::<gst_app::AppSink>().expect("an appsink");
        pipeline.set_state(gst::State::Playing).expect("the encoder starts");
        let count = match self.refresh {
            Refresh::Keyframes => FRAMES.next_multiple_of(self.gop),
            // A clip begins with an IDR picture each time that it is played.
            Refresh::Intra | Refresh::OpenGops => LONG,
        };
        let feeding = std::thread::spawn(move || {
            let mut painter = Painter::new(self.width, self.height, self.noise_percent);
            let step = gst::ClockTime::SECOND.nseconds() / u64::from(self.fps);
            for counter in 0..count {
                let mut buffer = gst::Buffer::from_mut_slice(painter.paint(counter));
                let times = buffer.get_mut().expect("not shared yet");
                times.set_pts(gst::ClockTime::from_nseconds(step * u64::from(counter)));
                times.set_duration(gst::ClockTime::from_nseconds(step));
                input.push_buffer(buffer).expect("the encoder takes it");
            }
            input.end_of_stream().expect("the encoder takes it");
        });
        let (mut sps, mut pps, mut units, mut first) = (Vec::new(), Vec::new(), Vec::new(), None);
        while let Ok(sample) = output.pull_sample() {
            let buffer = sample.buffer().expect("coded data");
            let data = buffer.map_readable().expect("in memory");
            let mut nals = Vec::new();
            for nal in split(&data) {
                match nal[0] & 0x1f {
                    SPS => sps = nal,
                    PPS => pps = nal,
                    AUD => {}
                    _ => nals.push(nal),
                }
            }
            let keyframe = nals.iter().any(|nal| nal[0] & 0x1f == 5);
            // x264enc begins a thousand hours late, to have room for the decoding times of B-frames.
            let pts = buffer.pts().expect("a time").nseconds();
            let since = pts - *first.get_or_insert(pts);
            let counter = (since as f64 * f64::from(self.fps) / 1e9).round() as u32;
            units.push(Unit { nals, keyframe, sps: sps.clone(), pps: pps.clone(), counter });
        }
        feeding.join().expect("the painter's thread");
        let _ = pipeline.set_state(gst::State::Null);
        assert_eq!(units.len() as u32, count, "the encoder lost frames");
        assert!(units[0].keyframe && !sps.is_empty() && !pps.is_empty(), "the clip cannot be decoded");
        Clip { units }
    }
}

/// NAL units of a byte stream (ISO/IEC 14496-10 annex B).
fn split(stream: &[u8]) -> Vec<Vec<u8>> {
    let codes: Vec<_> = stream.windows(3).enumerate().filter(|(_, it)| *it == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = codes.iter().skip(1).copied().chain([stream.len()]);
    let nals = codes.iter().zip(ends).map(|(at, end)| {
        let nal = &stream[at + 3..end];
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        nal[..length].to_vec()
    });
    nals.filter(|nal| !nal.is_empty()).collect()
}
