//! Which of the streams that a camera offers are used.

use retina::client::Stream;

use super::samples::Samples;
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
    /// What the camera notices (ONVIF Streaming Specification section 5.1.2), uncompressed.
    pub(super) metadata: Option<usize>,
    /// The sound that cannot, when there is no other.
    pub(super) unusable_sound: Option<Unusable>,
}

/// Sound that cannot be used, by the codec's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Browsers do not play it, and nothing here decodes it.
    Codec(String),
    /// It could be decoded if the camera said how, or said it rightly.
    Undescribed(String),
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
            None => offers.iter().find(|offer| offer.media == "audio").map(|offer| offer.unusable(policy)),
        };
        let is_metadata = |offer: &Offer<'_>| offer.media == "application" && offer.encoding == "vnd.onvif.metadata";
        let metadata = offers.iter().position(is_metadata);
        Ok(Self { video, audio, metadata, unusable_sound })
    }

    /// Whether the session must be taken as raw packets, because retina makes no frames of the sound.
    pub(super) fn is_raw(&self) -> bool {
        match self.audio {
            Some((_, Way::Passed(format))) => format.codec == AudioCodec::Opus,
            Some((_, Way::Expanded(_, samples))) => samples == Samples::LittleEndian,
            Some((_, Way::Transcoded(_))) | None => false,
        }
    }
}

/// How a camera's sound gets to browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is.
    Passed(AudioFormat),
    /// Made into Opus; its media clock.
    Transcoded(ClockRate),
    /// Samples that are made into L16 first, and then into Opus.
    Expanded(ClockRate, Samples),
}

impl Way {
    /// The clock that the camera's timestamps count.
    pub(super) fn clock_rate(self) -> ClockRate {
        match self {
            Self::Passed(format) => format.codec.clock_rate(),
            Self::Transcoded(rate) | Self::Expanded(rate, _) => rate,
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
    /// What it takes to decode it is there.
    described: bool,
}

impl<'a> Offer<'a> {
    fn of(stream: &'a Stream) -> Self {
        Self {
            media: stream.media(),
            encoding: stream.encoding_name(),
            hz: stream.clock_rate_hz(),
            channels: stream.channels().map_or(1, u16::from),
            described: stream.parameters().is_some(),
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
        let rate = ClockRate::new(self.hz)?;
        match (self.media, self.encoding) {
            ("audio", "mpeg4-generic" | "l16") if self.described => Some(Way::Transcoded(rate)),
            ("audio", "pcmu") => Some(Way::Expanded(rate, Samples::MuLaw)),
            ("audio", "pcma") => Some(Way::Expanded(rate, Samples::ALaw)),
            ("audio", "pcm") => Some(Way::Expanded(rate, Samples::LittleEndian)),
            _ => None,
        }
    }

    fn unusable(&self, policy: Audio) -> Unusable {
        match self.encoding {
            "mpeg4-generic" | "l16" if policy == Audio::Auto => Unusable::Undescribed(self.codec()),
            _ => Unusable::Codec(self.codec()),
        }
    }

    /// As people know it.
    fn codec(&self) -> String {
        match self.encoding {
            "h264" => "H.264".into(),
            "h265" => "H.265".into(),
            "jpeg" => "MJPEG".into(),
            "mp4v-es" => "MPEG-4".into(),
            "mpeg4-generic" => "AAC".into(),
            "mp4a-latm" => "AAC in LATM".into(),
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
        Offer { media, encoding, hz, channels: 1, described: true }
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
        assert_eq!((passthrough.audio, passthrough.unusable_sound), (None, Some(Unusable::Codec("AAC".into()))));
        let off = audio(Audio::Off);
        assert_eq!((off.audio, off.unusable_sound), (None, None));
    }

    #[test]
    fn sound_that_cannot_be_used_is_named_and_left_out() {
        let unusable = |offer, policy| Tracks::among(&[H264, offer], policy).unwrap().unusable_sound;
        let codec = |name: &str| Some(Unusable::Codec(name.into()));
        assert_eq!(unusable(offer("audio", "g726-32", 8_000), Audio::Auto), codec("G726-32"));
        assert_eq!(unusable(offer("audio", "mp4a-latm", 16_000), Audio::Auto), codec("AAC in LATM"));
        assert_eq!(unusable(offer("audio", "pcma", 16_000), Audio::Passthrough), codec("PCMA at 16000 Hz, 1 channels"));
        let unsaid = || Offer { described: false, ..AAC };
        assert_eq!(unusable(unsaid(), Audio::Auto), Some(Unusable::Undescribed("AAC".into())));
        assert_eq!(unusable(unsaid(), Audio::Passthrough), codec("AAC"), "it would not be described either");
    }

    #[test]
    fn samples_that_browsers_do_not_play_are_expanded() {
        let audio = |offer| Tracks::among(&[H264, offer], Audio::Auto).unwrap();
        let wide = audio(offer("audio", "pcma", 16_000));
        let rate = ClockRate::new(16_000).unwrap();
        assert_eq!(wide.audio, Some((1, Way::Expanded(rate, Samples::ALaw))));
        assert!(!wide.is_raw());
        assert!(audio(offer("audio", "pcm", 8_000)).is_raw(), "retina does not know it");
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
