//! One picture out of a stream: H.264 enters, a JPEG leaves.
//!
//! [`decode`] makes samples of coded pictures, [`Picture::to_jpeg`] a JPEG of those. Both take milliseconds to a second, so the
//! caller decides where that happens.
//!
//! The decoder is Cisco's OpenH264, which is C++ in this process and is fed what a camera sent. What it gets to see is bounded
//! before it does: NAL units of pictures and parameter sets only, of a size that is checked, and nothing that it does not claim
//! to decode (docs/security.md).

mod decoder;
mod jpeg;
mod plane;

use thiserror::Error;

use self::plane::Plane;
pub use self::{
    decoder::{Coded, Decoded, decode},
    jpeg::{Quality, Wish},
};
use super::h264::Colours;

/// Why there is no picture.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StillError {
    /// Fields instead of frames.
    #[error(
        "the camera's picture is interlaced, of which this gateway makes no snapshots: choose a progressive mode in the camera"
    )]
    Interlaced,
    /// More than eight bits, or colour in full resolution.
    #[error(
        "the camera's H.264 has {0} bits a sample or a colour format other than 4:2:0, of which this gateway makes no snapshots: \
         set its profile to Baseline, Main or High"
    )]
    RareFormat(u8),
    /// Larger than what a level of H.264 for cameras allows.
    #[error(
        "the camera's picture of {0}x{1} is too large for snapshots (H.264 level 5.2, 4096x2304): choose a smaller resolution in \
         the camera, or another stream of it"
    )]
    TooLarge(u32, u32),
    /// The decoder did not make a picture of the keyframe.
    #[error("the camera's last keyframe could not be decoded, so that there is no picture of it: it may be damaged")]
    Undecodable,
    /// The encoder did not make a JPEG of the picture.
    #[error("no JPEG could be made of the camera's picture")]
    Unencodable,
}

impl StillError {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Interlaced => "interlaced",
            Self::RareFormat(_) => "rare-profile",
            Self::TooLarge(..) => "picture-too-large",
            Self::Undecodable => "undecodable",
            Self::Unencodable => "unencodable",
        }
    }
}

/// A decoded picture: brightness in full resolution, colour in half of it.
#[derive(Debug)]
pub struct Picture {
    luma: Plane,
    chroma: [Plane; 2],
    colours: Colours,
}

impl Picture {
    /// In pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.luma.width, self.luma.height)
    }
}

#[cfg(test)]
mod tests;
