//! The frame of an answer: webrtc-rs is shown only the sections that media flows in, in a form it understands, and what it
//! answers is put back into the order of the offer, with every other section refused.
//!
//! webrtc-rs itself leaves out sections of a kind it does not know, loses its candidates when the first section is
//! refused, refuses offers whose sections do not share a transport, and leaves out a section without a direction.

use std::io::Cursor;

use rtc::{
    sdp::{
        MediaDescription, SessionDescription,
        description::{common::Attribute, media::RangedPort},
    },
    shared::error::Error,
};

use super::{
    codec::about,
    extensions::Extensions,
    offer::{Offer, mid},
};
use crate::peer::Role;

/// The discard port (RFC 8840 section 4.1): addresses are told by candidates.
const DISCARD: isize = 9;
/// What webrtc-rs needs to know of a section, besides its transport.
const ABOUT_MEDIA: [&str; 8] =
    ["mid", "rtpmap", "fmtp", "rtcp-fb", "rtcp-mux", "rtcp-rsize", "sctp-port", "max-message-size"];
/// The options of ICE that are answered when they are offered (RFC 8838, RFC 8445 section 10).
const ICE_OPTIONS: [&str; 2] = ["ice2", "trickle"];

/// What sections on one transport have in common, the last two of them those with RTP.
const TRANSPORT: [&str; 5] = ["setup", "ice-ufrag", "ice-pwd", "rtcp-mux", "rtcp-rsize"];
const END_OF_CANDIDATES: &str = "end-of-candidates";

/// What becomes of an offered section.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Media flows in it, with these header extensions (values of `a=extmap`).
    Used(Vec<String>),
    /// Kept without media, because it describes the transport of the others: where they are `bundle-only` they have none
    /// of their own (RFC 8843 section 7.3.1), and Chromium with `max-bundle` refuses an answer without it.
    Kept,
    /// Port 0.
    Rejected,
}

/// An offer's sections, each as it would be refused, and what becomes of them.
#[derive(Clone, Debug)]
pub(in crate::peer) struct Frame {
    sections: Vec<(MediaDescription, Verdict)>,
    is_bundled: bool,
    ice_options: Vec<&'static str>,
}

impl Frame {
    /// `used` are the sections that media flows in, at least one, all on one transport, and the header extensions that are
    /// used there; the first counts for the transport.
    pub(super) fn new(offer: &Offer, used: &[(usize, Extensions)], role: Role) -> Self {
        let bundle = used.first().and_then(|(index, _)| offer.bundle(*index));
        let tagged = bundle.as_ref().and_then(|bundle| bundle.first()).copied();
        let verdict = |(index, media): (usize, &MediaDescription)| {
            if let Some((_, extensions)) = used.iter().find(|(used, _)| *used == index) {
                Verdict::Used(extensions.answer(media, role))
            } else if tagged == Some(index) && is_rtp(media) && media.media_name.port.value != 0 {
                Verdict::Kept
            } else {
                Verdict::Rejected
            }
        };
        let verdicts = offer.sections().iter().enumerate().map(verdict);
        let offered = used.first().and_then(|(index, _)| offer.transport("ice-options", *index)).unwrap_or_default();
        let is_offered = |option: &&str| offered.split([' ', ',']).any(|offered| offered == *option);
        Self {
            sections: offer.sections().iter().map(refused).zip(verdicts).collect(),
            is_bundled: bundle.is_some(),
            ice_options: ICE_OPTIONS.into_iter().filter(is_offered).collect(),
        }
    }

