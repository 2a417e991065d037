//! What an agent's jobs tell of it: whether it can run them at all, and whether anybody claims those that are pulled.

use bus::topology::{ARGO_WORKFLOWS, GITHUB_ACTIONS, GITLAB_CI, HTTP_PULL, KUBERNETES_JOBS};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{JobAgent, Record};
use domain::id::JobAgentId;
use domain::job::{JobStatus, JobView, Reason};
use domain::token::Slug;
use domain::verification;
use projections::{JobFilter, OFFSET_MAX, Page, ProjectionError};

use super::{Check, ago};
use crate::context::App;
use crate::pulls::is_pulled;

/// So many ended jobs say how an agent does.
const LAST: usize = 10;
/// So many of the jobs that wait are looked at.
const WAITING: usize = 100;
/// A puller that is there claims sooner.
const UNCLAIMED_MAX: TimeDelta = TimeDelta::seconds(30);
const MESSAGE_CHARS_MAX: usize = 300;

/// What is known of an agent's jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Those that ended last.
    pub(super) ended: Vec<JobView>,
    /// Those of a queue that nobody has.
    pub(super) unclaimed: Vec<JobView>,
    /// How many somebody works on.
    pub(super) in_hand: u64,
}

impl Jobs {
    pub(super) async fn of(
        app: &App,
        workspace: &Slug,
        agent: &Record<JobAgent>,
    ) -> Result<Self, ProjectionError> {
        let list = async |statuses: Vec<JobStatus>, limit: usize, offset: u64| {
            let filter =
                JobFilter { statuses, agent: Some(JobAgentId(agent.meta.id)), ..JobFilter::default() };
            app.views.jobs(workspace, &filter, Page { offset, ..Page::first(limit) }).await
        };
        let over = JobStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect();
        let mut jobs = Self { ended: list(over, LAST, 0).await?.items, ..Self::default() };
        if is_pulled(&agent.spec.platform) {
            let in_hand = vec![JobStatus::InProgress, JobStatus::ActionRequired];
            jobs.in_hand = list(in_hand, 1, 0).await?.total;
            let waiting = |offset| list(vec![JobStatus::Pending, JobStatus::Queued], WAITING, offset);
            let newest = waiting(0).await?;
            // The newest are listed first, and those that wait longest tell.
            jobs.unclaimed = match newest.total.saturating_sub(WAITING as u64).min(OFFSET_MAX) {
                0 => newest.items,
                newer => waiting(newer).await?.items,
            };
            // What a freeze or a missing slot holds is not in the queue.
            jobs.unclaimed.retain(|job| !matches!(job.reason, Some(Reason::Concurrency | Reason::Frozen)));
        }
        Ok(jobs)
    }
}

/// What is wrong with the agent, as far as its jobs tell.
pub(super) fn judge(name: &str, agent: &Record<JobAgent>, jobs: &Jobs, now: Timestamp) -> Option<Check> {
    refused(name, agent, &jobs.ended, now).or_else(|| unclaimed(name, agent, jobs, now))
}

/// Whether the last job could not be run by it. What ended before the agent was changed says nothing of it any more.
fn refused(name: &str, agent: &Record<JobAgent>, ended: &[JobView], now: Timestamp) -> Option<Check> {
    let mut since: Vec<(Timestamp, &JobView)> = ended
        .iter()
        .filter_map(|job| Some((job.completed_at.filter(|at| *at >= agent.meta.updated_at)?, job)))
        .collect();
    since.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let (at, last) = *since.first()?;
    let todo = match last.status {
        JobStatus::InvalidJobAgent => {
            "mend the config of the agent or of what it deploys; a host that is not allowed belongs into the setting \
             `hosts` of the agent's service; then retry a job"
        }
        JobStatus::InvalidIntegration => {
            "mend the agent's secret, or what it may do on the platform; then retry a job"
        }
        JobStatus::Pending
        | JobStatus::Queued
        | JobStatus::InProgress
        | JobStatus::ActionRequired
        | JobStatus::Successful
        | JobStatus::Failure
        | JobStatus::Cancelled
        | JobStatus::Skipped
        | JobStatus::ExternalRunNotFound => return None,
    };
    let is_bad =
        |job: &JobView| matches!(job.status, JobStatus::InvalidJobAgent | JobStatus::InvalidIntegration);
    let (bad, all) = (since.iter().filter(|(_, job)| is_bad(job)).count(), since.len());
    let why: String =
        last.message.as_deref().unwrap_or("no reason is known").chars().take(MESSAGE_CHARS_MAX).collect();
    let said =
        format!("of its last {all} jobs {bad} ended {}, the last {}: {why}", last.status, ago(at, now));
    Some(if bad == all { Check::fail(name, said, todo) } else { Check::warn(name, said, todo) })
}

/// Whether jobs wait in its queue and nobody comes for them.
fn unclaimed(name: &str, agent: &Record<JobAgent>, jobs: &Jobs, now: Timestamp) -> Option<Check> {
    let since = jobs.unclaimed.iter().map(|job| job.updated_at).min()?;
    if jobs.in_hand > 0 || now - since < UNCLAIMED_MAX {
        return None;
    }
    let count = match jobs.unclaimed.len() {
        1 => "1 job waits".to_owned(),
        count @ ..WAITING => format!("{count} jobs wait"),
        count => format!("{count} jobs or more wait"),
    };
    let was_there = jobs.ended.iter().any(|job| job.external.is_some());
    let seen = if was_there { "and no puller works on any" } else { "and no puller has ever claimed one" };
    let slots = agent.spec.max_concurrent.filter(|max| jobs.unclaimed.len() >= *max as usize);
    let slots = slots.map(|max| format!("; they hold all of its {max} slots")).unwrap_or_default();
    let said = format!("{count} to be claimed, the longest since {}, {seen}{slots}", ago(since, now));
    let todo = "start a puller with a key of this agent; if one runs, see its output for the answers it gets";
    Some(Check::warn(name, said, todo))
}

/// How news of an agent's jobs come, where nothing is wrong.
pub(super) fn ways(platform: &Slug) -> &'static str {
    match platform.as_str() {
        HTTP_PULL => "pullers claim its jobs and report how they stand",
        KUBERNETES_JOBS => "statuses come by watching the cluster, and by looking",
        ARGO_WORKFLOWS => "statuses come by Argo's events or by watching the cluster, and by looking",
        GITHUB_ACTIONS | GITLAB_CI => {
            "no log of webhook deliveries is known for it: statuses come by webhooks as they arrive, and by looking"
        }
        verification::PLATFORM => "it measures by itself",
        _ => "statuses come as the service for its type tells them",
    }
}
