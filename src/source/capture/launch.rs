//! Pipeline files: gst-launch syntax, comment lines, and placeholders.
//!
//! A line whose first character is `#` is a comment. `{name}` and `{name=default}` are placeholders (lower-case
//! letters, digits and `_`), filled from the camera's `with`; other braces are left alone, because gst-launch has
//! lists of its own (`format={ I420, NV12 }`). Two placeholders are special: `{encoder}` is the best H.264 encoder of
//! this machine (`encoder`), `{certificate}` says whom an RTSP source trusts (`certificate`). Nothing here needs
//! GStreamer.

mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    certificate::{self, Fingerprint},
    encoder::{self, Element, Settings},
};

/// The placeholder for the best encoder.
const ENCODER: &str = "encoder";
/// The placeholder for the certificate that is accepted.
const CERTIFICATE: &str = "certificate";

/// Why a pipeline file cannot be used. Holds no value: some are passwords.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The file cannot be read.
    #[error("the pipeline file {} cannot be read: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// There is nothing but comments in it.
    #[error("the pipeline file {} describes no pipeline", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A placeholder without a default has no value.
    #[error("the pipeline file {} needs a value for {placeholder}: set {placeholder} in the camera's with", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The placeholder's name.
        placeholder: String,
    },
    /// There is a value for something that the file does not ask for.
    #[error("the pipeline file {} has no placeholder {placeholder}; it has: {known}", file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The name that was given.
        placeholder: String,
        /// The names that there are.
        known: String,
    },
    /// A value, or a default, holds what it must not.
    #[error("the pipeline file {}: the value of {placeholder} {reason}", file.display())]
    Unsafe {
        /// The file.
        file: PathBuf,
        /// The placeholder's name.
        placeholder: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// One placeholder has two defaults.
    #[error("the pipeline file {} has different defaults for {placeholder}", file.display())]
    Defaults {
        /// The file.
        file: PathBuf,
        /// The placeholder's name.
        placeholder: String,
    },
    /// Nothing would come out.
    #[error(
        "the pipeline file {} has no \"appsink name=video\" and no \"appsink name=audio\": what it makes would go nowhere",
        file.display()
    )]
    NoSink {
        /// The file.
        file: PathBuf,
    },
    /// Nothing could go in.
    #[error("the pipeline file {} has no \"appsrc name=talk\": what is said would go nowhere", file.display())]
    NoTalk {
        /// The file.
        file: PathBuf,
    },
}

/// Whether the pipeline of `file` could be started with these values, as far as can be told without GStreamer.
///
/// # Errors
/// The first fault that was found.
pub fn check(file: &Path, with: &BTreeMap<String, String>) -> Result<(), LaunchError> {
    read(file, with, Flow::In).map(drop)
}

/// What a pipeline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// To be a camera.
    In,
    /// To be a loudspeaker.
    #[cfg_attr(not(any(test, feature = "gstreamer")), allow(dead_code))]
    Out,
}

/// A pipeline file whose placeholders are filled. Its `Debug` does not show with what: some are passwords.
pub(super) struct Launch {
    /// The description; the encoder goes between the parts.
    parts: Vec<String>,
    /// What the encoder is asked for, if there is one.
    pub(super) encoder: Option<Encoding>,
    /// The one certificate that an RTSP source may accept.
    pub(super) pin: Option<Fingerprint>,
}

/// What the place of the encoder asks for.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "gstreamer"), allow(dead_code))]
pub(super) struct Encoding {
    /// The encoder that the configuration forces.
    pub(super) forced: Option<Element>,
    pub(super) settings: Settings,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("parts", &self.parts.len())
            .field("encoder", &self.encoder)
            .finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "gstreamer"))]
impl Launch {
    /// What GStreamer gets, with `element` in the place of the encoder.
    pub(super) fn description(&self, element: Option<Element>) -> String {
        let encoder = self.encoder.zip(element).map(|(wanted, element)| element.launch(&wanted.settings));
        self.parts.join(&encoder.unwrap_or_default())
    }
}

/// Reads and fills a pipeline file.
pub(super) fn read(file: &Path, with: &BTreeMap<String, String>, flow: Flow) -> Result<Launch, LaunchError> {
    let text =
        std::fs::read_to_string(file).map_err(|reason| LaunchError::Unreadable { file: file.to_owned(), reason })?;
    fill(file, &text, with, flow)
}

