//! What the payload of one video packet tells about the picture it belongs to: whether it is a keyframe, and how large
//! it is. Reads RTP payloads of H.264, H.265, VP8, VP9 and AV1; decodes nothing.

use crate::media::h264;

/// A video codec whose keyframes can be told from its RTP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VideoCodec {
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// The AOMedia payload format, version 1.0.
    Av1,
}

/// What a payload says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Glimpse {
    /// The packet belongs to a picture that decoding can start at, and holds its beginning or one of its slices'.
    pub(super) keyframe: bool,
    /// Width and height in pixels.
    pub(super) size: Option<(u32, u32)>,
    /// profile_idc, constraint flags and level_idc of an H.264 sequence parameter set.
    pub(super) profile_level_id: Option<[u8; 3]>,
}

impl VideoCodec {
    /// By the encoding name of `a=rtpmap`; none for a codec that is not known here.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "H264" => Some(Self::H264),
            "H265" => Some(Self::H265),
            "VP8" => Some(Self::Vp8),
            "VP9" => Some(Self::Vp9),
            "AV1" => Some(Self::Av1),
            _ => None,
        }
    }

    /// Looks at a payload; what is malformed says nothing.
    pub(super) fn glimpse(self, payload: &[u8]) -> Glimpse {
        match self {
            Self::H264 => glimpse_h264(payload),
            Self::H265 => Glimpse { keyframe: is_irap(payload), ..Glimpse::default() },
            Self::Vp8 => glimpse_vp8(payload).unwrap_or_default(),
            // B (start of a frame) without P (inter-picture predicted): RFC 9628 section 4.2.
            Self::Vp9 => {
                let keyframe = payload.first().is_some_and(|flags| flags & 0x48 == 0x08);
                Glimpse { keyframe, ..Glimpse::default() }
            }
            // N, the first packet of a coded video sequence: section 4.4 of the payload format.
            Self::Av1 => {
                let keyframe = payload.first().is_some_and(|header| header & 0x08 != 0);
                Glimpse { keyframe, ..Glimpse::default() }
            }
        }
    }
}

/// NAL unit type of RFC 6184 section 5.2.
const STAP_A: u8 = 24;
/// NAL unit type of RFC 6184 section 5.2.
const FU_A: u8 = 28;

fn glimpse_h264(payload: &[u8]) -> Glimpse {
    let mut seen = Glimpse::default();
    match h264::nal_type(payload) {
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, nals @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(nals.len());
                look_at_nal(&nals[..length], &mut seen);
                rest = &nals[length..];
            }
        }
        // Only the first fragment; a sequence parameter set is never so large.
        FU_A => {
            let header = payload.get(1).copied().unwrap_or_default();
            seen.keyframe = header & 0x80 != 0 && header & 0x1f == h264::NAL_IDR;
        }
        _ => look_at_nal(payload, &mut seen),
    }
    seen
}

fn look_at_nal(nal: &[u8], seen: &mut Glimpse) {
    match h264::nal_type(nal) {
        h264::NAL_IDR => seen.keyframe = true,
        h264::NAL_SPS => {
            seen.size = h264::dimensions(nal).ok();
            seen.profile_level_id = h264::profile_level_id(nal);
        }
        _ => {}
    }
}

/// Intra random access point pictures: NAL unit types 16 to 21 (H.265 table 7-1).
fn is_irap(payload: &[u8]) -> bool {
    let kind = |header: u8| header >> 1 & 0x3f;
    let irap = |kind: u8| (16..=21).contains(&kind);
    match payload {
        // Aggregation packet: two bytes of header, then units behind their lengths.
        [first, _, rest @ ..] if kind(*first) == 48 => {
            let mut rest = rest;
            let mut found = false;
            while let [high, low, units @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(units.len());
                found |= units[..length].first().is_some_and(|header| irap(kind(*header)));
                rest = &units[length..];
            }
            found
        }
        // Fragmentation unit: S and the type in its third byte.
        [first, _, fragment, ..] if kind(*first) == 49 => fragment & 0x80 != 0 && irap(fragment & 0x3f),
        [first, ..] => irap(kind(*first)),
        [] => false,
    }
}

