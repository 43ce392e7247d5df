//! Checks the certificate that a camera shows to an RTSP source of a pipeline.
//!
//! GStreamer asks about a certificate only if it found a fault with it. So a pinned fingerprint does two things: the
//! certificate that has it is accepted in spite of its faults, and media is let through only after that happened, so
//! that a flawless certificate of somebody else is of no use.

use std::sync::{Arc, Mutex};

use gstreamer as gst;
use gstreamer::{
    glib::{self, Checksum, ChecksumType, subclass::SignalId},
    prelude::*,
};

use super::certificate::Fingerprint;
use crate::panics::{Part, Whose, caught};

/// GStreamer's question.
const SIGNAL: &str = "accept-certificate";

/// What is known about the certificates of one pipeline.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pin: Option<Fingerprint>,
    shown: Arc<Mutex<Shown>>,
}

/// What the camera showed.
#[derive(Debug, Default)]
struct Shown {
    accepted: bool,
    refused: Option<Fingerprint>,
}

impl Guard {
    /// Answers for every element of `pipeline` that asks.
    pub(super) fn new(pipeline: &gst::Pipeline, pin: Option<Fingerprint>) -> Self {
        let guard = Self { pin, shown: Arc::default() };
        for element in pipeline.iterate_recurse().into_iter().flatten() {
            if SignalId::lookup(SIGNAL, element.type_()).is_some() {
                let guard = guard.clone();
                // Its arguments: the element, the connection, the certificate, what is wrong with it.
                element.connect(SIGNAL, false, move |arguments| {
                    let certificate = arguments.get(2).and_then(|value| value.get::<glib::Object>().ok());
                    // What panics accepts nothing, and does not come as far as C, where it would end the process.
                    let accepted = caught(Part::Pipeline, Whose::NOBODYS, || guard.accepts(certificate.as_ref()));
                    Some(accepted.unwrap_or(false).to_value())
                });
            }
        }
        guard
    }

    fn accepts(&self, certificate: Option<&glib::Object>) -> bool {
        let fingerprint = certificate.and_then(fingerprint);
        let accepted = fingerprint.is_some() && fingerprint == self.pin;
        let mut shown = self.shown.lock().unwrap_or_else(|e| e.into_inner());
        shown.accepted |= accepted;
        if !accepted {
            shown.refused = fingerprint;
        }
        accepted
    }

    /// Whether media may pass.
    pub(super) fn is_satisfied(&self) -> bool {
        self.pin.is_none() || self.shown.lock().unwrap_or_else(|e| e.into_inner()).accepted
    }

    /// What the user should know about a certificate that was refused.
    pub(super) fn refusal(&self) -> Option<String> {
        let refused = self.shown.lock().unwrap_or_else(|e| e.into_inner()).refused?;
        Some(match self.pin {
            Some(_) => format!(
                "the camera's certificate is not the pinned one: if the camera got a new one, set certificate = \
                 \"{refused}\" in the camera's with; if not, somebody is in between"
            ),
            None => format!(
                "the camera's certificate is not signed by an authority that this machine trusts: if you are sure that \
                 it is your camera, set certificate = \"{refused}\" in the camera's with"
            ),
        })
    }
}

/// SHA-256 of a `GTlsCertificate`.
fn fingerprint(certificate: &glib::Object) -> Option<Fingerprint> {
    let der = certificate.property_value("certificate").get::<Option<glib::ByteArray>>().ok()??;
    let mut checksum = Checksum::new(ChecksumType::Sha256)?;
    checksum.update(&der);
    Some(Fingerprint::new(checksum.digest().try_into().ok()?))
}
