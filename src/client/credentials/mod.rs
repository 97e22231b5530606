//! What does the file of credentials hold, and how is it changed so that nothing gets lost?
//!
//! One JSON document, which the Python client reads and writes too. What it holds besides (other servers, members that a newer
//! version wrote) stays as it is. It is only ever replaced as a whole: a temporary file beside it is written, flushed and
//! renamed, so that a crash or a full disk leaves the old one. Whoever changes it holds a lock from before reading it until
//! after writing it. What cannot be understood is never written over.
//!
//! The calls here touch a small file on a local disk, and wait for nothing but the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::fault::FileFault;
use super::folder::Folder;
use super::server::Server;

const FILE: &str = "credentials.json";
const LOCK: &str = "credentials.lock";
/// What a killed process may have left begins so.
const UNFINISHED: &str = ".credentials-";
/// No file of ours is larger.
const MOST: u64 = 1024 * 1024;
const VERSION: u64 = 1;
/// How long another process may hold the lock: twice what a renewal over a bad network takes.
const PATIENCE: Duration = Duration::from_mins(1);
const GLANCE: Duration = Duration::from_millis(20);

/// What a login gave for one server.
#[derive(Clone)]
pub struct Entry {
    /// Who signed in.
    pub user: String,
    /// What is shown to the server.
    pub access_token: SecretString,
    /// When that ends, in seconds since the epoch.
    pub access_expires_at: u64,
    /// What renews it; not every server gives one.
    pub refresh_token: Option<SecretString>,
    /// When that ends, where the server said so.
    pub refresh_expires_at: Option<u64>,
    /// Where it is renewed.
    pub token_endpoint: Url,
}

impl Entry {
    /// Whether it holds the same secrets.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        self.access_token.expose_secret() == other.access_token.expose_secret()
            && self.refresh_token.as_ref().map(text) == other.refresh_token.as_ref().map(text)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The file, and the lock beside it.
#[derive(Debug, Clone)]
pub struct Credentials {
    folder: Folder,
    file: PathBuf,
}

/// Who may change the file.
#[derive(Debug)]
pub struct Turn {
    /// Open for as long as it is our turn; `None` where there can be no lock (a read-only disk without the lock's file, a file
    /// system without locks).
    lock: Option<File>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Said, not left to closing: a process that was begun meanwhile may have the file open too.
        if let Some(lock) = &self.lock {
            let _ = lock.unlock();
        }
    }
}

/// What the file holds. It has no `Debug` on purpose.
#[derive(Clone)]
pub struct Document {
    path: PathBuf,
    root: Map<String, Value>,
}

