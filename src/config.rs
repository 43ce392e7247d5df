//! The configuration: config.toml and `CAMGATE_*` environment variables in, typed settings of every layer out.
//!
//! [`look`] is called at the start, by `camgate check` and by a reload, [`load`] by other commands. What it returns has been checked as far as
//! possible without opening a socket or a camera: addresses and URLs parse, names are unique, password files have been
//! read and pipeline files exist. Anything else is refused with [`Faults`], all of them at once, one line each:
//!
//! ```text
//! config.toml:12: camera[1] "front" url: found "http://x", allowed: rtsp://host[:port]/path without credentials; ...
//! CAMGATE_HTTP__LISTEN: http.listen: found "8080", allowed: an IP address and a port, such as "0.0.0.0:8080" ...
//! ```
//!
//! The way of a value: `document` reads the file and remembers lines, `environment` finds what the variables
//! set, the `config` crate lays one over the other, `check` compares each section with the table in `keys` and lets
//! serde fill a struct of plain values, and `network`, `ice_servers`, `pipelines` and `camera` turn these into the types of the
//! layers, with `defaults` for what is not there. A fault goes to the `report`, which knows where the value came
//! from. No message shows a password, a credential or the inside of a URL.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::config::{File, FileFormat, Map, Value, ValueKind};
use serde::Deserialize;

use self::check::Checked;
use self::document::Document;
use self::environment::Override;
use self::fault::Problem;
pub use self::fault::{Fault, Faults};
use self::key_path::KeyPath;
use self::report::Report;
use crate::{http, log::Config as LogConfig, peer, source};

mod camera;
mod check;
mod defaults;
mod document;
mod environment;
mod fault;
mod forward_auth;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod ice_servers;
mod jwt;
mod key_path;
mod keys;
mod log;
mod network;
mod pipelines;
mod report;
mod secret_file;
#[cfg(test)]
mod tests;
mod tls;
mod user;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[http]`
    pub http: http::Config,
    /// `[webrtc]`
    pub peer: peer::Config,
    /// Every `[[camera]]` in the order of the file, with different names. May be empty.
    pub cameras: Vec<source::Config>,
    /// How long viewers and cameras get for a clean goodbye after SIGTERM; zero means none.
    pub shutdown_grace: Duration,
    /// `[log]`
    pub log: LogConfig,
}

/// Reads the configuration file at `path` and the environment of this process.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load(path: &Path) -> Result<Config, Faults> {
    look(path).config
}

/// What was found where a configuration was looked for.
#[derive(Debug)]
pub struct Found {
    /// What is in it, or everything that is wrong with it.
    pub config: Result<Config, Faults>,
    /// Every file that has a say in it, whether it could be read or not.
    pub files: BTreeSet<PathBuf>,
}

/// Like [`load`], and tells which files were looked at.
pub fn look(path: &Path) -> Found {
    let document = match Document::read(path) {
        Ok(document) => document,
        Err(fault) => return Found { config: Err(fault.into()), files: BTreeSet::from([path.to_owned()]) },
    };
    let mut found = read_all(&document, std::env::vars_os());
    found.files.insert(path.to_owned());
    found
}

/// Reads the configuration file at `path` with `environment` in place of that of the process.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load_with(path: &Path, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, Faults> {
    read_all(&Document::read(path)?, environment).config
}

fn read_all(document: &Document, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Found {
    let mut report = Report::new(document);
    let overrides = environment::overrides(environment, &mut report);
    report.note_overrides(&overrides);
    let sections = merge(document, overrides, &mut report);
    let config = read(sections, &mut report);
    report_unknown_sections(&mut report);
    let files = report.files();
    Found { config: report.finish(config), files }
}

/// `[shutdown]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShutdownSection {
    grace_seconds: Option<f64>,
}

