//! RTP header extensions (RFC 8285) of a media section: which of those that a viewer offers are used, under which ids.
//!
//! webrtc-rs is not told of them: it keeps one table of ids for all sections, writes them in no order and without a
//! direction, and media does not pass through it. [`Frame`](super::Frame) puts them into its answer.

use rtc::sdp::MediaDescription;

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
        let id = |uri: &str| offered(media).find(|offer| offer.uri == uri).map(|offer| offer.id);
        let formats = [payload_type.to_string(), "*".to_owned()];
        let answers = |format: &String| has_feedback(media, format);
        Self {
            transport_cc: id(TRANSPORT_CC).filter(|_| formats.iter().any(answers)),
            abs_capture_time: id(ABS_CAPTURE_TIME),
            playout_delay: id(PLAYOUT_DELAY),
        }
    }

    /// The values of `a=extmap` that answer those of `media`, each turned round: what one side only receives the other
    /// only sends (RFC 8285 section 6).
    pub(super) fn answer(self, media: &MediaDescription) -> Vec<String> {
        let ids = [self.transport_cc, self.abs_capture_time, self.playout_delay];
        let ours = [TRANSPORT_CC, ABS_CAPTURE_TIME, PLAYOUT_DELAY];
        let used = |offer: &Offered<'_>| ids.contains(&Some(offer.id)) && ours.contains(&offer.uri);
        offered(media)
            .filter(used)
            .map(|Offered { id, is_one_way, uri }| format!("{id}{} {uri}", if is_one_way { "/sendonly" } else { "" }))
            .collect()
    }
}

/// One `a=extmap` of an offer.
struct Offered<'a> {
    id: u8,
    /// Whether the viewer receives it only.
    is_one_way: bool,
    uri: &'a str,
}

/// Those that can be sent: in the one-byte form, in the direction of the media.
fn offered(media: &MediaDescription) -> impl Iterator<Item = Offered<'_>> {
    let values = media.attributes.iter().filter(|attribute| attribute.key == "extmap");
    values.filter_map(|attribute| {
        let mut words = attribute.value.as_deref()?.split_ascii_whitespace();
        let (number, uri) = (words.next()?, words.next()?);
        let (id, direction) = number.split_once('/').unwrap_or((number, "sendrecv"));
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        matches!(direction, "sendrecv" | "recvonly").then(|| Offered { id, is_one_way: direction == "recvonly", uri })
    })
}

fn has_feedback(media: &MediaDescription, format: &str) -> bool {
    let lines = media.attributes.iter().filter(|attribute| attribute.key == "rtcp-fb");
    let mut values = lines.filter_map(|line| line.value.as_deref()?.split_once(' '));
    values.any(|(of, kind)| of == format && kind.trim() == TRANSPORT_CC_FEEDBACK)
}
