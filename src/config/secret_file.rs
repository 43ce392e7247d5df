//! Files that hold one password or secret, so that config.toml can be shown to others.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::source::config::Secret;

/// Where systemd puts the files of `LoadCredential=` (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where `file` of a configuration in `folder` is: among systemd's credentials, if there is one of that name. A folder's
/// credentials, `LoadCredential=secrets:/some/folder`, have names such as `secrets_front.password`: that is
/// `secrets/front.password`.
pub(super) fn find(folder: &Path, file: &Path) -> PathBuf {
    std::env::var_os(CREDENTIALS)
        .zip(credential(file))
        .map(|(credentials, name)| Path::new(&credentials).join(name))
        .filter(|credential| credential.is_file())
        .unwrap_or_else(|| folder.join(file))
}

/// The name as a credential of a relative path that leads nowhere but down.
fn credential(file: &Path) -> Option<String> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    };
    file.components().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join("_"))
}

/// Reads a secret without the line break that editors and `echo` put at the end.
///
/// # Errors
/// What is wrong with the file, to follow "which".
pub(super) fn read(file: &Path) -> Result<Secret, String> {
    /// Far more than any camera or TURN server takes; keeps a wrong path such as /dev/zero from filling the memory.
    const MAX_BYTES: u64 = 4096;
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read ({error})"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        return Err("is empty".into());
    }
    Ok(Secret::new(secret))
}