/// For `fuzz/`: fills `text` and holds that the values of `with` leave the words and the quotes of the file as they are.
#[cfg(feature = "fuzzing")]
pub(in crate::source) fn fuzz(file: &Path, text: &str, with: &BTreeMap<String, String>) {
    let shape = |with: &BTreeMap<String, String>| {
        let parts = fill(file, text, with, Flow::In).ok()?.parts;
        let signs = |part: &String| part.chars().filter(|c| "\"\\\n\t".contains(*c)).count();
        Some((parts.len(), parts.iter().map(signs).sum::<usize>()))
    };
    let Some(filled) = shape(with) else { return };
    let tame: BTreeMap<_, _> = with.keys().map(|key| (key.clone(), "1".to_owned())).collect();
    let same = |tame: (usize, usize)| assert_eq!(filled, tame, "a value changes what the file says");
    // A value that means something of its own, such as an encoder's name, has no tame one.
    shape(&tame).map(same).unwrap_or_default();
}

/// A stretch of a pipeline file.
enum Piece<'a> {
    Text(&'a str),
    Placeholder(Placeholder<'a>),
}

struct Placeholder<'a> {
    name: &'a str,
    default: Option<&'a str>,
    /// Between double quotes.
    quoted: bool,
}

/// The placeholders of a file and the values for them.
struct Values<'a> {
    file: &'a Path,
    defaults: BTreeMap<&'a str, Option<&'a str>>,
    with: &'a BTreeMap<String, String>,
}

fn fill(file: &Path, text: &str, with: &BTreeMap<String, String>, flow: Flow) -> Result<Launch, LaunchError> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    if text.trim().is_empty() {
        return Err(LaunchError::Empty { file: file.to_owned() });
    }
    let pieces = pieces(&text);
    let values = Values::new(file, &pieces, with)?;
    let mut launch = Launch { parts: vec![String::with_capacity(text.len())], encoder: None, pin: None };
    for piece in &pieces {
        let filled = match piece {
            Piece::Text(text) => text,
            Piece::Placeholder(Placeholder { name: ENCODER, .. }) => {
                launch.encoder = Some(values.encoding()?);
                launch.parts.push(String::new());
                continue;
            }
            Piece::Placeholder(Placeholder { name: CERTIFICATE, .. }) => {
                let value = values.get(CERTIFICATE).unwrap_or(certificate::TRUSTED);
                launch.pin = certificate::pin(value).map_err(|reason| values.unsafe_value(CERTIFICATE, reason))?;
                certificate::PROPERTY
            }
            Piece::Placeholder(placeholder) => values.plain(placeholder)?,
        };
        if let Some(part) = launch.parts.last_mut() {
            part.push_str(filled);
        }
    }
    let mut words = launch.parts.iter().flat_map(|part| part.split_whitespace());
    let file = file.to_owned();
    match flow {
        Flow::In if !words.any(|word| matches!(word, "name=video" | "name=audio")) => Err(LaunchError::NoSink { file }),
        Flow::Out if !words.any(|word| word == "name=talk") => Err(LaunchError::NoTalk { file }),
        Flow::In | Flow::Out => Ok(launch),
    }
}

