//! A way in for `fuzz/`.

use std::{ffi::OsString, path::Path};

use super::{Document, read_all};

/// Reads `text` as a configuration file, with one environment variable that overrides it. Files that it names are looked for
/// in a folder that does not exist.
pub fn configuration(text: &[u8], variable: (&str, &str)) {
    let Ok(document) = Document::parse(Path::new("/nonexistent/config.toml"), text.to_vec()) else { return };
    let environment = [(OsString::from(variable.0), OsString::from(variable.1))];
    if let Err(faults) = read_all(&document, environment).config {
        assert!(!faults.to_string().is_empty(), "a refusal says why");
    }
}
