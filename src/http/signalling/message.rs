//! The messages: JSON objects with a `type` and, mostly, a `value`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::peer::MAX_CANDIDATE;

/// How the client wrote its offer, and wants to read the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `webrtc/offer` with the SDP as text: the player in the browser and Home Assistant's camera card.
    Text,
    /// `webrtc` with an `RTCSessionDescriptionInit`: Home Assistant itself.
    Description,
}

impl Form {
    fn of_offer(self) -> &'static str {
        match self {
            Self::Text => "webrtc/offer",
            Self::Description => "webrtc",
        }
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// An offer, as SDP.
    Offer(Form, String),
    /// A candidate of the client as RFC 8839 writes it after `a=`; empty at the end of candidates.
    Candidate(String),
    /// Something that is not WebRTC, or nothing that can be understood; with the `type`, if there is one.
    Other(String),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

/// Longest name of a message's type that is repeated in an error.
const MAX_KIND: usize = 32;

impl Request {
    /// Reads a text frame.
    pub(super) fn parse(text: &str) -> Self {
        let Ok(Envelope { kind, value }) = serde_json::from_str(text) else { return Self::Other(String::new()) };
        match (kind.as_str(), value) {
            ("webrtc/offer", Value::String(sdp)) => Self::Offer(Form::Text, sdp),
            ("webrtc/candidate", Value::String(candidate)) if candidate.len() <= MAX_CANDIDATE => {
                Self::Candidate(candidate)
            }
            ("webrtc", Value::Object(mut description)) if description.get("type") == Some(&json!("offer")) => {
                match description.remove("sdp") {
                    Some(Value::String(sdp)) => Self::Offer(Form::Description, sdp),
                    _ => Self::Other(kind),
                }
            }
            _ => Self::Other(kind.chars().take(MAX_KIND).collect()),
        }
    }
}

/// The answer to an offer.
pub(super) fn answer(form: Form, sdp: &str) -> String {
    match form {
        Form::Text => json!({ "type": "webrtc/answer", "value": sdp }),
        Form::Description => json!({ "type": "webrtc", "value": { "type": "answer", "sdp": sdp } }),
    }
    .to_string()
}

/// Why an offer was refused. Players look for the offer's type in the text.
pub(super) fn refused(form: Form, why: &str) -> String {
    error(form.of_offer(), why)
}

/// What cannot be had here. Players take the text up to the colon for the mode that they asked for.
pub(super) fn error(kind: &str, why: &str) -> String {
    json!({ "type": "error", "value": format!("{kind}: {why}") }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_in_both_forms() {
        let text = r#"{"type":"webrtc/offer","value":"v=0\r\n"}"#;
        assert_eq!(Request::parse(text), Request::Offer(Form::Text, "v=0\r\n".to_owned()));
        let object = r#"{"type":"webrtc","value":{"type":"offer","sdp":"v=0","ice_servers":[]}}"#;
        assert_eq!(Request::parse(object), Request::Offer(Form::Description, "v=0".to_owned()));
    }

    #[test]
    fn everything_else_is_named_and_harmless() {
        let other = |text: &str| match Request::parse(text) {
            Request::Other(kind) => kind,
            wrong => panic!("{wrong:?}"),
        };
        assert_eq!(other(r#"{"type":"mse","value":"avc1.640029"}"#), "mse");
        assert_eq!(other(r#"{"type":"mjpeg"}"#), "mjpeg");
        assert_eq!(other(r#"{"type":"webrtc","value":{"type":"answer","sdp":"v=0"}}"#), "webrtc");
        assert_eq!(other(r#"{"type":"webrtc/offer","value":7}"#), "webrtc/offer");
        let long = format!(r#"{{"type":"webrtc/candidate","value":"{}"}}"#, "x".repeat(MAX_CANDIDATE + 1));
        assert_eq!(other(&long), "webrtc/candidate");
        assert_eq!(other("{"), "");
        assert_eq!(other("[]"), "");
        assert_eq!(other(&format!(r#"{{"type":"{}"}}"#, "x".repeat(1_000))).len(), MAX_KIND);
    }

    #[test]
    fn answers_have_the_form_of_the_offer() {
        assert_eq!(answer(Form::Text, "v=0"), r#"{"type":"webrtc/answer","value":"v=0"}"#);
        let object: Value = serde_json::from_str(&answer(Form::Description, "v=0")).unwrap();
        assert_eq!(object, json!({ "type": "webrtc", "value": { "type": "answer", "sdp": "v=0" } }));
        assert!(refused(Form::Text, "No.").contains("webrtc/offer: No."));
    }
}
