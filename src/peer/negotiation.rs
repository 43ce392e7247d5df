//! Reads an offer (RFC 3264, RFC 8866) and chooses what to send: one video codec, at most one audio codec, each with the
//! payload type and parameters that the viewer proposed.

use std::io::Cursor;

use rtc::sdp::{MediaDescription, SessionDescription};
use thiserror::Error;

use crate::{
    hub::Formats,
    media::{AudioCodec, h264},
};

/// Longest ICE user name fragment (RFC 8839 section 5.4).
const MAX_UFRAG: usize = 256;

/// Why an offer is not answered.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not SDP, or not what a WebRTC offer must have.
    #[error("the offer is not a usable SDP document: {0}")]
    Malformed(String),
    /// Neither a video nor an audio section that wants to receive (WHEP section 4.2: recvonly or sendrecv).
    #[error("the offer asks for nothing to receive: {0}")]
    NothingWanted(&'static str),
    /// The camera's codecs and the viewer's do not meet.
    #[error("the camera sends {camera}, and the offer has no matching codec (it offers {offered})")]
    NoCommonCodec {
        /// What the camera sends.
        camera: String,
        /// The encoding names in the offer.
        offered: String,
    },
}

impl Refusal {
    /// Whether the offer itself is at fault, whichever camera it was for.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::NoCommonCodec { .. })
    }
}

/// A codec as the offer spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Codec {
    pub(super) payload_type: u8,
    pub(super) encoding_name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: u16,
    pub(super) fmtp: String,
}

/// What will be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) video: Option<Codec>,
    /// Payload type of retransmissions (RFC 4588), when the viewer takes them.
    pub(super) rtx: Option<u8>,
    pub(super) audio: Option<(Codec, AudioCodec)>,
}

/// What can be said about `offer` without knowing a camera.
///
/// # Errors
/// A [`Refusal`] that [blames the offer](Refusal::is_malformed).
pub(super) fn check(offer: &str) -> Result<(), Refusal> {
    let parsed = parse(offer)?;
    let wanted = |kind| parsed.media_descriptions.iter().any(|media| is_wanted(media, kind));
    if wanted("video") || wanted("audio") { Ok(()) } else { Err(Refusal::NothingWanted(why_nothing(&parsed))) }
}

/// Chooses from `offer` what fits a camera that sends `formats`.
///
/// # Errors
/// A [`Refusal`] whose text a person understands.
pub(super) fn choose(offer: &str, formats: &Formats) -> Result<Choice, Refusal> {
    let parsed = parse(offer)?;
    let wanted = |kind: &str| parsed.media_descriptions.iter().find(|media| is_wanted(media, kind));
    let (video, audio) = (wanted("video"), wanted("audio"));
    if video.is_none() && audio.is_none() {
        return Err(Refusal::NothingWanted(why_nothing(&parsed)));
    }
    let mut choice = Choice::default();
    if let (Some(media), Some(format)) = (video, &formats.video) {
        let codecs = codecs(media);
        choice.video = best_h264(&codecs, format.profile_level_id());
        choice.rtx = choice.video.as_ref().and_then(|video| retransmission(&codecs, video.payload_type));
    }
    if let (Some(media), Some(format)) = (audio, &formats.audio) {
        choice.audio =
            codecs(media).into_iter().find(|codec| fits(codec, format.codec)).map(|codec| (codec, format.codec));
    }
    // A picture that nobody can show is not made up for by its sound.
    let lost_picture = video.is_some() && formats.video.is_some() && choice.video.is_none();
    if lost_picture || (choice.video.is_none() && choice.audio.is_none()) {
        let offered = [video, audio].into_iter().flatten().flat_map(codecs).map(|codec| codec.encoding_name);
        return Err(Refusal::NoCommonCodec { camera: describe(formats), offered: list(offered) });
    }
    Ok(choice)
}

fn parse(offer: &str) -> Result<SessionDescription, Refusal> {
    let malformed = |reason: &str| Refusal::Malformed(reason.to_owned());
    if offer.trim().is_empty() {
        return Err(malformed("it is empty"));
    }
    let parsed = SessionDescription::unmarshal(&mut Cursor::new(offer)).map_err(|e| malformed(&e.to_string()))?;
    if parsed.media_descriptions.is_empty() {
        return Err(malformed("it has no media section (m= line)"));
    }
    for (attribute, meaning) in [("ice-ufrag", "ICE"), ("ice-pwd", "ICE"), ("fingerprint", "DTLS")] {
        let somewhere = parsed.has_attribute(attribute)
            || parsed.media_descriptions.iter().any(|media| media.has_attribute(attribute));
        if !somewhere {
            return Err(Refusal::Malformed(format!(
                "it has no a={attribute}, so it is not from a WebRTC client ({meaning})"
            )));
        }
    }
    let sections = parsed.media_descriptions.iter().filter_map(|media| media.attribute("ice-ufrag").flatten());
    let whole = parsed.attribute("ice-ufrag").map(String::as_str);
    if sections.chain(whole).any(|ufrag| ufrag.len() > MAX_UFRAG) {
        return Err(malformed("its a=ice-ufrag is longer than 256 characters"));
    }
    let mids: Vec<_> = parsed.media_descriptions.iter().filter_map(|media| media.attribute("mid").flatten()).collect();
    if mids.iter().enumerate().any(|(index, mid)| mids[..index].contains(mid)) {
        return Err(malformed("two media sections have the same a=mid"));
    }
    Ok(parsed)
}

