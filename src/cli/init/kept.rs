//! How is a configuration put into its place?
//!
//! Beside it first, then by one step, whole. It belongs to whom the file before belonged: the package gives its one to the group as
//! which Trackgate reads it. There is no secret in it.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use uuid::Uuid;

/// What the Debian package puts there, for somebody to change. Whoever did not has nothing to lose.
const SAMPLE: &str = include_str!("../../../deploy/debian/trackgate.toml");

/// Whether something is there that somebody may miss.
pub(super) fn taken(file: &Path) -> bool {
    match fs::read(file) {
        Ok(there) => there != SAMPLE.as_bytes(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Puts the text there.
pub(super) fn keep(file: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".trackgate.{}.part", Uuid::new_v4().simple()));
    let result = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        out.write_all(text.as_bytes())?;
        match fs::metadata(file) {
            Ok(before) => as_before(&out, &before)?,
            Err(_) => as_beside(&out, folder)?,
        }
        out.sync_all()?;
        if taken(file) && !force {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&draft, file)
    })();
    if result.is_err() {
        // What is wrong is told already.
        let _ = fs::remove_file(&draft);
    }
    result
}

/// Owner, group and mode of the file that goes.
fn as_before(out: &File, before: &Metadata) -> io::Result<()> {
    let now = out.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        fchown(out, Some(before.uid()), Some(before.gid())).map_err(|error| {
            let (user, group) = (before.uid(), before.gid());
            io::Error::new(error.kind(), format!("it cannot be given to its user {user} and group {group}: {error}"))
        })?;
    }
    out.set_permissions(Permissions::from_mode(before.mode() & 0o777))
}

/// The group of the folder, which in the package's folder is the one that reads it.
fn as_beside(out: &File, folder: &Path) -> io::Result<()> {
    let group = fs::metadata(folder)?.gid();
    if out.metadata()?.gid() != group {
        // Whoever may not give it away keeps it.
        let _ = fchown(out, None, Some(group));
    }
    out.set_permissions(Permissions::from_mode(0o640))
}
