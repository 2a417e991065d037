//! The whole service, two replicas at once, against real servers: deadlines, the sweep, a burst, a Redis that loses all.

use crate::fixture::{
    ago, dispatched, event, in_progress, job, requested, slug, story, trigger_started, triggered,
};
use crate::settings::Settings;
use crate::sync_tests::World;
use crate::{StatusSyncer, Sweep};
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bus::topology::COMMANDS;
use bus::{Base, HeaderMap, Recorded};
use chrono::TimeDelta;
use domain::command::{AgentCommand, Verb};
use domain::job::{CancelReason, JobFact, JobRef, JobStatus, Reason, Source};
use domain::{Timestamp, subject};
use futures::StreamExt as _;
use projections::{JobFilter, Page};
use service::{CommonSettings, Http, Plan, Readiness, Secrets, Supervisor, start};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

struct Replicas {
    process: Supervisor,
}

impl Replicas {
    async fn start(world: &World, settings: &Settings) -> Self {
        Self::of(2, world, settings).await
    }

    async fn of(count: usize, world: &World, settings: &Settings) -> Self {
        let process = Supervisor::new("test");
        let mut ready: Vec<Readiness> = Vec::new();
        for _ in 0..count {
            let mut common = CommonSettings { http: Http { bind: None }, ..CommonSettings::default() };
            common.nats.url = world.servers.nats.url();
            common.redis.url = world.servers.redis.url();
            let plan = Plan { settings: settings.clone(), common, secrets: Arc::new(Secrets::new(None, [])) };
            ready.push(start::<StatusSyncer>(&process, plan).await.unwrap().readiness);
        }
        until("both replicas are ready", async || ready.iter().all(Readiness::is_ready)).await;
        Self { process }
    }

