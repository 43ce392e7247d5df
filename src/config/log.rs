//! The section `[log]`.

use ::config::Value;
use serde::Deserialize;

use super::check::{self, Checked};
use super::key_path::KeyPath;
use super::keys;
use super::report::Report;
use crate::log;

/// `[log]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogSection {
    format: Option<log::Format>,
    level: Option<log::Detail>,
}

/// Reads `[log]`.
pub(super) fn log(value: Option<Value>, report: &mut Report<'_>) -> log::Config {
    let path = KeyPath::root(keys::LOG.name);
    let Checked { values, .. } = check::section::<LogSection>(&keys::LOG, &path, value, report);
    log::Config { format: values.format.unwrap_or_default(), level: values.level.unwrap_or_default() }
}
