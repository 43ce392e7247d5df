//! Which of the streams that a camera offers are used.

use retina::client::Stream;

use crate::{
    media::{AudioCodec, AudioFormat, ClockRate},
    source::{Error, config::Audio},
};

/// The streams of one session that are set up, by their index in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tracks {
    /// H.264.
    pub(super) video: Option<usize>,
    /// Sound that can be used, and how.
    pub(super) audio: Option<(usize, Way)>,
    /// The codec of sound that cannot, when there is no other.
    pub(super) unusable_sound: Option<String>,
}

impl Tracks {
    /// Takes the first H.264 video and the first sound that can be passed on, or else, where the policy allows it, that can
    /// be transcoded. Sound alone is enough when there is no video at all.
    pub(super) fn choose(streams: &[Stream], policy: Audio) -> Result<Self, Error> {
        let offers: Vec<_> = streams.iter().map(Offer::of).collect();
        Self::among(&offers, policy)
    }

    fn among(offers: &[Offer<'_>], policy: Audio) -> Result<Self, Error> {
        let video = offers.iter().position(|offer| offer.media == "video" && offer.encoding == "h264");
        let first = |way: &dyn Fn(&Offer<'_>) -> Option<Way>| {
            offers.iter().enumerate().find_map(|(index, offer)| Some((index, way(offer)?)))
        };
        let audio = match policy {
            Audio::Off => None,
            Audio::Passthrough => first(&|offer| offer.passed()),
            Audio::Auto => first(&|offer| offer.passed()).or_else(|| first(&|offer| offer.transcoded())),
        };
        if video.is_none() {
            if let Some(other) = offers.iter().find(|offer| offer.media == "video") {
                return Err(Error::Codec { codec: other.codec() });
            }
            if audio.is_none() {
                let offered: Vec<_> = offers.iter().map(|offer| format!("{} {}", offer.media, offer.codec())).collect();
                let offered = if offered.is_empty() { "nothing".into() } else { offered.join(", ") };
                return Err(Error::NoVideo { offered });
            }
        }
        let unusable_sound = match audio {
            _ if policy == Audio::Off => None,
            Some(_) => None,
            None => offers.iter().find(|offer| offer.media == "audio").map(Offer::codec),
        };
        Ok(Self { video, audio, unusable_sound })
    }

    /// Whether the session must be taken as raw packets, because retina makes no frames of the sound.
    pub(super) fn is_raw(&self) -> bool {
        let format = match self.audio {
            Some((_, Way::Passed(format))) => Some(format.codec),
            Some((_, Way::Transcoded(_))) | None => None,
        };
        format == Some(AudioCodec::Opus)
    }
}

/// How a camera's sound gets to browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is.
    Passed(AudioFormat),
    /// Made into Opus; its media clock.
    Transcoded(ClockRate),
}

impl Way {
    /// The clock that the camera's timestamps count.
    pub(super) fn clock_rate(self) -> ClockRate {
        match self {
            Self::Passed(format) => format.codec.clock_rate(),
            Self::Transcoded(rate) => rate,
        }
    }
}

/// The codec of a stream, as people know it.
pub(super) fn codec_name(stream: &Stream) -> String {
    match stream.encoding_name() {
        // Their rate and channels are told apart.
        name @ ("pcmu" | "pcma") => name.to_uppercase(),
        _ => Offer::of(stream).codec(),
    }
}

/// A stream as the SDP describes it.
struct Offer<'a> {
    media: &'a str,
    encoding: &'a str,
    hz: u32,
    channels: u16,
}

impl<'a> Offer<'a> {
    fn of(stream: &'a Stream) -> Self {
        Self {
            media: stream.media(),
            encoding: stream.encoding_name(),
            hz: stream.clock_rate_hz(),
            channels: stream.channels().map_or(1, u16::from),
        }
    }

