//! What a sequence parameter set says about the samples of its pictures: how they are coded, and which colours they stand for.

use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags};

use super::{BadSps, parse_sps};

/// `matrix_coefficients` of Rec. ITU-R BT.709 (H.264 table E-5).
const MATRIX_BT709: u8 = 1;
/// `matrix_coefficients` that leave it open (table E-5).
const MATRIX_UNSPECIFIED: u8 = 2;
/// Pictures with more lines than PAL's are taken for HDTV where the camera does not say: so do GStreamer and browsers.
const SD_LINES: u32 = 576;

/// Which colours the samples stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    /// Rec. ITU-R BT.709, that of HDTV; else BT.601.
    pub is_bt709: bool,
    /// Samples from 0 to 255 ("PC"); else brightness from 16 to 235 and colour from 16 to 240 ("TV").
    pub is_full_range: bool,
}

/// What a decoder has to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// Interlaced: fields instead of frames are coded.
    pub has_fields: bool,
    /// Eight bits a sample, and colour in half the resolution: what all but studio cameras send.
    pub is_420_8bit: bool,
    /// `chroma_format_idc`, and the bits a sample of brightness and of colour (clause 7.4.2.1.1).
    pub chroma: [u8; 3],
}

impl Colours {
    /// By the VUI of `sps` (H.264 annex E), and by the size where that does not say.
    ///
    /// # Errors
    /// [`BadSps`].
    pub fn of(sps: &[u8]) -> Result<Self, BadSps> {
        let sps = parse_sps(sps)?;
        let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
        let matrix =
            signal.and_then(|signal| signal.colour_description.as_ref()).map(|colour| colour.matrix_coefficients);
        let lines = sps.pixel_dimensions().map(|(_, height)| height).unwrap_or_default();
        Ok(Self {
            is_bt709: match matrix {
                None | Some(MATRIX_UNSPECIFIED) => lines > SD_LINES,
                Some(matrix) => matrix == MATRIX_BT709,
            },
            is_full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
        })
    }
}

impl Coding {
    /// # Errors
    /// [`BadSps`].
    pub fn of(sps: &[u8]) -> Result<Self, BadSps> {
        let sps = parse_sps(sps)?;
        let chroma = &sps.chroma_info;
        let format = match chroma.chroma_format {
            ChromaFormat::Monochrome => 0,
            ChromaFormat::YUV420 => 1,
            ChromaFormat::YUV422 => 2,
            ChromaFormat::YUV444 | ChromaFormat::Invalid(_) => 3,
        };
        let bits = [chroma.bit_depth_luma_minus8, chroma.bit_depth_chroma_minus8].map(|more| 8u8.saturating_add(more));
        Ok(Self {
            has_fields: sps.frame_mbs_flags != FrameMbsFlags::Frames,
            is_420_8bit: format == 1 && bits == [8, 8],
            chroma: [format, bits[0], bits[1]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_x264_writes_is_read() {
        // From x264enc of GStreamer 1.22: 322x182 Constrained Baseline, and 1920x1080 High.
        let small = [
            0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00,
            0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
        ];
        let full_hd = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00,
            0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc6, 0x0c, 0x92,
        ];
        assert_eq!(Colours::of(&small).map(|colours| colours.is_full_range), Ok(false));
        assert_eq!(Colours::of(&full_hd), Ok(Colours { is_bt709: true, is_full_range: false }));
        for sps in [&small, &full_hd] {
            let coding = Coding { has_fields: false, is_420_8bit: true, chroma: [1, 8, 8] };
            assert_eq!(Coding::of(sps), Ok(coding));
        }
        assert!(Colours::of(&[0x68]).is_err() && Coding::of(&[]).is_err());
    }
}
