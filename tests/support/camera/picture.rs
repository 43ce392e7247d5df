//! The camera's picture: a frame number that a program can read, over something that moves.
//!
//! Two rows of sixteen cells at the top of the picture carry 32 bits in black and white: the
//! marker `1010`, the 24 bits of the frame number and a four-bit checksum. A cell is a sixteenth of
//! the width and a twelfth of the height (20x15 pixels at 320x180), which survives x264's worst
//! quantiser, and geometry in fractions survives scaling. `browser/picture.js` reads the same
//! cells; change both together.

/// Cells in a row.
const COLUMNS: usize = 16;
/// Rows of the whole picture, of which the first two are the frame number.
const ROWS: usize = 12;
const MARKER: u32 = 0b1010;
/// Frame numbers wrap here: 24 bits, 12 days at 15 frames a second.
pub const COUNTER_MODULUS: u32 = 1 << 24;

const BLACK: u8 = 16;
const WHITE: u8 = 235;

fn checksum(counter: u32) -> u32 {
    (0..6).fold(0b0101, |sum, nibble| sum ^ (counter >> (nibble * 4)) & 0xf)
}

fn word(counter: u32) -> u32 {
    let counter = counter % COUNTER_MODULUS;
    MARKER << 28 | counter << 4 | checksum(counter)
}

/// Reads the frame number from a luma plane, or `None` if this picture carries none.
pub fn read_counter(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<u32> {
    let mut word = 0u32;
    for bit in 0..2 * COLUMNS {
        let x = (2 * (bit % COLUMNS) + 1) * width / (2 * COLUMNS);
        let y = (2 * (bit / COLUMNS) + 1) * height / (2 * ROWS);
        let mut sum = 0u32;
        for dy in 0..3 {
            for dx in 0..3 {
                sum += u32::from(*luma.get((y + dy - 1) * stride + x + dx - 1)?);
            }
        }
        word = word << 1 | u32::from(sum / 9 > 128);
    }
    let counter = word >> 4 & (COUNTER_MODULUS - 1);
    (word >> 28 == MARKER && word & 0xf == checksum(counter)).then_some(counter)
}

/// Paints I420 frames of one size.
pub struct Painter {
    width: usize,
    height: usize,
    /// Lines at the bottom that are new random pixels in each frame, so that the encoder has
    /// something to spend its bits on.
    noise_lines: usize,
    seed: u32,
}

impl Painter {
    /// `noise_percent` of the height is noise.
    pub fn new(width: u32, height: u32, noise_percent: u32) -> Self {
        Self {
            width: width as usize,
            height: height as usize,
            noise_lines: (height * noise_percent.min(75) / 100) as usize,
            seed: 0x2545_f491,
        }
    }

    pub fn size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    /// Bytes of a frame: GStreamer aligns the rows of I420 planes to four bytes.
    fn layout(&self) -> (usize, usize, usize) {
        let stride = self.width.next_multiple_of(4);
        let chroma_stride = self.width.div_ceil(2).next_multiple_of(4);
        (stride, stride * self.height.next_multiple_of(2), chroma_stride * self.height.div_ceil(2))
    }

    /// One frame: the number, a diagonal grey ramp that scrolls, slowly changing colours.
    pub fn paint(&mut self, counter: u32) -> Vec<u8> {
        let (stride, luma_bytes, chroma_bytes) = self.layout();
        let mut frame = vec![128u8; luma_bytes + 2 * chroma_bytes];
        self.paint_ramp(&mut frame[..luma_bytes], stride, counter);
        self.paint_noise(&mut frame[..luma_bytes], stride);
        self.paint_counter(&mut frame[..luma_bytes], stride, counter);
        let (blue, red) = frame[luma_bytes..].split_at_mut(chroma_bytes);
        blue.fill(96 + (counter % 64) as u8);
        red.fill(160 - (counter / 2 % 64) as u8);
        // The numbers stay black and white, or their luma would look different after the
        // conversion to RGB.
        let grey = chroma_bytes.div_ceil(ROWS / 2);
        blue[..grey].fill(128);
        red[..grey].fill(128);
        frame
    }

    /// One frame that is white below the number.
    pub fn flash(&mut self, counter: u32) -> Vec<u8> {
        let (stride, luma_bytes, chroma_bytes) = self.layout();
        let mut frame = vec![WHITE; luma_bytes];
        frame.resize(luma_bytes + 2 * chroma_bytes, 128);
        self.paint_counter(&mut frame[..luma_bytes], stride, counter);
        frame
    }

    fn paint_ramp(&self, luma: &mut [u8], stride: usize, counter: u32) {
        let span = self.width + self.height;
        let ramp: Vec<u8> =
            (0..span).map(|at| 48 + ((at * 4 + counter as usize * 8) % 320).abs_diff(160) as u8).collect();
        for (y, line) in luma.chunks_mut(stride).take(self.height).enumerate() {
            line[..self.width].copy_from_slice(&ramp[y..y + self.width]);
        }
    }

    fn paint_noise(&mut self, luma: &mut [u8], stride: usize) {
        for y in self.height - self.noise_lines..self.height {
            for pixel in &mut luma[y * stride..y * stride + self.width] {
                self.seed ^= self.seed << 13;
                self.seed ^= self.seed >> 17;
                self.seed ^= self.seed << 5;
                *pixel = BLACK + (self.seed >> 8) as u8 % (WHITE - BLACK);
            }
        }
    }

    fn paint_counter(&self, luma: &mut [u8], stride: usize, counter: u32) {
        let word = word(counter);
        for row in 0..2 {
            let mut line = vec![BLACK; self.width];
            for column in 0..COLUMNS {
                if word >> (31 - (row * COLUMNS + column)) & 1 == 1 {
                    line[column * self.width / COLUMNS..(column + 1) * self.width / COLUMNS].fill(WHITE);
                }
            }
            for y in row * self.height / ROWS..(row + 1) * self.height / ROWS {
                luma[y * stride..y * stride + self.width].copy_from_slice(&line);
            }
        }
    }
}
