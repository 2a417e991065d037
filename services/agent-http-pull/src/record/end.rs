//! Ends that no puller reported: wishes, deadlines, what cannot be given out.

use super::{Record, Stage};
use domain::job::{Reason, TerminalStatus};

impl Record {
    /// Ends it by our word. Whoever has it holds an old fence from now on.
    pub(crate) fn close(&mut self, status: TerminalStatus, reason: Option<Reason>, why: impl Into<String>) {
        self.fence += 1;
        self.version += 1;
        self.stage = Stage::Over { status, reason, message: Some(why.into()), by_fence: None };
    }

    /// It is not ours any more.
    pub(crate) fn withdraw(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        self.fence += 1;
        self.stage = Stage::Withdrawn;
        true
    }

    /// Somebody wishes it to end: at once where nobody has it, or by force; else its puller is told with the next answer.
    pub(crate) fn wish_end(&mut self, force: bool) -> bool {
        match &self.stage {
            Stage::Waiting { .. } => {
                self.cancelling = true;
                self.close(TerminalStatus::Cancelled, None, "cancelled while it waited for a puller");
                true
            }
            Stage::Claimed(claim) if force => {
                let why = format!(
                    "cancelled; {} did not end it in time and may still be working on it: its reports are refused",
                    claim.by
                );
                self.cancelling = true;
                self.close(TerminalStatus::Cancelled, None, why);
                true
            }
            Stage::Claimed(_) => {
                let is_news = !self.cancelling;
                self.cancelling = true;
                is_news
            }
            Stage::Over { .. } | Stage::Withdrawn => false,
        }
    }

    /// Nobody claimed it in time.
    pub(crate) fn time_out(&mut self) -> bool {
        if !self.is_fresh() {
            return false;
        }
        let waited = (self.queue_until - self.queued_at).num_seconds();
        let why = format!(
            "no puller of job agent {:?} claimed it within {waited} s: is one running, and does it use this agent's key?",
            self.agent_name
        );
        self.close(TerminalStatus::Failure, Some(Reason::TimedOut), why);
        true
    }
}
