//! Whether a section has only keys that exist, each with a value of its type and within its bounds.
//!
//! A table of merged values enters; what serde may fill into a struct leaves. Every key that does not fit is reported
//! and taken out, so that one mistake hides no other and serde cannot fail afterwards.

use std::collections::BTreeSet;

use ::config::{Map, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{self, ICE_SERVER, Kind, Section};
use super::report::Report;
use crate::source::config::redact_url;

/// What is left of a section after the check.
pub(super) struct Checked<T> {
    /// The values that passed; the rest looks as if it were not there.
    pub(super) values: T,
    /// The names of the keys that were there and did not pass.
    pub(super) refused: BTreeSet<String>,
}

/// Checks the table at `path` against `section` and reads what passed.
pub(super) fn section<T: DeserializeOwned + Default>(
    section: &Section,
    path: &KeyPath,
    value: Option<Value>,
    report: &mut Report<'_>,
) -> Checked<T> {
    let mut table = match value.map(|value| value.kind) {
        Some(ValueKind::Table(table)) => table,
        Some(other) => {
            report.value(path, describe(&other), format_args!("a table with the keys {}", names(section)));
            Map::new()
        }
        None => Map::new(),
    };
    let refused = check_table(section, path, &mut table, report);
    let values = Value::new(None, ValueKind::Table(table)).try_deserialize().unwrap_or_else(|_| {
        // The error may show a value, and a value may be a password.
        report.add(path, Problem::Unexpected);
        T::default()
    });
    Checked { values, refused }
}

fn check_table(
    section: &Section,
    path: &KeyPath,
    table: &mut Map<String, Value>,
    report: &mut Report<'_>,
) -> BTreeSet<String> {
    let mut refused = BTreeSet::new();
    table.retain(|name, value| {
        let path = path.key(name);
        let fits = match section.key(name) {
            Some(key) => fits(&key.kind, &path, value, report),
            None => {
                let close = keys::closest(name, section.keys.iter().map(|key| key.name));
                report.add(&path, Problem::UnknownKey { close, allowed: names(section) });
                false
            }
        };
        if !fits {
            refused.insert(name.clone());
        }
        fits
    });
    refused
}

/// Whether `value` is of this kind; reports why not.
fn fits(kind: &Kind, path: &KeyPath, value: &mut Value, report: &mut Report<'_>) -> bool {
    let fits = match (kind, &mut value.kind) {
        (Kind::Text(_) | Kind::Secret(_), ValueKind::String(_)) => true,
        (Kind::Choice(choices), ValueKind::String(text)) => choices.contains(&text.as_str()),
        (Kind::Integer { min, max }, ValueKind::I64(number)) => (*min..=*max).contains(number),
        (Kind::Seconds { min, max }, ValueKind::Float(number)) => (*min..=*max).contains(number),
        // No value within the bounds of any key is too large for a float to hold it exactly.
        (Kind::Seconds { min, max }, ValueKind::I64(number)) => (*min..=*max).contains(&(*number as f64)),
        (Kind::Flag, ValueKind::Boolean(_)) | (Kind::TextOrList(_), ValueKind::String(_)) => true,
        (Kind::TextList(_) | Kind::TextOrList(_), ValueKind::Array(list)) => {
            return all(list, path, |path, value| match &value.kind {
                ValueKind::String(_) => true,
                other => {
                    report.value(path, describe(other), kind);
                    false
                }
            });
        }
        (Kind::IceServers, ValueKind::Array(list)) => {
            return all(list, path, |path, value| match &mut value.kind {
                ValueKind::String(_) => true,
                ValueKind::Table(table) => check_table(&ICE_SERVER, path, table, report).is_empty(),
                other => {
                    report.value(path, describe(other), kind);
                    false
                }
            });
        }
        (Kind::Table(section), ValueKind::Table(table)) => {
            // What is left of it is good.
            check_table(section, path, table, report);
            return true;
        }
        (Kind::Parameters, ValueKind::Table(table)) => {
            let mut fits = true;
            for (name, value) in table {
                if matches!(value.kind, ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil) {
                    report.value(&path.key(name), describe(&value.kind), "a string, a number, true or false");
                    fits = false;
                }
            }
            return fits;
        }
        _ => false,
    };
    if !fits {
        let found = match kind {
            Kind::Secret(_) => "a value that is not in quotes".to_owned(),
            _ => describe(&value.kind),
        };
        report.value(path, found, kind);
    }
    fits
}

/// Whether all entries fit, each of them looked at.
fn all(list: &mut [Value], path: &KeyPath, mut fits: impl FnMut(&KeyPath, &mut Value) -> bool) -> bool {
    let check = |(index, value)| fits(&path.index(index), value);
    list.iter_mut().enumerate().map(check).fold(true, |all, one| all & one)
}

/// A value in the words of a message: short, on one line, without credentials.
pub(super) fn describe(value: &ValueKind) -> String {
    match value {
        ValueKind::Nil => "nothing".into(),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::String(text) => quote(text),
        other => other.to_string(),
    }
}

/// A text as a message shows it: in quotes, cut to a readable length, and without the credentials of a URL.
pub(super) fn quote(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let shown = if text.contains("://") || text.contains('@') { redact_url(text) } else { text.to_owned() };
    match shown.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{:?}...", &shown[..end]),
        None => format!("{shown:?}"),
    }
}

fn names(section: &Section) -> String {
    section.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
