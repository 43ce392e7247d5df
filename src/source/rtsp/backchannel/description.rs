//! What a camera says of its loudspeaker: the section of its SDP that it wants to be sent (ONVIF Streaming Specification section
//! 5.3.1: `a=sendonly`, from the client's point of view), in the codec of it that is known here.

use std::fmt;

use sdp_types::{Media, Session};
use url::Url;

use crate::{
    media::transcode::G711,
    source::{Error, Step, speech::Coding},
};

/// Rates that Opus is decoded to.
const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Where sound goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ear {
    /// What SETUP is for.
    pub(super) control: Url,
    pub(super) payload_type: u8,
    pub(super) hz: u32,
    pub(super) codec: Codec,
}

/// How samples travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    G711(G711),
    /// 16 bits, big endian (RFC 3551 section 4.5.11).
    L16,
    /// By an encoder.
    Coded(Coding),
}

/// What is to be known of the whole.
#[derive(Debug)]
pub(in crate::source::rtsp) struct Description {
    pub(super) ear: Ear,
    /// What PLAY is for.
    pub(super) aggregate: Url,
    /// What SETUP of the other sections is for.
    pub(super) others: Vec<Url>,
}

/// Reads an SDP whose addresses are relative to `base`.
///
/// # Errors
/// It cannot be read, has no section to send to, or none in a codec that is known here.
pub(in crate::source::rtsp) fn read(sdp: &[u8], base: &Url) -> Result<Description, Error> {
    let session = Session::parse(&lines(sdp)).map_err(|error| Error::Protocol {
        step: Step::Describe,
        reason: format!("its SDP cannot be read: {error}"),
    })?;
    let ears: Vec<_> = session.medias.iter().filter(|media| is_ear(media)).collect();
    if ears.is_empty() {
        return Err(Error::NoBackchannel);
    }
    let formats: Vec<_> = ears.iter().flat_map(|media| formats(media).map(|format| (*media, format))).collect();
    let known = |(media, format): &(&Media, Format)| {
        let control = attribute(&media.attributes, "control").unwrap_or_default();
        Some(Ear {
            control: join(base, control)?,
            payload_type: format.payload_type,
            hz: format.hz,
            codec: format.codec()?,
        })
    };
    let mut known: Vec<_> = formats.iter().filter_map(known).collect();
    // More than a telephone only where the camera knows nothing less, and an encoder last.
    known.sort_by_key(|ear| match ear.codec {
        Codec::G711(_) => 0,
        Codec::L16 => 1,
        Codec::Coded(_) => 2,
    });
    let Some(ear) = known.into_iter().next() else {
        let offered: Vec<_> = formats.iter().map(|(_, format)| format.to_string()).collect();
        return Err(Error::BackchannelCodec { offered: offered.join(", ") });
    };
    let aggregate = attribute(&session.attributes, "control").filter(|control| *control != "*");
    let aggregate = aggregate.and_then(|control| join(base, control)).unwrap_or_else(|| base.clone());
    let controls = session.medias.iter().filter_map(|media| join(base, attribute(&media.attributes, "control")?));
    let others = controls.filter(|control| *control != ear.control).collect();
    Ok(Description { ear, aggregate, others })
}

/// The lines that are some: sdp-types 0.1.8 panics behind one that is not.
fn lines(sdp: &[u8]) -> Vec<u8> {
    let is_one = |line: &&[u8]| line.iter().position(|byte| *byte == b'=') == Some(1);
    let lines = sdp.split_inclusive(|byte| *byte == b'\n').filter(is_one);
    lines.flatten().copied().collect()
}

/// Cameras show their microphone as `recvonly`, or say nothing of it.
fn is_ear(media: &Media) -> bool {
    media.media == "audio" && media.attributes.iter().any(|attribute| attribute.attribute == "sendonly")
}

fn attribute<'a>(attributes: &'a [sdp_types::Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.attribute == name)?.value.as_deref()
}

/// As all clients do it, and not by RFC 3986: what follows the last slash of `base` stays.
fn join(base: &Url, control: &str) -> Option<Url> {
    if control.is_empty() || control == "*" {
        return Some(base.clone());
    }
    if let Ok(url) = Url::parse(control) {
        return (url.scheme() == "rtsp").then_some(url);
    }
    let slash = if base.as_str().ends_with('/') || control.starts_with('/') { "" } else { "/" };
    Url::parse(&format!("{base}{slash}{control}")).ok()
}

/// An entry of a section's list.
#[derive(Debug)]
struct Format {
    payload_type: u8,
    encoding: String,
    hz: u32,
    channels: u32,
}

fn formats(media: &Media) -> impl Iterator<Item = Format> + '_ {
    media.fmt.split_ascii_whitespace().filter_map(|number| {
        let payload_type: u8 = number.parse().ok().filter(|number| *number < 128)?;
        let maps = media.attributes.iter().filter(|attribute| attribute.attribute == "rtpmap");
        let map =
            maps.filter_map(|attribute| attribute.value.as_deref()?.split_once(' ')).find(|(of, _)| *of == number);
        // Those that need no map (RFC 3551 table 4).
        let map = map.map_or(
            match payload_type {
                0 => "PCMU/8000",
                8 => "PCMA/8000",
                9 => "G722/8000",
                _ => "unknown/0",
            },
            |(_, map)| map.trim(),
        );
        let mut parts = map.split('/');
        let encoding = parts.next().unwrap_or_default().chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
        let hz = parts.next().and_then(|hz| hz.parse().ok()).unwrap_or(0);
        let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
        Some(Format { payload_type, encoding, hz, channels })
    })
}

impl Format {
    fn codec(&self) -> Option<Codec> {
        if !RATES.contains(&self.hz) || self.channels != 1 {
            return None;
        }
        match self.encoding.to_ascii_uppercase().as_str() {
            "PCMU" => Some(Codec::G711(G711::MuLaw)),
            "PCMA" => Some(Codec::G711(G711::ALaw)),
            "L16" => Some(Codec::L16),
            name => Coding::named(name).map(Codec::Coded),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.encoding, self.hz)?;
        if self.channels == 1 { Ok(()) } else { write!(f, "/{}", self.channels) }
    }
}

impl fmt::Display for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.codec {
            Codec::G711(G711::MuLaw) => f.write_str("PCMU")?,
            Codec::G711(G711::ALaw) => f.write_str("PCMA")?,
            Codec::L16 => f.write_str("L16")?,
            Codec::Coded(coding) => coding.fmt(f)?,
        }
        write!(f, "/{}", self.hz)
    }
}
