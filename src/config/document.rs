//! The configuration file as text: read, proved to be TOML, and able to say on which line a key stands.
//!
//! A path enters, a [`Document`] leaves. Refused with one fault: no file, no readable file, no UTF-8, no TOML. The
//! fault about TOML shows the parser's reason but never the line itself, which may hold a password.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place, Problem};
use super::key_path::KeyPath;
use super::keys;

/// A file that is TOML. Without `Debug`, as its text may hold passwords; so are all types here that hold raw values.
pub(super) struct Document {
    path: PathBuf,
    text: String,
    /// The line of each key and list entry, counted from 1.
    lines: HashMap<KeyPath, usize>,
    sections: Vec<String>,
    /// The names in each list of tables.
    names: HashMap<&'static str, Vec<Option<String>>>,
}

impl Document {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Fault> {
        let fault = |problem| Fault::new(Place::File(path.to_owned()), String::new(), problem);
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault(Problem::NoFile),
            _ => fault(Problem::Unreadable(error)),
        })?;
        Self::parse(path, bytes)
    }

    /// What the file at `path` holds.
    pub(super) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, Fault> {
        let fault = |place, problem| Fault::new(place, String::new(), problem);
        let on_line = |line| Place::Line(path.to_owned(), line);
        let text = String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            let (line, _) = line_and_column(error.as_bytes(), offset);
            fault(on_line(line), Problem::NotUtf8 { offset })
        })?;
        let not_toml = |error: toml::de::Error| {
            let (line, column) = line_and_column(text.as_bytes(), error.span().map_or(0, |span| span.start));
            fault(on_line(line), Problem::NotToml { column, reason: error.message().to_owned() })
        };
        let table = DeTable::parse(&text).map_err(not_toml)?.into_inner();
        // The table above keeps numbers as text; this reads them too and refuses what 64 bits do not hold.
        toml::from_str::<toml::Table>(&text).map_err(not_toml)?;

        let mut lines = HashMap::new();
        index_table(&text, &KeyPath::default(), &table, &mut lines);
        let sections = table.keys().map(|key| key.get_ref().clone().into_owned()).collect();
        let names = keys::LISTS.iter().map(|list| (list.name, names(&table, list.name))).collect();
        Ok(Self { path: path.to_owned(), text, lines, sections, names })
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line of the value at `path`, or of the innermost table around it that is in the file.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        match path.outwards().find_map(|path| self.lines.get(&path)) {
            Some(line) => Place::Line(self.path.clone(), *line),
            None => Place::File(self.path.clone()),
        }
    }

    /// The top-level keys, those that do not exist among them.
    pub(super) fn sections(&self) -> &[String] {
        &self.sections
    }

    /// The name of each `[[camera]]` or `[[user]]`, where there is one that is text, checked or not.
    pub(super) fn names(&self, list: &str) -> &[Option<String>] {
        self.names.get(list).map_or(&[], Vec::as_slice)
    }
}

fn index_table(text: &str, path: &KeyPath, table: &DeTable<'_>, lines: &mut HashMap<KeyPath, usize>) {
    for (key, value) in table {
        let path = path.key(key.get_ref());
        lines.insert(path.clone(), line_and_column(text.as_bytes(), key.span().start).0);
        index_value(text, &path, value.get_ref(), lines);
    }
}

fn index_value(text: &str, path: &KeyPath, value: &DeValue<'_>, lines: &mut HashMap<KeyPath, usize>) {
    match value {
        DeValue::Table(table) => index_table(text, path, table, lines),
        DeValue::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let path = path.index(index);
                lines.insert(path.clone(), line_and_column(text.as_bytes(), value.span().start).0);
                index_value(text, &path, value.get_ref(), lines);
            }
        }
        _ => {}
    }
}

fn names(table: &DeTable<'_>, list: &str) -> Vec<Option<String>> {
    let Some(DeValue::Array(entries)) = table.get(list).map(|entries| entries.get_ref()) else {
        return Vec::new();
    };
    let name = |entry: &DeValue<'_>| match entry.get("name")?.get_ref() {
        DeValue::String(name) => Some(name.clone().into_owned()),
        _ => None,
    };
    entries.iter().map(|entry| name(entry.get_ref())).collect()
}

/// Line and column of a byte offset, both counted from 1, the column in characters.
fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let is_first_of_character = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    let column = before[line_start..].iter().filter(is_first_of_character).count() + 1;
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, column)
}
