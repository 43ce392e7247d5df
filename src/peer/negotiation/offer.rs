//! An offer as it came: what is wrong with it, which media sections want to receive, and which of them share a transport.

use std::io::Cursor;

use rtc::sdp::{MediaDescription, SessionDescription};

use super::Refusal;
use crate::peer::ice_description::{PWD, UFRAG, is_candidate_length};

/// Media sections that are answered. A meeting's page reuses a connection for dozens; a viewer has two or three.
const MAX_SECTIONS: usize = 64;

/// A parsed offer of a WebRTC client.
#[derive(Debug)]
pub(super) struct Offer {
    session: SessionDescription,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = |reason: &str| Refusal::Malformed(reason.to_owned());
        if text.trim().is_empty() {
            return Err(malformed("it is empty"));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text)).map_err(|e| malformed(&e.to_string()))?;
        let offer = Self { session };
        if offer.sections().is_empty() {
            return Err(malformed("it has no media section (m= line)"));
        }
        if offer.sections().len() > MAX_SECTIONS {
            return Err(malformed("it has more than 64 media sections (m= lines)"));
        }
        for (attribute, meaning) in [("ice-ufrag", "ICE"), ("ice-pwd", "ICE"), ("fingerprint", "DTLS")] {
            if offer.values(attribute).next().is_none() {
                return Err(Refusal::Malformed(format!(
                    "it has no a={attribute}, so it is not from a WebRTC client ({meaning})"
                )));
            }
        }
        for (attribute, length) in [("ice-ufrag", UFRAG), ("ice-pwd", PWD)] {
            if offer.values(attribute).any(|value| !length.contains(&value.len())) {
                let (shortest, longest) = (length.start(), length.end());
                return Err(Refusal::Malformed(format!(
                    "its a={attribute} does not have {shortest} to {longest} characters"
                )));
            }
        }
        let mids: Vec<_> = offer.sections().iter().filter_map(mid).collect();
        if mids.len() < offer.sections().len() {
            return Err(malformed("a media section has no a=mid"));
        }
        if mids.iter().enumerate().any(|(index, mid)| mids[..index].contains(mid)) {
            return Err(malformed("two media sections have the same a=mid"));
        }
        Ok(offer)
    }

    /// The media sections in the order of their m= lines.
    pub(super) fn sections(&self) -> &[MediaDescription] {
        &self.session.media_descriptions
    }

    /// What stands above the media sections.
    pub(super) fn session(&self) -> &SessionDescription {
        &self.session
    }

    /// The sections of a kind that the viewer wants to receive in.
    pub(super) fn wanted(&self, kind: &str) -> impl Iterator<Item = usize> {
        let sections = self.sections().iter().enumerate();
        sections.filter(move |(_, media)| is_wanted(media, kind)).map(|(index, _)| index)
    }

    /// The section of data channels (RFC 8841), if there is one that is open.
    pub(super) fn channel(&self) -> Option<usize> {
        let is_channel = |media: &MediaDescription| {
            is_open(media, "application")
                && media.media_name.formats.iter().any(|format| format == "webrtc-datachannel")
        };
        self.sections().iter().position(is_channel)
    }

    /// The sections of a kind that the publisher wants to send in.
    pub(super) fn sent(&self, kind: &str) -> impl Iterator<Item = usize> {
        let sections = self.sections().iter().enumerate();
        sections.filter(move |(_, media)| is_sent(media, kind)).map(|(index, _)| index)
    }

    /// The sections that share the transport of section `index`, in the order of their BUNDLE group (RFC 8843); the first
    /// is the one that describes the transport. `None` without such a group.
    pub(super) fn bundle(&self, index: usize) -> Option<Vec<usize>> {
        let own = mid(&self.sections()[index])?;
        let groups = self.session.attributes.iter().filter(|attribute| attribute.key == "group");
        let mut bundles = groups.filter_map(|group| group.value.as_deref()?.strip_prefix("BUNDLE "));
        let bundle = bundles.find(|mids| mids.split_ascii_whitespace().any(|mid| mid == own))?;
        let of = |wanted: &str| self.sections().iter().position(|media| mid(media) == Some(wanted));
        Some(bundle.split_ascii_whitespace().filter_map(of).collect())
    }

    /// What `a=<key>` says for the transport of section `index`: there, else where its group describes it, else for the
    /// whole session.
    pub(super) fn transport(&self, key: &str, index: usize) -> Option<&str> {
        let tagged = self.bundle(index).and_then(|bundle| bundle.first().copied());
        let sections = [Some(index), tagged].into_iter().flatten();
        let nearest = sections.filter_map(|index| self.sections()[index].attribute(key).flatten()).next();
        nearest.or_else(|| self.session.attribute(key).map(String::as_str))
    }

    /// The candidates for the transport of section `index`.
    pub(super) fn candidates(&self, index: usize) -> Vec<String> {
        let tagged = self.bundle(index).and_then(|bundle| bundle.first().copied()).filter(|tagged| *tagged != index);
        let sections = [Some(index), tagged].into_iter().flatten();
        let attributes = sections.flat_map(|index| &self.sections()[index].attributes);
        let candidates = attributes.filter(|attribute| attribute.is_ice_candidate());
        let values = candidates.filter_map(|candidate| candidate.value.as_deref());
        values.filter(|value| is_candidate_length(value)).map(str::to_owned).collect()
    }

    /// Why no section wants to receive.
    pub(super) fn why_nothing(&self) -> &'static str {
        let has = |kind: &str| self.sections().iter().any(|media| media.media_name.media == kind);
        if has("video") || has("audio") {
            "its video and audio sections are sendonly, inactive or rejected; a viewer offers recvonly"
        } else if has("application") {
            "it has a data channel only"
        } else {
            "it has neither a video nor an audio section"
        }
    }

    /// Why no section sends.
    pub(super) fn why_nothing_is_sent(&self) -> &'static str {
        let has = |kind: &str| self.sections().iter().any(|media| media.media_name.media == kind);
        if has("video") || has("audio") {
            "its video and audio sections are recvonly, inactive or rejected; a publisher offers sendonly"
        } else {
            "it has neither a video nor an audio section"
        }
    }

    /// Everything that `a=<key>` says anywhere.
    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let sections = self.sections().iter().filter_map(move |media| media.attribute(key).flatten());
        self.session.attribute(key).map(String::as_str).into_iter().chain(sections)
    }
}

/// A section's identification tag (RFC 5888).
pub(super) fn mid(media: &MediaDescription) -> Option<&str> {
    media.attribute("mid").flatten().filter(|mid| !mid.is_empty())
}

/// Whether the publisher wants to send here.
fn is_sent(media: &MediaDescription, kind: &str) -> bool {
    is_open(media, kind) && !media.has_attribute("recvonly") && !media.has_attribute("inactive")
}

/// Whether the viewer wants to receive here.
fn is_wanted(media: &MediaDescription, kind: &str) -> bool {
    is_open(media, kind) && !media.has_attribute("sendonly") && !media.has_attribute("inactive")
}

/// Whether it is a section of this kind that is not rejected. Port 0 is a rejected section unless it is `bundle-only`
/// (RFC 8843 section 6).
fn is_open(media: &MediaDescription, kind: &str) -> bool {
    let open = media.media_name.port.value != 0 || media.has_attribute("bundle-only");
    media.media_name.media == kind && open
}
