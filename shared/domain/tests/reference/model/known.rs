//! Where the evaluator does not do what the page says, and the model is bent for now so that the comparison goes on.
//! Each is to be made `false`, and then to be deleted.

/// A version is held and nothing succeeded here before: "without such a version the target stays as it is". The evaluator
/// goes on with the next older candidate.
pub(crate) const OLDER_AFTER_FIRST_FAILED: bool = true;

/// What is desired but waits for people (its job ended badly) stops being allowed at an instant: the decision changes
/// then, but carries no instant.
pub(crate) const NO_WAKE_WHEN_DESIRED_ENDS: bool = true;

/// A hold ends when the variables of its release change; the evaluator takes it anew from the same failed job.
pub(crate) const HELD_AGAIN_BY_THE_SAME_JOB: bool = true;

/// "A version that had succeeded here before is not held for a failed job": the evaluator holds it where it succeeded with
/// other variables.
pub(crate) const HELD_THOUGH_IT_RAN_WITH_OTHER_VARIABLES: bool = true;

/// A rollout pauses until failed targets "are repaired (a retry or redeploy that succeeds)"; the evaluator goes on as soon
/// as a retry is on its way.
pub(crate) const RESUMES_WHILE_RETRYING: bool = true;

/// "What runs, or is on its way, is not replaced by an *older* version": while a newer version than the held one is on its
/// way, and its gates close, the evaluator desires what ran before the held one (and cancels the job, where newer
/// versions supersede).
pub(crate) const ROLLS_BACK_WHAT_IS_NEWER: bool = true;
