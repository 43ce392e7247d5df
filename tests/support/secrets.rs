//! Looks for secrets where none may be: in everything that a gateway printed and answered.

use std::path::Path;
use std::sync::Mutex;

use toml::{Table, Value};

/// Keys of the configuration, wherever they stand, whose values nobody is told.
const SECRET: [&str; 5] = ["password", "secret", "credential", "password_hash", "token_hash"];
/// Keys of files that hold one.
const FILES: [&str; 2] = ["password_file", "secret_file"];
/// What is shorter stands in every answer by chance.
const SHORTEST: usize = 6;

/// The passwords and tokens that tests have and that no configuration says.
static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers a password or a token that the gateway may know and must not tell.
pub fn note(secret: &str) {
    let mut noted = NOTED.lock().unwrap();
    if !noted.iter().any(|known| known == secret) {
        noted.push(secret.to_owned());
    }
}

/// Everything secret that a gateway with this configuration and environment knows, and everything that was [`note`]d.
pub fn known(config: &str, folder: &Path, environment: &[(String, String)]) -> Vec<String> {
    let mut found = NOTED.lock().unwrap().clone();
    if let Ok(table) = config.parse::<Table>() {
        collect(&Value::Table(table), folder, &mut found);
    }
    let is_secret = |name: &str| ["PASSWORD", "SECRET", "CREDENTIAL"].iter().any(|end| name.ends_with(end));
    found.extend(environment.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
    found.retain(|secret| secret.len() >= SHORTEST);
    found
}

fn collect(value: &Value, folder: &Path, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                match value {
                    Value::String(text) if SECRET.contains(&key.as_str()) => found.push(text.clone()),
                    Value::String(file) if FILES.contains(&key.as_str()) => {
                        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
                        found.push(text.trim_end().to_owned());
                    }
                    other => collect(other, folder, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, folder, found)),
        _ => {}
    }
}

/// The lines of `text` that hold one of `secrets`, as it is or as a URL would have it. Viewers are told by header how to log
/// in to a TURN server, which is what the login is for.
pub fn leaks<'a>(text: &'a str, secrets: &[String]) -> Vec<&'a str> {
    let encoded: Vec<_> = secrets.iter().map(|secret| in_url(secret)).collect();
    let holds = |line: &&str| secrets.iter().chain(&encoded).any(|secret| line.contains(secret.as_str()));
    let is_told =
        |line: &str| line.to_ascii_lowercase().starts_with("link: <turn") && line.contains("rel=\"ice-server\"");
    text.lines().filter(|line| !is_told(line)).filter(holds).collect()
}

fn in_url(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}