/// Whether the viewer wants to receive here. Port 0 is a rejected section unless it is `bundle-only` (RFC 8843 section 6).
fn is_wanted(media: &MediaDescription, kind: &str) -> bool {
    let open = media.media_name.port.value != 0 || media.has_attribute("bundle-only");
    media.media_name.media == kind && open && !media.has_attribute("sendonly") && !media.has_attribute("inactive")
}

fn why_nothing(parsed: &SessionDescription) -> &'static str {
    let has = |kind: &str| parsed.media_descriptions.iter().any(|media| media.media_name.media == kind);
    if has("video") || has("audio") {
        "its video and audio sections are sendonly, inactive or rejected; a viewer offers recvonly"
    } else if has("application") {
        "it has a data channel only"
    } else {
        "it has neither a video nor an audio section"
    }
}

/// The payload types of a section in its order of preference.
fn codecs(media: &MediaDescription) -> Vec<Codec> {
    let of = |key: &str, payload_type: &str| {
        media.attributes.iter().filter(|attribute| attribute.key == key).find_map(|attribute| {
            let (found, rest) = attribute.value.as_deref()?.split_once(' ')?;
            (found == payload_type).then(|| rest.trim().to_owned())
        })
    };
    let formats = media.media_name.formats.iter();
    formats
        .filter_map(|format| {
            let payload_type = format.parse().ok().filter(|payload_type| *payload_type < 128)?;
            let rtpmap = of("rtpmap", format).or_else(|| static_payload_type(payload_type).map(str::to_owned))?;
            let mut parts = rtpmap.split('/');
            let encoding_name = parts.next()?.to_owned();
            let clock_rate = parts.next()?.parse().ok()?;
            let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(0);
            Some(Codec {
                payload_type,
                encoding_name,
                clock_rate,
                channels,
                fmtp: of("fmtp", format).unwrap_or_default(),
            })
        })
        .collect()
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

/// The offered H.264 that tells the truth about the stream, or the one that promises the most.
///
/// Fragments need packetization-mode 1 (RFC 6184 section 6.3). A viewer that lists only mode 0 is sent mode 1 all the
/// same: GStreamer's whepclientsrc leaves the parameter out and takes it. Browsers decode every profile under any
/// payload type (seen in Chromium and Firefox), so that no profile is a reason to refuse.
fn best_h264(codecs: &[Codec], stream: [u8; 3]) -> Option<Codec> {
    let rank = |codec: &Codec| {
        let mode_1 = parameter(&codec.fmtp, "packetization-mode") == Some("1");
        // RFC 6184 section 8.1: without the parameter it is Baseline level 1.
        let offered = parameter(&codec.fmtp, "profile-level-id").and_then(parse_profile).unwrap_or([0x42, 0, 0x0a]);
        let same = h264::profile_name(offered) == h264::profile_name(stream);
        (mode_1, same, offered[0] == stream[0], promise(offered))
    };
    // max_by_key takes the last of equals; the viewer's first preference counts, hence the reversal.
    codecs.iter().rev().filter(|codec| is_h264(codec)).max_by_key(|codec| rank(codec)).cloned()
}

fn parse_profile(hex: &str) -> Option<[u8; 3]> {
    let value = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 6)?;
    let [_, profile, constraints, level] = value.to_be_bytes();
    Some([profile, constraints, level])
}

/// How much of H.264 a decoder of this profile must know, coarsely.
fn promise([profile, constraints, _]: [u8; 3]) -> u8 {
    match (profile, constraints & 0x40 != 0) {
        (100, _) => 3,
        (77, _) => 2,
        (66, true) => 1,
        _ => 0,
    }
}

fn retransmission(codecs: &[Codec], of: u8) -> Option<u8> {
    let is_for = |codec: &&Codec| {
        codec.encoding_name.eq_ignore_ascii_case("rtx")
            && parameter(&codec.fmtp, "apt").and_then(|apt| apt.parse().ok()) == Some(of)
    };
    codecs.iter().find(is_for).map(|codec| codec.payload_type)
}

fn fits(codec: &Codec, audio: AudioCodec) -> bool {
    codec.encoding_name.eq_ignore_ascii_case(audio.encoding_name()) && codec.clock_rate == audio.clock_rate().hz()
}

fn describe(formats: &Formats) -> String {
    let video = formats.video.as_ref().map(|format| format!("H264 {}", h264::profile_name(format.profile_level_id())));
    let audio = formats.audio.map(|format| format.codec.encoding_name().to_owned());
    list([video, audio].into_iter().flatten())
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for name in names.filter(|name| name != "rtx") {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") }
}

#[cfg(test)]
mod tests;
