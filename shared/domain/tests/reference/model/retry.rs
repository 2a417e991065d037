//! "When the last job of the desired release ended in one of `retryOnStatuses`, it is tried again up to `maxRetries` times
//! in a row."

use super::gates::policies;
use super::scene::{End, Job, Scene};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{BackoffStrategy, PolicyRule, Retry};
use domain::id::ReleaseId;
use domain::job::{Reason, TerminalStatus};
use domain::target::TargetKey;

/// When a release may be tried again by itself; never, where nothing says so or the retries are used up.
pub(crate) fn at(scene: &Scene<'_>, target: &TargetKey, release: ReleaseId) -> Option<Timestamp> {
    let of_release: Vec<_> =
        scene.ended(target).into_iter().filter(|(job, _)| job.job.release == release).collect();
    let (_, last) = *of_release.last()?;
    // A person's wish begins another row.
    let wished = scene.remembered.get(target).and_then(|remembered| remembered.redeployed_at);
    let since: Vec<_> = of_release
        .iter()
        .copied()
        .filter(|(job, _)| wished.is_none_or(|wished| job.requested_at >= wished))
        .collect();
    let failed = row(if since.is_empty() { &of_release } else { &since });
    let mut next: Option<Timestamp> = None;
    for rule in rules(scene, target) {
        next = next.max(Some(by_rule(rule, last, failed)?));
    }
    next
}

fn rules<'a>(scene: &Scene<'a>, target: &TargetKey) -> Vec<&'a Retry> {
    let governing = policies(scene, target).into_iter().filter(|(_, readable)| readable.is_ok());
    let rules = governing.flat_map(|(policy, _)| &policy.spec.rules);
    rules
        .filter_map(|rule| match rule {
            PolicyRule::Retry(retry) => Some(retry),
            _ => None,
        })
        .collect()
}

/// How many ended badly in a row: "A success ends the row."
fn row(ended: &[(&Job, End)]) -> u32 {
    ended.iter().rev().take_while(|(_, end)| end.status != TerminalStatus::Successful).count() as u32
}

/// "`backoffSeconds` after the end (`linear`), or `backoffSeconds × 2^(n-1)` before the n-th retry (`exponential`), never
/// more than `maxBackoffSeconds`. … Cancelled by a person: never."
fn by_rule(rule: &Retry, last: End, failed: u32) -> Option<Timestamp> {
    let by_person = last.status == TerminalStatus::Cancelled && last.reason == Some(Reason::CancelledByUser);
    let retried = rule.retry_on_statuses.contains(&last.status) && last.badly() && !by_person;
    if !retried || failed > rule.max_retries {
        return None;
    }
    let growth = match rule.backoff_strategy {
        BackoffStrategy::Linear => 1,
        BackoffStrategy::Exponential => 2_u64.pow(failed - 1),
    };
    let pause = u64::from(rule.backoff_seconds) * growth;
    let pause = rule.max_backoff_seconds.map_or(pause, |most| pause.min(u64::from(most)));
    Some(last.at + TimeDelta::seconds(pause as i64))
}
