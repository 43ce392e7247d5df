//! RTP header extensions (RFC 8285) of a media section: which of those that a viewer offers are used, under which ids.
//!
//! webrtc-rs is not told of them: it keeps one table of ids for all sections, writes them in no order and without a
//! direction, and media does not pass through it. [`Frame`](super::Frame) puts them into its answer.

use rtc::sdp::MediaDescription;

use crate::peer::Role;

/// Numbers every packet of a transport, so that feedback can say when each arrived
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// When a picture or sound was captured, by the camera's clock (webrtc.org/experiments/rtp-hdrext/abs-capture-time).
const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/// Bounds of the delay from capture to screen that the viewer is to aim for (webrtc.org/experiments/rtp-hdrext/playout-delay).
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
/// The RTCP feedback of the first: without it nobody would answer.
pub(in crate::peer) const TRANSPORT_CC_FEEDBACK: &str = "transport-cc";

/// The ids of the extensions that both sides use: 1 to 14, the one-byte form (RFC 8285 section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::peer) struct Extensions {
    pub(in crate::peer) transport_cc: Option<u8>,
    pub(in crate::peer) abs_capture_time: Option<u8>,
    pub(in crate::peer) playout_delay: Option<u8>,
}

impl Extensions {
    /// Those that `media` offers to receive with `payload_type`.
    pub(super) fn of(media: &MediaDescription, payload_type: u8) -> Self {
        Self::for_role(media, payload_type, Role::Viewer)
    }

    /// Those that `media` offers to send with `payload_type` and that are heeded here.
    pub(super) fn of_publisher(media: &MediaDescription, payload_type: u8) -> Self {
        let transport_cc = Self::for_role(media, payload_type, Role::Publisher).transport_cc;
        Self { transport_cc, ..Self::default() }
    }

    fn for_role(media: &MediaDescription, payload_type: u8, role: Role) -> Self {
        let id = |uri: &str| offered(media, role).find(|offer| offer.uri == uri).map(|offer| offer.id);
        Self {
            transport_cc: id(TRANSPORT_CC).filter(|_| has_feedback(media, payload_type, TRANSPORT_CC_FEEDBACK)),
            abs_capture_time: id(ABS_CAPTURE_TIME),
            playout_delay: id(PLAYOUT_DELAY),
        }
    }

    /// The values of `a=extmap` that answer those of `media`, each turned round: what one side only receives the other
    /// only sends (RFC 8285 section 6).
    pub(super) fn answer(self, media: &MediaDescription, role: Role) -> Vec<String> {
        let ids = [self.transport_cc, self.abs_capture_time, self.playout_delay];
        let ours = [TRANSPORT_CC, ABS_CAPTURE_TIME, PLAYOUT_DELAY];
        let used = |offer: &Offered<'_>| ids.contains(&Some(offer.id)) && ours.contains(&offer.uri);
        let direction = match role {
            Role::Viewer => "/sendonly",
            Role::Publisher | Role::Talker => "/recvonly",
        };
        offered(media, role)
            .filter(used)
            .map(|Offered { id, is_one_way, uri }| format!("{id}{} {uri}", if is_one_way { direction } else { "" }))
            .collect()
    }
}

/// One `a=extmap` of an offer.
struct Offered<'a> {
    id: u8,
    /// Whether the other side only receives it, or only sends it.
    is_one_way: bool,
    uri: &'a str,
}

/// Those that can be used: in the one-byte form, in the direction of the media.
fn offered(media: &MediaDescription, role: Role) -> impl Iterator<Item = Offered<'_>> {
    let values = media.attributes.iter().filter(|attribute| attribute.key == "extmap");
    let one_way = match role {
        Role::Viewer => "recvonly",
        Role::Publisher | Role::Talker => "sendonly",
    };
    values.filter_map(move |attribute| {
        let mut words = attribute.value.as_deref()?.split_ascii_whitespace();
        let (number, uri) = (words.next()?, words.next()?);
        let (id, direction) = number.split_once('/').unwrap_or((number, "sendrecv"));
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        let is_one_way = direction == one_way;
        (is_one_way || direction == "sendrecv").then_some(Offered { id, is_one_way, uri })
    })
}

/// Whether `media` offers to send `payload_type` again where a packet is lost (generic NACK, RFC 4585 section 4.2).
pub(super) fn repeats(media: &MediaDescription, payload_type: u8) -> bool {
    has_feedback(media, payload_type, "nack")
}

fn has_feedback(media: &MediaDescription, payload_type: u8, wanted: &str) -> bool {
    let formats = [payload_type.to_string(), "*".to_owned()];
    let lines = media.attributes.iter().filter(|attribute| attribute.key == "rtcp-fb");
    let mut values = lines.filter_map(|line| line.value.as_deref()?.split_once(' '));
    values.any(|(of, kind)| formats.iter().any(|format| format == of) && kind.trim() == wanted)
}
