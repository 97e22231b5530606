//! How does a file come to be whole or not at all?
//!
//! It is written beside its place, brought to the disk, and then named.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A file that has no name yet. Dropped without [`Draft::keep`] it is gone.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    part: PathBuf,
    place: PathBuf,
}

impl Draft {
    pub(super) fn beside(place: &Path) -> io::Result<Self> {
        let name = place.file_name().ok_or_else(|| io::Error::other("this is no name of a file"))?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.part", Uuid::new_v4().simple()));
        let draft = folder(place).join(draft);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        Ok(Self { file, part: draft, place: place.to_owned() })
    }

    /// Gives the file its name, once every byte of it is on the disk.
    pub(super) fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.place)?;
        // The name is on the disk when the folder is.
        File::open(folder(&self.place))?.sync_all()
    }
}

fn folder(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for &mut Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `keep` nothing has this name.
        let _ = fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_not_kept_leaves_nothing_and_what_was_there_stays() {
        let folder = std::env::temp_dir().join(format!("trackgate-draft-{}", Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let place = folder.join("backup");
        fs::write(&place, "old").unwrap();
        let mut draft = Draft::beside(&place).unwrap();
        (&mut draft).write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        drop(draft);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(fs::read(&place).unwrap(), b"old");
        let mut draft = Draft::beside(&place).unwrap();
        (&mut draft).write_all(b"whole").unwrap();
        draft.keep().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"whole");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
