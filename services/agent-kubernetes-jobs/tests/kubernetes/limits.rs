//! One API budget for a cluster and a credential, whichever replica calls.

use crate::rig::{NAMESPACE, Rig, options};
use crate::support::{connect, new_job};
use bus::clock::{Clock, ClockHand};
use domain::budget::SharedBudget;
use fake_kubernetes::{Fault, FaultKind};
use platform::budget::Budgets;
use platform::{CallError, Platform as _};
use serde_json::{Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Two replicas of the agent on one cluster.
struct Replicas {
    one: Rig,
    other: Arc<agent_kubernetes_jobs::jobs::KubernetesJobs>,
    hand: ClockHand,
    bus: bus::Bus,
    _following: JoinSet<()>,
    _nats: Nats,
    _dir: tempfile::TempDir,
}

impl Replicas {
    async fn start(limits: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nats = Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats")));
        let nats = nats.await.unwrap();
        let (clock, hand) = Clock::movable();
        let mut following = JoinSet::new();
        let mut budgets = Vec::new();
        for _ in 0..2 {
            let of_replica = Budgets::new(&connect(&nats).await, clock.clone(), 20);
            let follow = Arc::clone(&of_replica).follow(CancellationToken::new());
            following.spawn(async move { follow.await.unwrap() });
            budgets.push(of_replica);
        }
        let one = Rig::counted(options(), budgets.remove(0)).await.with("rateLimit", limits);
        let other = one.replica(budgets.remove(0));
        let bus = connect(&nats).await;
        Self { one, other, hand, bus, _following: following, _nats: nats, _dir: dir }
    }
}

fn waits<T: std::fmt::Debug>(result: Result<T, CallError>) -> Duration {
    match result {
        Err(CallError::RateLimited { after, .. }) => after,
        other => panic!("not limited: {other:?}"),
    }
}

#[tokio::test]
async fn starts_keep_the_pace_their_config_sets_over_all_replicas() {
    let replicas = Replicas::start(json!({ "writesPerMinute": 1 })).await;
    let config = &replicas.one.config;
    let mut reserved = 0;
    let limited = loop {
        let jobs = if reserved % 2 == 0 { &replicas.one.jobs } else { &replicas.other };
        match jobs.ready(config).await {
            Ok(()) => reserved += 1,
            limited => break limited,
        }
        assert!(reserved < 50, "there is no pace");
    };
    assert!(waits(limited) <= Duration::from_secs(60));
    assert_eq!(reserved, 10, "what may come at once after a pause, of both together");
    for jobs in [&replicas.one.jobs, &replicas.other] {
        waits(jobs.ready(config).await);
    }
    // Looks cost nothing, and a pace holds back no cancellation.
    let run = crate::support::run_of(
        replicas.one.jobs.trigger(&platform::TriggerRequest { job: new_job(), config }).await,
    );
    replicas.one.snapshot(&run).await;
    replicas.one.cancel(&run, platform::CancelMode::Graceful).await.unwrap();
    replicas.hand.pass(Duration::from_secs(61));
    replicas.one.jobs.ready(config).await.unwrap();
}

#[tokio::test]
async fn a_pause_that_one_replica_was_told_holds_every_call_of_the_credential() {
    let replicas = Replicas::start(Value::Null).await;
    let run = replicas.one.run(new_job()).await;
    // The other replica has its budget, too, from now on.
    replicas.other.observe(&replicas.one.config, &run).await.unwrap();
    let busy = FaultKind::Answer { code: 429, message: "too many requests".to_owned(), retry_after: Some(7) };
    replicas.one.fake.inject(Fault::once("PATCH", "/jobs/", busy));
    assert_eq!(waits(replicas.one.trigger(new_job()).await), Duration::from_secs(7));
    let before = replicas.one.fake.calls().len();
    assert!(waits(replicas.one.observe(&run).await) <= Duration::from_secs(8));
    let told = async {
        while replicas.other.ready(&replicas.one.config).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::rig::SOON, told).await.expect("the other replica is told");
    assert!(waits(replicas.other.observe(&replicas.one.config, &run).await) <= Duration::from_secs(8));
    assert_eq!(replicas.one.fake.calls().len(), before, "the cluster is left alone meanwhile");

    // Another credential is another budget.
    replicas.one.secrets.set("another", crate::rig::TOKEN);
    let mut another = replicas.one.config.clone();
    another.insert("tokenSecret".to_owned(), json!("another"));
    replicas.one.jobs.ready(&another).await.unwrap();
    replicas.one.jobs.observe(&another, &run).await.unwrap();

    replicas.hand.pass(Duration::from_secs(8));
    replicas.one.run(new_job()).await;
    assert_eq!(replicas.one.fake.jobs(NAMESPACE).len(), 2);
}

#[tokio::test]
async fn a_budget_is_told_by_what_people_know_and_holds_no_secret() {
    let replicas = Replicas::start(json!({ "writesPerMinute": 60 })).await;
    replicas.one.jobs.ready(&replicas.one.config).await.unwrap();
    let bucket = replicas.bus.bucket(&bus::topology::BUDGETS);
    let all = bucket.list(">").await.unwrap();
    let [(_, entry)] = all.as_slice() else { panic!("one budget: {all:?}") };
    let budget: SharedBudget = serde_json::from_slice(&entry.value).unwrap();
    let host = replicas.one.fake.base_url().replace("http://", "");
    assert_eq!(
        (budget.platform.as_str(), budget.host, budget.credential.as_str()),
        ("kubernetes-job", host, "token token of acme")
    );
    assert!(budget.known.next_write_at.is_some());
}
