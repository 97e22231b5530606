//! What does a file hold that somebody else keeps fresh?
//!
//! Kubernetes projects a service account's token into a file and writes it anew at four fifths of its life (Kubernetes,
//! "Configure Service Accounts for Pods"). The file is read again when it changes, and when the token is due.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Asking, Credential, Source, SourceFault};

/// More than any token.
const MOST: u64 = 64 * 1024;
/// A file that is being written is whole soon.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(100);

/// A file with a token.
pub struct TokenFile {
    path: Arc<Path>,
    read: Mutex<Option<Stamp>>,
}

/// What tells one content from another without reading it. Kubernetes puts another file in the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

impl TokenFile {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path: path.into(), read: Mutex::default() }
    }

    async fn read(&self) -> Result<Credential, SourceFault> {
        let mut tries = 0;
        loop {
            let path = Arc::clone(&self.path);
            let read =
                tokio::task::spawn_blocking(move || read(&path)).await.map_err(|_| self.fault("it was not read"))?;
            let (stamp, text) = read.map_err(|why| self.fault(&why))?;
            // Also of what is of no use: it is looked at again when it changes.
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
            tries += 1;
            match Credential::read(Zeroizing::new(text.trim().to_owned())) {
                Ok(credential) => return Ok(credential),
                Err(why) if tries == TRIES => return Err(self.fault(why)),
                Err(_) => tokio::time::sleep(BETWEEN).await,
            }
        }
    }

    /// All of it may pass: somebody else writes the file.
    fn fault(&self, why: &str) -> SourceFault {
        SourceFault::passing(format!("the token file {} cannot be used: {why}", self.path.display()))
    }
}

fn read(path: &Path) -> Result<(Stamp, Zeroizing<String>), String> {
    let said = |fault: std::io::Error| fault.to_string();
    // Before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(said)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(said)?;
    let stamp = Stamp::of(&file.metadata().map_err(said)?);
    let mut text = Zeroizing::new(String::new());
    file.take(MOST).read_to_string(&mut text).map_err(said)?;
    Ok((stamp, text))
}

impl Source for TokenFile {
    fn describe(&self) -> String {
        format!("the token file {}", self.path.display())
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.read())
    }

    fn has_changed(&self) -> bool {
        let Some(read) = *self.read.lock().unwrap_or_else(PoisonError::into_inner) else { return false };
        // One that is gone for a moment has not changed.
        std::fs::metadata(&self.path).is_ok_and(|metadata| Stamp::of(&metadata) != read)
    }
}
