//! Wakes frozen jobs: when a freeze comes or goes, and exactly when one begins or ends by time. Nothing is polled.

use crate::handler::Dispatcher;
use domain::Timestamp;
use domain::token::Slug;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A timer sleeps no longer than this, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// A workspace whose frozen jobs could not be looked at is tried again this soon.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The workspaces of which a freeze changed since somebody last took them.
#[derive(Debug)]
pub(crate) struct Changed(watch::Sender<BTreeSet<Slug>>);

impl Default for Changed {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Changed {
    /// A freeze of the workspace changed.
    pub(crate) fn put(&self, workspace: Slug) {
        self.0.send_if_modified(|changed| changed.insert(workspace));
    }

    fn take(&self) -> BTreeSet<Slug> {
        let mut taken = BTreeSet::new();
        self.0.send_if_modified(|changed| {
            taken = std::mem::take(changed);
            false
        });
        taken
    }
}

/// Wakes frozen jobs until the drain. What was missed while nobody ran is made up for at the start.
pub(crate) async fn run(dispatcher: Arc<Dispatcher>, drain: CancellationToken) -> anyhow::Result<()> {
    let mut changes = dispatcher.freezes_changed.0.subscribe();
    let mut due = dispatcher.workspaces();
    let mut looked = dispatcher.clock.now();
    loop {
        due.extend(dispatcher.freezes_changed.take());
        let now = dispatcher.clock.now().max(looked);
        let (passed, next) = dispatcher.passed(looked, now);
        due.extend(passed);
        looked = now;
        let mut failed = BTreeSet::new();
        for workspace in std::mem::take(&mut due) {
            if let Err(failure) = dispatcher.look_at_frozen(&workspace).await {
                warn!(%workspace, %failure, "the frozen jobs could not all be looked at");
                failed.insert(workspace);
            }
        }
        due = failed;
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = dispatcher.clock.until(next.unwrap_or(Timestamp::MAX_UTC), SLEEP_MAX) => {}
            () = tokio::time::sleep(TRY_AGAIN), if !due.is_empty() => {}
        }
    }
}
