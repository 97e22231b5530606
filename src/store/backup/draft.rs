//! How does a file come to be whole or not at all?
//!
//! It is written beside its place, brought to the disk, and then named. What somebody began who was killed is taken away by
//! whoever writes the next one: a lock tells it from what is still being written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

/// How names of files end that are not whole yet.
const END: &str = ".part";
/// What is younger is not taken away.
const YOUNG: Duration = Duration::from_secs(10);

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
        let mut before = OsString::from(".");
        before.push(name);
        before.push(".");
        sweep(folder(place), &before);
        let mut draft = before;
        draft.push(format!("{}{END}", Uuid::new_v4().simple()));
        let draft = folder(place).join(draft);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        // Where the file system knows no locks, what is begun and never ended stays.
        let _ = file.try_lock();
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

/// Takes away what was begun under such names and is nobody's any more.
fn sweep(folder: &Path, before: &OsStr) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let (before, end) = (before.as_encoded_bytes(), END.as_bytes());
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = name.as_encoded_bytes().strip_prefix(before).and_then(|rest| rest.strip_suffix(end));
        let is_ours = middle.is_some_and(|middle| middle.len() == 32 && middle.iter().all(u8::is_ascii_hexdigit));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // Whoever is still at it holds the lock, from a moment after the file is there; so the youngest are left alone.
        let Ok(file) = File::open(entry.path()) else { continue };
        let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > YOUNG) && file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
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

    #[test]
    fn what_a_kill_left_is_taken_away_and_what_is_being_written_is_not() {
        let folder = std::env::temp_dir().join(format!("trackgate-draft-{}", Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let place = folder.join("backup");
        let old = |file: &File| file.set_modified(std::time::SystemTime::now() - 2 * YOUNG).unwrap();
        let left = folder.join(format!(".backup.{}{END}", Uuid::new_v4().simple()));
        old(&File::create(&left).unwrap());
        let others = [".backup.part", ".backup.x.part", ".other.0123456789abcdef0123456789abcdef.part"];
        for name in others {
            old(&File::create(folder.join(name)).unwrap());
        }
        let running = Draft::beside(&place).unwrap();
        assert!(!left.exists());
        old(&running.file);
        let next = Draft::beside(&place).unwrap();
        assert!(running.part.exists() && next.part.exists());
        assert!(others.iter().all(|name| folder.join(name).exists()), "what is not ours is left alone");
        running.keep().unwrap();
        next.keep().unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1 + others.len());
        fs::remove_dir_all(&folder).unwrap();
    }
}
