//! Chooses what is received from a publisher: one video section of H.264, at most one audio section of Opus, on one transport. Of
//! somebody who talks it is the sound alone.

use super::{
    Choice, Codec, Extensions, Frame, Negotiated, Refusal,
    answer::reduced,
    check_setup,
    codec::{fits, publishable_h264, retransmission},
    codecs_of,
    extensions::repeats,
    list,
    offer::Offer,
};
use crate::{media::AudioCodec, peer::Role};

/// What can be said about a publisher's `offer` without a place for it.
///
/// # Errors
/// A [`Refusal`].
pub(in crate::peer) fn check_publication(offer: &str, role: Role) -> Result<(), Refusal> {
    negotiate_publication(offer, role).map(drop)
}

/// Chooses what is taken of what `offer` has, of a publisher or a talker.
///
/// # Errors
/// A [`Refusal`] whose text a person understands.
pub(in crate::peer) fn negotiate_publication(offer: &str, role: Role) -> Result<Negotiated, Refusal> {
    let offer = Offer::parse(offer)?;
    let pictures = || offer.sent("video").filter(|_| role != Role::Talker);
    let Some(first) = pictures().chain(offer.sent("audio")).next() else {
        return Err(Refusal::NothingSent(offer.why_nothing_is_sent()));
    };
    check_setup(&offer, first)?;
    let video = pictures().find_map(|index| Some((index, publishable_h264(&codecs_of(&offer, index))?)));
    let opus = |index| Some((index, codecs_of(&offer, index).into_iter().find(|codec| fits(codec, AudioCodec::Opus))?));
    // All that is received shares one transport.
    let bundle = video.as_ref().map(|(index, _)| offer.bundle(*index).unwrap_or_default());
    let shares = |index: usize| bundle.as_ref().is_none_or(|bundle| bundle.contains(&index));
    let audio = offer.sent("audio").filter_map(opus).find(|(index, _)| shares(*index));
    // A picture that nobody can take is not made up for by its sound.
    let lost_picture = video.is_none() && pictures().next().is_some();
    if lost_picture || (video.is_none() && audio.is_none()) {
        let sections = pictures().chain(offer.sent("audio"));
        let offered = sections.flat_map(|index| codecs_of(&offer, index)).map(|codec| codec.encoding_name);
        return Err(Refusal::NotPublishable { offered: list(offered) });
    }
    let deaf = audio.is_none() && offer.sent("audio").next().is_some();
    let rtx = video.as_ref().and_then(|(index, codec)| retransmission(&codecs_of(&offer, *index), codec.payload_type));
    let extensions = |(index, codec): &(usize, Codec)| {
        (*index, Extensions::of_publisher(&offer.sections()[*index], codec.payload_type))
    };
    let (of_video, of_audio) = (video.as_ref().map(extensions), audio.as_ref().map(extensions));
    let used: Vec<_> = of_video.into_iter().chain(of_audio).collect();
    let sections: Vec<_> = used.iter().map(|(index, _)| *index).collect();
    let repairs = video.as_ref().is_some_and(|(index, codec)| repeats(&offer.sections()[*index], codec.payload_type));
    let choice = Choice {
        repairs,
        rtx,
        video_extensions: of_video.map(|(_, extensions)| extensions).unwrap_or_default(),
        audio_extensions: of_audio.map(|(_, extensions)| extensions).unwrap_or_default(),
        video: video.map(|(_, codec)| codec),
        audio: audio.map(|(_, codec)| (codec, AudioCodec::Opus)),
        has_channel: false,
    };
    Ok(Negotiated {
        choice,
        offer: reduced(&offer, &sections, role),
        candidates: sections.first().map(|index| offer.candidates(*index)).unwrap_or_default(),
        frame: Frame::new(&offer, &used, role),
        note: deaf.then_some("without sound: the offer has no Opus on the transport of its picture"),
    })
}
