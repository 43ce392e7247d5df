//! An access unit packed for sending: what the hub fans out.

use std::time::Instant;

use bytes::Bytes;

use crate::{
    media::{Kind, VideoFormat, h264},
    rtp::{NalUnit, nal_units},
};

/// One access unit as RTP payloads, shared by every viewer of its camera.
#[derive(Debug)]
pub struct Unit {
    /// Number of the unit within its camera, both tracks counted together; no gaps.
    pub number: u64,
    /// Its track.
    pub kind: Kind,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Place on the track's continuous timeline, in ticks of the track's clock.
    pub ticks: i64,
    /// When it was captured, on this machine's monotonic clock.
    pub captured: Instant,
    /// RTP payloads in sending order, at least one, each at most [`crate::rtp::MAX_PAYLOAD`] bytes.
    pub payloads: Vec<Bytes>,
    /// Sum of the payloads' lengths.
    pub bytes: usize,
}

impl Unit {
    /// The NAL units of a picture, parameter sets first in a keyframe: slices of the payloads.
    pub fn nal_units(&self) -> Vec<NalUnit> {
        nal_units(&self.payloads)
    }

    /// How a keyframe is coded, by its own parameter sets; `None` for what has none.
    pub fn parameter_sets(&self) -> Option<VideoFormat> {
        if !self.keyframe || self.kind != Kind::Video {
            return None;
        }
        let nals = self.nal_units();
        let all = |kind| nals.iter().filter(move |nal| nal.kind() == kind).map(NalUnit::to_bytes);
        let pps: Vec<_> = all(h264::NAL_PPS).collect();
        if pps.is_empty() {
            return None;
        }
        VideoFormat::from_parameter_sets(all(h264::NAL_SPS).next()?, pps).ok()
    }

    /// Memory that it takes, payloads and what holds them, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes + size_of::<Self>() + size_of_val(self.payloads.as_slice())
    }
}
