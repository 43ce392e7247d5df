//! What is wrong with a configuration, in the words that its owner reads.
//!
//! Every message of the configuration layer is written here, and each has the same form: the place, the key, what was
//! found, what is allowed. Whoever makes a [`Fault`] hands in only what may be shown; no variant holds a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::key_path::KeyPath;
use crate::source::config::BadUrl;

/// Everything that is wrong with a configuration, in the order of the file. One line of `Display` for each fault.
#[derive(Debug)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Sorts by place: the file as a whole, its lines, then the environment.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| a.place.order().cmp(&b.place.order()));
        Self(faults)
    }

    /// The number of faults, at least one.
    #[expect(clippy::len_without_is_empty, reason = "is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each fault on its own, for a caller that prints or logs line by line.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// One thing that is wrong. Its `Display` is one line:
/// `config.toml:12: camera[1] "front" url: found ..., allowed: ...`.
#[derive(Debug)]
pub struct Fault {
    place: Place,
    key: String,
    problem: Box<Problem>,
}

impl Fault {
    /// A fault at `place` in the value of `key`, which is empty where no key is to blame.
    pub(super) fn new(place: Place, key: String, problem: Problem) -> Self {
        Self { place, key, problem: Box::new(problem) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path or a quoted key may hold a line break, but a fault is one line.
        let line = match self.key.as_str() {
            "" => format!("{}: {}", self.place, self.problem),
            key => format!("{}: {key}: {}", self.place, self.problem),
        };
        f.write_str(&line.replace(|c: char| c.is_control(), " "))
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The file as a whole.
    File(PathBuf),
    /// A line of the file, counted from 1.
    Line(PathBuf, usize),
    /// An environment variable.
    Variable(String),
}

impl Place {
    fn order(&self) -> (u8, usize, &str) {
        match self {
            Self::File(_) => (0, 0, ""),
            Self::Line(_, line) => (1, *line, ""),
            Self::Variable(name) => (2, 0, name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// What was found and what is allowed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("found no such file, allowed: the path of a configuration file, as in camgate run --config FILE")]
    NoFile,
    #[error("found something that cannot be read ({0}), allowed: a readable file")]
    Unreadable(#[source] io::Error),
    #[error("found a byte that is not UTF-8 at byte offset {offset}, allowed: UTF-8 text")]
    NotUtf8 { offset: usize },
    #[error("column {column}: found no TOML ({reason}), allowed: TOML, such as key = \"value\"")]
    NotToml { column: usize, reason: String },
    #[error("found an unknown key{}, allowed: {allowed}", did_you_mean(close))]
    UnknownKey { close: Option<String>, allowed: String },
    #[error("found {found}, allowed: {allowed}")]
    Value { found: String, allowed: String },
    #[error(transparent)]
    Url(BadUrl),
    #[error("found {name:?} again, first at {first}, allowed: a name that no other {whose} has")]
    DuplicateName { name: String, first: String, whose: &'static str },
    #[error("found neither password_hash nor token_hash, allowed: one of the two or both")]
    NoPassword,
    #[error("found neither url nor pipeline nor source, allowed: exactly one of the three")]
    NoInput,
    #[error("found both {first} and {second}, allowed: exactly one of url, pipeline and source")]
    TwoInputs { first: &'static str, second: &'static str },
    #[error("found a {given} without {missing}, allowed: both or none")]
    Unpaired { given: &'static str, missing: &'static str },
    #[error("found both password and password_file, allowed: at most one of the two")]
    TwoPasswords,
    #[error("found {file:?}, which {reason}, allowed: a readable file with nothing but the password")]
    PasswordFile { file: PathBuf, reason: String },
    #[error("found both {first} and {second}, allowed: at most one of the two")]
    Exclusive { first: &'static str, second: &'static str },
    #[error("found {file:?}, which {reason}, allowed: a readable file with nothing but the secret")]
    SecretFile { file: PathBuf, reason: String },
    #[error("found a key that a camera with {input} does not have, allowed: only together with {needs}")]
    Misplaced { input: &'static str, needs: &'static str },
    #[error("found {name:?}, but no {name}.launch in {searched}, allowed: {available}")]
    NoPipeline { name: String, searched: String, available: String },
    #[error(
        "found an unknown variable{}, allowed: CAMGATE_SECTION__KEY or CAMGATE_CAMERA__NAME__KEY",
        did_you_mean(close)
    )]
    UnknownVariable { close: Option<String> },
    #[error("found a variable for a camera that the file does not have, allowed: {allowed}")]
    UnknownCamera { allowed: String },
    #[error("found a variable that fits {first} and {second}, allowed: camera names that differ in more than - and _")]
    TwoCameras { first: KeyPath, second: KeyPath },
    #[error("found a value that is not Unicode, allowed: UTF-8 text")]
    NotUnicode,
    #[error("found what this version cannot read, although every check passed; please report it")]
    Unexpected,
}

fn did_you_mean(close: &Option<String>) -> String {
    close.as_ref().map(|close| format!(", did you mean {close:?}?")).unwrap_or_default()
}
