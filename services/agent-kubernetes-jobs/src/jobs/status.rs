//! What a Job's conditions, counts and pods mean to us: one pure table. Source: batch/v1 `JobStatus` of Kubernetes 1.36 and
//! what its Job controller was seen to do. It never guesses an end: only `Complete` and `Failed` are ends, and our own
//! suspension is one when nothing runs any more.

use super::names::CANCELLED;
use super::pods;
use super::wire::{Condition, Job, Pod};
use domain::job::{ActiveStatus, RawStatus, Reason, SnapshotStatus, TerminalStatus};

/// The condition types of batch/v1.
pub(super) const CONDITIONS: [&str; 5] =
    ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];
/// The label by which Kueue manages when a Job may run.
const KUEUE: &str = "kueue.x-k8s.io/queue-name";

/// What a Job means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This.
    Plain(Plain),
    /// Words we do not know.
    Unknown(RawStatus),
}

/// A status with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    /// What it means to us.
    pub(super) status: SnapshotStatus,
    /// The Job's own words.
    pub(super) raw: RawStatus,
    /// Why.
    pub(super) reason: Option<Reason>,
    /// For a person.
    pub(super) message: Option<String>,
}

/// Whether the Job alone tells what it means, so that its pods need not be asked.
pub(super) fn is_plain(job: &Job) -> bool {
    let ended_well = job.holds("Complete").is_some();
    let stands = job.holds("Suspended").is_some() && is_suspended(job) && job.holds("Failed").is_none();
    ended_well || stands || (no_condition(job) && ready(job) > 0)
}

/// What a Job means, given its pods.
pub(super) fn meaning(job: &Job, pods: &[Pod]) -> Meaning {
    if let Some(condition) = job.holds("Complete") {
        return over(TerminalStatus::Successful, None, condition, None);
    }
    if let Some(condition) = job.holds("Failed") {
        return failed(condition, pods);
    }
    if let Some(unknown) = unknown(job) {
        return Meaning::Unknown(raw(&unknown.kind, Some(&unknown.reason)));
    }
    if let Some(condition) = job.holds("FailureTarget") {
        let message = sentence(&[
            Some("is failing, its pods are being stopped"),
            words(&condition.message),
            pods::why(pods).as_deref(),
        ]);
        return active(ActiveStatus::InProgress, raw("FailureTarget", Some(&condition.reason)), message);
    }
    if let Some(condition) = job.holds("SuccessCriteriaMet") {
        let message = Some("has succeeded, its remaining pods are being stopped".to_owned());
        return active(ActiveStatus::InProgress, raw("SuccessCriteriaMet", Some(&condition.reason)), message);
    }
    if is_suspended(job) {
        return suspended(job);
    }
    counted(job, pods)
}

/// What a Job that was found means while its words mean nothing certain: it exists, and that is all.
pub(super) fn exists(raw: RawStatus) -> Plain {
    let message = Some(format!("the Job says {:?}, which we do not know", raw.status));
    Plain { status: SnapshotStatus::Active(ActiveStatus::Queued), raw, reason: None, message }
}

/// Whether we suspended it, and nothing of it runs any more: a pod has its grace period in which it may still deploy.
pub(super) fn is_cancelled(job: &Job) -> bool {
    job.metadata.annotations.contains_key(CANCELLED)
        && job.holds("Suspended").is_some()
        && active_pods(job) == 0
        && job.status.terminating.unwrap_or(0) == 0
}

fn failed(condition: &Condition, pods: &[Pod]) -> Meaning {
    let message =
        sentence(&[words(&condition.message).or(words(&condition.reason)), pods::why(pods).as_deref()]);
    let reason = (condition.reason == "DeadlineExceeded").then_some(Reason::TimedOut);
    over(TerminalStatus::Failure, reason, condition, message)
}

