//! How does a batch of lines get into a file or a pipe, whole or not at all?
//!
//! Lines are appended in one write, under a lock (flock(2)) that other gates on the same file respect: what is taken back
//! after a fault is our own and nobody else's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Fsync, Target};

/// How long another may hold the lock. Any reader of the file can hold it for ever, and must not keep records out.
const PATIENCE: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(1);

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    File(Appended),
    Stdout(io::Stdout),
}

impl Sink {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => Appended::open(path).map(Self::File),
        }
    }

    pub(super) fn put(&mut self, batch: &[u8], fsync: Fsync) -> io::Result<()> {
        match self {
            Self::Stdout(out) => {
                let mut out = out.lock();
                out.write_all(batch)?;
                out.flush()
            }
            Self::File(file) => file.put(batch, fsync),
        }
    }
}

/// A file that is only appended to.
#[derive(Debug)]
pub(super) struct Appended {
    file: File,
    /// The last line is half ours and could not be taken back.
    torn: bool,
}

impl Appended {
    /// A FIFO that nobody reads is a fault (ENXIO), and nothing to wait for: the gate must hear signals.
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
        // Once it is open, a slow reader is waited for.
        let flags = fcntl_getfl(&file)?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        Ok(Self { file, torn: false })
    }

    fn put(&mut self, batch: &[u8], fsync: Fsync) -> io::Result<()> {
        let locked = self.lock();
        let done = self.put_alone(batch, fsync);
        if locked {
            // Closing the file would do it too.
            let _ = self.file.unlock();
        }
        done
    }

    /// Whether nobody else of ours writes until it is given back. Without it (a file system that knows no locks, somebody
    /// who does not let go) records are written all the same.
    fn lock(&self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.file.try_lock() {
                Ok(()) => return true,
                Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(AGAIN),
                Err(_) => return false,
            }
        }
    }

    fn put_alone(&mut self, batch: &[u8], fsync: Fsync) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let before = self.file.metadata()?.len();
        let mut left = batch;
        let written = append(&mut self.file, &mut left).and_then(|()| match fsync {
            Fsync::Always => self.file.sync_data(),
            Fsync::Never => Ok(()),
        });
        if written.is_err() {
            let ours = u64::try_from(batch.len() - left.len()).unwrap_or(u64::MAX);
            self.torn = !take_back(&self.file, before, ours);
        }
        written
    }
}

/// As `write_all`, and tells what is left.
fn append(file: &mut File, left: &mut &[u8]) -> io::Result<()> {
    while !left.is_empty() {
        match file.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *left = &left[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A part of a line must not stay in front of the next try; and of what another gate wrote meanwhile nothing may be cut.
/// Says whether nothing of ours is left.
fn take_back(file: &File, before: u64, ours: u64) -> bool {
    let alone = || file.metadata().is_ok_and(|now| now.len() == before.saturating_add(ours));
    ours == 0 || (alone() && file.set_len(before).is_ok())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("trackgate-sink-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn half_a_line_of_ours_is_taken_back_and_nothing_of_anothers() {
        let path = path("back");
        let mut ours = Appended::open(&path).unwrap();
        ours.put(b"one\n", Fsync::Never).unwrap();
        ours.file.write_all(b"tw").unwrap();
        assert!(take_back(&ours.file, 4, 2));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        ours.file.write_all(b"tw").unwrap();
        let mut other = Appended::open(&path).unwrap();
        other.put(b"other\n", Fsync::Never).unwrap();
        assert!(!take_back(&ours.file, 4, 2), "what another wrote would be cut");
        ours.torn = true;
        ours.put(b"two\n", Fsync::Never).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("one\ntwother\n") && text.ends_with("\ntwo\n"), "{text:?}");
    }

    #[test]
    fn whoever_holds_the_lock_is_waited_for_and_not_for_ever() {
        let path = path("held");
        let (mut ours, other) = (Appended::open(&path).unwrap(), Appended::open(&path).unwrap());
        other.file.lock().unwrap();
        let begun = Instant::now();
        ours.put(b"one\n", Fsync::Never).unwrap();
        assert!(begun.elapsed() >= PATIENCE);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n", "no reader of the file can keep records out");
        other.file.unlock().unwrap();
        ours.put(b"two\n", Fsync::Never).unwrap();
        assert!(other.lock(), "the lock was given back");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_a_fault_and_not_waited_for() {
        let path = path("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let fault = Appended::open(&path).unwrap_err();
        assert_eq!(fault.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()), "{fault}");
        // With a reader it is a place like others, and one that waits for a slow reader.
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::read(path).unwrap().len()
        });
        let begun = Instant::now();
        let mut pipe = loop {
            match Appended::open(&path) {
                Ok(pipe) => break pipe,
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(10), "the reader comes"),
            }
        };
        assert!(!fcntl_getfl(&pipe.file).unwrap().contains(OFlags::NONBLOCK));
        let much = vec![b'\n'; 1024 * 1024];
        pipe.put(&much, Fsync::Never).unwrap();
        drop(pipe);
        assert_eq!(reader.join().unwrap(), much.len());
    }
}
