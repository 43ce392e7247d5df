//! QR codes (ISO/IEC 18004) of links, for a page that draws them and for a terminal.

use qrcode::{Color, QrCode, render::unicode::Dense1x2};
use serde::Serialize;

/// Modules of light around the code, which readers need (section 6.3.8).
const QUIET: usize = 4;

/// A code as a page draws it: an SVG path in a square of `size` units.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    size: usize,
    path: String,
}

/// The code of a text; `None` of one that is too long for any.
pub(super) fn drawing(text: &str) -> Option<Drawing> {
    let code = QrCode::new(text).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let dark = colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark);
    let path = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", QUIET + at % width, QUIET + at / width)).collect();
    Some(Drawing { size: width + 2 * QUIET, path })
}

/// The same in letters, two rows in a line, for light letters on a dark ground.
pub fn qr_text(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_becomes_a_code_that_a_phone_reads() {
        let link = "https://cam.example.org/share#cgs_ASNFZ4mrze8BI0VniavN7wEjRWeJq83v";
        let drawing = drawing(link).expect("a code");
        assert_eq!(drawing.size, 37 + 8, "version 5 at medium correction");
        assert!(drawing.path.starts_with("M4 4h1v1h-1zM5 4h1v1h-1z"), "the corner of a finder");
        let text = qr_text(link).expect("a code");
        assert_eq!(text.lines().count(), (37 + 8usize).div_ceil(2));
        assert!(text.lines().all(|line| line.chars().count() == 37 + 8));
        assert!(super::drawing(&"x".repeat(5_000)).is_none() && qr_text(&"x".repeat(5_000)).is_none());
    }
}
