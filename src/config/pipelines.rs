//! The section `[pipelines]`: the folders of pipeline files, and the search for one by its name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::config::Value;
use serde::Deserialize;

use super::check::{self, Checked, quote};
use super::defaults;
use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{self, PIPELINE_WORDS};
use super::report::Report;

/// `[pipelines]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelinesSection {
    path: Option<Vec<PathBuf>>,
}

/// Folders with `.launch` files. The first one that has a file wins.
#[derive(Debug)]
pub(super) struct Pipelines {
    folders: Vec<PathBuf>,
}

/// Reads `[pipelines]`.
pub(super) fn pipelines(value: Option<Value>, report: &mut Report<'_>) -> Pipelines {
    let path = KeyPath::root(keys::PIPELINES.name);
    let Checked { values, .. } = check::section::<PipelinesSection>(&keys::PIPELINES, &path, value, report);
    let folders = values.path.unwrap_or_else(|| defaults::PIPELINE_FOLDERS.map(PathBuf::from).to_vec());
    if folders.is_empty() {
        report.value(&path.key("path"), "an empty list", "at least one folder with .launch files");
    }
    let folder = report.document().folder();
    Pipelines { folders: folders.into_iter().map(|path| folder.join(path)).collect() }
}

impl Pipelines {
    /// The file `{name}.launch`.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf, Problem> {
        // Nothing that could lead out of the folders.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(Problem::Value { found: quote(name), allowed: PIPELINE_WORDS.into() });
        }
        let candidates = self.folders.iter().map(|folder| folder.join(format!("{name}.launch")));
        candidates.into_iter().find(|file| file.is_file()).ok_or_else(|| Problem::NoPipeline {
            name: name.to_owned(),
            searched: self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
            available: self.available(),
        })
    }

    fn available(&self) -> String {
        let names: BTreeSet<_> = self.folders.iter().flat_map(|folder| launch_names(folder)).collect();
        if names.is_empty() {
            return "the name of a .launch file there (there is none yet)".into();
        }
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// The names of the pipelines in `folder`; none if it cannot be read, as most installations have only one folder.
fn launch_names(folder: &Path) -> impl Iterator<Item = String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter_map(|file| {
        let is_launch = file.extension().is_some_and(|extension| extension == "launch");
        is_launch.then(|| file.file_stem().map(|stem| stem.to_string_lossy().into_owned()))?
    })
}
