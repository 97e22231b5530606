//! Who looks after the certificate of an authority, and from when to when?

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::acme::{Keeper, OpenFault, Settings};
use crate::clock::Clock;
use crate::serve;

/// The keeper, where an authority gives the certificate. `shared`: other gates may use the same database.
pub(super) fn keeper(
    settings: Option<Settings>,
    doors: &serve::Settings,
    shared: bool,
    clock: &Clock,
) -> Result<Option<Arc<Keeper>>, OpenFault> {
    let desk = doors.https.as_ref().and_then(|https| https.pair.desk());
    let Some((settings, desk)) = settings.zip(desk) else { return Ok(None) };
    if shared {
        tracing::warn!(
            "`[acme]` is for one gate under each name: others of this database must not have the same names"
        );
    }
    let keeper = Keeper::open(settings, Arc::clone(desk), doors.expiry.clone(), clock.clone())?;
    Ok(Some(Arc::new(keeper)))
}

/// Its task, which ends with this value.
pub(super) struct Keeping {
    opened: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Keeping {
    /// Begins when the doors are open: the authority comes to look.
    pub(super) fn of(keeper: Option<&Arc<Keeper>>) -> Self {
        let opened = Arc::new(Notify::new());
        let task = keeper.map(|keeper| {
            let (keeper, opened) = (Arc::clone(keeper), Arc::clone(&opened));
            tokio::spawn(async move {
                opened.notified().await;
                keeper.keep().await;
            })
        });
        Self { opened, task }
    }

    /// The doors are open.
    pub(super) fn begin(&self) {
        self.opened.notify_one();
    }

    /// Ends it, and waits for that: the right to ask goes back with its last value.
    pub(super) async fn end(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
