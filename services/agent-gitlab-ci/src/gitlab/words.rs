//! GitLab's words for how a pipeline or a job stands. The list is open: GitLab adds words, and what we do not know is kept
//! as it is. Source: `Ci::HasStatus` of GitLab 19, which pipelines, jobs and bridges share.

use platform::words;

words! {
    /// The `status` of a pipeline or a job.
    pub(super) Status {
        /// Made, not yet looked at.
        Created = "created",
        /// Waits for its resource group.
        WaitingForResource = "waiting_for_resource",
        /// Its environment is made ready.
        Preparing = "preparing",
        /// Runs on something outside that will report back.
        WaitingForCallback = "waiting_for_callback",
        /// Waits for a runner.
        Pending = "pending",
        /// Runs.
        Running = "running",
        /// Over, well.
        Success = "success",
        /// Over, badly.
        Failed = "failed",
        /// Asked to end; clean-up is under way.
        Canceling = "canceling",
        /// Over, because it was asked to end.
        Canceled = "canceled",
        /// Over without having run.
        Skipped = "skipped",
        /// Waits for a person to start it.
        Manual = "manual",
        /// Waits for its time.
        Scheduled = "scheduled",
    }
}

impl Status {
    /// Whether it ends a pipeline or job, until somebody starts it again.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::Canceled | Self::Skipped => true,
            Self::Created
            | Self::WaitingForResource
            | Self::Preparing
            | Self::WaitingForCallback
            | Self::Pending
            | Self::Running
            | Self::Canceling
            | Self::Manual
            | Self::Scheduled
            | Self::Other(_) => false,
        }
    }
}
