//! Which keys seal what browsers carry for us?
//!
//! One file in the state directory, mode 0600, one key a line, the newest first. It is made at the first start. Once
//! its newest key is a quarter of a year old, the next start puts a fresh one in front; the one before still opens.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::seal::{KEY_LENGTH, Seal, SealError};

/// The file's name in the state directory.
pub const FILE: &str = "seal.keys";
const RENEW: Duration = Duration::from_hours(90 * 24);
const MOST_KEYS: usize = 2;

type Key = Zeroizing<[u8; KEY_LENGTH]>;

/// A key ring that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    /// It cannot be read or written.
    #[error("the key file `{path}` cannot be used: {fault}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        fault: io::Error,
    },
    /// Others may read it.
    #[error("the key file `{0}` can be read by others; run `chmod 600` on it")]
    Open(PathBuf),
    /// It holds something else than keys.
    #[error(
        "the key file `{0}` is damaged; remove it to have a new one made (started logins will have to start again)"
    )]
    Damaged(PathBuf),
    /// The crypto library refused.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Opens the key ring, makes it or renews it.
///
/// # Errors
/// [`KeyringFault`] when there is no ring that only we can read.
pub fn open(state_dir: &Path, clock: &Clock) -> Result<Seal, KeyringFault> {
    let path = state_dir.join(FILE);
    let file = |fault| KeyringFault::File { path: path.clone(), fault };
    let keys = match fs::metadata(&path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => vec![write(&path, &[]).map_err(file)?],
        Err(fault) => return Err(file(fault)),
        Ok(about) => {
            if about.mode() & 0o077 != 0 {
                return Err(KeyringFault::Open(path));
            }
            let keys = read(&path).map_err(file)?.ok_or_else(|| KeyringFault::Damaged(path.clone()))?;
            let written = about.modified().map_err(file)?;
            if clock.now().duration_since(written).is_ok_and(|age| age > RENEW) {
                let fresh = write(&path, &keys).map_err(file)?;
                [vec![fresh], keys].concat()
            } else {
                keys
            }
        }
    };
    let ring: Zeroizing<Vec<[u8; KEY_LENGTH]>> = Zeroizing::new(keys.iter().map(|key| **key).collect());
    Ok(Seal::new(&ring)?)
}

fn read(path: &Path) -> io::Result<Option<Vec<Key>>> {
    let text = Zeroizing::new(fs::read(path)?);
    let Ok(text) = std::str::from_utf8(&text) else { return Ok(None) };
    let mut keys = Vec::new();
    for line in text.lines() {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(line.trim()).map(Zeroizing::new) else { return Ok(None) };
        let Ok(key) = <[u8; KEY_LENGTH]>::try_from(bytes.as_slice()) else { return Ok(None) };
        keys.push(Zeroizing::new(key));
    }
    Ok((!keys.is_empty()).then_some(keys))
}

/// Puts a fresh key in front; the file is replaced as a whole.
fn write(path: &Path, old: &[Key]) -> io::Result<Key> {
    let mut fresh = Zeroizing::new([0; KEY_LENGTH]);
    rand::fill(fresh.as_mut()).map_err(|_| io::Error::other("no randomness"))?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    for key in std::iter::once(&fresh).chain(old.iter()).take(MOST_KEYS) {
        let line = Zeroizing::new(URL_SAFE_NO_PAD.encode(**key) + "\n");
        file.write_all(line.as_bytes())?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("trackgate-keyring-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_second_start_opens_what_the_first_sealed() {
        let folder = Folder::new("again");
        let text = open(&folder.0, &Clock::System).unwrap().seal("x", b"y").unwrap();
        assert_eq!(open(&folder.0, &Clock::System).unwrap().open("x", &text).as_deref(), Some(&b"y"[..]));
        assert_eq!(fs::metadata(folder.0.join(FILE)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_old_key_is_renewed_and_still_opens_once() {
        let folder = Folder::new("renew");
        let text = open(&folder.0, &Clock::System).unwrap().seal("x", b"y").unwrap();
        let later = Clock::set_to(SystemTime::now() + RENEW + Duration::from_mins(1));
        let renewed = open(&folder.0, &later).unwrap();
        assert_eq!(renewed.open("x", &text).as_deref(), Some(&b"y"[..]));
        let fresh = renewed.seal("x", b"z").unwrap();
        // The file is young again by the system's clock, old by the test's: another key comes in front.
        let again = open(&folder.0, &later).unwrap();
        assert_eq!(again.open("x", &fresh).as_deref(), Some(&b"z"[..]));
        assert_eq!(fs::read_to_string(folder.0.join(FILE)).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_readable_or_damaged_file_is_refused() {
        let folder = Folder::new("bad");
        let path = folder.0.join(FILE);
        for text in ["", "x\n", "AAAA\n", "\u{e4}\n"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(open(&folder.0, &Clock::System), Err(KeyringFault::Damaged(_))), "{text:?}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&folder.0, &Clock::System), Err(KeyringFault::Open(_))));
    }
}
