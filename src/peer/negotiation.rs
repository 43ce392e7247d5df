//! Reads an offer (RFC 3264, RFC 8866) and chooses what to send: one video codec, at most one audio codec, each with the
//! payload type and parameters that the viewer proposed, all on one transport.

mod answer;
mod codec;
mod extensions;
mod offer;
mod publication;

use thiserror::Error;

pub(super) use self::{
    answer::Frame,
    codec::Codec,
    extensions::{Extensions, TRANSPORT_CC_FEEDBACK},
    publication::{check_publication, negotiate_publication},
};
use self::{
    answer::reduced,
    codec::{best_h264, codecs, fits, retransmission},
    offer::Offer,
};
use crate::{
    hub::Formats,
    media::{AudioCodec, h264},
    peer::Role,
};

/// Why an offer is not answered.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not SDP, or not what a WebRTC offer must have.
    #[error("the offer is not a usable SDP document: {0}")]
    Malformed(String),
    /// Neither a video nor an audio section that wants to receive (WHEP section 4.2: recvonly or sendrecv).
    #[error("the offer asks for nothing to receive: {0}")]
    NothingWanted(&'static str),
    /// Neither a video nor an audio section that sends (RFC 9725 section 4.2: sendonly or sendrecv).
    #[error("the offer has nothing to publish: {0}")]
    NothingSent(&'static str),
    /// None of the codecs that a camera may have.
    #[error(
        "the gateway takes H.264 pictures and Opus sound, and the offer has no matching codec (it offers {offered}): choose H.264 \
         where you publish from"
    )]
    NotPublishable {
        /// The encoding names in the offer.
        offered: String,
    },
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
        !matches!(self, Self::NoCommonCodec { .. } | Self::NotPublishable { .. })
    }
}

/// What will be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) video: Option<Codec>,
    /// Payload type of retransmissions (RFC 4588), when the viewer takes them.
    pub(super) rtx: Option<u8>,
    pub(super) audio: Option<(Codec, AudioCodec)>,
    /// Whether a publisher sends again what it is asked for.
    pub(super) repairs: bool,
    pub(super) video_extensions: Extensions,
    pub(super) audio_extensions: Extensions,
    /// Whether the viewer has a data channel (RFC 8841).
    pub(super) has_channel: bool,
}

/// What an offer and a camera agree on.
#[derive(Clone)]
pub(super) struct Negotiated {
    /// What will be sent.
    pub(super) choice: Choice,
    /// The offer as webrtc-rs gets it, without candidates.
    pub(super) offer: String,
    /// The viewer's candidates for the transport that is used, as values of `a=candidate`.
    pub(super) candidates: Vec<String>,
    /// How its answer becomes an answer to the whole offer.
    pub(super) frame: Frame,
    /// What the viewer asked for and does not get, for the log.
    pub(super) note: Option<&'static str>,
}

impl std::fmt::Debug for Negotiated {
    /// Without the offer, which has the password of the viewer's ICE.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Negotiated").field("choice", &self.choice).finish_non_exhaustive()
    }
}

/// What can be said about `offer` without knowing a camera.
///
/// # Errors
/// A [`Refusal`] that [blames the offer](Refusal::is_malformed).
pub(super) fn check(offer: &str) -> Result<(), Refusal> {
    let offer = Offer::parse(offer)?;
    let Some(first) = offer.wanted("video").chain(offer.wanted("audio")).next() else {
        return Err(Refusal::NothingWanted(offer.why_nothing()));
    };
    check_setup(&offer, first)
}

/// RFC 5763 section 5: an offer says actpass; WHEP section 4.2 allows active.
fn check_setup(offer: &Offer, section: usize) -> Result<(), Refusal> {
    if offer.transport("setup", section) == Some("passive") {
        let reason = "it says a=setup:passive, but the gateway is the passive side; a client offers actpass (FFmpeg: -whip_flags dtls_active)";
        return Err(Refusal::Malformed(reason.to_owned()));
    }
    Ok(())
}

