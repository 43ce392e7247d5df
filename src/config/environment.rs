//! `CAMGATE_*` environment variables: what each sets, and to which value.
//!
//! `CAMGATE_HTTP__LISTEN` sets `listen` of `[http]`; `CAMGATE_CAMERA__FRONT_DOOR__PASSWORD` sets `password` of the
//! camera `front-door`; `CAMGATE_CAMERA__DESK__WITH__DEVICE` sets `device` in its `with`. The text is read as the
//! type that the key has; a list has commas between its entries. A variable with the prefix that fits no key or no
//! camera is a fault: it is a typing mistake, and silence would hide it.

use std::ffi::OsString;

use ::config::Value;

use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{self, CAMERA, Key, Kind, SECTIONS};
use super::report::Report;

/// What every variable of ours starts with.
const PREFIX: &str = "CAMGATE_";

/// A value that replaces the one in the file.
pub(super) struct Override {
    /// The whole name of the variable.
    pub(super) variable: String,
    /// What it sets.
    pub(super) path: KeyPath,
    /// The value in the type of the key.
    pub(super) value: Value,
}

/// Everything that `variables` set, sorted by name. Variables of others are left alone.
pub(super) fn overrides(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    report: &mut Report<'_>,
) -> Vec<Override> {
    let mut ours: Vec<_> = variables
        .into_iter()
        .filter_map(|(variable, text)| Some((variable.into_string().ok()?, text)))
        .filter(|(variable, _)| variable.starts_with(PREFIX))
        .collect();
    ours.sort();

    let mut overrides = Vec::new();
    for (variable, text) in ours {
        match find(&variable[PREFIX.len()..], report).and_then(|target| Ok((target.path, read(target.kind, text)?))) {
            Ok((path, value)) => overrides.push(Override { variable, path, value }),
            Err(problem) => report.add_variable(&variable, problem),
        }
    }
    overrides
}

/// A key that a variable can set.
struct Target {
    path: KeyPath,
    kind: &'static Kind,
}

fn find(name: &str, report: &Report<'_>) -> Result<Target, Problem> {
    if let Some(rest) = name.strip_prefix("CAMERA__") {
        return find_camera(rest, report.document().names(CAMERA.name));
    }
    let mut all = Vec::new();
    for section in SECTIONS {
        add_keys(section, &KeyPath::root(section.name), section.name, &mut all);
    }
    let known = || all.iter().map(|(variable, _)| variable.to_uppercase());
    match known().position(|variable| variable == name) {
        Some(index) => Ok(all.swap_remove(index).1),
        None => {
            let known: Vec<_> = known().collect();
            let close = keys::closest(name, known.iter().map(String::as_str));
            Err(Problem::UnknownVariable { close: close.map(|close| format!("{PREFIX}{close}")) })
        }
    }
}

/// Every key below `section` that a variable can set, with the variable's name.
fn add_keys(section: &'static keys::Section, path: &KeyPath, variable: &str, all: &mut Vec<(String, Target)>) {
    for key in section.keys {
        let (path, variable) = (path.key(key.name), format!("{variable}__{}", key.name));
        match &key.kind {
            Kind::Table(inner) => add_keys(inner, &path, &variable, all),
            kind => all.push((variable, Target { path, kind })),
        }
    }
}

/// Finds the camera and the key of `FRONT_DOOR__PASSWORD`. A name may itself contain `__`, so that every camera is
/// asked whether the text starts with its name, and the key decides.
fn find_camera(text: &str, names: &[Option<String>]) -> Result<Target, Problem> {
    let mut camera_fits = None;
    let mut targets = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(upper) = name.as_ref().map(|name| upper(name)) else { continue };
        let Some(key) = text.strip_prefix(&upper).and_then(|rest| rest.strip_prefix("__")) else { continue };
        camera_fits = Some((upper, key));
        let camera = KeyPath::root(CAMERA.name).index(index);
        targets.extend(find_camera_key(key).map(|(path, kind)| (camera.clone(), path, kind)));
    }
    match (targets.as_slice(), camera_fits) {
        ([(camera, keys, kind)], _) => {
            Ok(Target { path: keys.iter().fold(camera.clone(), |path, key| path.key(key)), kind })
        }
        ([(first, ..), (second, ..), ..], _) => {
            Err(Problem::TwoCameras { first: first.clone(), second: second.clone() })
        }
        ([], Some((camera, key))) => {
            let close = keys::closest(&key.to_lowercase(), settable_keys().map(|key| key.name));
            let close = close.map(|key| format!("{PREFIX}CAMERA__{camera}__{}", key.to_uppercase()));
            Err(Problem::UnknownVariable { close })
        }
        ([], None) => {
            let names: Vec<_> =
                names.iter().flatten().map(|name| format!("CAMGATE_CAMERA__{}__...", upper(name))).collect();
            let allowed = if names.is_empty() { "none, there is no camera".to_owned() } else { names.join(", ") };
            Err(Problem::UnknownCamera { allowed })
        }
    }
}

fn find_camera_key(text: &str) -> Option<(Vec<String>, &'static Kind)> {
    if let Some(parameter) = text.strip_prefix("WITH__") {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = (!parameter.is_empty() && parameter.chars().all(is_plain)).then(|| parameter.to_lowercase())?;
        return Some((vec!["with".to_owned(), name], &Kind::Text("a value")));
    }
    let key = settable_keys().find(|key| key.name.to_uppercase() == text)?;
    Some((vec![key.name.to_owned()], &key.kind))
}

/// Not the name, which is how a variable finds its camera, and not `with` as a whole.
fn settable_keys() -> impl Iterator<Item = &'static Key> {
    CAMERA.keys.iter().filter(|key| !matches!(key.name, "name" | "with"))
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The text of a variable in the type of its key.
fn read(kind: &Kind, text: OsString) -> Result<Value, Problem> {
    let text = text.into_string().map_err(|_| Problem::NotUnicode)?;
    let wrong = |text: &str| Problem::Value { found: format!("{text:?}"), allowed: kind.to_string() };
    match kind {
        Kind::Text(_) | Kind::Secret(_) | Kind::Choice(_) | Kind::Parameters | Kind::Table(_) => Ok(text.into()),
        Kind::Integer { .. } => text.trim().parse::<i64>().map(Value::from).map_err(|_| wrong(&text)),
        Kind::Flag => text.trim().parse::<bool>().map(Value::from).map_err(|_| wrong(&text)),
        Kind::Seconds { .. } => text.trim().parse::<f64>().map(Value::from).map_err(|_| wrong(&text)),
        Kind::TextList(_) | Kind::TextOrList(_) | Kind::IceServers => {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            Ok(Value::from(entries.map(Value::from).collect::<Vec<_>>()))
        }
    }
}
