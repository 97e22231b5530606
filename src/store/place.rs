//! Where on the disk does the state lie, and can nobody else read it?

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::fault::StoreFault;

/// The database's file in the state directory.
pub(super) const FILE: &str = "trackgate.db";

/// Whether there is a database's file in the state directory. It is not opened.
#[must_use]
pub fn exists(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

/// Makes the state directory (0700) where it is missing, and refuses one that others can enter.
pub(super) fn directory(directory: &Path) -> Result<Metadata, StoreFault> {
    let fault = |why: String| StoreFault::Place { path: directory.to_owned(), why };
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => return Err(fault("is not a directory".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| fault(format!("cannot be made: {error}")))?,
        Err(error) => return Err(fault(format!("cannot be read: {error}"))),
    }
    let found = fs::metadata(directory).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fault(format!("can be entered by others (mode {mode:04o}); run `chmod 700` on it")));
    }
    if let Some(own) = own_user()
        && own != 0
        && own != found.uid()
    {
        return Err(fault(format!("belongs to user id {}, but this program runs as user id {own}", found.uid())));
    }
    Ok(found)
}

/// The same, and an empty database file (0600) in it. SQLite gives its `-wal` and `-shm` files the mode of the database.
pub(super) fn prepare(place: &Path) -> Result<PathBuf, StoreFault> {
    let fault = |why: String| StoreFault::Place { path: place.to_owned(), why };
    let found = directory(place)?;
    let file = place.join(FILE);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        // Made by the administrator for a service that runs under another name.
        Ok(_) if own_user() == Some(0) && found.uid() != 0 => {
            std::os::unix::fs::chown(&file, Some(found.uid()), Some(found.gid()))
                .map_err(|error| fault(format!("cannot be handed to its owner: {error}")))?;
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(&file).map_err(|error| fault(format!("cannot be read: {error}")))?.mode() & 0o777;
            if mode & 0o077 != 0 {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
                    .map_err(|error| fault(format!("holds a database of mode {mode:04o}: {error}")))?;
            }
        }
        Err(error) => return Err(fault(format!("cannot be written: {error}"))),
    }
    Ok(file)
}

/// The user id that this process runs under, where the system tells.
fn own_user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}