    async fn end(self) {
        self.process.finish(Duration::from_secs(20)).await.unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < give_up, "still waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Appends a fact that was recorded at that time.
async fn append(world: &World, job: &JobRef, at: Timestamp, after: u64, fact: JobFact) -> u64 {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
    let payload = serde_json::to_vec(&event(job, at, fact)).unwrap();
    let subject = subject::job(&job.workspace, job.id);
    world.bus.publish(subject, headers, payload.into(), None).await.unwrap().sequence
}

async fn append_all(world: &World, job: &JobRef, at: Timestamp, facts: Vec<JobFact>) {
    let mut after = 0;
    for fact in facts {
        after = append(world, job, at, after, fact).await;
    }
}

async fn facts_of(world: &World, job: &JobRef) -> Vec<JobFact> {
    let events = world.bus.jobs().events(&job.workspace, job.id).await.unwrap();
    events.into_iter().map(|(_, event)| event.fact).collect()
}

async fn commands(world: &World, job: &JobRef, verb: Verb) -> Vec<(AgentCommand, String)> {
    let agent = domain::id::JobAgentId(domain::id::derive(&["agent"]));
    let subject = subject::command(&slug("github-actions"), agent, verb, job.id);
    let mut found = Vec::new();
    let mut from = 1;
    while let Some(stored) = world.bus.next_of_subject(&COMMANDS, &subject, from).await.unwrap() {
        found.push((serde_json::from_slice(&stored.payload).unwrap(), stored.message_id.unwrap()));
        from = stored.sequence + 1;
    }
    found
}

fn to_running(n: usize) -> Vec<JobFact> {
    vec![requested(), dispatched(), trigger_started(), triggered(n)]
}

fn wished(reason: CancelReason) -> JobFact {
    JobFact::CancelRequested { by: "ann".into(), reason }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_acted_on_once_by_two_replicas() {
    let world = World::start().await;
    let [overdue, stubborn, mute, unsent, fine] = [1, 2, 3, 4, 5].map(job);
    append_all(&world, &overdue, ago(TimeDelta::days(3)), to_running(1)).await;
    let stuck = [to_running(2), vec![wished(CancelReason::User)]].concat();
    append_all(&world, &stubborn, ago(TimeDelta::minutes(3)), stuck).await;
    let forced =
        [to_running(3), vec![wished(CancelReason::TimedOut), JobFact::CancelSent { force: true }]].concat();
    append_all(&world, &mute, ago(TimeDelta::minutes(20)), forced).await;
    let unsent_facts = vec![requested(), dispatched(), wished(CancelReason::User)];
    append_all(&world, &unsent, ago(TimeDelta::minutes(3)), unsent_facts).await;
    append_all(&world, &fine, ago(TimeDelta::zero()), to_running(5)).await;

    let replicas = Replicas::start(&world, &Settings::default()).await;
    until("the overdue job is being cancelled", async || facts_of(&world, &overdue).await.len() == 5).await;
    let cancel = facts_of(&world, &overdue).await.pop().unwrap();
    assert_eq!(
        cancel,
        JobFact::CancelRequested { by: "status-syncer".into(), reason: CancelReason::TimedOut }
    );
    until("the stubborn one is forced", async || !commands(&world, &stubborn, Verb::Cancel).await.is_empty())
        .await;
    until("the mute one is given up", async || facts_of(&world, &mute).await.len() == 7).await;
    until("the unsent one is over", async || facts_of(&world, &unsent).await.len() == 4).await;
    until("the views show it", async || {
        let shown = world.views.job(&mute.workspace, mute.id).await.unwrap();
        shown.is_some_and(|view| view.status.is_terminal())
    })
    .await;
    let shown = world.views.job(&mute.workspace, mute.id).await.unwrap().unwrap();
    assert_eq!((shown.status, shown.reason), (JobStatus::Failure, Some(Reason::TimedOut)));
    let shown = world.views.job(&unsent.workspace, unsent.id).await.unwrap().unwrap();
    assert_eq!((shown.status, shown.reason), (JobStatus::Cancelled, Some(Reason::CancelledByUser)));
    replicas.end().await;

    let forced = commands(&world, &stubborn, Verb::Cancel).await;
    assert_eq!(forced.len(), 1, "two replicas, one command: {forced:?}");
    assert!(forced[0].0.force);
    assert_eq!(facts_of(&world, &overdue).await.len(), 5);
    assert_eq!(facts_of(&world, &fine).await.len(), 4, "nothing happens to a job that has time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_lost_jobs_is_not_called_lost() {
    let world = World::start().await;
    let facts = || vec![requested(), dispatched(), trigger_started()];
    for n in 0..30 {
        append_all(&world, &job(n), ago(TimeDelta::days(2)), facts()).await;
    }
    let replicas = Replicas::start(&world, &Settings::default()).await;
    let late = job(99);
    append_all(&world, &late, ago(TimeDelta::days(3)), to_running(99)).await;
    // Acted on after the crowd was ruled on, for its deadline came to be known later.
    until("the late one is being cancelled", async || facts_of(&world, &late).await.len() == 5).await;
    let lost = async || {
        let filter = JobFilter { statuses: vec![JobStatus::ExternalRunNotFound], ..JobFilter::default() };
        world.views.jobs(&slug("acme"), &filter, Page::first(50)).await.unwrap().items
    };
    until("some are lost", async || lost().await.len() >= 5).await;
    replicas.end().await;
    let lost = lost().await;
    assert_eq!(lost.len(), 5, "at most five of thirty");
    assert!(lost.iter().all(|view| view.reason == Some(Reason::Lost)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_tries_have_no_effect_for_hours_is_not_called_lost_and_one_without_an_answer_is() {
    let world = World::start().await;
    let (tried, unknown) = (job(1), job(2));
    let begun = ago(TimeDelta::hours(5));
    append_all(&world, &tried, begun, vec![requested(), dispatched(), trigger_started()]).await;
    let last = world.bus.jobs().load(&tried.workspace, tried.id).await.unwrap().unwrap().sequence;
    append(&world, &tried, ago(TimeDelta::hours(4)), last, JobFact::TriggerStarted { fence: 2 }).await;
    let unheard = JobFact::TriggerUnknown { fence: 1, message: "no answer".into() };
    append_all(&world, &unknown, begun, vec![requested(), dispatched(), trigger_started(), unheard]).await;

    let replicas = Replicas::start(&world, &Settings::default()).await;
    until("the unknown one is lost", async || facts_of(&world, &unknown).await.len() == 5).await;
    replicas.end().await;
    let shown = world.views.job(&unknown.workspace, unknown.id).await.unwrap().unwrap();
    assert_eq!((shown.status, shown.reason), (JobStatus::ExternalRunNotFound, Some(Reason::Lost)));
    assert!(shown.message.is_some_and(|message| message.ends_with("; last: no answer")), "and why");
    assert_eq!(facts_of(&world, &tried).await.len(), 4, "its agent goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_asks_once_per_slot_however_many_replicas_sweep() {
    let world = World::start().await;
    let (running, unknown, queued) = (job(1), job(2), job(3));
    append_all(&world, &running, ago(TimeDelta::minutes(5)), to_running(1)).await;
    let unheard = JobFact::TriggerUnknown { fence: 1, message: "no answer".into() };
    let facts = [&to_running(2)[..3], &[unheard]].concat();
    append_all(&world, &unknown, ago(TimeDelta::minutes(5)), facts).await;
    append_all(&world, &queued, ago(TimeDelta::minutes(5)), vec![requested(), dispatched()]).await;
    let sweep = Sweep { slow_seconds: 600, fast_seconds: 2, unknown_seconds: 1, quiet_seconds: 600 };
    let replicas = Replicas::start(&world, &Settings { sweep, ..Settings::default() }).await;
    until("both were looked at twice", async || {
        commands(&world, &running, Verb::Observe).await.len() >= 2
            && commands(&world, &unknown, Verb::Observe).await.len() >= 2
    })
    .await;
    // A webhook brings news: the platform's webhooks arrive, so the sweep becomes slow.
    let last = world.bus.jobs().load(&running.workspace, running.id).await.unwrap().unwrap().sequence;
    let told = in_progress(Source::Webhook, bus::clock::now().timestamp_millis());
    append(&world, &running, ago(TimeDelta::zero()), last, told).await;
    until("the views show it", async || {
        let view = world.views.job(&running.workspace, running.id).await.unwrap();
        view.is_some_and(|view| view.status == JobStatus::InProgress)
    })
    .await;
    let (before, so_far) = (
        commands(&world, &running, Verb::Observe).await.len(),
        commands(&world, &unknown, Verb::Observe).await.len(),
    );
    until("the unknown one is looked at further", async || {
        commands(&world, &unknown, Verb::Observe).await.len() >= so_far + 4
    })
    .await;
    replicas.end().await;
    assert!(
        commands(&world, &running, Verb::Observe).await.len() <= before + 1,
        "one may have been under way"
    );
    assert!(commands(&world, &queued, Verb::Observe).await.is_empty(), "there is nothing to look at yet");
    let asked = commands(&world, &unknown, Verb::Observe).await;
    let mut ids: Vec<&String> = asked.iter().map(|(_, id)| id).collect();
    ids.dedup();
    assert_eq!(ids.len(), asked.len(), "one command per slot");
    assert!(
        asked.iter().all(|(command, _)| command.verb == Verb::Observe && command.config["repo"] == "web")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_passes_and_a_redis_that_loses_everything_gets_it_back() {
    const JOBS: usize = 1_000;
    let mut world = World::start().await;
    let replicas = Replicas::start(&world, &Settings::default()).await;
    let began = Instant::now();
    let recording = futures::stream::iter(0..JOBS).for_each_concurrent(64, |n| {
        let jobs = world.bus.jobs();
        async move {
            let mut base = Base::New;
            for fact in story(n) {
                let recorded = jobs.record(&job(n), fact, base, None).await.unwrap();
                let Recorded::Appended { sequence } = recorded else { panic!("{recorded:?}") };
                base = Base::After(sequence);
            }
        }
    });
    recording.await;
    let recorded = began.elapsed();
    let acme = slug("acme");
    let all_over = async |world: &World| {
        // A Redis that is starting is not all over.
        let counts = world.views.counts(&acme).await.unwrap_or_default();
        let complete = world.views.is_complete().await.unwrap_or(false);
        complete && counts.get(&JobStatus::Successful) == Some(&(JOBS as u64))
    };
    until("all are shown", async || all_over(&world).await).await;
    let shown = began.elapsed();
    tracing::warn!(?recorded, ?shown, "a burst of {JOBS} jobs");
    assert!(shown < Duration::from_secs(40), "{shown:?}");

    for n in 0..JOBS {
        let job = job(n);
        let told = world.statuses(&job, Some("github-actions")).await;
        assert!(told.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        let view = world.views.job(&acme, job.id).await.unwrap();
        assert_eq!(told.last(), view.as_ref(), "the last status is what is shown");
    }
    let before = world.views.digest(&acme).await.unwrap();

    world.servers.redis.kill().await;
    let late = job(JOBS);
    world.record(&late, story(JOBS)).await;
    until("statuses go on", async || {
        let told = world.statuses(&late, Some("github-actions")).await;
        told.last().is_some_and(|view| view.status == JobStatus::Successful)
    })
    .await;
    world.servers.redis.restart().await.unwrap();
    until("everything is shown again", async || {
        let counts = world.views.counts(&acme).await.unwrap_or_default();
        counts.get(&JobStatus::Successful) == Some(&(JOBS as u64 + 1))
            && world.views.is_complete().await.unwrap_or(false)
    })
    .await;
    replicas.end().await;
    assert_ne!(world.views.digest(&acme).await.unwrap(), before, "with the late one");
    let history = world.views.history(&acme, late.id).await.unwrap();
    assert_eq!(history.len(), 6);
    assert!(bus::dead::list(&world.bus, 0, 10).await.unwrap().is_empty(), "no fact was given up");
}
