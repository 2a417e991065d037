//! Facts of invented jobs, for tests.

use bus::clock;
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::Deadlines;
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use domain::job::{
    ActiveStatus, Dispatch, ExternalRef, JobEvent, JobFact, JobRef, Links, OrderKey, Snapshot, Source,
    TerminalStatus,
};
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Map, json};

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn job(n: usize) -> JobRef {
    let id = |kind: &str| derive(&[kind, &n.to_string()]);
    JobRef {
        workspace: slug("acme"),
        id: JobId(id("job")),
        target: TargetKey {
            deployment: DeploymentId(id("d")),
            environment: EnvironmentId(id("e")),
            resource: ResourceId(id("r")),
        },
        version: VersionId(id("v")),
        tag: "v1".into(),
        release: ReleaseId(id("release")),
        attempt: 1,
        deployment: slug("web"),
        environment: slug("prod"),
        purpose: Default::default(),
        content: None,
    }
}

pub(crate) fn ago(delta: TimeDelta) -> Timestamp {
    clock::now() - delta
}

pub(crate) fn event(job: &JobRef, at: Timestamp, fact: JobFact) -> JobEvent {
    JobEvent { job: job.clone(), at, cause: None, traceparent: None, fact }
}

pub(crate) fn requested() -> JobFact {
    JobFact::Requested { catalog_revision: 7, grounds: None }
}

pub(crate) fn dispatched() -> JobFact {
    JobFact::Dispatched(Dispatch {
        agent: JobAgentId(derive(&["agent"])),
        agent_name: "ci".into(),
        platform: slug("github-actions"),
        config: Map::from_iter([("repo".to_owned(), json!("web"))]),
        context: json!({"large": "context"}),
        deadlines: Deadlines::default(),
        secrets: Default::default(),
    })
}

pub(crate) fn trigger_started() -> JobFact {
    JobFact::TriggerStarted { fence: 1 }
}

pub(crate) fn triggered(n: usize) -> JobFact {
    let external = ExternalRef {
        platform: slug("github-actions"),
        host: "api.github.com".into(),
        scope: "acme/web".into(),
        id: n.to_string(),
        attempt: 1,
        url: None,
    };
    JobFact::Triggered { external, links: Links::new() }
}

pub(crate) fn in_progress(source: Source, version: i64) -> JobFact {
    JobFact::Observed(snapshot(ActiveStatus::InProgress, source, version))
}

pub(crate) fn finished(source: Source, version: i64) -> JobFact {
    JobFact::Finished(snapshot(TerminalStatus::Successful, source, version))
}

fn snapshot<S>(status: S, source: Source, version: i64) -> Snapshot<S> {
    Snapshot {
        status,
        order: Some(OrderKey { attempt: 1, version }),
        raw: None,
        reason: None,
        message: None,
        links: Links::new(),
        source,
        external: None,
    }
}

/// The ordinary way of a job.
pub(crate) fn story(n: usize) -> Vec<JobFact> {
    let now = clock::now().timestamp_millis();
    vec![
        requested(),
        dispatched(),
        trigger_started(),
        triggered(n),
        in_progress(Source::Webhook, now),
        finished(Source::Webhook, now + 1),
    ]
}
