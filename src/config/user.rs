//! One `[[user]]`: what it says, as somebody whom the HTTP side answers.

use std::fmt::Display;
use std::str::FromStr;

use ::config::{Value, ValueKind};
use serde::Deserialize;

use super::check::{self, Checked, quote};
use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{self, ACTION_WORDS, PASSWORD_HASH_WORDS, TOKEN_HASH_WORDS, USER_CAMERAS_WORDS, USER_NAME_WORDS};
use super::network::list;
use super::report::Report;
use crate::http::{Action, Cameras, User};
use crate::source::config::Secret;

/// What stands for all cameras.
const ALL: &str = "*";

/// `[[user]]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserSection {
    name: Option<String>,
    password_hash: Option<Secret>,
    token_hash: Option<Secret>,
    cameras: Option<OneOrMany>,
    actions: Option<Vec<String>>,
}

/// A text, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads the users, each at its path. A token that two of them have would be one's by chance.
pub(super) fn users(tables: Vec<(KeyPath, Value)>, report: &mut Report<'_>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (path, value) in tables {
        let Some(user) = user(&path, value, report) else { continue };
        if let Some(other) = users.iter().find(|other| user.token.is_some() && other.token == user.token) {
            let found = format!("the token of the user {}", other.name);
            report.value(&path.key("token_hash"), found, "a token that no other user has");
        }
        users.push(user);
    }
    users
}

/// Reads the user at `path`. `None` only with a fault in the report.
fn user(path: &KeyPath, value: Value, report: &mut Report<'_>) -> Option<User> {
    let is_table = matches!(value.kind, ValueKind::Table(_));
    let Checked { values, refused } = check::section::<UserSection>(&keys::USER, path, Some(value), report);
    if !is_table {
        return None;
    }
    let name = match values.name {
        Some(name) => read(&name, quote(&name), path.key("name"), USER_NAME_WORDS, report),
        None => {
            if !refused.contains("name") {
                report.value(&path.key("name"), "no name", USER_NAME_WORDS);
            }
            None
        }
    };
    let is_locked_out = values.password_hash.is_none() && values.token_hash.is_none();
    if is_locked_out && !refused.contains("password_hash") && !refused.contains("token_hash") {
        report.add(path, Problem::NoPassword);
    }
    let secret = |value: Option<Secret>, key, words| Some((value?, path.key(key), words));
    let password = secret(values.password_hash, "password_hash", PASSWORD_HASH_WORDS);
    let token = secret(values.token_hash, "token_hash", TOKEN_HASH_WORDS);
    let hidden = || "something else".to_owned();
    let password = password.and_then(|(hash, path, words)| read(hash.expose(), hidden(), path, words, report));
    let token = token.and_then(|(hash, path, words)| read(hash.expose(), hidden(), path, words, report));
    let cameras = cameras(values.cameras, &path.key("cameras"), report);
    let actions = match values.actions {
        Some(actions) => list(actions, &path.key("actions"), ACTION_WORDS, report),
        None => vec![Action::Watch],
    };
    Some(User { name: name?, password, token, cameras, actions })
}

/// The value of a text, or a fault that shows `found` instead of it.
fn read<T: FromStr<Err: Display>>(
    text: &str,
    found: String,
    path: KeyPath,
    allowed: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    text.parse().map_err(|why| report.value(&path, format!("{found} ({why})"), allowed)).ok()
}

/// Names that no camera of the file has are faults: a guest would see less than was meant, or one day more.
fn cameras(value: Option<OneOrMany>, path: &KeyPath, report: &mut Report<'_>) -> Cameras {
    let (names, is_list) = match value {
        None => return Cameras::All,
        Some(OneOrMany::One(name)) => (vec![name], false),
        Some(OneOrMany::Many(names)) => (names, true),
    };
    let known: Vec<&str> = report.document().names(keys::CAMERA.name).iter().flatten().map(String::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        if name != ALL && !known.contains(&name.as_str()) {
            let close = keys::closest(name, known.iter().copied());
            let close = close.map(|close| format!(", did you mean {close:?}?")).unwrap_or_default();
            let path = if is_list { path.index(index) } else { path.clone() };
            report.value(&path, format!("{}, which no camera is called{close}", quote(name)), USER_CAMERAS_WORDS);
        }
    }
    if names.iter().any(|name| name == ALL) { Cameras::All } else { Cameras::Only(names) }
}
