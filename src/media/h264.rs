//! The little of H.264 (ITU-T Rec. H.264) that a gateway must read: NAL unit types, parameter sets, slice types.

mod b_frames;
mod colours;
mod profile;

use bytes::Bytes;
use h264_reader::{
    nal::{Nal, RefNal, sps::SeqParameterSet},
    rbsp::{BitRead, BitReader},
};
use thiserror::Error;

pub use b_frames::BFrames;
pub use colours::{Coding, Colours};
pub use profile::Profile;

/// Coded slice of a picture that others are needed for (table 7-1).
pub const NAL_SLICE: u8 = 1;
/// Coded slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// Sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// Picture parameter set.
pub const NAL_PPS: u8 = 8;
/// Access unit delimiter.
pub const NAL_AUD: u8 = 9;
/// Filler data.
pub const NAL_FILLER: u8 = 12;

/// The NAL unit could not be read as a sequence parameter set.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unusable H.264 sequence parameter set: {0}")]
pub struct BadSps(String);

/// `nal_unit_type` of a NAL unit; 0 (unspecified) for an empty one.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

/// The NAL units of an access unit that is framed by four-byte lengths, as cheap slices of it.
///
/// Stops at the first length that points past the end: what follows cannot be framed.
pub fn nals(data: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = data.get(at..at + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let start = at + 4;
        let end = start.checked_add(length).filter(|end| *end <= data.len())?;
        at = end;
        Some(data.slice(start..end))
    })
    .filter(|nal| !nal.is_empty())
}

/// The macroblock that the first coded slice of an access unit begins with (clause 7.4.3): 0 for all but what is left when
/// somebody takes slices of one picture for pictures. `None` when there is no slice.
pub fn first_macroblock(data: &Bytes) -> Option<u32> {
    let slice = nals(data).find(|nal| matches!(nal_type(nal), NAL_SLICE | NAL_IDR))?;
    RefNal::new(&slice, &[], true).rbsp_bits().read_ue("first_mb_in_slice").ok()
}

/// Of a picture parameter set its own id, and that of its sequence parameter set (clause 7.4.2.2).
pub fn pps_ids(pps: &[u8]) -> Option<(u32, u32)> {
    if pps.is_empty() {
        return None;
    }
    let nal = RefNal::new(pps, &[], true);
    let mut bits = nal.rbsp_bits();
    Some((bits.read_ue("pic_parameter_set_id").ok()?, bits.read_ue("seq_parameter_set_id").ok()?))
}

/// `seq_parameter_set_id` of a sequence parameter set (clause 7.4.2.1.1).
pub fn sps_id(sps: &[u8]) -> Option<u32> {
    parse_sps(sps).ok().map(|sps| sps.seq_parameter_set_id.id().into())
}

/// Displayed width and height in pixels.
///
/// # Errors
/// [`BadSps`] when `sps` does not parse or has no picture size.
pub fn dimensions(sps: &[u8]) -> Result<(u32, u32), BadSps> {
    parse_sps(sps)?.pixel_dimensions().map_err(|e| BadSps(format!("{e:?}")))
}

/// Longest side of a picture of level 5.2 in pixels: 543 macroblocks, the root of 8 times [`Profile::MAX_MACROBLOCKS`] (clause
/// A.3.1).
pub const MAX_SIDE: u32 = 543 * 16;

/// Macroblocks of a picture of this size.
pub fn macroblocks(width: u32, height: u32) -> u32 {
    width.div_ceil(16).saturating_mul(height.div_ceil(16))
}

fn parse_sps(sps: &[u8]) -> Result<SeqParameterSet, BadSps> {
    if nal_type(sps) != NAL_SPS {
        return Err(BadSps(format!("NAL unit type {} instead of {NAL_SPS}", nal_type(sps))));
    }
    let nal = RefNal::new(sps, &[], true);
    SeqParameterSet::from_bits(BitReader::new(nal.rbsp_bytes())).map_err(|e| BadSps(format!("{e:?}")))
}

/// The three bytes behind the SPS's NAL header: profile_idc, constraint flags, level_idc.
pub fn profile_level_id(sps: &[u8]) -> Option<[u8; 3]> {
    sps.get(1..4)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From x264enc of GStreamer 1.22: 322x182, Constrained Baseline, level 2.1.
    const SMALL: &[u8] = &[
        0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00,
        0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
    ];
    /// From the same: 1920x1080, High, level 4.0; coded as 1088 lines and cropped.
    const FULL_HD: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00,
        0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc6, 0x0c, 0x92,
    ];

    #[test]
    fn parameter_sets_tell_size_and_profile() {
        assert_eq!(dimensions(SMALL), Ok((322, 182)));
        assert_eq!(dimensions(FULL_HD), Ok((1920, 1080)));
        assert_eq!(profile_level_id(FULL_HD), Some([0x64, 0x00, 0x28]));
    }

    #[test]
    fn parameter_sets_have_ids() {
        assert_eq!((sps_id(SMALL), sps_id(&[0x67, 1])), (Some(0), None));
        // ue(v): 1 is 0; 010 is 1; 011 is 2.
        assert_eq!(pps_ids(&[0x68, 0b1100_1110]), Some((0, 0)));
        assert_eq!(pps_ids(&[0x68, 0b0111_1110]), Some((2, 0)));
        assert_eq!(pps_ids(&[0x68, 0b1010_1110]), Some((0, 1)));
        assert_eq!((pps_ids(&[0x68]), pps_ids(&[])), (None, None));
    }

    #[test]
    fn nal_units_are_cut_at_their_lengths() {
        let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x41]);
        let nals: Vec<_> = nals(&data).collect();
        assert_eq!(nals, [&[0x65, 1][..], &[0x41][..]]);
    }

    #[test]
    fn a_length_past_the_end_ends_the_walk() {
        let data = Bytes::from_static(&[0, 0, 0, 1, 0x41, 0xff, 0xff, 0xff, 0xff, 0x65]);
        assert_eq!(nals(&data).count(), 1);
    }

    #[test]
    fn the_first_slice_tells_where_it_begins() {
        let first = |nals: &[&[u8]]| {
            let framed = nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes(), *nal].concat());
            first_macroblock(&framed.collect::<Vec<_>>().into())
        };
        assert_eq!(first(&[&[0x06, 1], &[0x65, 0x88]]), Some(0));
        // 000000001111001: macroblock 120.
        assert_eq!(first(&[&[0x41, 0b0000_0011, 0b1100_1100], &[0x41, 0x88]]), Some(120));
        assert_eq!(first(&[&[0x06, 1]]), None);
        assert_eq!(first(&[]), None);
    }

    #[test]
    fn a_pps_is_not_an_sps() {
        assert!(dimensions(&[0x68, 0xce]).is_err());
        assert!(dimensions(&[]).is_err());
    }
}
