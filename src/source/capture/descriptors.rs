//! Whether this process has file descriptors left for a pipeline: GLib ends the process when it gets none.

use std::fs::File;

/// For a pipeline with a network source, and what it opens while it runs: more than any of ours was seen to have (19).
const FOR_A_PIPELINE: usize = 32;
/// What is opened to find out.
const NOTHING: &str = "/dev/null";

/// Whether so many can be opened now. Somebody else may take them a moment later; that is no worse than not to look.
pub(super) fn are_left() -> bool {
    let opened: Result<Vec<_>, _> = (0..FOR_A_PIPELINE).map(|_| File::open(NOTHING)).collect();
    opened.is_ok()
}
