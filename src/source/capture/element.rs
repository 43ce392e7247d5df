//! What a GStreamer failure means to the person who wrote the pipeline.

use std::collections::BTreeMap;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::trouble::Trouble;
use crate::source::{Error, config::Secret, error::redacted};

/// Words in the name of a placeholder whose value is a secret.
const SECRETS: [&str; 4] = ["pass", "pw", "secret", "token"];

/// Elements by the Debian package they are in; the first match counts.
const PACKAGES: [(&str, &[&str]); 9] = [
    ("gstreamer1.0-plugins-ugly", &["x264enc", "mpeg2dec"]),
    ("gstreamer1.0-x", &["textoverlay", "textrender", "clockoverlay", "timeoverlay"]),
    ("gstreamer1.0-libcamera", &["libcamera"]),
    ("gstreamer1.0-alsa", &["alsa"]),
    ("gstreamer1.0-pulseaudio", &["pulse"]),
    ("gstreamer1.0-libav", &["avdec_", "avenc_"]),
    (
        "gstreamer1.0-plugins-bad",
        &["h264parse", "h265parse", "openh264", "va", "v4l2sl", "srt", "rtmp", "qsv", "nv", "opusparse", "webrtc"],
    ),
    (
        "gstreamer1.0-plugins-good",
        &["v4l2", "rtp", "rtsp", "udp", "jpeg", "png", "mulaw", "alaw", "soup", "level", "flv", "matroska", "qtdemux"],
    ),
    ("gstreamer1.0-plugins-base", &["video", "audio", "opus", "decodebin", "uridecodebin", "app", "vorbis", "theora"]),
];

/// Turns failures of one pipeline into words.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pipeline: String,
    secrets: Vec<Secret>,
}

impl Words {
    pub(super) fn new(pipeline: &str, with: &BTreeMap<String, String>) -> Self {
        let secret = |key: &str| SECRETS.iter().any(|word| key.contains(word));
        let secrets =
            with.iter().filter(|(key, _)| secret(key)).map(|(_, value)| Secret::new(value.as_str())).collect();
        Self { pipeline: pipeline.to_owned(), secrets }
    }

    pub(super) fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// A pipeline that does not deliver what it must.
    pub(super) fn unusable(&self, reason: impl Into<String>) -> Error {
        self.missing(reason.into(), "pipeline-unusable")
    }

    /// The description could not be understood.
    pub(super) fn unparsable(&self, error: &gst::glib::Error, missing: &[String]) -> Error {
        // Elements may be missing beside a fault of another kind, which must be told first.
        let missing = missing.first().filter(|_| error.matches(gst::ParseError::NoSuchElement));
        let Some(element) = missing else { return self.unusable(self.clean(error.message())) };
        let package = package(element).map_or_else(
            || ": install the package that has it".to_owned(),
            |package| format!(": install it with: apt install {package}"),
        );
        self.missing(format!("there is no GStreamer element {element}{package}"), "element-missing")
    }

    fn missing(&self, reason: String, code: &'static str) -> Error {
        Error::Pipeline { pipeline: self.pipeline.clone(), reason, code }
    }

