//! What people are told of a job: a look at it, as at a run of any platform.

use super::{Claim, Record, Stage};
use domain::job::{ActiveStatus, ExternalRef, OrderKey, RawStatus, Reason, Snapshot, SnapshotStatus, Source};

impl Record {
    /// How the job stands; `None` while nobody has claimed it, or when it is not ours any more.
    pub(crate) fn snapshot(&self) -> Option<Snapshot<SnapshotStatus>> {
        let (status, reason, message, word) = match &self.stage {
            Stage::Waiting { .. } if !self.begun => return None,
            Stage::Withdrawn => return None,
            Stage::Waiting { why, lost } => {
                let reason = lost.then_some(Reason::Lost);
                (SnapshotStatus::Active(ActiveStatus::Queued), reason, why.clone(), "waiting")
            }
            Stage::Claimed(Claim { by, .. }) => {
                let message = self.said().unwrap_or_else(|| format!("claimed by {by}"));
                (SnapshotStatus::Active(self.words.status), None, Some(message), "claimed")
            }
            Stage::Over { status, reason, message, .. } => {
                (SnapshotStatus::Terminal(*status), *reason, message.clone(), "over")
            }
        };
        let run = self.words.external_id.as_deref().map(|id| format!(", run {id}")).unwrap_or_default();
        Some(Snapshot {
            status,
            order: Some(OrderKey { attempt: self.attempt, version: self.version }),
            // Which fence and which change: so that news of links alone is news.
            raw: Some(RawStatus {
                status: format!("{word} (fence {}, change {}{run})", self.fence, self.version),
                conclusion: None,
            }),
            reason,
            message,
            links: self.words.links.clone(),
            source: Source::Read,
            external: Some(self.external()),
        })
    }

    /// The job as a run: it is its own, whoever works on it.
    fn external(&self) -> ExternalRef {
        ExternalRef {
            platform: self.command.platform.clone(),
            host: self.command.platform.to_string(),
            scope: self.command.agent.to_string(),
            id: self.command.job.id.to_string(),
            attempt: self.attempt,
            url: self.words.url.clone(),
        }
    }
}