/// The descriptor of RFC 7741 section 4.2, then the frame header of RFC 6386 section 9.1.
fn glimpse_vp8(payload: &[u8]) -> Option<Glimpse> {
    let flags = *payload.first()?;
    let mut at = 1;
    if flags & 0x80 != 0 {
        let extension = *payload.get(1)?;
        at = 2;
        if extension & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
    }
    // The begin of the first partition, whose first bit is 0 in a keyframe.
    if flags & 0x1f != 0x10 || payload.get(at)? & 1 != 0 {
        return None;
    }
    let size = match payload.get(at + 3..at + 10)? {
        [0x9d, 0x01, 0x2a, w0, w1, h0, h1] => {
            let pixels = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Some((pixels(*w0, *w1), pixels(*h0, *h1)))
        }
        _ => None,
    };
    Some(Glimpse { keyframe: true, size, profile_level_id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From x264enc of GStreamer 1.22: 322x182, Constrained Baseline, level 2.1.
    const SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00,
        0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
    ];

    #[test]
    fn h264_parameter_sets_and_slices_are_found_in_every_packet_kind() {
        let single = VideoCodec::H264.glimpse(SPS);
        assert_eq!((single.keyframe, single.size), (false, Some((322, 182))));
        let mut aggregate = vec![0x78, 0, SPS.len() as u8];
        aggregate.extend(SPS);
        aggregate.extend([0, 2, 0x65, 0x88]);
        let aggregate = VideoCodec::H264.glimpse(&aggregate);
        assert!(aggregate.keyframe);
        assert_eq!(aggregate.profile_level_id, Some([0x42, 0xc0, 0x15]));
        assert!(VideoCodec::H264.glimpse(&[0x7c, 0x85, 0]).keyframe, "the first fragment");
        assert!(!VideoCodec::H264.glimpse(&[0x7c, 0x05, 0]).keyframe, "a later fragment");
        assert!(!VideoCodec::H264.glimpse(&[0x41, 0x9a]).keyframe);
    }

    #[test]
    fn vp8_keyframes_tell_their_size() {
        // X with a 15-bit picture id; then a frame tag with P = 0, the start code, 640x480.
        let key = [0x90, 0x80, 0x81, 0x23, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 0];
        let seen = VideoCodec::Vp8.glimpse(&key);
        assert_eq!((seen.keyframe, seen.size), (true, Some((640, 480))));
        let mut inter = key;
        inter[4] |= 1;
        assert!(!VideoCodec::Vp8.glimpse(&inter).keyframe);
    }

    #[test]
    fn other_codecs_tell_keyframes_by_a_flag() {
        assert!(VideoCodec::Vp9.glimpse(&[0x88]).keyframe);
        assert!(!VideoCodec::Vp9.glimpse(&[0xc8]).keyframe, "inter-predicted");
        assert!(VideoCodec::Av1.glimpse(&[0x18]).keyframe);
        assert!(!VideoCodec::Av1.glimpse(&[0x10]).keyframe);
        assert!(VideoCodec::H265.glimpse(&[19 << 1, 1]).keyframe, "IDR_W_RADL");
        assert!(VideoCodec::H265.glimpse(&[48 << 1, 1, 0, 2, 32 << 1, 1, 0, 2, 20 << 1, 1]).keyframe, "aggregated");
        assert!(VideoCodec::H265.glimpse(&[49 << 1, 1, 0x80 | 19]).keyframe, "fragmented");
        assert!(!VideoCodec::H265.glimpse(&[1 << 1, 1]).keyframe);
    }

    #[test]
    fn malformed_payloads_say_nothing() {
        for codec in ["h264", "H265", "VP8", "VP9", "AV1"].map(|name| VideoCodec::named(name).unwrap()) {
            for length in 0..8 {
                codec.glimpse(&vec![0x90; length]);
                codec.glimpse(&vec![0xff; length]);
            }
            assert_eq!(codec.glimpse(&[]), Glimpse::default());
        }
        assert_eq!(VideoCodec::named("theora"), None);
    }
}
