//! How do records get to the disk without a request waiting for it?
//!
//! One thread takes records from a queue in batches and appends them as JSON lines. A batch that cannot be
//! written is kept and tried again; until it is through, [`State::failing`] tells the gate to refuse.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::beside::Beside;
use super::record::Entry;
use super::sink::Sink;
use super::{Fsync, OpenError, Settings, Target};
use crate::seldom::Seldom;

/// Records in one write at most.
const BATCH: usize = 1024;
/// How long the writer rests after a batch. While it rests, senders need not wake it (no system call per request).
const REST: Duration = Duration::from_millis(4);
/// How long it waits before it tries a failed batch again.
const RETRY: Duration = Duration::from_millis(200);
/// How often it is told that requests go on without a record.
const TELL: Duration = Duration::from_secs(10);

/// What the writer is sent: a record, or `None`, to have a look at [`State`].
pub(super) type Sent = Option<Box<Entry>>;

/// What the writer and the gate tell each other.
#[derive(Debug)]
pub(super) struct State {
    failing: AtomicBool,
    reopen: AtomicBool,
    hurry: AtomicBool,
    waiting: AtomicUsize,
    /// Requests that went on without a record.
    unrecorded: AtomicU64,
    unrecorded_told: Seldom,
    /// Records that standard output did not take, besides the file that did.
    untold: AtomicUsize,
    /// Why the file could not be opened anew.
    stale: Mutex<Option<String>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            failing: AtomicBool::default(),
            reopen: AtomicBool::default(),
            hurry: AtomicBool::default(),
            waiting: AtomicUsize::default(),
            unrecorded: AtomicU64::default(),
            unrecorded_told: Seldom::new(TELL),
            untold: AtomicUsize::default(),
            stale: Mutex::default(),
        }
    }
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

    /// A request goes on without a record. `Some`: tell it, and how many others went on so meanwhile.
    pub(super) fn one_goes_unrecorded(&self) -> Option<u64> {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        self.unrecorded_told.happened()
    }

    pub(super) fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// Standard output did not take so many records.
    pub(super) fn not_told(&self, count: usize) {
        self.untold.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn untold(&self) -> usize {
        self.untold.load(Ordering::Relaxed)
    }

    /// Why the file that was to be opened anew is still the old one.
    pub(super) fn stale(&self) -> Option<String> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_stale(&self, why: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner), why)
    }
}

pub(super) fn start(
    settings: &Settings,
    mut waiting: mpsc::UnboundedReceiver<Sent>,
    state: Arc<State>,
) -> Result<std::thread::JoinHandle<()>, OpenError> {
    let target = settings.to.clone();
    let fsync = settings.fsync;
    let name = target.to_string();
    let opened = |source| OpenError { path: name.clone(), source };
    let mut sink = Sink::open(&target).map_err(opened)?;
    let wished = settings.stdout_too && target != Target::Stdout;
    let mut beside = wished.then(|| Beside::open(settings.on_failure, &state)).transpose().map_err(opened)?;
    let traces = settings.google_project.as_ref().map(|project| format!("projects/{project}/traces/"));
    std::thread::Builder::new()
        .name("audit".into())
        .spawn(move || {
            let mut lines = Vec::with_capacity(64 * 1024);
            let mut records = Vec::with_capacity(BATCH);
            while waiting.blocking_recv_many(&mut records, BATCH) > 0 {
                lines.clear();
                let mut count = 0;
                for record in records.drain(..).flatten() {
                    record.write_line(&mut lines, traces.as_deref());
                    count += 1;
                }
                if state.reopen.load(Ordering::Relaxed) {
                    reopen(&mut sink, &target, &state);
                }
                if count == 0 {
                    continue;
                }
                write_until_done(&mut sink, &target, &lines, fsync, &state);
                match &mut beside {
                    None => {}
                    Some(Beside::Bound(out)) => write_until_done(out, &Target::Stdout, &lines, fsync, &state),
                    Some(Beside::Loose { batches, .. }) => Beside::hand_over(batches, &lines, count, &state),
                }
                state.waiting.fetch_sub(count, Ordering::Relaxed);
                if !state.hurry.load(Ordering::Relaxed) {
                    std::thread::sleep(REST);
                }
            }
            if let Some(beside) = beside {
                beside.end();
            }
        })
        .map_err(|source| OpenError { path: "writer thread".into(), source })
}

/// Opens the file anew, for a rotation. What fails is told once, and tried again with every batch.
fn reopen(sink: &mut Sink, target: &Target, state: &State) {
    // Before the file is opened: a wish that comes meanwhile is another one.
    state.reopen.store(false, Ordering::Relaxed);
    match Sink::open(target) {
        Ok(new) => {
            *sink = new;
            if state.is_stale(None).is_some() {
                tracing::warn!("the audit log could be opened anew after all");
            }
        }
        Err(error) => {
            state.reopen.store(true, Ordering::Relaxed);
            if state.is_stale(Some(error.to_string())).is_none() {
                tracing::error!(%error, to = %target, "the audit log cannot be opened anew; the old file stays in use");
            }
        }
    }
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
                    tracing::error!(%error, to = %target, "the audit log cannot be written");
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