    /// An element posted an error.
    pub(super) fn element(&self, message: &gst::message::Error) -> Error {
        let error = message.error();
        let source = message.src().and_then(|source| source.downcast_ref::<gst::Element>());
        let name = message.src().map_or_else(|| "GStreamer".into(), |source| source.name().to_string());
        let kind =
            source.and_then(gst::Element::factory).map_or_else(String::new, |factory| factory.name().to_string());
        // GStreamer counts elements that the pipeline does not name through all attempts: the same failure is to read alike.
        let is_counted =
            name.strip_prefix(&kind).is_some_and(|count| count.bytes().all(|digit| digit.is_ascii_digit()));
        let name = if is_counted && !kind.is_empty() { kind.clone() } else { name };
        let debug = message.debug().unwrap_or_default();
        if let Some(device) = source.and_then(device) {
            let all = format!("{} {debug}", error.message());
            if let Some(trouble) = Trouble::of(&device, &all) {
                let (reason, hint) = trouble.words(&kind, &device);
                return self.failed_by(trouble.code(), &name, &reason, &hint);
            }
        }
        let hint = if debug.contains("not-negotiated") && is_capture(&kind) {
            ": the device does not give a picture of this size, rate and format: set width, height and fps in the \
             camera's with (v4l2-ctl --list-formats-ext -d DEVICE shows what it gives)"
        } else if debug.contains("not-negotiated") || debug.contains("not-linked") {
            ": the branch to appsink name=video must end in H.264 (put h264parse before it), the one to name=audio in \
             Opus or 8 kHz mono G.711"
        } else if error.matches(gst::ResourceError::NotFound) {
            ": check the device or the address in the camera's with"
        } else if error.matches(gst::ResourceError::Busy) {
            ": another program uses the device"
        } else if error.matches(gst::ResourceError::NotAuthorized) {
            ": check the credentials in the camera's with, and whether the gateway's user may use the device (groups \
             video and audio)"
        } else if error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound) {
            ": a GStreamer plugin is missing; gstreamer1.0-plugins-good, -bad, -ugly and gstreamer1.0-libav have them"
        } else {
            ""
        };
        // Its first line is where in GStreamer's source it happened, its last often what the system said.
        let detail = debug.lines().skip(1).filter(|line| !line.trim().is_empty()).last();
        let reason = detail.map_or_else(
            || error.message().to_owned(),
            |detail| format!("{} ({})", error.message().trim_end_matches('.'), detail.trim_end_matches('.')),
        );
        self.failed(&name, &reason, hint)
    }

    /// An element failed in a way that is told by `reason`.
    pub(super) fn failed(&self, element: &str, reason: &str, hint: &str) -> Error {
        self.failed_by("pipeline-failed", element, reason, hint)
    }

    fn failed_by(&self, code: &'static str, element: &str, reason: &str, hint: &str) -> Error {
        Error::Element {
            code,
            pipeline: self.pipeline.clone(),
            element: element.to_owned(),
            reason: self.clean(reason),
            hint: self.hidden(hint.to_owned()),
        }
    }

    fn clean(&self, text: &str) -> String {
        let text = redacted(text).unwrap_or_else(|| "no reason given".into());
        self.hidden(text.trim_end_matches('.').to_owned())
    }

    fn hidden(&self, text: String) -> String {
        let secrets = self.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret, "***"))
    }
}

/// What a source reads from.
fn device(element: &gst::Element) -> Option<String> {
    element.find_property("device")?;
    element.property_value("device").get::<Option<String>>().ok()?.filter(|device| !device.is_empty())
}

fn is_capture(element: &str) -> bool {
    ["v4l2src", "libcamerasrc"].contains(&element)
}

/// The Debian package that has an element, as far as its name tells.
pub(super) fn package(element: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(_, names)| names.iter().any(|name| element.starts_with(name))).map(|(package, _)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_the_elements_that_pipelines_use() {
        for (element, expected) in [
            ("x264enc", "gstreamer1.0-plugins-ugly"),
            ("alsasrc", "gstreamer1.0-alsa"),
            ("libcamerasrc", "gstreamer1.0-libcamera"),
            ("h264parse", "gstreamer1.0-plugins-bad"),
            ("v4l2src", "gstreamer1.0-plugins-good"),
            ("v4l2h264enc", "gstreamer1.0-plugins-good"),
            ("rtspsrc", "gstreamer1.0-plugins-good"),
            ("opusenc", "gstreamer1.0-plugins-base"),
            ("timeoverlay", "gstreamer1.0-x"),
            ("videotestsrc", "gstreamer1.0-plugins-base"),
        ] {
            assert_eq!(package(element), Some(expected), "{element}");
        }
        assert_eq!(package("teapot"), None);
    }

    #[test]
    fn secrets_do_not_get_out() {
        let with = [("password".to_owned(), "hunter2".to_owned()), ("device".to_owned(), "/dev/video0".to_owned())];
        let words = Words::new("x", &with.into());
        let shown = words.failed("src", "no hunter2 on /dev/video0", "").to_string();
        assert_eq!(shown, "pipeline x: src: no *** on /dev/video0");
        assert!(!format!("{words:?}").contains("hunter2"));
    }
}
