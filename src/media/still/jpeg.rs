//! Samples to a JPEG: smaller if wished, in the colours that JPEG has (JFIF: BT.601, full range).

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::{Picture, StillError, plane::Plane};
use crate::media::h264::Colours;

/// How good a JPEG is, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quality(u8);

impl Quality {
    /// Twice as good costs twice the bytes, which few see.
    pub const DEFAULT: Self = Self(80);

    /// `None` for what is not from 1 to 100.
    pub fn new(quality: u32) -> Option<Self> {
        u8::try_from(quality).ok().filter(|quality| (1..=100).contains(quality)).map(Self)
    }
}

/// What a JPEG is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// It is not wider than this many pixels; `None`: as wide as the camera's picture, which is not made larger.
    pub width: Option<u32>,
    /// It is not higher than this many pixels.
    pub height: Option<u32>,
    /// How good.
    pub quality: Quality,
}

impl Wish {
    /// The size of a picture of `size`, in its proportions.
    fn fit(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let most = |wished: Option<u32>, real: usize| wished.map_or(real, |wished| real.min(wished.max(1) as usize));
        let (most_width, most_height) = (most(self.width, width), most(self.height, height));
        // By the side that has to shrink more.
        if most_width * height <= most_height * width {
            (most_width, (height * most_width / width).max(1))
        } else {
            ((width * most_height / height).max(1), most_height)
        }
    }
}

impl Picture {
    /// As a JPEG of its own kind of colours and at most its own size.
    ///
    /// # Errors
    /// [`StillError::Unencodable`], which no picture that was decoded is known to bring about.
    pub fn to_jpeg(&self, wish: &Wish) -> Result<Vec<u8>, StillError> {
        let size = wish.fit(self.size());
        if size == self.size() {
            return self.encode(wish.quality);
        }
        let half = (size.0.div_ceil(2), size.1.div_ceil(2));
        let scaled = Self {
            luma: self.luma.scaled(size),
            chroma: self.chroma.each_ref().map(|plane| plane.scaled(half)),
            colours: self.colours,
        };
        scaled.encode(wish.quality)
    }

    fn encode(&self, quality: Quality) -> Result<Vec<u8>, StillError> {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, quality.0);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.encode_image(Rows::new(self)).map_err(|_| StillError::Unencodable)?;
        Ok(jpeg)
    }
}

/// A picture as the encoder asks for it.
struct Rows<'a> {
    luma: &'a Plane,
    chroma: [&'a Plane; 2],
    matrix: Matrix,
}

impl<'a> Rows<'a> {
    fn new(picture: &'a Picture) -> Self {
        let matrix = Matrix::to_jpeg(picture.colours);
        Self { luma: &picture.luma, chroma: picture.chroma.each_ref(), matrix }
    }
}

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.luma.width as u16
    }

    fn height(&self) -> u16 {
        self.luma.height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let y = usize::from(y);
        let [luma, cb, cr] = [self.luma.row(y), self.chroma[0].row(y / 2), self.chroma[1].row(y / 2)];
        for (x, luma) in luma.iter().enumerate() {
            let sample = self.matrix.apply([*luma, cb[x / 2], cr[x / 2]]);
            for (buffer, value) in buffers.iter_mut().zip(sample) {
                buffer.push(value);
            }
        }
    }
}

/// From the camera's colours to JPEG's: what is added to each sample's brightness and colour, in 1/65536.
struct Matrix {
    /// Of brightness above black, and of the two colours around their middle.
    luma: [i32; 3],
    cb: [i32; 2],
    cr: [i32; 2],
    black: i32,
}

const ONE: f64 = 65_536.0;

