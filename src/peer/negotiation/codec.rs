//! The codecs of a media section, and which of them fits what a camera sends.

use std::cmp::Reverse;

use rtc::sdp::MediaDescription;

use crate::media::{AudioCodec, h264};

/// A codec as the offer spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::peer) struct Codec {
    pub(in crate::peer) payload_type: u8,
    pub(in crate::peer) encoding_name: String,
    pub(in crate::peer) clock_rate: u32,
    pub(in crate::peer) channels: u16,
    pub(in crate::peer) fmtp: String,
}

/// The payload types of a section in its order of preference.
pub(super) fn codecs(media: &MediaDescription) -> Vec<Codec> {
    let formats = media.media_name.formats.iter();
    formats
        .filter_map(|format| {
            let payload_type = format.parse().ok().filter(|payload_type| *payload_type < 128)?;
            let rtpmap = about("rtpmap", format, media).or_else(|| static_payload_type(payload_type))?;
            let mut parts = rtpmap.split('/');
            let encoding_name = parts.next()?.to_owned();
            let clock_rate = parts.next()?.parse().ok()?;
            let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(0);
            let fmtp = about("fmtp", format, media).unwrap_or_default().to_owned();
            Some(Codec { payload_type, encoding_name, clock_rate, channels, fmtp })
        })
        .collect()
}

/// What `a=<key>:<format> ...` says.
pub(super) fn about<'a>(key: &str, format: &str, media: &'a MediaDescription) -> Option<&'a str> {
    media.attributes.iter().filter(|attribute| attribute.key == key).find_map(|attribute| {
        let (found, rest) = attribute.value.as_deref()?.split_once(' ')?;
        (found == format).then(|| rest.trim())
    })
}

/// Payload types that need no `a=rtpmap` (RFC 3551 section 6).
fn static_payload_type(payload_type: u8) -> Option<&'static str> {
    match payload_type {
        0 => Some("PCMU/8000"),
        8 => Some("PCMA/8000"),
        9 => Some("G722/8000"),
        _ => None,
    }
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn is_h264(codec: &Codec) -> bool {
    codec.encoding_name.eq_ignore_ascii_case("H264") && codec.clock_rate == 90_000
}

/// The offered H.264 that tells the truth about the stream; else one whose decoder can show it; else the one that
/// promises the most.
///
/// Fragments need packetization-mode 1 (RFC 6184 section 6.3). A viewer that lists only mode 0 is sent mode 1 all the
/// same: GStreamer's whepclientsrc leaves the parameter out and takes it. Browsers decode every profile under any
/// payload type (seen in Chromium and Firefox), so that no profile is a reason to refuse. Neither is a level: every
/// browser offers 3.1 and decodes far more.
pub(super) fn best_h264(codecs: &[Codec], stream: [u8; 3]) -> Option<Codec> {
    let stream = h264::Profile::of(stream);
    let rank = |codec: &Codec| {
        let mode_1 = parameter(&codec.fmtp, "packetization-mode") == Some("1");
        // RFC 6184 section 8.1: without the parameter it is Baseline level 1.
        let offered = parameter(&codec.fmtp, "profile-level-id").and_then(parse_profile).unwrap_or([0x42, 0, 0x0a]);
        let offered = h264::Profile::of(offered);
        // The nearest of those that show it; hardware decoders do not know the profiles of studios.
        let near = offered.decodes(stream).then_some(Reverse(offered));
        (mode_1, offered == stream, near, offered)
    };
    // max_by_key takes the last of equals; the viewer's first preference counts, hence the reversal.
    codecs.iter().rev().filter(|codec| is_h264(codec)).max_by_key(|codec| rank(codec)).cloned()
}

/// The H.264 that a publisher is to send: of those that may be fragmented, the one that it likes best. All of its profiles are
/// shown by every browser; see [`best_h264`]. GStreamer leaves packetization-mode out and fragments all the same.
pub(super) fn publishable_h264(codecs: &[Codec]) -> Option<Codec> {
    let mode_1 = |codec: &&Codec| parameter(&codec.fmtp, "packetization-mode") == Some("1");
    let mut all = codecs.iter().filter(|codec| is_h264(codec));
    all.clone().find(mode_1).or_else(|| all.next()).cloned()
}

fn parse_profile(hex: &str) -> Option<[u8; 3]> {
    let value = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 6)?;
    let [_, profile, constraints, level] = value.to_be_bytes();
    Some([profile, constraints, level])
}

/// The payload type of retransmissions of payload type `of` (RFC 4588 section 8.6).
pub(super) fn retransmission(codecs: &[Codec], of: u8) -> Option<u8> {
    let is_for = |codec: &&Codec| {
        codec.encoding_name.eq_ignore_ascii_case("rtx")
            && parameter(&codec.fmtp, "apt").and_then(|apt| apt.parse().ok()) == Some(of)
    };
    codecs.iter().find(is_for).map(|codec| codec.payload_type)
}

/// Whether `codec` is what a camera sends as `audio`.
pub(super) fn fits(codec: &Codec, audio: AudioCodec) -> bool {
    codec.encoding_name.eq_ignore_ascii_case(audio.encoding_name()) && codec.clock_rate == audio.clock_rate().hz()
}
