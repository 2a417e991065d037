//! What a puller reports of its job.

use super::{No, Record, Stage, TOLD_MAX};
use domain::Timestamp;
use domain::job::{ActiveStatus, Links, Reason, TerminalStatus};

/// A report, checked and without secrets. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) status: Reported,
    pub(crate) message: Option<String>,
    pub(crate) progress: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) links: Links,
}

/// How the puller says it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reported {
    /// At work, or waiting for a person.
    Active(ActiveStatus),
    /// Over.
    Terminal(TerminalStatus),
}

impl Record {
    /// Takes a report of the claim's holder. The same report twice is as once. A report is a sign of life, too.
    pub(crate) fn report(&mut self, fence: u32, report: Report, now: Timestamp) -> Result<(), No> {
        if let (Stage::Over { by_fence: Some(by), status, .. }, Reported::Terminal(told)) =
            (&self.stage, report.status)
            && (*by, *status) == (fence, told)
        {
            return Ok(());
        }
        self.renew(fence, None, now)?;
        let before = self.words.clone();
        let Report { status, message, progress, external_id, url, links } = report;
        let words = &mut self.words;
        words.message = message.or(words.message.take());
        words.progress = progress.or(words.progress.take());
        words.external_id = external_id.or(words.external_id.take());
        words.url = url.or(words.url.take());
        words.links.extend(links);
        match status {
            Reported::Active(status) => {
                words.status = status;
                let new_status = before.status != status;
                if *words != before && (new_status || self.told < TOLD_MAX) {
                    self.told += 1;
                    self.version += 1;
                }
            }
            Reported::Terminal(status) => {
                let message = self.said();
                // Nobody here wished it: whoever did, did so where the puller runs.
                let reason = (status == TerminalStatus::Cancelled && !self.cancelling)
                    .then_some(Reason::CancelledOnPlatform);
                self.version += 1;
                self.stage = Stage::Over { status, reason, message, by_fence: Some(fence) };
            }
        }
        Ok(())
    }

    /// The puller's words in one line.
    pub(super) fn said(&self) -> Option<String> {
        let parts = [self.words.progress.as_deref(), self.words.message.as_deref()];
        let said = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        (!said.is_empty()).then_some(said)
    }
}
