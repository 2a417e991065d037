//! A vocabulary of job facts for the tests.
#![allow(dead_code, reason = "each test file uses its part")]

use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::Deadlines;
use domain::id::*;
use domain::job::*;
use domain::target::TargetKey;
use uuid::Uuid;

/// Seconds after the tests' own beginning of time.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + second)
}

pub(crate) fn job() -> JobRef {
    let target = TargetKey {
        deployment: DeploymentId(Uuid::from_u128(1)),
        environment: EnvironmentId(Uuid::from_u128(2)),
        resource: ResourceId(Uuid::from_u128(3)),
    };
    JobRef {
        workspace: "acme".parse().unwrap(),
        id: JobId(Uuid::from_u128(4)),
        target,
        version: VersionId(Uuid::from_u128(5)),
        tag: "v1".into(),
        release: ReleaseId(Uuid::from_u128(6)),
        attempt: 1,
        deployment: "web".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

pub(crate) fn event(second: i64, fact: JobFact) -> JobEvent {
    JobEvent { job: job(), at: at(second), cause: None, traceparent: None, fact }
}

pub(crate) fn external(id: &str, attempt: u32) -> ExternalRef {
    ExternalRef {
        platform: "github-app".parse().unwrap(),
        host: "api.github.com".into(),
        scope: "acme/shop".into(),
        id: id.into(),
        attempt,
        url: None,
    }
}

pub(crate) fn held() -> JobFact {
    JobFact::Held { why: HeldWhy::Concurrency { agent: JobAgentId(Uuid::from_u128(7)), limit: 1, ahead: 0 } }
}

pub(crate) fn dispatch() -> JobFact {
    JobFact::Dispatched(Dispatch {
        agent: JobAgentId(Uuid::from_u128(7)),
        agent_name: "gh".into(),
        platform: "github-app".parse().unwrap(),
        config: Default::default(),
        context: serde_json::Value::Null,
        deadlines: Deadlines::default(),
        secrets: Default::default(),
    })
}

fn snapshot<S>(status: S, run: &str, attempt: u32, version: i64, source: Source) -> Snapshot<S> {
    Snapshot {
        status,
        order: Some(OrderKey { attempt, version }),
        raw: None,
        reason: None,
        message: None,
        links: Links::new(),
        source,
        external: Some(external(run, attempt)),
    }
}

pub(crate) fn look(run: &str, status: ActiveStatus, attempt: u32, version: i64, source: Source) -> JobFact {
    JobFact::Observed(snapshot(status, run, attempt, version, source))
}

pub(crate) fn look_at(run: &str, status: ActiveStatus, attempt: u32, version: i64) -> JobFact {
    look(run, status, attempt, version, Source::Webhook)
}

pub(crate) fn active(status: ActiveStatus, attempt: u32, version: i64) -> JobFact {
    look("77", status, attempt, version, Source::Webhook)
}

pub(crate) fn over(status: TerminalStatus, attempt: u32, version: i64) -> JobFact {
    JobFact::Finished(snapshot(status, "77", attempt, version, Source::Webhook))
}

pub(crate) fn finished(attempt: u32, version: i64) -> JobFact {
    over(TerminalStatus::Successful, attempt, version)
}

pub(crate) fn cancelled(attempt: u32, version: i64) -> JobFact {
    let mut snapshot = snapshot(TerminalStatus::Cancelled, "77", attempt, version, Source::Read);
    snapshot.reason = Some(Reason::CancelledOnPlatform);
    JobFact::Finished(snapshot)
}

/// A job that has come to the named phase in the ordinary way.
pub(crate) fn history(phase: &str) -> JobState {
    let cancel = || JobFact::CancelRequested { by: "ann".into(), reason: CancelReason::User };
    let triggered = || JobFact::Triggered { external: external("77", 1), links: Links::new() };
    let requested = JobFact::Requested { catalog_revision: 1, grounds: None };
    let facts = match phase {
        "requested" => vec![requested],
        "held" => vec![requested, held()],
        "dispatched" => vec![requested, dispatch()],
        "triggering" => vec![requested, dispatch(), JobFact::TriggerStarted { fence: 1 }],
        "unknown" => vec![
            requested,
            dispatch(),
            JobFact::TriggerStarted { fence: 1 },
            JobFact::TriggerUnknown { fence: 1, message: "no answer".into() },
        ],
        "running" => vec![requested, dispatch(), JobFact::TriggerStarted { fence: 1 }, triggered()],
        "cancelling early" => vec![requested, dispatch(), cancel()],
        "cancelling run" => {
            vec![requested, dispatch(), JobFact::TriggerStarted { fence: 1 }, triggered(), cancel()]
        }
        "finished" => {
            vec![requested, dispatch(), JobFact::TriggerStarted { fence: 1 }, triggered(), finished(1, 45)]
        }
        other => panic!("no phase {other}"),
    };
    let events: Vec<JobEvent> =
        facts.into_iter().enumerate().map(|(n, fact)| event(n as i64, fact)).collect();
    fold(&events).expect("at least one event")
}
