//! How speech is coded for a camera that takes neither G.711 nor plain samples.

use std::fmt;

/// What GStreamer's plugins code. G.726 is none of it: their encoder gives a quarter of a second at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// AAC-LC in frames of 1,024 samples; RFC 3640, mode AAC-hbr.
    Aac,
}

impl Coding {
    /// By the encoding name of its payload format in capitals, as SDP spells it. `None` for what cannot be coded here.
    pub(super) fn named(name: &str) -> Option<Self> {
        (cfg!(feature = "gstreamer") && name == "MPEG4-GENERIC").then_some(Self::Aac)
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aac => f.write_str("AAC"),
        }
    }
}
