//! Freezes at the claim. A job that nobody has begun goes back to its dispatcher when a freeze came, went or began since it was
//! dispatched; one that came back to the queue is not given out while a freeze holds its target.

use bus::catalog::CatalogFold;
use bus::{BusError, Freezes};
use domain::Timestamp;
use domain::command::AgentCommand;
use domain::freeze;
use std::sync::Arc;
use std::time::Duration;

/// How long a claim may wait until this replica knows a freeze that was confirmed.
const CATALOG_WAIT: Duration = Duration::from_secs(5);

/// What is known of freezes.
#[derive(Debug, Clone)]
pub(crate) struct Frost {
    pub(crate) freezes: Freezes,
    pub(crate) catalog: Arc<CatalogFold>,
}

impl Frost {
    /// Why a job goes back that nobody has begun.
    pub(crate) async fn overtakes(
        &self,
        command: &AgentCommand,
        now: Timestamp,
    ) -> Result<Option<&'static str>, BusError> {
        let changed_at = self.freezes.changed_at(&command.job.workspace).await?;
        Ok(if changed_at > command.freezes_seen {
            Some("a freeze was declared or lifted since the dispatch")
        } else if command.freeze_begins_at.is_some_and(|begins| begins <= now) {
            Some("a freeze began since the dispatch")
        } else {
            None
        })
    }

    /// Why a job is not given out that somebody had begun. What cannot be told holds.
    pub(crate) async fn holds(
        &self,
        command: &AgentCommand,
        now: Timestamp,
    ) -> Result<Option<String>, BusError> {
        let workspace = &command.job.workspace;
        let changed_at = self.freezes.changed_at(workspace).await?;
        if !self.catalog.wait_for(changed_at, CATALOG_WAIT).await {
            return Ok(Some(format!("the catalog has not reached revision {changed_at} here")));
        }
        let catalog = self.catalog.read();
        let Some(workspace) = catalog.workspace(workspace) else {
            return Ok(Some(format!("workspace {workspace} is not in the catalog")));
        };
        Ok(match freeze::of_job(workspace, &command.job, now) {
            Ok(None) => None,
            Ok(Some(frozen)) => Some(format!("frozen: {} ({})", frozen.reason, frozen.name)),
            Err(why) => Some(why),
        })
    }
}
