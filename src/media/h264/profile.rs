//! Profiles: which tools of H.264 a stream uses, or a decoder knows (Annex A).

/// A profile, in the order of what its decoders know, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// None that is named here.
    Unknown,
    /// With error resilience that hardly any encoder uses, and that hardly any decoder knows that claims to.
    Baseline,
    /// What every decoder knows.
    ConstrainedBaseline,
    /// Baseline with B slices and data partitioning; next to nobody uses it.
    Extended,
    /// With B slices, CABAC and interlacing.
    Main,
    /// High without B slices and interlacing.
    ConstrainedHigh,
    /// Main with the 8x8 transform.
    High,
    /// Up to 10 bits per sample.
    High10,
    /// Half the colour of every other line.
    High422,
    /// All the colour.
    High444,
}

impl Profile {
    /// In a picture of level 5.2, of any profile: MaxFS of table A-1.
    pub const MAX_MACROBLOCKS: u32 = 36_864;

    /// Reads profile_idc and constraint flags; the level does not matter (RFC 6184 section 8.1, table 5).
    pub fn of([profile, constraints, _level]: [u8; 3]) -> Self {
        let (set_0, set_1) = (constraints & 0x80 != 0, constraints & 0x40 != 0);
        match profile {
            66 if set_1 => Self::ConstrainedBaseline,
            77 if set_0 => Self::ConstrainedBaseline,
            88 if set_0 && set_1 => Self::ConstrainedBaseline,
            66 => Self::Baseline,
            88 if set_0 => Self::Baseline,
            88 => Self::Extended,
            77 => Self::Main,
            100 if constraints & 0x0c == 0x0c => Self::ConstrainedHigh,
            100 => Self::High,
            110 => Self::High10,
            122 => Self::High422,
            244 => Self::High444,
            _ => Self::Unknown,
        }
    }

    /// Whether a decoder of this profile shows a stream of that one (Annex A.2).
    ///
    /// Baseline counts as its constrained kind: cameras leave the flag out, and use nothing that it rules out.
    pub fn decodes(self, stream: Self) -> bool {
        match (self, stream) {
            (Self::Unknown, _) | (_, Self::Unknown) => false,
            (_, Self::ConstrainedBaseline | Self::Baseline) => true,
            (_, Self::Extended) => self == Self::Extended,
            (_, Self::Main | Self::ConstrainedHigh) => self == stream || self >= Self::High,
            (_, Self::High | Self::High10 | Self::High422 | Self::High444) => self >= stream,
        }
    }

    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown profile",
            Self::Baseline => "Baseline",
            Self::ConstrainedBaseline => "Constrained Baseline",
            Self::Extended => "Extended",
            Self::Main => "Main",
            Self::ConstrainedHigh => "Constrained High",
            Self::High => "High",
            Self::High10 => "High 10",
            Self::High422 => "High 4:2:2",
            Self::High444 => "High 4:4:4 Predictive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_told_by_their_flags() {
        let cases = [
            ([0x42, 0xe0, 0x1f], Profile::ConstrainedBaseline),
            ([0x42, 0xc0, 0x1e], Profile::ConstrainedBaseline),
            ([0x4d, 0x80, 0x1e], Profile::ConstrainedBaseline),
            ([0x58, 0xc0, 0x1e], Profile::ConstrainedBaseline),
            ([0x42, 0x00, 0x1f], Profile::Baseline),
            ([0x58, 0x80, 0x1f], Profile::Baseline),
            ([0x4d, 0x40, 0x28], Profile::Main),
            ([0x64, 0x00, 0x28], Profile::High),
            ([0x64, 0x0c, 0x1f], Profile::ConstrainedHigh),
            ([0xf4, 0x00, 0x1f], Profile::High444),
            ([0x53, 0x00, 0x1f], Profile::Unknown),
        ];
        for (id, profile) in cases {
            assert_eq!(Profile::of(id), profile, "{id:02x?}");
        }
        assert_eq!(Profile::ConstrainedBaseline.name(), "Constrained Baseline");
    }

    #[test]
    fn a_decoder_shows_its_own_profile_and_what_it_contains() {
        use Profile::*;
        for profile in [ConstrainedBaseline, Baseline, Extended, Main, ConstrainedHigh, High, High10, High422, High444]
        {
            assert!(profile.decodes(profile), "{profile:?}");
            assert!(profile.decodes(ConstrainedBaseline), "{profile:?}");
            assert!(!profile.decodes(Unknown));
        }
        assert!(High.decodes(Main) && High.decodes(ConstrainedHigh) && High444.decodes(High));
        assert!(!ConstrainedBaseline.decodes(Main) && !Main.decodes(High) && !ConstrainedHigh.decodes(Main));
        assert!(!ConstrainedHigh.decodes(High) && !High.decodes(Extended) && !High.decodes(High10));
    }
}
