//! What is kept on the disk, and how does it survive a crash?
//!
//! `state_dir/acme/<authority>/` (0700), with files of 0600, each written whole under another name, flushed and renamed:
//!
//! - `certificate.pem`: the private key and the chain in one file, so that there is never half a pair;
//! - `account.json`: the account's key and address;
//! - `order.json`: an order whose certificate was asked for and not yet written;
//! - `attempts.json`: failures in a row, and when to try again;
//! - `lock`: held by the one process that asks. Others of the same folder take up what it writes.
//!
//! The authority's name is part of the path, so that a trial with a staging directory neither uses nor loses what the real
//! one gave.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use instant_acme::AccountCredentials;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::fault::Fault;
use crate::certificate::Facts;

const CERTIFICATE: &str = "certificate.pem";
const ACCOUNT: &str = "account.json";
const ORDER: &str = "order.json";
const ATTEMPTS: &str = "attempts.json";
const LOCK: &str = "lock";
/// The end of names of files that are being written.
const UNFINISHED: &str = ".new";
/// What is older was given up by the authority too: Let's Encrypt's orders end after seven days.
const ORDERS_END: Duration = Duration::from_hours(7 * 24);
/// No file of ours is larger.
const LARGEST: u64 = 1024 * 1024;

/// The folder of one authority.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// A certificate, its key, and what it says of itself.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) shown: Arc<CertifiedKey>,
    pub(super) facts: Facts,
    /// Whether it is for all the names that are wanted.
    pub(super) fits: bool,
}

/// An order whose certificate is on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its address at the authority.
    pub(super) url: String,
    /// The names, in order.
    pub(super) names: Vec<String>,
    /// The key of the certificate, in PEM.
    pub(super) key: Zeroizing<String>,
}

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    pub(super) failures: u32,
    /// Seconds since the epoch.
    pub(super) not_before: u64,
    /// Whether the authority itself said when.
    pub(super) told: bool,
    /// What was asked for: with other settings, the failures are no longer ours.
    pub(super) asked: String,
}

impl Attempts {
    pub(super) fn until(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.not_before)).unwrap_or(UNIX_EPOCH)
    }

    pub(super) fn put_off(&mut self, until: SystemTime) {
        self.not_before = until.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    }
}

impl Shelf {
    /// The folder of this authority; nothing is made.
    pub(super) fn of(state_dir: &Path, directory: &Url) -> Self {
        let hash = digest(&SHA256, directory.as_str().as_bytes());
        let short = hash.as_ref().iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        // A host is made of letters, digits, dots and hyphens; an address of IPv6, of brackets and colons.
        let host: String = directory
            .host_str()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
            .collect();
        Self { folder: state_dir.join("acme").join(format!("{host}-{short:08x}")) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folders where they are missing, and shuts out everybody else.
    pub(super) fn prepare(&self) -> Result<(), Fault> {
        let fault = |doing: &str, why: &io::Error| Fault::shelf(&self.folder, doing, why);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|why| fault("made", &why))?;
        for folder in [self.folder.parent(), Some(&*self.folder)].into_iter().flatten() {
            let mode = fs::metadata(folder).map_err(|why| fault("read", &why))?.mode();
            if mode & 0o077 != 0 {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|why| fault("closed", &why))?;
                tracing::warn!(folder = %folder.display(), mode = format!("{:04o}", mode & 0o777), "others could enter the folder of certificates; it is closed now");
            }
        }
        Ok(())
    }

