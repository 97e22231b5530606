//! What becomes of records that are to go to standard output besides the file?
//!
//! Where requests are refused without a record, nothing goes on before both have a batch. Where they go on, standard output
//! has a thread of its own: what it does not take is counted, and the file has every record.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::sink::Sink;
use super::writer::State;
use super::{Fsync, OnFailure, Target};

/// So many batches may wait for a slow reader; each is of 1024 records at most.
const WAITING: usize = 16;

/// A batch, and how many records it is.
type Batch = (Vec<u8>, usize);

pub(super) enum Beside {
    /// It has each batch before anything goes on.
    Bound(Sink),
    /// It may lose batches.
    Loose { batches: SyncSender<Batch>, thread: JoinHandle<()> },
}

impl Beside {
    pub(super) fn open(on_failure: OnFailure, state: &Arc<State>) -> io::Result<Self> {
        let sink = Sink::open(&Target::Stdout)?;
        if on_failure == OnFailure::Refuse {
            return Ok(Self::Bound(sink));
        }
        let (batches, waiting) = sync_channel(WAITING);
        let state = Arc::clone(state);
        let thread =
            std::thread::Builder::new().name("audit-stdout".into()).spawn(move || pass(sink, &waiting, &state))?;
        Ok(Self::Loose { batches, thread })
    }

    /// Never waits.
    pub(super) fn hand_over(batches: &SyncSender<Batch>, lines: &[u8], count: usize, state: &State) {
        if batches.try_send((lines.to_vec(), count)).is_err() {
            state.not_told(count);
        }
    }

    /// Waits until it has what there is. A reader that stands still is waited for as long as [`super::Writer::finish`] waits.
    pub(super) fn end(self) {
        if let Self::Loose { batches, thread } = self {
            drop(batches);
            let _ = thread.join();
        }
    }
}

fn pass(mut sink: Sink, waiting: &Receiver<Batch>, state: &State) {
    let mut failing = false;
    while let Ok((lines, count)) = waiting.recv() {
        match sink.put(&lines, Fsync::Never) {
            Ok(()) if failing => {
                failing = false;
                tracing::warn!("standard output takes audit records again");
            }
            Ok(()) => {}
            Err(error) => {
                state.not_told(count);
                if !failing {
                    failing = true;
                    tracing::error!(%error, "standard output takes no audit records; the file has them");
                }
            }
        }
    }
}