impl Matrix {
    /// By Rec. ITU-R BT.601 and BT.709 (section 2.5.1 and item 3): their weights of red and blue, 0.299 and 0.114, 0.2126 and
    /// 0.0722.
    fn to_jpeg(colours: Colours) -> Self {
        let (luma_scale, chroma_scale, black) =
            if colours.is_full_range { (1.0, 1.0, 0) } else { (255.0 / 219.0, 255.0 / 224.0, 16) };
        let (red, blue) = if colours.is_bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
        let (to_red, to_blue) = (0.299, 0.114);
        let (green, to_green) = (1.0 - red - blue, 1.0 - to_red - to_blue);
        // What each colour difference of the camera, as wide as JPEG's, adds to red, green and blue.
        let cb = [0.0, -2.0 * blue * (1.0 - blue) / green, 2.0 * (1.0 - blue)];
        let cr = [2.0 * (1.0 - red), -2.0 * red * (1.0 - red) / green, 0.0];
        // And to JPEG's brightness and colour differences.
        let luma_of = |rgb: [f64; 3]| to_red * rgb[0] + to_green * rgb[1] + to_blue * rgb[2];
        let cb_of = |rgb: [f64; 3]| (rgb[2] - luma_of(rgb)) / (2.0 * (1.0 - to_blue));
        let cr_of = |rgb: [f64; 3]| (rgb[0] - luma_of(rgb)) / (2.0 * (1.0 - to_red));
        let fixed = |value: f64| (value * ONE).round() as i32;
        let of_chroma = |value: f64| fixed(value * chroma_scale);
        Self {
            luma: [fixed(luma_scale), of_chroma(luma_of(cb)), of_chroma(luma_of(cr))],
            cb: [cb_of(cb), cb_of(cr)].map(of_chroma),
            cr: [cr_of(cb), cr_of(cr)].map(of_chroma),
            black,
        }
    }

    fn apply(&self, [luma, cb, cr]: [u8; 3]) -> [u8; 3] {
        let (luma, cb, cr) = (i32::from(luma) - self.black, i32::from(cb) - 128, i32::from(cr) - 128);
        let round = |sum: i32| ((sum + (1 << 15)) >> 16).clamp(0, 255) as u8;
        [
            round(self.luma[0] * luma + self.luma[1] * cb + self.luma[2] * cr),
            round(self.cb[0] * cb + self.cb[1] * cr + (128 << 16)),
            round(self.cr[0] * cb + self.cr[1] * cr + (128 << 16)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shrinks_in_its_proportions_and_never_grows() {
        let fit = |width, height| Wish { width, height, quality: Quality::DEFAULT }.fit((1920, 1080));
        assert_eq!(fit(None, None), (1920, 1080));
        assert_eq!(fit(Some(640), None), (640, 360));
        assert_eq!(fit(None, Some(540)), (960, 540));
        assert_eq!(fit(Some(640), Some(100)), (177, 100));
        assert_eq!(fit(Some(100), Some(1_000)), (100, 56));
        assert_eq!(fit(Some(8_000), Some(8_000)), (1920, 1080));
        assert_eq!(fit(Some(1), None), (1, 1));
        assert!(Quality::new(0).is_none() && Quality::new(101).is_none() && Quality::new(100).is_some());
    }

    #[test]
    fn colours_are_those_of_jpeg() {
        let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 1);
        let convert =
            |is_bt709, is_full_range, sample| Matrix::to_jpeg(Colours { is_bt709, is_full_range }).apply(sample);
        assert_eq!(convert(false, true, [13, 77, 200]), [13, 77, 200], "JPEG's own");
        for is_bt709 in [false, true] {
            assert_eq!(convert(is_bt709, false, [16, 128, 128]), [0, 128, 128], "black");
            assert_eq!(convert(is_bt709, false, [235, 128, 128]), [255, 128, 128], "white");
            assert_eq!(convert(is_bt709, true, [255, 128, 128]), [255, 128, 128]);
        }
        // Red, green and blue at full strength, as the two standards code them, and as JPEG does.
        let jpeg = [[76, 85, 255], [150, 44, 21], [29, 255, 107]];
        let bt601 = [[81, 90, 240], [145, 54, 34], [41, 240, 110]];
        let bt709 = [[63, 102, 240], [173, 42, 26], [32, 240, 118]];
        for (colour, expected) in jpeg.into_iter().enumerate() {
            let [old, new] = [convert(false, false, bt601[colour]), convert(true, false, bt709[colour])];
            assert!(near(old, expected) && near(new, expected), "{old:?} and {new:?} for {expected:?}");
        }
    }
}