/// Lays the overrides over the file. Nothing is left of a file with a quoted key such as `"http.listen"`, which the
/// `config` crate would take for a path; [`report_unknown_sections`] refuses it.
fn merge(document: &Document, overrides: Vec<Override>, report: &mut Report<'_>) -> Map<String, Value> {
    let is_bare = |key: &String| key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !document.sections().iter().all(is_bare) {
        return Map::new();
    }
    let file = File::from_str(document.text(), FileFormat::Toml);
    let layers = overrides.into_iter().try_fold(::config::Config::builder().add_source(file), |layers, one| {
        layers.set_override(one.path.to_string(), one.value)
    });
    // Both fail only where an earlier check has a gap; the error may show a value, and a value may be a password.
    match layers.and_then(|layers| layers.build()).and_then(|merged| merged.try_deserialize()) {
        Ok(sections) => sections,
        Err(_) => {
            report.add(&KeyPath::default(), Problem::Unexpected);
            Map::new()
        }
    }
}

/// Reads each section on its own.
fn read(mut sections: Map<String, Value>, report: &mut Report<'_>) -> Config {
    let mut take = |section: &keys::Section| sections.remove(section.name);
    let users = user::users(tables(&keys::USER, take(&keys::USER), report), report);
    let http = network::http(take(&keys::HTTP), users, report);
    let peer = network::webrtc(take(&keys::WEBRTC), report);
    let pipelines = pipelines::pipelines(take(&keys::PIPELINES), report);
    let shutdown = KeyPath::root(keys::SHUTDOWN.name);
    let Checked { values: shutdown, .. } =
        check::section::<ShutdownSection>(&keys::SHUTDOWN, &shutdown, take(&keys::SHUTDOWN), report);
    let log = log::log(take(&keys::LOG), report);
    let cameras = tables(&keys::CAMERA, take(&keys::CAMERA), report);
    let camera = |(path, value): (KeyPath, Value)| camera::camera(&path, value, &pipelines, report);
    let cameras = cameras.into_iter().filter_map(camera).collect();
    let shutdown_grace = network::seconds(shutdown.grace_seconds, defaults::SHUTDOWN_GRACE);
    Config { http, peer, cameras, shutdown_grace, log }
}

/// The tables of a list such as `[[camera]]`, each with its path. Reports what is no list, and names that occur twice.
fn tables(list: &keys::Section, value: Option<Value>, report: &mut Report<'_>) -> Vec<(KeyPath, Value)> {
    let path = KeyPath::root(list.name);
    let tables = match value.map(|value| value.kind) {
        None => Vec::new(),
        Some(ValueKind::Array(tables)) => tables,
        Some(other) => {
            let allowed = format!("[[{0}]], with two brackets, for each {0}", list.name);
            report.value(&path, check::describe(&other), allowed);
            Vec::new()
        }
    };
    report_duplicates(list, report);
    tables.into_iter().enumerate().map(|(index, value)| (path.index(index), value)).collect()
}

/// Top-level keys that do not exist.
fn report_unknown_sections(report: &mut Report<'_>) {
    let known: Vec<_> =
        keys::SECTIONS.iter().map(|section| section.name).chain(keys::LISTS.map(|list| list.name)).collect();
    for section in report.document().sections() {
        if !known.contains(&section.as_str()) {
            let close = keys::closest(section, known.iter().copied());
            report.add(&KeyPath::root(section), Problem::UnknownKey { close, allowed: known.join(", ") });
        }
    }
}

/// Two tables of one name, whatever else is wrong with them.
fn report_duplicates(list: &keys::Section, report: &mut Report<'_>) {
    let path = KeyPath::root(list.name);
    let names = report.document().names(list.name);
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name else { continue };
        let earlier = names[..index].iter().position(|earlier| earlier.as_ref() == Some(name));
        if let Some(earlier) = earlier {
            let first = report.place(&path.index(earlier).key("name")).to_string();
            let path = path.index(index).key("name");
            report.add(&path, Problem::DuplicateName { name: name.clone(), first, whose: list.name });
        }
    }
}
