//! Which of the streams that a camera offers are used.

use retina::client::Stream;

use crate::{
    media::{AudioCodec, AudioFormat},
    source::Error,
};

/// The streams of one session that are set up, by their index in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tracks {
    /// H.264.
    pub(super) video: Option<usize>,
    /// Sound that can be passed on.
    pub(super) audio: Option<(usize, AudioFormat)>,
    /// The codec of sound that cannot, when there is no other.
    pub(super) unusable_sound: Option<String>,
}

impl Tracks {
    /// Takes the first H.264 video and the first sound that can be passed on. Sound alone is enough when there is no
    /// video at all.
    pub(super) fn choose(streams: &[Stream]) -> Result<Self, Error> {
        let offers: Vec<_> = streams
            .iter()
            .map(|stream| Offer {
                media: stream.media(),
                encoding: stream.encoding_name(),
                hz: stream.clock_rate_hz(),
                channels: stream.channels().map_or(1, u16::from),
            })
            .collect();
        Self::among(&offers)
    }

    fn among(offers: &[Offer<'_>]) -> Result<Self, Error> {
        let video = offers.iter().position(|offer| offer.media == "video" && offer.encoding == "h264");
        let audio = offers.iter().enumerate().find_map(|(index, offer)| Some((index, offer.audio()?)));
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
            Some(_) => None,
            None => offers.iter().find(|offer| offer.media == "audio").map(Offer::codec),
        };
        Ok(Self { video, audio, unusable_sound })
    }
}

/// A stream as the SDP describes it.
struct Offer<'a> {
    media: &'a str,
    encoding: &'a str,
    hz: u32,
    channels: u16,
}

impl Offer<'_> {
    fn audio(&self) -> Option<AudioFormat> {
        let codec = match (self.media, self.encoding) {
            ("audio", "pcmu") => AudioCodec::Pcmu,
            ("audio", "pcma") => AudioCodec::Pcma,
            _ => return None,
        };
        // Browsers know G.711 only as it is in the telephone network.
        (self.hz == 8_000 && self.channels == 1).then_some(AudioFormat { codec, channels: 1 })
    }

    /// As people know it.
    fn codec(&self) -> String {
        match self.encoding {
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
        let tracks = Tracks::among(&[META, H265, H264, AAC, PCMA]).unwrap();
        assert_eq!(tracks.video, Some(2));
        assert_eq!(tracks.audio, Some((4, AudioFormat { codec: AudioCodec::Pcma, channels: 1 })));
        assert_eq!(tracks.unusable_sound, None);
    }

    #[test]
    fn sound_that_cannot_be_passed_on_is_named_and_left_out() {
        let tracks = Tracks::among(&[H264, AAC]).unwrap();
        assert_eq!((tracks.audio, tracks.unusable_sound.as_deref()), (None, Some("AAC")));
        let wide = offer("audio", "pcma", 16_000);
        let tracks = Tracks::among(&[H264, wide]).unwrap();
        assert_eq!(tracks.unusable_sound.as_deref(), Some("PCMA at 16000 Hz, 1 channels"));
    }

    #[test]
    fn says_what_there_is_instead_of_h264() {
        let refusal = |offers: &[Offer<'_>]| Tracks::among(offers).unwrap_err().to_string();
        assert!(refusal(&[H265, PCMA]).contains("H.265"));
        assert!(refusal(&[AAC, META]).contains("audio AAC, application VND.ONVIF.METADATA"));
        assert!(refusal(&[]).contains("nothing"));
    }

    #[test]
    fn sound_alone_is_enough_where_there_is_no_video() {
        let tracks = Tracks::among(&[PCMA]).unwrap();
        assert_eq!((tracks.video, tracks.audio.map(|(index, _)| index)), (None, Some(0)));
    }
}