    /// The answer of webrtc-rs to [`reduced`], as an answer to the whole offer.
    ///
    /// # Errors
    /// When it is not SDP or does not answer a section that is sent in.
    pub(in crate::peer) fn complete(&self, answer: &str) -> Result<String, Error> {
        let mut answer = SessionDescription::unmarshal(&mut Cursor::new(answer))?;
        let mut ours = std::mem::take(&mut answer.media_descriptions);
        let mut candidates = Vec::new();
        for media in &mut ours {
            media.attributes.retain(|attribute| attribute.key != END_OF_CANDIDATES);
            let found = media.attributes.extract_if(.., |attribute| attribute.is_ice_candidate());
            candidates.extend(found.filter(|candidate| !is_of_rtcp(candidate)));
        }
        // The answer is all that is ever said.
        candidates.push(Attribute::new(END_OF_CANDIDATES.to_owned(), None));
        for (refused, verdict) in &self.sections {
            let mut media = match verdict {
                Verdict::Used(extensions) => {
                    let own = ours.iter().find(|media| mid(media) == mid(refused));
                    let own = own.ok_or_else(|| Error::Other(format!("no answer to section {:?}", mid(refused))))?;
                    let add = |media: MediaDescription, value: &String| {
                        media.with_value_attribute("extmap".to_owned(), value.clone())
                    };
                    extensions.iter().fold(own.clone(), add)
                }
                Verdict::Kept | Verdict::Rejected => silent(refused.clone(), ours.first()),
            };
            if *verdict != Verdict::Rejected {
                media.media_name.port.value = DISCARD;
                // WHEP section 4.4 asks for it in every bundled section, although RFC 8858 section 4.3 has it in offers
                // only.
                if self.is_bundled && is_rtp(&media) {
                    media = media.with_property_attribute("rtcp-mux-only".to_owned());
                }
                media.attributes.append(&mut candidates);
            }
            answer.media_descriptions.push(media);
        }
        answer.attributes.retain(|attribute| attribute.key != "group");
        if self.is_bundled {
            let alive = self.sections.iter().filter(|(_, verdict)| *verdict != Verdict::Rejected);
            let mids: Vec<_> = alive.filter_map(|(media, _)| mid(media)).collect();
            answer = answer.with_value_attribute("group".to_owned(), format!("BUNDLE {}", mids.join(" ")));
        }
        if !self.ice_options.is_empty() {
            answer = answer.with_value_attribute("ice-options".to_owned(), self.ice_options.join(" "));
        }
        Ok(answer.marshal())
    }
}

fn is_rtp(media: &MediaDescription) -> bool {
    matches!(media.media_name.media.as_str(), "audio" | "video")
}

/// Candidates of component 2: RTCP shares the port of RTP.
fn is_of_rtcp(attribute: &Attribute) -> bool {
    let words = attribute.value.as_deref().map(str::split_ascii_whitespace);
    words.and_then(|mut words| words.nth(1)) == Some("2")
}

/// A refusal names what it refuses: kind, protocol and a format (RFC 3264 section 6). With its `a=rtpmap`: webrtc-rs for
/// one refuses an answer with a payload type that means nothing.
fn refused(offered: &MediaDescription) -> MediaDescription {
    let mut media = MediaDescription::new_jsep_media_description(String::new(), Vec::new());
    media.media_name = offered.media_name.clone();
    media.media_name.port = RangedPort::default();
    media.media_name.formats.truncate(1);
    let media = media.with_value_attribute("mid".to_owned(), mid(offered).unwrap_or_default().to_owned());
    let format = offered.media_name.formats.first();
    let codec = format.and_then(|format| Some(format!("{format} {}", about("rtpmap", format, offered)?)));
    codec.into_iter().fold(media, |media, codec| media.with_value_attribute("rtpmap".to_owned(), codec))
}

/// A section without media, on the transport of `other`. Where it is refused nobody needs to know the transport, but
/// aiortc 1.16 accepts no answer with a section that does not tell.
fn silent(mut media: MediaDescription, other: Option<&MediaDescription>) -> MediaDescription {
    let keys: &[_] = if is_rtp(&media) { &TRANSPORT } else { &TRANSPORT[..3] };
    let shared = |attribute: &&Attribute| keys.contains(&attribute.key.as_str());
    media.attributes.extend(other.iter().flat_map(|other| &other.attributes).filter(shared).cloned());
    media.with_property_attribute("inactive".to_owned())
}

/// The offer as webrtc-rs gets it: the sections `used`, on the transport of the first, each wanting to receive, or to send.
pub(super) fn reduced(offer: &Offer, used: &[usize], role: Role) -> String {
    let direction = match role {
        Role::Viewer => "recvonly",
        Role::Publisher | Role::Talker => "sendonly",
    };
    let mut session = SessionDescription { attributes: Vec::new(), ..offer.session().clone() };
    session.media_descriptions.clear();
    let mids: Vec<_> = used.iter().filter_map(|index| mid(&offer.sections()[*index])).collect();
    session = session.with_value_attribute("group".to_owned(), format!("BUNDLE {}", mids.join(" ")));
    let Some(first) = used.first() else { return session.marshal() };
    for index in used {
        let offered = &offer.sections()[*index];
        let mut media = offered.clone();
        media.media_name.port.value = DISCARD;
        media.attributes.retain(|attribute| ABOUT_MEDIA.contains(&attribute.key.as_str()));
        for key in ["ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"] {
            if let Some(value) = offer.transport(key, *first) {
                media = media.with_value_attribute(key.to_owned(), value.to_owned());
            }
        }
        let direction = if is_rtp(&media) { direction } else { "sendrecv" };
        session = session.with_media(media.with_property_attribute(direction.to_owned()));
    }
    session.marshal()
}