    fn passed(&self) -> Option<Way> {
        if (self.media, self.encoding, self.hz) == ("audio", "opus", 48_000) {
            // The SDP always says two channels (RFC 7587 section 7); each packet tells how many it has.
            return Some(Way::Passed(AudioFormat { codec: AudioCodec::Opus, channels: 2 }));
        }
        let codec = match (self.media, self.encoding) {
            ("audio", "pcmu") => AudioCodec::Pcmu,
            ("audio", "pcma") => AudioCodec::Pcma,
            ("audio", "g722") => AudioCodec::G722,
            _ => return None,
        };
        // Browsers know these only as they are in the telephone network.
        (self.hz == 8_000 && self.channels == 1).then_some(Way::Passed(AudioFormat { codec, channels: 1 }))
    }

    fn transcoded(&self) -> Option<Way> {
        let known = matches!((self.media, self.encoding), ("audio", "mpeg4-generic" | "l16"));
        ClockRate::new(self.hz).filter(|_| known).map(Way::Transcoded)
    }

    /// As people know it.
    fn codec(&self) -> String {
        match self.encoding {
            "h264" => "H.264".into(),
            "h265" => "H.265".into(),
            "jpeg" => "MJPEG".into(),
            "mp4v-es" => "MPEG-4".into(),
            "mpeg4-generic" | "mp4a-latm" => "AAC".into(),
            "pcmu" | "pcma" => {
                format!("{} at {} Hz, {} channels", self.encoding.to_uppercase(), self.hz, self.channels)
            }
            other => other.to_uppercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn offer(media: &'static str, encoding: &'static str, hz: u32) -> Offer<'static> {
        Offer { media, encoding, hz, channels: 1 }
    }

    const H264: Offer<'_> = offer("video", "h264", 90_000);
    const H265: Offer<'_> = offer("video", "h265", 90_000);
    const PCMA: Offer<'_> = offer("audio", "pcma", 8_000);
    const AAC: Offer<'_> = offer("audio", "mpeg4-generic", 16_000);
    const META: Offer<'_> = offer("application", "vnd.onvif.metadata", 90_000);

    #[test]
    fn takes_h264_and_sound_that_can_be_passed_on() {
        let tracks = Tracks::among(&[META, H265, H264, AAC, PCMA], Audio::Auto).unwrap();
        assert_eq!(tracks.video, Some(2));
        assert_eq!(tracks.audio, Some((4, Way::Passed(AudioFormat { codec: AudioCodec::Pcma, channels: 1 }))));
        assert_eq!(tracks.unusable_sound, None);
    }

    #[test]
    fn sound_that_browsers_do_not_play_is_transcoded_unless_that_is_not_wanted() {
        let audio = |policy| Tracks::among(&[H264, AAC], policy).unwrap();
        let rate = ClockRate::new(16_000).unwrap();
        assert_eq!(audio(Audio::Auto).audio, Some((1, Way::Transcoded(rate))));
        let passthrough = audio(Audio::Passthrough);
        assert_eq!((passthrough.audio, passthrough.unusable_sound.as_deref()), (None, Some("AAC")));
        let off = audio(Audio::Off);
        assert_eq!((off.audio, off.unusable_sound), (None, None));
    }

    #[test]
    fn sound_that_cannot_be_used_is_named_and_left_out() {
        let wide = offer("audio", "pcma", 16_000);
        let tracks = Tracks::among(&[H264, wide], Audio::Auto).unwrap();
        assert_eq!(tracks.unusable_sound.as_deref(), Some("PCMA at 16000 Hz, 1 channels"));
    }

    #[test]
    fn says_what_there_is_instead_of_h264() {
        let refusal = |offers: &[Offer<'_>]| Tracks::among(offers, Audio::Off).unwrap_err().to_string();
        assert!(refusal(&[H265, PCMA]).contains("H.265"));
        assert!(refusal(&[AAC, META]).contains("audio AAC, application VND.ONVIF.METADATA"));
        assert!(refusal(&[]).contains("nothing"));
    }

    #[test]
    fn sound_alone_is_enough_where_there_is_no_video() {
        let tracks = Tracks::among(&[PCMA], Audio::Auto).unwrap();
        assert_eq!((tracks.video, tracks.audio.map(|(index, _)| index)), (None, Some(0)));
    }
}
