//! Why something does not play: one sentence, for every place where it is told.

use std::fmt;

/// Said alike by the log, the API, the pages and whoever asks over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Names the cause for programs: stays as it is when the sentence is put better. docs/why.md lists them.
    pub code: &'static str,
    /// For a person: what is wrong and, behind a colon, what to do about it. Begins small and has no full stop, so that it can
    /// stand behind a colon itself.
    pub sentence: String,
}

impl Reason {
    /// Both.
    pub fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
