//! Which keys seal what browsers carry for us?
//!
//! One gate keeps them in a file of its state directory, mode 0600, one key a line, the newest first. It is made at the first
//! start. Once its newest key is a quarter of a year old, the next start puts a fresh one in front; the one before still opens.
//!
//! Several gates need the same keys. They share those in their database, or each is handed the same file, which is never
//! written here. Either is read again from time to time, so that a new key is known everywhere before any gate seals with it.

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
use crate::store::{Engine, SealKey, Store, StoreFault};

/// The file's name in the state directory.
pub const FILE: &str = "seal.keys";
const RENEW: Duration = Duration::from_hours(90 * 24);
const MOST_KEYS: usize = 2;
/// How often shared keys are read again.
const AGAIN: Duration = Duration::from_mins(10);
/// So long a new key in the database only opens: every gate has read it by then.
const KNOWN: Duration = Duration::from_hours(1);

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
    /// What was handed to us holds something else than keys.
    #[error("the key file `{0}` has a line that is no key: 32 random bytes each, as base64url without padding")]
    NoKeys(PathBuf),
    /// Anybody may read what was handed to us.
    #[error("the key file `{0}` can be read by anybody on this host")]
    Public(PathBuf),
    /// The database cannot say.
    #[error("the keys in the database cannot be had: {0}")]
    Store(#[from] StoreFault),
    /// The database holds something else than keys.
    #[error(
        "the database holds a key that cannot be read; delete the rows of its table `seal_keys` to have a new one made"
    )]
    BadRow,
    /// The crypto library refused.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Where the keys are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this directory, for one gate alone.
    Own(PathBuf),
    /// In a file that others write.
    Handed(PathBuf),
    /// In the database that the gates share.
    Shared,
}

impl Place {
    /// Where they are when the database is this one, and a file may have been handed to us.
    #[must_use]
    pub fn of(handed: Option<PathBuf>, database: &Engine, state_dir: &Path) -> Self {
        match (handed, database) {
            (Some(file), _) => Self::Handed(file),
            (None, Engine::Postgres(_)) => Self::Shared,
            (None, Engine::Sqlite) => Self::Own(state_dir.to_owned()),
        }
    }

    /// The key ring.
    ///
    /// # Errors
    /// [`KeyringFault`] when there is none that others cannot read.
    pub async fn open(&self, store: &Store, clock: &Clock) -> Result<Seal, KeyringFault> {
        match self {
            Self::Own(directory) => open(directory, clock),
            Self::Handed(_) | Self::Shared => Ok(Seal::new(&self.read(store, clock).await?)?),
        }
    }

    /// Reads again, for ever, what others may have changed. What cannot be read changes nothing.
    pub async fn keep(self, seal: &Seal, store: &Store, clock: &Clock) {
        if matches!(self, Self::Own(_)) {
            return;
        }
        loop {
            tokio::time::sleep(AGAIN).await;
            if let Err(error) = self.again(seal, store, clock).await {
                tracing::warn!(%error, "the keys that seal cookies were not read again; those from before go on");
            }
        }
    }

    async fn again(&self, seal: &Seal, store: &Store, clock: &Clock) -> Result<(), KeyringFault> {
        Ok(seal.replace(&self.read(store, clock).await?)?)
    }

    async fn read(&self, store: &Store, clock: &Clock) -> Result<Zeroizing<Vec<[u8; KEY_LENGTH]>>, KeyringFault> {
        let keys = match self {
            Self::Own(directory) => return Err(KeyringFault::Damaged(directory.join(FILE))),
            Self::Handed(path) => handed(path)?,
            Self::Shared => shared(store, clock).await?,
        };
        Ok(Zeroizing::new(keys.iter().map(|key| **key).collect()))
    }
}

fn handed(path: &Path) -> Result<Vec<Key>, KeyringFault> {
    let file = |fault| KeyringFault::File { path: path.to_owned(), fault };
    // A secret that is mounted may belong to root and be read by our group.
    if fs::metadata(path).map_err(file)?.mode() & 0o007 != 0 {
        return Err(KeyringFault::Public(path.to_owned()));
    }
    read(path).map_err(file)?.ok_or_else(|| KeyringFault::NoKeys(path.to_owned()))
}

async fn shared(store: &Store, clock: &Clock) -> Result<Vec<Key>, KeyringFault> {
    let mut fresh = Zeroizing::new([0; KEY_LENGTH]);
    rand::fill(fresh.as_mut()).map_err(|_| SealError::Refused)?;
    let now = clock.millis();
    let before = |age: Duration| now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let fresh = SealKey { secret: Zeroizing::new(URL_SAFE_NO_PAD.encode(*fresh)), created: now };
    let found = store.seal_keys(fresh, before(RENEW)).await?;
    // The newest that everybody knows seals; where there is none such, the oldest, which was there first.
    let first = found.iter().position(|key| key.created <= before(KNOWN)).unwrap_or(found.len().saturating_sub(1));
    let mut keys = Vec::with_capacity(found.len());
    for key in &found {
        keys.push(decode(&key.secret).ok_or(KeyringFault::BadRow)?);
    }
    keys.get_mut(..=first).unwrap_or_default().rotate_right(1);
    Ok(keys)
}

