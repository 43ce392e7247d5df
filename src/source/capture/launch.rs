//! Pipeline files: gst-launch syntax, comment lines, and placeholders.
//!
//! A line whose first character is `#` is a comment. `{name}` and `{name=default}` are placeholders (lower-case
//! letters, digits and `_`), filled from the camera's `with`; other braces are left alone, because gst-launch has
//! lists of its own (`format={ I420, NV12 }`). A value may hold only what device paths, numbers, caps and URLs need:
//! nothing that could add an element or a property. Nothing here needs GStreamer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Longest value, in bytes. The longest URLs that cameras use have some 300.
const MAX_VALUE: usize = 1_024;
/// What a value may hold beside letters and digits.
const PUNCTUATION: &str = "/._-:,+@%=?&~[]";

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
}

/// Whether the pipeline of `file` could be started with these values, as far as can be told without starting it.
///
/// # Errors
/// The first fault that was found.
pub fn check(file: &Path, with: &BTreeMap<String, String>) -> Result<(), LaunchError> {
    read(file, with).map(drop)
}

/// The description that GStreamer gets.
pub(super) fn read(file: &Path, with: &BTreeMap<String, String>) -> Result<String, LaunchError> {
    let text =
        std::fs::read_to_string(file).map_err(|reason| LaunchError::Unreadable { file: file.to_owned(), reason })?;
    fill(file, &text, with)
}

/// A stretch of a pipeline file.
enum Piece<'a> {
    Text(&'a str),
    Placeholder { name: &'a str, default: Option<&'a str> },
}

fn fill(file: &Path, text: &str, with: &BTreeMap<String, String>) -> Result<String, LaunchError> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    let file = || file.to_owned();
    if text.trim().is_empty() {
        return Err(LaunchError::Empty { file: file() });
    }
    let pieces = pieces(&text);
    let mut defaults: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for piece in &pieces {
        if let Piece::Placeholder { name, default } = piece {
            let known = defaults.entry(name).or_default();
            if known.is_some() && default.is_some() && known != default {
                return Err(LaunchError::Defaults { file: file(), placeholder: (*name).to_owned() });
            }
            *known = known.or(*default);
        }
    }
    if let Some(placeholder) = with.keys().find(|key| !defaults.contains_key(key.as_str())) {
        let known = match defaults.is_empty() {
            true => "none".into(),
            false => defaults.keys().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", "),
        };
        return Err(LaunchError::Unknown { file: file(), placeholder: placeholder.clone(), known });
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        let name = match piece {
            Piece::Text(text) => {
                filled.push_str(text);
                continue;
            }
            Piece::Placeholder { name, .. } => name,
        };
        let given = with.get(name).map(String::as_str);
        let placeholder = name.to_owned();
        let Some(value) = given.or_else(|| defaults.get(name).copied().flatten()) else {
            return Err(LaunchError::Missing { file: file(), placeholder });
        };
        if let Some(reason) = fault(value) {
            return Err(LaunchError::Unsafe { file: file(), placeholder, reason });
        }
        filled.push_str(value);
    }
    let has_sink = |name: &str| filled.split_whitespace().any(|word| word == format!("name={name}"));
    if !has_sink("video") && !has_sink("audio") {
        return Err(LaunchError::NoSink { file: file() });
    }
    Ok(filled)
}

/// What is wrong with a value.
fn fault(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("is empty".into());
    }
    if value.len() > MAX_VALUE {
        return Some(format!("has {} characters, more than {MAX_VALUE}", value.len()));
    }
    let bad = value.chars().find(|c| !c.is_ascii_alphanumeric() && !PUNCTUATION.contains(*c))?;
    Some(format!("has the character {bad:?}; letters, digits and {PUNCTUATION} are allowed"))
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
            pieces.push(Piece::Placeholder { name, default });
            start = close + 1;
            from = start;
        }
    }
    pieces.push(Piece::Text(&text[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, with: &[(&str, &str)]) -> Result<String, String> {
        let with = with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        fill(Path::new("pipelines/x.launch"), text, &with).map_err(|error| error.to_string())
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
    fn values_that_could_add_something_are_refused() {
        let text = "a x={x} ! appsink name=video";
        for value in
            ["", "a b", "a!b", "a\"b", "a'b", "a\\b", "a;b", "a(b", "a{b}", "a\nb", "a\tb", "a#b", "a\u{a0}b", "a\0b"]
        {
            let refused = filled(text, &[("x", value)]).unwrap_err();
            assert!(refused.contains("the value of x "), "{value:?}: {refused}");
        }
        assert!(filled("a x={x=1 2} ! appsink name=video", &[]).is_err());
        assert!(filled(text, &[("x", &"1".repeat(1_025))]).unwrap_err().contains("more than 1024"));
        for value in
            ["/dev/v4l/by-id/usb-046d_HD_Pro-video-index0", "hw:1,0", "30/1", "-5", "rtsps://[::1]:322/a?b=c&d=%20"]
        {
            assert!(filled(text, &[("x", value)]).is_ok(), "{value}");
        }
    }

    #[test]
    fn a_refusal_does_not_tell_the_value() {
        let refused = filled("a x={x} ! appsink name=video", &[("x", "hunter2!")]).unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
