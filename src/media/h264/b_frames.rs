//! Whether a camera sends B-frames: pictures that are shown before others that were sent before them.
//!
//! Browsers decode WebRTC without holding pictures back: with two B-frames between others Chromium showed 38 of 276
//! pictures and asked for five keyframes a second (measured); Firefox drops 60 %.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h264_reader::{
    nal::{Nal, RefNal, sps::PicOrderCntType},
    rbsp::BitRead,
};

use super::{NAL_SLICE, nal_type, nals, parse_sps};

/// A stream counts as free of B-frames again when it has had none for this long: longer than the GOP of any camera that
/// decides by the scene, so that words about it do not come and go.
const QUIET: Duration = Duration::from_secs(30);

/// Looks for B-frames in a stream.
#[derive(Debug, Default)]
pub struct BFrames {
    ruled_out: bool,
    seen: Option<Instant>,
}

impl BFrames {
    /// For the pictures that come with the sequence parameter set `sps`.
    pub fn of(sps: &[u8]) -> Self {
        // A parameter set that cannot be read rules nothing out.
        let ruled_out = parse_sps(sps).is_ok_and(|sps| {
            let restrictions = sps.vui_parameters.and_then(|vui| vui.bitstream_restrictions);
            // With order count type 2 pictures are shown in the order they are sent in (clause 8.2.1.3).
            matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo)
                || restrictions.is_some_and(|restrictions| restrictions.max_num_reorder_frames == 0)
        });
        Self { ruled_out, seen: None }
    }

    /// Notes a picture, its NAL units framed by four-byte lengths. Returns whether B-frames are in use.
    pub fn note(&mut self, data: &Bytes, captured: Instant) -> bool {
        if !self.ruled_out && nals(data).any(|nal| is_b_slice(&nal)) {
            self.seen = Some(captured);
        }
        self.seen.is_some_and(|seen| captured.saturating_duration_since(seen) < QUIET)
    }
}

/// Whether a NAL unit is a slice whose macroblocks may refer to pictures shown later: `slice_type` 1 or 6 (table 7-6).
fn is_b_slice(nal: &[u8]) -> bool {
    // Pictures of the other slice type, IDR, refer to nothing.
    if nal_type(nal) != NAL_SLICE {
        return false;
    }
    let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
    let slice_type = bits.read_ue("first_mb_in_slice").and_then(|_| bits.read_ue("slice_type"));
    slice_type.is_ok_and(|slice_type| slice_type % 5 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From x264enc of GStreamer 1.22, Main, with `bframes=2`.
    const WITH: &[u8] = &[
        0x67, 0x4d, 0x40, 0x15, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0xb5, 0x06, 0x06, 0x06, 0xa5, 0x00, 0x00, 0x03,
        0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x1e, 0x8f, 0x16, 0x2d, 0x96,
    ];
    /// From the same with `bframes=0`: order count type 2.
    const WITHOUT: &[u8] = &[
        0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00,
        0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
    ];
    /// Slice headers: `first_mb_in_slice` 0, then `slice_type`.
    const P: &str = "1 1";
    const B: &str = "1 010";

    /// A NAL unit of this type that begins with these bits.
    fn nal(unit_type: u8, bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at));
        [unit_type].into_iter().chain(bits.chunks(8).map(byte)).collect()
    }

    fn picture(bits: &str) -> Bytes {
        let nal = nal(NAL_SLICE, bits);
        [&(nal.len() as u32).to_be_bytes(), &nal[..]].concat().into()
    }

    #[test]
    fn slices_are_told_apart() {
        let cases = [
            (P, false),
            (B, true),
            ("1 011", false),
            // Types 5 to 7: all slices of the picture are of one type.
            ("1 00110", false),
            ("1 00111", true),
            ("1 0001000", false),
            // A second slice, whose first macroblock is the 120th.
            ("0000001111001 010", true),
            ("0000001111001 1", false),
            ("", false),
        ];
        for (bits, expected) in cases {
            assert_eq!(is_b_slice(&nal(NAL_SLICE, bits)), expected, "{bits}");
        }
        assert!(!is_b_slice(&nal(super::super::NAL_IDR, B)) && !is_b_slice(&nal(super::super::NAL_PPS, B)));
        assert!(!is_b_slice(&[]));
    }

    #[test]
    fn words_do_not_come_and_go_with_the_scene() {
        let (b, p) = (picture(B), picture(P));
        let start = Instant::now();
        let mut b_frames = BFrames::of(&[]);
        assert!(!b_frames.note(&p, start));
        assert!(b_frames.note(&b, start));
        assert!(b_frames.note(&p, start + QUIET / 2));
        assert!(!b_frames.note(&p, start + QUIET));
        assert!(b_frames.note(&b, start + QUIET * 2));
    }

    #[test]
    fn a_parameter_set_can_rule_them_out() {
        assert!(!BFrames::of(WITHOUT).note(&picture(B), Instant::now()), "shown in the order they are sent in");
        assert!(BFrames::of(WITH).note(&picture(B), Instant::now()));
    }
}