impl Credentials {
    /// The file in this folder.
    #[must_use]
    pub fn within(folder: Folder) -> Self {
        let file = folder.path().join(FILE);
        Self { folder, file }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Reads it; an empty one where it is missing.
    ///
    /// # Errors
    /// [`FileFault`] when others could have read or written it, or when it is not one of ours.
    pub fn read(&self) -> Result<Document, FileFault> {
        self.folder.look()?;
        let Some(text) = self.text()? else { return Ok(Document::empty(&self.file)) };
        Document::parse(&self.file, &text)
    }

    /// Waits until it is our turn to change the file, at most a minute.
    ///
    /// # Errors
    /// [`FileFault::Locked`] then.
    pub async fn turn(&self) -> Result<Turn, FileFault> {
        // Where the folder cannot be made, nothing will be kept either; that is said when it is tried.
        let _ = self.folder.make();
        let path = self.folder.path().join(LOCK);
        let mut options = OpenOptions::new();
        let writing = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        // On a read-only disk a lock's file that is there still serves.
        let Ok(lock) = writing.or_else(|_| File::open(&path)) else { return Ok(Turn { lock: None }) };
        let end = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Turn { lock: Some(lock) }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => tokio::time::sleep(GLANCE).await,
                Err(TryLockError::WouldBlock) => return Err(FileFault::Locked { path }),
                Err(TryLockError::Error(_)) => return Ok(Turn { lock: None }),
            }
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// [`FileFault`] when that cannot be; the old one is still there then.
    pub fn write(&self, document: &Document, turn: &Turn) -> Result<(), FileFault> {
        self.folder.make()?;
        let fault = |error: io::Error| FileFault::Unwritable { path: self.file.clone(), why: error.to_string() };
        let text = Zeroizing::new(serde_json::to_vec_pretty(&document.root).map_err(|error| fault(error.into()))?);
        if turn.lock.is_some() {
            self.sweep();
        }
        let unfinished = self.unfinished().map_err(fault)?;
        let written = put(&unfinished, &text).and_then(|()| fs::rename(&unfinished, &self.file));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(fault(error));
        }
        // The new name lasts once the folder is flushed; the content lasts already.
        let _ = File::open(self.folder.path()).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Whether something of this size could be written now.
    ///
    /// # Errors
    /// [`FileFault`] when not.
    pub fn try_writing(&self, turn: &Turn) -> Result<(), FileFault> {
        self.folder.make()?;
        let fault = |error: io::Error| FileFault::Unwritable { path: self.file.clone(), why: error.to_string() };
        if turn.lock.is_some() {
            self.sweep();
        }
        let unfinished = self.unfinished().map_err(fault)?;
        let text = self.text()?.map_or(0, |text| text.len()) + 2048;
        let tried = put(&unfinished, &vec![b' '; text]);
        let _ = fs::remove_file(&unfinished);
        tried.map_err(fault)
    }

    /// The file's text, if there is a file, and if it is ours alone.
    fn text(&self) -> Result<Option<Zeroizing<String>>, FileFault> {
        let path = || self.file.clone();
        let unreadable = |error: io::Error| FileFault::Unreadable { path: path(), why: error.to_string() };
        let found = match fs::symlink_metadata(&self.file) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if found.is_symlink() {
            return Err(FileFault::Link { path: path() });
        }
        // Looked at before it is opened: a pipe would make us wait.
        if !found.is_file() {
            return Err(FileFault::NotAFile { path: path() });
        }
        let file = File::open(&self.file).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileFault::Loose { path: path(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        match file.take(MOST + 1).read_to_string(&mut text) {
            Ok(_) if text.len() as u64 <= MOST => Ok(Some(text)),
            Ok(_) => Err(FileFault::Garbage { path: path(), why: "it is too large".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(FileFault::Garbage { path: path(), why: "it is not text".to_owned() })
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    fn unfinished(&self) -> io::Result<PathBuf> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness"))?;
        Ok(self.folder.path().join(format!("{UNFINISHED}{:016x}.tmp", u64::from_be_bytes(bytes))))
    }

    /// Takes away what a process left that was killed while it wrote. Whose turn it is is the only one who writes.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.folder.path()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(UNFINISHED) && name.ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

impl Document {
    fn empty(path: &Path) -> Self {
        let mut root = Map::new();
        root.insert("version".to_owned(), json!(VERSION));
        root.insert("servers".to_owned(), json!({}));
        Self { path: path.to_owned(), root }
    }

    /// INVARIANT: no fault quotes the text: there are secrets in it.
    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let garbage = |why: String| FileFault::Garbage { path: path.to_owned(), why };
        let root: Value = serde_json::from_str(text)
            .map_err(|error| garbage(format!("it is no JSON at line {} column {}", error.line(), error.column())))?;
        let Value::Object(root) = root else { return Err(garbage("it is no object".to_owned())) };
        match root.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) if other > VERSION => return Err(garbage(format!("its version {other} is a newer one"))),
            _ => return Err(garbage("it has no `version`".to_owned())),
        }
        if !root.get("servers").is_some_and(Value::is_object) {
            return Err(garbage("it has no `servers`".to_owned()));
        }
        Ok(Self { path: path.to_owned(), root })
    }

    /// The servers that it knows, by their names.
    #[must_use]
    pub fn servers(&self) -> Vec<&str> {
        let servers = self.root.get("servers").and_then(Value::as_object);
        servers.map(|servers| servers.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// What is kept for one server.
    ///
    /// # Errors
    /// [`FileFault::Garbage`] when it lacks something.
    pub fn entry(&self, server: &Server) -> Result<Option<Entry>, FileFault> {
        let Some(entry) = self.root.get("servers").and_then(|servers| servers.get(server.as_str())) else {
            return Ok(None);
        };
        let lacks = |member: &str| FileFault::Garbage {
            path: self.path.clone(),
            why: format!("what it holds for {server} has no proper `{member}`"),
        };
        let text = |member: &str| entry.get(member).and_then(Value::as_str).filter(|text| is_plain(text));
        let secret = |member: &str| text(member).map(SecretString::from);
        let endpoint = text("token_endpoint").and_then(|text| Url::parse(text).ok()).filter(|url| server.has(url));
        let optional = |member: &str| entry.get(member).filter(|value| !value.is_null());
        let refresh_token = match optional("refresh_token") {
            Some(_) => Some(secret("refresh_token").ok_or_else(|| lacks("refresh_token"))?),
            None => None,
        };
        Ok(Some(Entry {
            user: name(entry.get("user")).ok_or_else(|| lacks("user"))?.to_owned(),
            access_token: secret("access_token").ok_or_else(|| lacks("access_token"))?,
            access_expires_at: moment(entry.get("access_expires_at")).ok_or_else(|| lacks("access_expires_at"))?,
            refresh_token,
            refresh_expires_at: moment(optional("refresh_expires_at")),
            token_endpoint: endpoint.ok_or_else(|| lacks("token_endpoint"))?,
        }))
    }

    /// What is kept for a server, or for one above it, and under which name.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn find(&self, server: &Server) -> Result<Option<(Server, Entry)>, FileFault> {
        for name in server.names() {
            if let Some(entry) = self.entry(&name)? {
                return Ok(Some((name, entry)));
            }
        }
        Ok(None)
    }

    /// Keeps this for one server, and what else is kept for it.
    pub fn put(&mut self, server: &Server, entry: &Entry) {
        let servers = self.root.entry("servers").or_insert_with(|| json!({}));
        let Value::Object(servers) = servers else { return };
        let kept = servers.entry(server.as_str()).or_insert_with(|| json!({}));
        if !kept.is_object() {
            *kept = json!({});
        }
        let Value::Object(kept) = kept else { return };
        let mut set = |member: &str, value: Option<Value>| match value {
            Some(value) => drop(kept.insert(member.to_owned(), value)),
            None => drop(kept.remove(member)),
        };
        set("user", Some(json!(entry.user)));
        set("access_token", Some(json!(entry.access_token.expose_secret())));
        set("access_expires_at", Some(json!(entry.access_expires_at)));
        set("refresh_token", entry.refresh_token.as_ref().map(|secret| json!(secret.expose_secret())));
        set("refresh_expires_at", entry.refresh_expires_at.map(|at| json!(at)));
        set("token_endpoint", Some(json!(entry.token_endpoint.as_str())));
    }

    /// Forgets what is kept for one server; whether there was something.
    pub fn remove(&mut self, server: &str) -> bool {
        let servers = self.root.get_mut("servers").and_then(Value::as_object_mut);
        servers.is_some_and(|servers| servers.remove(server).is_some())
    }
}

/// Whole seconds; other programs may have written a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at before")]
fn moment(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| {
        let seconds = value.as_f64()?;
        (seconds.is_finite() && (0.0..1e15).contains(&seconds)).then_some(seconds as u64)
    })
}

/// People's names are in any script.
fn name(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|name| !name.is_empty() && !name.chars().any(char::is_control))
}

/// What can stand in a header field.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