impl<'a> Values<'a> {
    fn new(file: &'a Path, pieces: &[Piece<'a>], with: &'a BTreeMap<String, String>) -> Result<Self, LaunchError> {
        let mut defaults: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for piece in pieces {
            let Piece::Placeholder(Placeholder { name, default, .. }) = piece else { continue };
            let known = defaults.entry(name).or_default();
            if known.is_some() && default.is_some() && known != default {
                return Err(LaunchError::Defaults { file: file.to_owned(), placeholder: (*name).to_owned() });
            }
            *known = known.or(*default);
        }
        if defaults.contains_key(ENCODER) {
            for name in encoder::PLACEHOLDERS {
                defaults.entry(name).or_default();
            }
        }
        if let Some(placeholder) = with.keys().find(|key| !defaults.contains_key(key.as_str())) {
            let known = match defaults.is_empty() {
                true => "none".into(),
                false => defaults.keys().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", "),
            };
            let file = file.to_owned();
            return Err(LaunchError::Unknown { file, placeholder: placeholder.clone(), known });
        }
        Ok(Self { file, defaults, with })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let given: Option<&'a str> = self.with.get(name).map(String::as_str);
        given.or_else(|| self.defaults.get(name).copied().flatten())
    }

    fn plain(&self, placeholder: &Placeholder<'a>) -> Result<&'a str, LaunchError> {
        let Placeholder { name, quoted, .. } = *placeholder;
        let Some(value) = self.get(name) else {
            return Err(LaunchError::Missing { file: self.file.to_owned(), placeholder: name.to_owned() });
        };
        match value::fault(name, value, quoted) {
            Some(reason) => Err(self.unsafe_value(name, reason)),
            None => Ok(value),
        }
    }

    /// What the encoder is asked for. Of the picture it learns what the file says in whole numbers.
    fn encoding(&self) -> Result<Encoding, LaunchError> {
        let bounded = |name, (least, most)| match self.get(name).map(|text| value::number(text, least, most)) {
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(reason)) => Err(self.unsafe_value(name, reason)),
            None => Ok(None),
        };
        let about = |name| self.get(name).and_then(|value| value.parse().ok());
        let forced = match self.get(ENCODER) {
            None | Some(encoder::AUTO) => None,
            Some(name) => Some(Element::by_name(name).ok_or_else(|| {
                let known = encoder::ELEMENTS.map(Element::name).join(", ");
                self.unsafe_value(ENCODER, format!("is neither \"{}\" nor one of {known}", encoder::AUTO))
            })?),
        };
        let (bitrate, gop) = (bounded("bitrate", encoder::BITRATE)?, bounded("gop", encoder::GOP)?);
        Ok(Encoding { forced, settings: Settings::new(bitrate, gop, about("width"), about("height"), about("fps")) })
    }

    fn unsafe_value(&self, placeholder: &str, reason: String) -> LaunchError {
        LaunchError::Unsafe { file: self.file.to_owned(), placeholder: placeholder.to_owned(), reason }
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        from = open + 1;
        let Some(close) = text[from..].find(['{', '}', '\n']).map(|at| from + at) else { break };
        let inside = &text[from..close];
        let (name, default) = match inside.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if text[close..].starts_with('}') && is_name {
            pieces.push(Piece::Text(&text[start..open]));
            start = close + 1;
            from = start;
            let quoted = text[..open].ends_with('"') && text[start..].starts_with('"');
            pieces.push(Piece::Placeholder(Placeholder { name, default, quoted }));
        }
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(text: &str, with: &[(&str, &str)]) -> Result<Launch, String> {
        let with = with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        fill(Path::new("pipelines/x.launch"), text, &with, Flow::In).map_err(|error| error.to_string())
    }

    fn filled(text: &str, with: &[(&str, &str)]) -> Result<String, String> {
        launch(text, with).map(|launch| launch.description(None))
    }

    #[test]
    fn fills_placeholders_and_drops_comments() {
        let text = "# {unknown} is only talk\nv4l2src device={device} ! \n  # more\n video/x-raw,width={w=640} \
                    ! x264enc ! appsink name=video";
        let got = filled(text, &[("device", "/dev/video0")]).unwrap();
        assert!(got.starts_with("v4l2src device=/dev/video0 ! \n video/x-raw,width=640"), "{got}");
        assert!(filled(text, &[("device", "/dev/video0"), ("w", "320")]).unwrap().contains("width=320 "));
    }

    #[test]
    fn a_loudspeaker_takes_what_is_said() {
        let fill = |text| fill(Path::new("pipelines/x.launch"), text, &BTreeMap::new(), Flow::Out);
        assert!(fill("appsrc name=talk ! autoaudiosink").is_ok());
        let refused = fill("audiotestsrc ! appsink name=audio").unwrap_err().to_string();
        assert!(refused.contains("no \"appsrc name=talk\""), "{refused}");
    }

    #[test]
    fn what_was_filled_in_is_not_printed() {
        let filled = launch("a user-pw=\"{password}\" ! appsink name=video", &[("password", "opensesame")]);
        let printed = format!("{filled:?}");
        assert!(filled.is_ok() && !printed.contains("opensesame"), "{printed}");
    }

    #[test]
    fn a_default_holds_for_every_use_of_a_placeholder() {
        let text = "a x={fps=25} y={fps} ! appsink name=audio";
        assert_eq!(filled(text, &[]).unwrap(), "a x=25 y=25 ! appsink name=audio");
        assert!(
            filled("a x={fps=25} y={fps=30} ! appsink name=video", &[]).unwrap_err().contains("different defaults")
        );
    }

    #[test]
    fn lists_of_gst_launch_are_left_alone() {
        let text = "a ! video/x-raw,format={ I420, NV12 },b={NV12} ! appsink name=video";
        assert_eq!(filled(text, &[]).unwrap(), text);
        let open = "a ! b={ ! appsink name=video";
        assert_eq!(filled(open, &[]).unwrap(), open);
    }

    #[test]
    fn refusals_name_file_placeholder_and_reason() {
        let text = "a device={device} size={size=1} ! appsink name=video";
        let missing = filled(text, &[]).unwrap_err();
        assert!(missing.contains("pipelines/x.launch") && missing.contains("needs a value for device"), "{missing}");
        let unknown = filled(text, &[("devise", "x")]).unwrap_err();
        assert!(unknown.contains("no placeholder devise; it has: device, size"), "{unknown}");
        assert!(filled("a ! appsink name=video", &[("x", "1")]).unwrap_err().ends_with("it has: none"));
        assert!(filled("# nothing", &[]).unwrap_err().contains("describes no pipeline"));
        assert!(filled("a ! appsink name=vid", &[]).unwrap_err().contains("appsink name=video"));
        let with = BTreeMap::new();
        assert!(check(Path::new("/nowhere/x.launch"), &with).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_refusal_does_not_tell_the_value() {
        let refused = filled("a x={x} ! appsink name=video", &[("x", "hunter2!")]).unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn every_value_is_checked_defaults_too() {
        assert!(filled("a x={x} ! appsink name=video", &[("x", "1 2")]).unwrap_err().contains("the value of x has"));
        assert!(filled("a x={x=1 2} ! appsink name=video", &[]).is_err());
        assert!(filled("a x=\"{x}\" ! appsink name=video", &[("x", "1 2")]).is_ok());
        assert!(filled("a x={x=} ! appsink name=video", &[]).unwrap_err().contains("is empty"));
        assert_eq!(filled("a x=\"{x=}\" ! appsink name=video", &[]).unwrap(), "a x=\"\" ! appsink name=video");
    }

    #[test]
    fn the_encoder_takes_what_the_picture_is() {
        let text = "a ! video/x-raw,width={width=640},framerate={fps=20}/1 ! {encoder} ! appsink name=video";
        let launch_ = launch(text, &[]).unwrap();
        let settings = launch_.encoder.unwrap().settings;
        assert_eq!((settings.width, settings.fps, settings.gop, settings.bitrate_kbps), (640, 20, 40, 2_500));
        let description = launch_.description(Some(Element::X264));
        assert!(description.contains("framerate=20/1 ! videoconvert ! x264enc "), "{description}");
        assert!(description.ends_with("h264parse ! appsink name=video"), "{description}");
        let forced = launch(text, &[("encoder", "openh264enc"), ("bitrate", "800"), ("gop", "10")]).unwrap();
        let encoding = forced.encoder.unwrap();
        assert_eq!(encoding.forced, Some(Element::OpenH264));
        assert_eq!((encoding.settings.bitrate_kbps, encoding.settings.gop), (800, 10));
        assert!(launch(text, &[("encoder", "auto")]).unwrap().encoder.unwrap().forced.is_none());
    }

    #[test]
    fn the_encoder_is_one_of_a_known_set() {
        let text = "a ! {encoder} ! appsink name=video";
        for (key, value, reason) in [
            ("encoder", "fakesink", "is neither \"auto\" nor one of v4l2h264enc, vah264enc"),
            ("encoder", "x264enc qp-max=1", "is neither"),
            ("bitrate", "2500k", "the value of bitrate is not a whole number from 50 to 100000"),
            ("gop", "0", "the value of gop is not a whole number from 1 to 1000"),
        ] {
            let refused = launch(text, &[(key, value)]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(launch("a ! appsink name=video", &[("encoder", "x264enc")]).unwrap_err().contains("no placeholder"));
    }

    #[test]
    fn a_certificate_is_trusted_or_pinned() {
        let text = "rtspsrc {certificate} ! appsink name=video";
        let trusted = launch(text, &[]).unwrap();
        assert!(trusted.pin.is_none() && trusted.description(None).contains("validate-all"));
        let pinned = launch(text, &[("certificate", &"a1".repeat(32))]).unwrap();
        assert!(pinned.pin.is_some() && !pinned.description(None).contains("a1a1"));
        for value in ["any", "0", "trusted tls-validation-flags=0"] {
            let refused = launch(text, &[("certificate", value)]).unwrap_err();
            assert!(refused.contains("the value of certificate is neither \"trusted\" nor"), "{refused}");
        }
    }
}
