//! Ways in for `fuzz/`: what cameras send, and pipeline files.

use std::{collections::BTreeMap, path::Path};

use super::capture::launch;
pub use super::rtsp::fuzzing::{camera_texts, rtp_of_h264};

/// Fills `text`, a pipeline file, with `with`. A value must not be able to add an element or a property.
pub fn launch_template(text: &str, with: &[(&str, &str)]) {
    let with: BTreeMap<_, _> = with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    launch::fuzz(Path::new("x.launch"), text, &with);
}
