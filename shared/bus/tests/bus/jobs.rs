//! Job facts: whoever appends second looks again, and no fact is stored twice.

use bus::topology::dispatcher_jobs;
use bus::{Base, Failure, JobLog, Recorded, dead};
use domain::entity::Deadlines;
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{
    ActiveStatus, Dispatch, ExternalRef, JobEvent, JobFact, JobRef, JobStatus, Links, OrderKey, Refusal,
    Snapshot, Source,
};
use domain::target::TargetKey;
use tokio::task::JoinSet;

use crate::rig::{LIMITS, Rig, run, until};

fn job(n: u128) -> JobRef {
    let uuid = uuid::Uuid::from_u128(n);
    JobRef {
        workspace: "acme".parse().unwrap(),
        id: JobId(uuid),
        target: TargetKey {
            deployment: DeploymentId(uuid),
            environment: EnvironmentId(uuid),
            resource: ResourceId(uuid),
        },
        version: VersionId(uuid),
        tag: "1.0".into(),
        release: ReleaseId(uuid),
        attempt: 1,
        deployment: "shop".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

const REQUESTED: JobFact = JobFact::Requested { catalog_revision: 7, grounds: None };

fn dispatched() -> JobFact {
    JobFact::Dispatched(Dispatch {
        agent: JobAgentId(uuid::Uuid::from_u128(9)),
        agent_name: "gh".into(),
        platform: "github-actions".parse().unwrap(),
        config: serde_json::Map::new(),
        context: serde_json::Value::Null,
        deadlines: Deadlines::default(),
        secrets: Default::default(),
    })
}

fn external() -> ExternalRef {
    let platform = "github-actions".parse().unwrap();
    ExternalRef { platform, host: "h".into(), scope: "s".into(), id: "1".into(), attempt: 1, url: None }
}

fn seen(version: i64) -> JobFact {
    JobFact::Observed(Snapshot {
        status: ActiveStatus::InProgress,
        order: Some(OrderKey { attempt: 1, version }),
        raw: None,
        reason: None,
        message: Some(version.to_string()),
        links: Links::new(),
        source: Source::Read,
        external: Some(external()),
    })
}

async fn appended(log: &JobLog, job: &JobRef, fact: JobFact, base: Base) -> u64 {
    match log.record(job, fact, base, None).await.unwrap() {
        Recorded::Appended { sequence } => sequence,
        other @ (Recorded::AlreadySo(_) | Recorded::Refused(..)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn facts_follow_each_other_and_the_state_is_their_fold() {
    let rig = Rig::start().await;
    let (log, job) = (rig.bus.jobs(), job(1));
    assert_eq!(log.load(&job.workspace, job.id).await.unwrap(), None);
    let nobody = log.record(&job, dispatched(), Base::Look, None).await.unwrap();
    assert_eq!(nobody, Recorded::Refused(Refusal::NoSuchJob, None));

    let first = appended(&log, &job, REQUESTED, Base::New).await;
    let second = appended(&log, &job, dispatched(), Base::After(first)).await;
    let known = log.load(&job.workspace, job.id).await.unwrap().unwrap();
    assert_eq!((known.sequence, known.state.status()), (second, JobStatus::Pending));
    let third =
        appended(&log, &job, JobFact::TriggerStarted { fence: 1 }, Base::Known(Box::new(known))).await;

    let again = log.record(&job, REQUESTED, Base::New, None).await.unwrap();
    assert!(matches!(&again, Recorded::AlreadySo(known) if known.sequence == third), "{again:?}");
    // Born from a fact that is no longer the last: looked at again, and it is so already.
    let late = log.record(&job, dispatched(), Base::After(first), None).await.unwrap();
    assert!(matches!(late, Recorded::AlreadySo(_)), "{late:?}");
    let events = log.events(&job.workspace, job.id).await.unwrap();
    let names: Vec<_> = events.iter().map(|(sequence, event)| (*sequence, event.fact.name())).collect();
    assert_eq!(names, [(first, "requested"), (second, "dispatched"), (third, "triggerStarted")]);
}

#[tokio::test]
async fn a_job_is_taken_back_only_where_nobody_asked_for_it() {
    let rig = Rig::start().await;
    let log = rig.bus.jobs();
    for (nth, first, stands) in
        [(1, REQUESTED, JobStatus::Pending), (2, JobFact::withdrawn(), JobStatus::Cancelled)]
    {
        let job = job(nth);
        appended(&log, &job, first, Base::New).await;
        for (late, base) in [(JobFact::withdrawn(), Base::Only), (REQUESTED, Base::New)] {
            let late = log.record(&job, late, base, None).await.unwrap();
            assert!(
                matches!(&late, Recorded::AlreadySo(known) if known.state.status() == stands),
                "{late:?}"
            );
        }
        assert_eq!(log.events(&job.workspace, job.id).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_writers_one_is_first_and_the_others_see_it() {
    let rig = Rig::start().await;
    for n in 0..20 {
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let (log, job) = (rig.bus.jobs(), job(n));
            writers.spawn(async move { log.record(&job, REQUESTED, Base::New, None).await.unwrap() });
        }
        let results = writers.join_all().await;
        let first = results.iter().filter(|result| matches!(result, Recorded::Appended { .. })).count();
        let others = results.iter().filter(|result| matches!(result, Recorded::AlreadySo(_))).count();
        assert_eq!((first, others), (1, 3), "{results:?}");
        assert_eq!(rig.bus.jobs().events(&job(n).workspace, job(n).id).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_of_four_writers_never_go_backwards() {
    let rig = Rig::start().await;
    let (log, job) = (rig.bus.jobs(), job(1));
    let first = appended(&log, &job, REQUESTED, Base::New).await;
    let second = appended(&log, &job, dispatched(), Base::After(first)).await;
    let third = appended(&log, &job, JobFact::TriggerStarted { fence: 1 }, Base::After(second)).await;
    appended(
        &log,
        &job,
        JobFact::Triggered { external: external(), links: Links::new() },
        Base::After(third),
    )
    .await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (log, job) = (log.clone(), job.clone());
        writers.spawn(async move {
            let mut appended = 0;
            for n in 0..15 {
                let recorded = log.record(&job, seen(n * 4 + writer), Base::Look, None).await.unwrap();
                appended += usize::from(matches!(recorded, Recorded::Appended { .. }));
            }
            appended
        });
    }
    let appended: usize = writers.join_all().await.into_iter().sum();
    let events = log.events(&job.workspace, job.id).await.unwrap();
    let orders: Vec<OrderKey> = events.iter().filter_map(|(_, event)| order(event)).collect();
    assert_eq!(orders.len(), appended);
    assert!(orders.is_sorted_by(|earlier, later| earlier < later), "{orders:?}");
}

fn order(event: &JobEvent) -> Option<OrderKey> {
    if let JobFact::Observed(snapshot) = &event.fact { snapshot.order } else { None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_recorded_through_a_kill_are_there_once() {
    const JOBS: u128 = 400;
    let mut rig = Rig::start().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let log = rig.bus.jobs();
        writers.spawn(async move {
            for n in (writer..JOBS).step_by(8) {
                let job = job(n);
                // The service would be given its message again: the same fact on the same base.
                while log.record(&job, REQUESTED, Base::New, Some("c".into())).await.is_err() {}
                while log.record(&job, dispatched(), Base::Look, Some("c".into())).await.is_err() {}
            }
        });
    }
    for _ in 0..3 {
        rig.servers.nats.kill().await;
        rig.servers.nats.restart().await.unwrap();
        let now = rig.bus.last_sequence(&bus::topology::JOBS).await.unwrap();
        until("the writers go on", || async {
            let last = rig.bus.last_sequence(&bus::topology::JOBS).await.unwrap();
            last > now || last == JOBS as u64 * 2
        })
        .await;
    }
    writers.join_all().await;
    assert_eq!(rig.messages_in("JOBS").await, JOBS as u64 * 2);
    for n in 0..JOBS {
        let events = rig.bus.jobs().events(&job(n).workspace, job(n).id).await.unwrap();
        let names: Vec<_> = events.iter().map(|(_, event)| event.fact.name()).collect();
        assert_eq!(names, ["requested", "dispatched"]);
    }
}

#[tokio::test]
async fn only_the_last_fact_of_a_job_is_said_again() {
    let rig = Rig::start().await;
    let log = rig.bus.jobs();
    let (waiting, moving) = (job(1), job(2));
    let first = appended(&log, &waiting, REQUESTED, Base::New).await;
    let other = appended(&log, &moving, REQUESTED, Base::New).await;
    let mut broken =
        run(&rig.bus, &dispatcher_jobs(), LIMITS, |_| async { Err(Failure::Reject("a bug".into())) });
    assert_eq!(broken.next().await.delivery.previous, Some(0));
    until("both are kept", || async { dead::list(&rig.bus, 0, 10).await.unwrap().len() == 2 }).await;
    broken.drained().await;
    appended(&log, &moving, dispatched(), Base::After(other)).await;

    for letter in dead::list(&rig.bus, 0, 10).await.unwrap() {
        let redriven = dead::redrive(&rig.bus, letter.sequence).await;
        if letter.original_sequence == first {
            assert!(redriven.unwrap() > first);
        } else {
            assert!(matches!(redriven, Err(dead::RedriveError::MovedOn)), "{redriven:?}");
        }
    }
    let known = log.load(&waiting.workspace, waiting.id).await.unwrap().unwrap();
    assert_eq!(known.state.phase, domain::job::Phase::Requested);
    assert_eq!(log.events(&moving.workspace, moving.id).await.unwrap().len(), 2);
    assert_eq!(dead::list(&rig.bus, 0, 10).await.unwrap().len(), 1);
}
