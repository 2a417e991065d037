//! GitHub's words for how a run stands. Both lists are open: GitHub adds words, and what we do not know is kept as it is.

use platform::words;

words! {
    /// The `status` of a run or job.
    pub(super) Status {
        /// Asked for, not yet scheduled.
        Requested = "requested",
        /// Waits for a runner.
        Queued = "queued",
        /// Waits for its concurrency group.
        Pending = "pending",
        /// Waits for a deployment protection rule: a reviewer or a timer.
        Waiting = "waiting",
        /// Runs.
        InProgress = "in_progress",
        /// Over, unless its conclusion says otherwise.
        Completed = "completed",
    }
}

words! {
    /// The `conclusion` of a completed run or job.
    pub(super) Conclusion {
        /// It ended well.
        Success = "success",
        /// A job failed.
        Failure = "failure",
        /// Neither good nor bad.
        Neutral = "neutral",
        /// Somebody ended it.
        Cancelled = "cancelled",
        /// No job had anything to do.
        Skipped = "skipped",
        /// It took longer than it may.
        TimedOut = "timed_out",
        /// It waits for an approval and then goes on, under the same id.
        ActionRequired = "action_required",
        /// It could not even start: workflow file or policy.
        StartupFailure = "startup_failure",
        /// GitHub gave up on it.
        Stale = "stale",
    }
}