/// Opens the key ring of a state directory, makes it or renews it.
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
        let Some(key) = decode(line.trim()) else { return Ok(None) };
        keys.push(key);
    }
    Ok((!keys.is_empty()).then_some(keys))
}

fn decode(text: &str) -> Option<Key> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok()?;
    <[u8; KEY_LENGTH]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
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

    async fn store(folder: &Folder) -> Store {
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
        Store::open(&crate::store::Settings::new(folder.0.clone()), Clock::System).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_that_is_handed_to_all_is_never_written_and_seals_with_its_first_line() {
        let folder = Folder::new("handed");
        let store = store(&folder).await;
        let path = folder.0.join("mounted");
        let line = |byte: u8| URL_SAFE_NO_PAD.encode([byte; KEY_LENGTH]) + "\n";
        let write = |text: &str| fs::write(&path, text).unwrap();
        write(&line(1));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        let place = Place::of(Some(path.clone()), &Engine::Sqlite, &folder.0);
        let later = Clock::set_to(SystemTime::now() + 2 * RENEW);
        let (one, other) = (place.open(&store, &later).await.unwrap(), place.open(&store, &later).await.unwrap());
        let old = one.seal("x", b"y").unwrap();
        assert_eq!(other.open("x", &old).as_deref(), Some(&b"y"[..]));
        assert_eq!(fs::read_to_string(&path).unwrap(), line(1), "whoever handed it renews it");
        // A second key behind the first opens at once; once it is the first it seals.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&(line(1) + &line(2)));
        place.again(&one, &store, &later).await.unwrap();
        write(&(line(2) + &line(1)));
        place.again(&other, &store, &later).await.unwrap();
        let new = other.seal("x", b"z").unwrap();
        assert_eq!(one.open("x", &new).as_deref(), Some(&b"z"[..]));
        assert_eq!(other.open("x", &old).as_deref(), Some(&b"y"[..]));
        write("AAAA\n");
        assert!(matches!(place.again(&other, &store, &later).await, Err(KeyringFault::NoKeys(_))));
        assert_eq!(other.open("x", &old).as_deref(), Some(&b"y"[..]), "what cannot be read changes nothing");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(place.open(&store, &later).await, Err(KeyringFault::Public(_))));
    }

    #[tokio::test]
    async fn a_key_of_the_database_is_made_once_and_a_new_one_seals_when_all_know_it() {
        let folder = Folder::new("shared");
        let store = store(&folder).await;
        let clock = Clock::set_to(SystemTime::now());
        let (one, other) = tokio::join!(Place::Shared.open(&store, &clock), Place::Shared.open(&store, &clock));
        let (one, other) = (one.unwrap(), other.unwrap());
        let sealed = one.seal("x", b"y").unwrap();
        assert_eq!(other.open("x", &sealed).as_deref(), Some(&b"y"[..]), "whoever comes first makes it");
        clock.advance(RENEW + Duration::from_mins(1));
        Place::Shared.again(&one, &store, &clock).await.unwrap();
        let sealed = one.seal("x", b"y").unwrap();
        assert_eq!(other.open("x", &sealed).as_deref(), Some(&b"y"[..]), "nobody seals with what others do not know");
        Place::Shared.again(&other, &store, &clock).await.unwrap();
        clock.advance(KNOWN);
        Place::Shared.again(&one, &store, &clock).await.unwrap();
        let new = one.seal("x", b"z").unwrap();
        assert_ne!(one.open("x", &sealed), None);
        assert_eq!(other.open("x", &new).as_deref(), Some(&b"z"[..]));
        let young = Place::Shared.open(&store, &clock).await.unwrap();
        assert_eq!(young.open("x", &new).as_deref(), Some(&b"z"[..]));
        clock.advance(RENEW + Duration::from_mins(1));
        Place::Shared.again(&one, &store, &clock).await.unwrap();
        assert_eq!(one.open("x", &sealed), None, "two are kept");
        assert_eq!(one.open("x", &new).as_deref(), Some(&b"z"[..]));
        store.close().await;
        assert!(matches!(Place::Shared.again(&one, &store, &clock).await, Err(KeyringFault::Store(_))));
        assert!(one.seal("x", b"y").is_ok(), "what cannot be read changes nothing");
    }
}
