//! How do records get to the disk without a request waiting for it?
//!
//! One thread takes records from a queue in batches and appends them as JSON lines. A batch that cannot be
//! written is kept and tried again; until it is through, [`State::failing`] tells the gate to refuse.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::record::Entry;
use super::{Fsync, OpenError, Settings, Target};

/// Records in one write at most.
const BATCH: usize = 1024;
/// How long the writer rests after a batch. While it rests, senders need not wake it (no system call per request).
const REST: Duration = Duration::from_millis(4);
/// How long it waits before it tries a failed batch again.
const RETRY: Duration = Duration::from_millis(200);

/// What the writer and the gate tell each other.
#[derive(Debug, Default)]
pub(super) struct State {
    failing: AtomicBool,
    reopen: AtomicBool,
    hurry: AtomicBool,
    waiting: AtomicUsize,
}

impl State {
    pub(super) fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Records that were closed and are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn one_more_waits(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ask_to_reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }
}

enum Sink {
    File(File),
    Stdout(io::Stdout),
}

impl Sink {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => open_file(path).map(Self::File),
        }
    }

    fn put(&mut self, batch: &[u8], fsync: Fsync) -> io::Result<()> {
        match self {
            Self::Stdout(out) => {
                let mut out = out.lock();
                out.write_all(batch)?;
                out.flush()
            }
            Self::File(file) => {
                let before = file.metadata()?.len();
                let written = file.write_all(batch).and_then(|()| match fsync {
                    Fsync::Always => file.sync_data(),
                    Fsync::Never => Ok(()),
                });
                if written.is_err() {
                    // A part of a line must not stay in front of the next try.
                    let _ = file.set_len(before);
                }
                written
            }
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

pub(super) fn start(
    settings: &Settings,
    mut waiting: mpsc::UnboundedReceiver<Box<Entry>>,
    state: Arc<State>,
) -> Result<std::thread::JoinHandle<()>, OpenError> {
    let target = settings.to.clone();
    let fsync = settings.fsync;
    let name = match &target {
        Target::File(path) => path.display().to_string(),
        Target::Stdout => "-".to_owned(),
    };
    let opened = |source| OpenError { path: name.clone(), source };
    let mut sink = Sink::open(&target).map_err(opened)?;
    let mut besides = (settings.stdout_too && target != Target::Stdout).then(|| Sink::Stdout(io::stdout()));
    let traces = settings.google_project.as_ref().map(|project| format!("projects/{project}/traces/"));
    std::thread::Builder::new()
        .name("audit".into())
        .spawn(move || {
            let mut lines = Vec::with_capacity(64 * 1024);
            let mut records = Vec::with_capacity(BATCH);
            while waiting.blocking_recv_many(&mut records, BATCH) > 0 {
                lines.clear();
                let count = records.len();
                for record in records.drain(..) {
                    record.write_line(&mut lines, traces.as_deref());
                }
                if state.reopen.swap(false, Ordering::Relaxed) {
                    match Sink::open(&target) {
                        Ok(new) => sink = new,
                        Err(error) => {
                            tracing::error!(%error, "the audit log cannot be opened anew; the old file stays in use");
                        }
                    }
                }
                write_until_done(&mut sink, &target, &lines, fsync, &state);
                if let Some(besides) = &mut besides {
                    write_until_done(besides, &Target::Stdout, &lines, fsync, &state);
                }
                state.waiting.fetch_sub(count, Ordering::Relaxed);
                if !state.hurry.load(Ordering::Relaxed) {
                    std::thread::sleep(REST);
                }
            }
        })
        .map_err(|source| OpenError { path: "writer thread".into(), source })
}

/// Tries until the batch is written. The queue fills meanwhile, and the gate refuses.
fn write_until_done(sink: &mut Sink, target: &Target, lines: &[u8], fsync: Fsync, state: &State) {
    loop {
        match sink.put(lines, fsync) {
            Ok(()) => {
                if state.failing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the audit log can be written again");
                }
                return;
            }
            Err(error) => {
                if !state.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the audit log cannot be written");
                }
                if state.hurry.load(Ordering::Relaxed) {
                    tracing::error!(
                        bytes = lines.len(),
                        "records were lost: the process ends while the audit log cannot be written"
                    );
                    return;
                }
                std::thread::sleep(RETRY);
                if let Ok(new) = Sink::open(target) {
                    *sink = new;
                }
            }
        }
    }
}