fn suspended(job: &Job) -> Meaning {
    let stands = job.holds("Suspended");
    let reason = stands.map(|condition| condition.reason.as_str());
    let raw = raw(if stands.is_some() { "Suspended" } else { "suspend" }, reason);
    if job.metadata.annotations.contains_key(CANCELLED) {
        if is_cancelled(job) {
            let message = Some("cancelled: the Job is suspended and its pods are stopped".to_owned());
            let status = SnapshotStatus::Terminal(TerminalStatus::Cancelled);
            return Meaning::Plain(Plain { status, raw, reason: None, message });
        }
        return active(
            ActiveStatus::InProgress,
            raw,
            Some("is being cancelled, its pods are being stopped".to_owned()),
        );
    }
    if job.metadata.labels.contains_key(KUEUE) {
        return active(ActiveStatus::Queued, raw, Some("waits until Kueue admits it".to_owned()));
    }
    let message = "the Job is suspended: it goes on when somebody sets spec.suspend to false";
    active(ActiveStatus::ActionRequired, raw, Some(message.to_owned()))
}

/// No condition holds: the counts tell.
fn counted(job: &Job, pods: &[Pod]) -> Meaning {
    let (active_pods, ready, failed) = (active_pods(job), ready(job), job.status.failed.unwrap_or(0));
    let succeeded = job.status.succeeded.unwrap_or(0);
    let raw =
        raw(&format!("active {active_pods}, ready {ready}, succeeded {succeeded}, failed {failed}"), None);
    if ready > 0 || pods::any_runs(pods) {
        return active(ActiveStatus::InProgress, raw, None);
    }
    let why = pods::why(pods);
    match (active_pods, succeeded + failed) {
        (1.., 0) => active(ActiveStatus::Queued, raw, why),
        (1.., _) => {
            active(ActiveStatus::Queued, raw, sentence(&[Some("its next pod waits to run"), why.as_deref()]))
        }
        (0, 0) => active(ActiveStatus::Queued, raw, Some("the Job has no pod yet".to_owned())),
        (0, _) if failed > 0 => active(
            ActiveStatus::InProgress,
            raw,
            sentence(&[Some("waits before its next pod"), why.as_deref()]),
        ),
        (0, _) => active(ActiveStatus::InProgress, raw, None),
    }
}

/// A condition that holds and that batch/v1 did not have when this was written, or a status no condition has.
fn unknown(job: &Job) -> Option<&Condition> {
    job.status.conditions.iter().find(|condition| match condition.status.as_str() {
        "True" => !CONDITIONS.contains(&condition.kind.as_str()),
        "False" | "Unknown" => false,
        _ => true,
    })
}

/// What is asked for counts: a Job that was resumed shows its condition a little longer.
fn is_suspended(job: &Job) -> bool {
    job.spec.suspend == Some(true)
}

fn no_condition(job: &Job) -> bool {
    !is_suspended(job) && job.status.conditions.iter().all(|condition| condition.status != "True")
}

fn active_pods(job: &Job) -> u32 {
    job.status.active.unwrap_or(0)
}

fn ready(job: &Job) -> u32 {
    job.status.ready.unwrap_or(0)
}

fn raw(status: &str, conclusion: Option<&str>) -> RawStatus {
    let conclusion = conclusion.filter(|text| !text.is_empty()).map(str::to_owned);
    RawStatus { status: status.to_owned(), conclusion }
}

fn active(status: ActiveStatus, raw: RawStatus, message: Option<String>) -> Meaning {
    Meaning::Plain(Plain { status: SnapshotStatus::Active(status), raw, reason: None, message })
}

fn over(
    status: TerminalStatus,
    reason: Option<Reason>,
    condition: &Condition,
    message: Option<String>,
) -> Meaning {
    let raw = raw(&condition.kind, Some(&condition.reason));
    Meaning::Plain(Plain { status: SnapshotStatus::Terminal(status), raw, reason, message })
}

fn words(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn sentence(parts: &[Option<&str>]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().copied().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests;