    /// Takes the right to ask, if no other process has it; it is given back when the file is closed, however we end.
    pub(super) fn lock(&self) -> Result<Option<File>, Fault> {
        let path = self.folder.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|why| Fault::shelf(&path, "written", &why))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(why)) => Err(Fault::shelf(&path, "locked", &why)),
        }
    }

    /// Removes what an interrupted run did not finish to write. Only for whoever holds the lock.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') && name.to_string_lossy().ends_with(UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let path = self.folder.join(name);
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(Fault::shelf(&path, "read", &why)),
            Ok(found) => found,
        };
        if !found.is_file() || found.len() > LARGEST {
            return Err(Fault::Shelf { path, why: "is no file of ours".to_owned() });
        }
        if found.mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), mode = format!("{:04o}", found.mode() & 0o777), "others could read this file; who could may have the key");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(|why| Fault::shelf(&path, "closed", &why))?;
        }
        fs::read(&path).map(|bytes| Some(bytes.into())).map_err(|why| Fault::shelf(&path, "read", &why))
    }

    /// All of it or nothing, also after a power cut.
    fn write(&self, name: &str, contents: &[u8]) -> Result<(), Fault> {
        let path = self.folder.join(name);
        let unfinished = self.folder.join(format!(".{name}.{}{UNFINISHED}", uuid::Uuid::new_v4()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).and_then(|mut file| {
                file.write_all(contents)?;
                file.sync_all()?;
                fs::rename(&unfinished, &path)?;
                File::open(&self.folder)?.sync_all()
            });
        written.map_err(|why| {
            let _ = fs::remove_file(&unfinished);
            Fault::shelf(&path, "written", &why)
        })
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(Fault::shelf(&path, "removed", &why)),
            _ => Ok(()),
        }
    }

    /// The kept certificate; what cannot be used is as if absent, and told.
    pub(super) fn certificate(&self, names: &[String]) -> Result<Option<Pair>, Fault> {
        match self.kept(names) {
            Err(error @ Fault::Unusable(_)) => {
                tracing::error!(file = %self.folder.join(CERTIFICATE).display(), %error, "the kept certificate cannot be used");
                Ok(None)
            }
            kept => kept,
        }
    }

    /// The kept certificate.
    pub(super) fn kept(&self, names: &[String]) -> Result<Option<Pair>, Fault> {
        self.read(CERTIFICATE)?.map(|text| pair(&text, names)).transpose()
    }

    pub(super) fn keep_certificate(&self, key: &str, chain: &str) -> Result<(), Fault> {
        self.write(CERTIFICATE, Zeroizing::new(format!("{}\n{}\n", key.trim(), chain.trim())).as_bytes())
    }

    /// A file that is broken is as if absent: there will be another account.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, Fault> {
        Ok(self.read(ACCOUNT)?.and_then(|text| self.json(ACCOUNT, &text)))
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), Fault> {
        let text = serde_json::to_vec(account).map_err(|error| Fault::NoKey(error.to_string()))?;
        self.write(ACCOUNT, &Zeroizing::new(text))
    }

    pub(super) fn forget_account(&self) -> Result<(), Fault> {
        self.remove(ACCOUNT)
    }

    pub(super) fn begun(&self) -> Result<Option<Begun>, Fault> {
        Ok(self.read(ORDER)?.and_then(|text| self.json(ORDER, &text)))
    }

    /// Whether what was begun may still be finished: no authority keeps an order for longer than some days.
    pub(super) fn begun_lately(&self) -> bool {
        let written = fs::metadata(self.folder.join(ORDER)).and_then(|about| about.modified()).ok();
        written.and_then(|written| written.elapsed().ok()).is_none_or(|age| age < ORDERS_END)
    }

    pub(super) fn keep_begun(&self, order: &Begun) -> Result<(), Fault> {
        let text = serde_json::to_vec(order).map_err(|error| Fault::NoKey(error.to_string()))?;
        self.write(ORDER, &Zeroizing::new(text))
    }

    pub(super) fn forget_begun(&self) -> Result<(), Fault> {
        self.remove(ORDER)
    }

    pub(super) fn attempts(&self) -> Attempts {
        let text = self.read(ATTEMPTS).ok().flatten();
        text.and_then(|text| self.json(ATTEMPTS, &text)).unwrap_or_default()
    }

    pub(super) fn keep_attempts(&self, attempts: &Attempts) -> Result<(), Fault> {
        let text = serde_json::to_vec(attempts).map_err(|error| Fault::NoKey(error.to_string()))?;
        self.write(ATTEMPTS, &text)
    }

    fn json<T: for<'a> Deserialize<'a>>(&self, name: &str, text: &[u8]) -> Option<T> {
        serde_json::from_slice(text)
            .inspect_err(|error| tracing::warn!(file = %self.folder.join(name).display(), %error, "a kept file is broken and not used"))
            .ok()
    }
}

/// Reads a key and a chain, and looks whether they belong together and for which names they are. Dates are facts, no faults:
/// a certificate that ended is refused by whoever sees it, and a clock may be wrong.
pub(super) fn pair(text: &[u8], names: &[String]) -> Result<Pair, Fault> {
    let unusable = |why: String| Fault::Unusable(why);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    let first = chain.first().ok_or_else(|| unusable("there is none in the answer".to_owned()))?;
    let facts = Facts::of(first).map_err(|error| unusable(error.to_string()))?;
    let parsed = ParsedCertificate::try_from(first).map_err(|error| unusable(error.to_string()))?;
    let fits = names
        .iter()
        .all(|name| ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok()));
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| unusable(format!("its key: {error}")))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let shown = CertifiedKey::from_der(chain, key, &provider).map_err(|error| unusable(error.to_string()))?;
    Ok(Pair { shown: Arc::new(shown), facts, fits })
}

