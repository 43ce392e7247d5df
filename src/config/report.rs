//! Where faults are collected while a configuration is read, and where each is given its place and its key.
//!
//! The reading code says only "this key path, this problem"; the report knows the file, which values an environment
//! variable has replaced, and how a camera is called.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::document::Document;
use super::environment::Override;
use super::fault::{Fault, Faults, Place, Problem};
use super::key_path::KeyPath;

/// The faults so far.
pub(super) struct Report<'a> {
    document: &'a Document,
    /// The variable that a value came from.
    variables: HashMap<KeyPath, String>,
    faults: Vec<Fault>,
    /// What was read beside the document.
    files: BTreeSet<PathBuf>,
}

impl<'a> Report<'a> {
    /// No fault yet.
    pub(super) fn new(document: &'a Document) -> Self {
        Self { document, variables: HashMap::new(), faults: Vec::new(), files: BTreeSet::new() }
    }

    /// From now on a fault at a path of `overrides` is one of the variable.
    pub(super) fn note_overrides(&mut self, overrides: &[Override]) {
        self.variables = overrides.iter().map(|o| (o.path.clone(), o.variable.clone())).collect();
    }

    /// A problem with the value at `path`.
    pub(super) fn add(&mut self, path: &KeyPath, problem: Problem) {
        self.faults.push(Fault::new(self.place(path), self.shown(path), problem));
    }

    /// A value at `path` that is not among the allowed ones.
    pub(super) fn value(&mut self, path: &KeyPath, found: impl Into<String>, allowed: impl ToString) {
        self.add(path, Problem::Value { found: found.into(), allowed: allowed.to_string() });
    }

    /// A problem with an environment variable that has no key path.
    pub(super) fn add_variable(&mut self, variable: &str, problem: Problem) {
        self.faults.push(Fault::new(Place::Variable(variable.to_owned()), String::new(), problem));
    }

    /// The place of the value at `path`: the variable that set it, or else its line.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        match path.outwards().find_map(|path| self.variables.get(&path)) {
            Some(variable) => Place::Variable(variable.clone()),
            None => self.document.place(path),
        }
    }

    /// The file that is read.
    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    /// A file that the document names, and that a value comes from.
    pub(super) fn note_file(&mut self, file: &Path) {
        self.files.insert(file.to_owned());
    }

    /// Those files, whether they could be read or not.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        self.files.clone()
    }

    /// `value` if there is no fault, or else all of them.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults::new(self.faults)) }
    }

    /// The path in the words of the messages: `http.listen`, `camera[1] "front" url`.
    fn shown(&self, path: &KeyPath) -> String {
        let Some((list, index, rest)) = path.within_list() else { return path.to_string() };
        let name = match self.document.names(list).get(index) {
            Some(Some(name)) => format!(" {name:?}"),
            _ => String::new(),
        };
        format!("{list}[{index}]{name} {rest}").trim_end().to_owned()
    }
}
