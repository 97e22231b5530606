//! Which file is `"credential:NAME"`?
//!
//! A service manager hands secrets to a unit as files in a folder of its own, which `$CREDENTIALS_DIRECTORY` names
//! (systemd's `LoadCredential=`). Wherever the configuration names a file, it may name such a credential.

use std::path::{Component, Path, PathBuf};

/// What a value begins with that names a credential.
const PREFIX: &str = "credential:";
/// Where credentials lie that nobody handed over: below what is no folder, so that nobody can put a file there.
const NOWHERE: &str = "/dev/null";

/// The folder, if somebody handed over any.
fn folder() -> Option<PathBuf> {
    // Relative, it would depend on where the process was started; nobody sets it so.
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|folder| folder.is_absolute())
}

/// The file that a value names; the value itself where it names no credential.
pub(super) fn path(written: &str) -> Result<PathBuf, String> {
    path_in(written, folder().as_deref())
}

fn path_in(written: &str, folder: Option<&Path>) -> Result<PathBuf, String> {
    let Some(name) = written.strip_prefix(PREFIX) else { return Ok(PathBuf::from(written)) };
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(folder.unwrap_or(Path::new(NOWHERE)).join(name)),
        _ => Err("\"credential:NAME\", where NAME is that of one file, without folders".to_owned()),
    }
}

/// The value that names this file.
pub(super) fn written(path: &Path) -> String {
    written_in(path, folder().as_deref())
}

fn written_in(path: &Path, folder: Option<&Path>) -> String {
    match path.strip_prefix(folder.unwrap_or(Path::new(NOWHERE))) {
        Ok(name) if name.components().count() == 1 => format!("{PREFIX}{}", name.display()),
        _ => path.to_string_lossy().into_owned(),
    }
}

/// The name of a credential that the file wants and nobody handed over.
pub(super) fn missing(path: &Path) -> Option<String> {
    path.strip_prefix(NOWHERE).ok().filter(|name| !name.as_os_str().is_empty()).map(|name| name.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/run/credentials/trackgate.service";

    #[test]
    fn a_credential_is_a_file_in_the_managers_folder() {
        let path = path_in("credential:client-secret", Some(Path::new(HERE))).unwrap();
        assert_eq!(path, Path::new(HERE).join("client-secret"));
        assert_eq!(written_in(&path, Some(Path::new(HERE))), "credential:client-secret");
        assert_eq!(missing(&path), None);
        let plain = path_in("/etc/trackgate/key", Some(Path::new(HERE))).unwrap();
        assert_eq!(plain, Path::new("/etc/trackgate/key"));
        assert_eq!(written_in(&plain, Some(Path::new(HERE))), "/etc/trackgate/key");
    }

    #[test]
    fn a_credential_that_nobody_handed_over_is_no_file_that_anybody_could_make() {
        let path = path_in("credential:client-secret", None).unwrap();
        assert_eq!(missing(&path).as_deref(), Some("client-secret"));
        assert_eq!(written_in(&path, None), "credential:client-secret");
        assert!(std::fs::File::open(&path).is_err());
        assert_eq!(missing(Path::new("/dev/null")), None);
    }

    #[test]
    fn a_credentials_name_is_one_name() {
        for name in ["", ".", "..", "a/b", "/etc/passwd", "../shadow", "a/", "./a", "a/."] {
            assert!(path_in(&format!("credential:{name}"), Some(Path::new(HERE))).is_err(), "{name}");
        }
    }
}