/// A private key of PKCS #8 as PEM (RFC 7468 section 10).
pub(super) fn key_pem(der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new("-----BEGIN PRIVATE KEY-----\n".to_owned());
    let mut rest: &str = &encoded;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("trackgate-acme-{}", uuid::Uuid::new_v4()));
            fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }

        fn shelf(&self) -> Shelf {
            let shelf = Shelf::of(&self.0, &"https://acme.example/directory".parse().unwrap());
            shelf.prepare().unwrap();
            shelf
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn made(names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chain = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
        (key_pem(&key.serialize_der()).to_string(), chain)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_pair_is_kept_whole_and_readable_by_its_owner_alone() {
        let folder = Folder::new();
        let shelf = folder.shelf();
        assert!(shelf.certificate(&[]).unwrap().is_none());
        let (key, chain) = made(&["a.example", "b.example"]);
        shelf.keep_certificate(&key, &chain).unwrap();
        let kept = shelf.certificate(&names(&["b.example"])).unwrap().unwrap();
        assert!(kept.fits);
        assert!(!shelf.certificate(&names(&["b.example", "c.example"])).unwrap().unwrap().fits);
        assert_eq!((mode(shelf.folder()), mode(&shelf.folder().join(CERTIFICATE))), (0o700, 0o600));
        assert_eq!(mode(shelf.folder().parent().unwrap()), 0o700);
    }

    #[test]
    fn what_is_broken_is_as_if_absent() {
        let folder = Folder::new();
        let shelf = folder.shelf();
        let (key, _) = made(&["a.example"]);
        let (_, strange) = made(&["a.example"]);
        for text in ["", "-----BEGIN PRIVATE KEY-----", &key, &strange, &format!("{key}{strange}")] {
            fs::write(shelf.folder().join(CERTIFICATE), text).unwrap();
            assert!(shelf.certificate(&[]).unwrap().is_none(), "{text}");
        }
        for name in [ACCOUNT, ORDER, ATTEMPTS] {
            fs::write(shelf.folder().join(name), "{\"half\":").unwrap();
        }
        assert!(shelf.account().unwrap().is_none() && shelf.begun().unwrap().is_none());
        assert_eq!(shelf.attempts(), Attempts::default());
    }

    #[test]
    fn an_interrupted_write_leaves_the_old_file_and_is_swept() {
        let folder = Folder::new();
        let shelf = folder.shelf();
        let (key, chain) = made(&["a.example"]);
        shelf.keep_certificate(&key, &chain).unwrap();
        let half = shelf.folder().join(format!(".{CERTIFICATE}.x{UNFINISHED}"));
        fs::write(&half, "-----BEGIN").unwrap();
        assert!(shelf.certificate(&names(&["a.example"])).unwrap().unwrap().fits);
        shelf.sweep();
        assert!(!half.exists() && shelf.folder().join(CERTIFICATE).exists());
    }

    #[test]
    fn files_and_folders_that_others_can_read_are_closed() {
        let folder = Folder::new();
        let shelf = folder.shelf();
        let (key, chain) = made(&["a.example"]);
        shelf.keep_certificate(&key, &chain).unwrap();
        fs::set_permissions(shelf.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(shelf.folder().join(CERTIFICATE), fs::Permissions::from_mode(0o644)).unwrap();
        shelf.prepare().unwrap();
        shelf.certificate(&[]).unwrap();
        assert_eq!((mode(shelf.folder()), mode(&shelf.folder().join(CERTIFICATE))), (0o700, 0o600));
    }

    #[test]
    fn one_process_asks_and_its_end_gives_the_right_back() {
        let folder = Folder::new();
        let shelf = folder.shelf();
        let held = shelf.lock().unwrap();
        assert!(held.is_some());
        assert!(shelf.lock().unwrap().is_none());
        drop(held);
        assert!(shelf.lock().unwrap().is_some());
    }

    #[test]
    fn each_authority_has_a_folder_of_its_own_inside_ours() {
        let at = |url: &str| Shelf::of(Path::new("/s"), &url.parse().unwrap()).folder;
        let one = at("https://acme.example/directory");
        assert_ne!(one, at("https://acme.example/staging"));
        for url in ["https://acme.example/../../etc", "https://[::1]:14000/dir", "https://..%2f/x", "https://a/%2e%2e"]
        {
            let Ok(url) = url.parse::<Url>() else { continue };
            let path = Shelf::of(Path::new("/s"), &url).folder;
            assert_eq!(path.parent(), Some(Path::new("/s/acme")), "{url}");
        }
    }

    #[test]
    fn a_key_is_written_as_others_write_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let written = key_pem(&key.serialize_der());
        assert_eq!(written.replace('\n', ""), key.serialize_pem().replace(['\n', '\r'], ""));
        assert!(written.lines().all(|line| line.len() <= 64));
    }
}