/// Chooses from `offer` what fits a camera that sends `formats`.
///
/// # Errors
/// A [`Refusal`] whose text a person understands.
pub(super) fn negotiate(offer: &str, formats: &Formats) -> Result<Negotiated, Refusal> {
    check(offer)?;
    let offer = Offer::parse(offer)?;
    let mut choice = Choice::default();
    let video = formats.video.as_ref().and_then(|format| {
        let profile = format.profile_level_id();
        offer.wanted("video").find_map(|index| Some((index, best_h264(&codecs_of(&offer, index), profile)?)))
    });
    if let Some((index, video)) = &video {
        choice.rtx = retransmission(&codecs_of(&offer, *index), video.payload_type);
    }
    let audio = formats.audio.and_then(|format| {
        let fitting =
            |index| Some((index, codecs_of(&offer, index).into_iter().find(|codec| fits(codec, format.codec))?));
        let mut sections: Vec<_> = offer.wanted("audio").filter_map(fitting).collect();
        // All that is sent shares one transport.
        let bundle = video.as_ref().map(|(index, _)| offer.bundle(*index).unwrap_or_default());
        sections.retain(|(index, _)| bundle.as_ref().is_none_or(|bundle| bundle.contains(index)));
        sections.into_iter().next().map(|(index, codec)| (index, (codec, format.codec)))
    });
    // A picture that nobody can show is not made up for by its sound.
    let lost_picture = formats.video.is_some() && video.is_none() && offer.wanted("video").next().is_some();
    if lost_picture || (video.is_none() && audio.is_none()) {
        let sections = offer.wanted("video").chain(offer.wanted("audio"));
        let offered = sections.flat_map(|index| codecs_of(&offer, index)).map(|codec| codec.encoding_name);
        return Err(Refusal::NoCommonCodec { camera: describe(formats), offered: list(offered) });
    }
    let apart = video.as_ref().is_some_and(|(video, _)| offer.bundle(*video).is_none());
    let deaf = formats.audio.is_some() && audio.is_none() && offer.wanted("audio").next().is_some();
    let extensions =
        |index: usize, codec: &Codec| (index, Extensions::of(&offer.sections()[index], codec.payload_type));
    let sent_video = video.as_ref().map(|(index, codec)| extensions(*index, codec));
    let sent_audio = audio.as_ref().map(|(index, (codec, _))| extensions(*index, codec));
    choice.video_extensions = sent_video.map(|(_, extensions)| extensions).unwrap_or_default();
    choice.audio_extensions = sent_audio.map(|(_, extensions)| extensions).unwrap_or_default();
    let used: Vec<_> = sent_video.into_iter().chain(sent_audio).collect();
    let mut sent: Vec<_> = used.iter().map(|(index, _)| *index).collect();
    let channel = offer.channel().filter(|index| {
        let bundle = sent.first().and_then(|first| offer.bundle(*first));
        bundle.is_some_and(|bundle| bundle.contains(index))
    });
    choice.has_channel = channel.is_some();
    sent.extend(channel);
    let used: Vec<_> = used.into_iter().chain(channel.map(|index| (index, Extensions::default()))).collect();
    choice.video = video.map(|(_, codec)| codec);
    choice.audio = audio.map(|(_, audio)| audio);
    Ok(Negotiated {
        choice,
        offer: reduced(&offer, &sent, Role::Viewer),
        candidates: sent.first().map(|index| offer.candidates(*index)).unwrap_or_default(),
        frame: Frame::new(&offer, &used, Role::Viewer),
        note: (apart && deaf).then_some(
            "without sound: the offer wants it on a transport of its own (it has no a=group:BUNDLE), and there is one only",
        ),
    })
}

fn codecs_of(offer: &Offer, index: usize) -> Vec<Codec> {
    codecs(&offer.sections()[index])
}

fn describe(formats: &Formats) -> String {
    let video =
        formats.video.as_ref().map(|format| format!("H264 {}", h264::Profile::of(format.profile_level_id()).name()));
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
