//! In which folder does a person's machine keep what it is given?
//!
//! `TRACKGATE_CONFIG_DIR`, else `XDG_CONFIG_HOME/trackgate`, else `~/.config/trackgate` (on Windows `APPDATA\trackgate`); the
//! Python client looks there too. It is made when something is first kept in it, for its owner alone (0700).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::fault::FileFault;

/// Where credentials are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// There is no folder to keep anything in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("HOME is not set: say in TRACKGATE_CONFIG_DIR in which folder credentials are to be kept")]
pub struct Homeless;

impl Folder {
    /// This folder.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The one that the environment names.
    ///
    /// # Errors
    /// [`Homeless`] when it names none.
    pub fn of(environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, Homeless> {
        let named = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = named("TRACKGATE_CONFIG_DIR") {
            return Ok(Self(path));
        }
        if cfg!(windows) {
            return named("APPDATA").map(|path| Self(path.join("trackgate"))).ok_or(Homeless);
        }
        // XDG Base Directory Specification 0.8: a path that is not absolute is to be ignored.
        let above = named("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let above = above.or_else(|| Some(named("HOME")?.join(".config"))).ok_or(Homeless)?;
        Ok(Self(above.join("trackgate")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Refuses one in which others could put their file in the place of ours. One that is not there is in order.
    pub(super) fn look(&self) -> Result<(), FileFault> {
        match fs::metadata(&self.0) {
            Ok(found) if !found.is_dir() => Err(FileFault::NoFolder { path: self.0.clone() }),
            Ok(found) if found.mode() & 0o022 != 0 => {
                Err(FileFault::LooseFolder { path: self.0.clone(), mode: found.mode() & 0o777 })
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // A file stands where a folder above should be.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(FileFault::NoFolder { path: self.0.clone() })
            }
            Err(error) => Err(FileFault::Unreadable { path: self.0.clone(), why: error.to_string() }),
        }
    }

    /// Makes it where it is missing.
    pub(super) fn make(&self) -> Result<(), FileFault> {
        self.look()?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| FileFault::Unwritable { path: self.0.clone(), why: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: &[(&str, &str)]) -> Result<Folder, Homeless> {
        Folder::of(|name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn the_environment_says_where_the_folder_is() {
        let home = ("HOME", "/home/alice");
        for (environment, path) in [
            (&[home][..], "/home/alice/.config/trackgate"),
            (&[home, ("XDG_CONFIG_HOME", "/xdg")], "/xdg/trackgate"),
            (&[("XDG_CONFIG_HOME", "/xdg")], "/xdg/trackgate"),
            (&[home, ("XDG_CONFIG_HOME", "relative")], "/home/alice/.config/trackgate"),
            (&[home, ("XDG_CONFIG_HOME", "")], "/home/alice/.config/trackgate"),
            (&[home, ("XDG_CONFIG_HOME", "/xdg"), ("TRACKGATE_CONFIG_DIR", "/mine")], "/mine"),
            (&[home, ("TRACKGATE_CONFIG_DIR", "")], "/home/alice/.config/trackgate"),
        ] {
            assert_eq!(of(environment).unwrap().path(), Path::new(path), "{environment:?}");
        }
    }

    #[test]
    fn without_a_home_it_says_what_to_set() {
        for environment in [&[][..], &[("HOME", "")], &[("XDG_CONFIG_HOME", "relative")]] {
            let fault = of(environment).unwrap_err().to_string();
            assert!(fault.contains("TRACKGATE_CONFIG_DIR"), "{fault}");
        }
    }
}
