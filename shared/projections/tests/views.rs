//! The views against a real Redis: what duplicates, reordered news, lost servers and rebuilds do to them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test measures and panics")]

use domain::Timestamp;
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use domain::job::{JobStatus, JobView};
use domain::target::TargetKey;
use domain::token::Slug;
use projections::{
    Applied, Confirmed, Cursor, HistoryEntry, JobChange, JobFilter, Page, ProjectionError, Projections,
    TOTAL_MAX,
};
use servers::{Redis, RedisOptions, test_binaries};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Store {
    redis: Redis,
    _dir: TempDir,
}

impl Store {
    async fn start() -> (Self, Projections) {
        telemetry::init_for_tests();
        let dir = tempfile::tempdir().unwrap();
        let options = RedisOptions::new(test_binaries().await.redis, dir.path().join("redis"));
        let redis = Redis::start(options).await.unwrap();
        let views = Projections::connect(&redis.url()).unwrap();
        (Self { redis, _dir: dir }, views)
    }

    async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    async fn key_count(&self) -> i64 {
        let redis::Value::Int(count) = self.command(&["DBSIZE"]).await else { panic!("a number") };
        count
    }
}

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(1_763_900_000_000 + ms).unwrap()
}

fn view(n: u64, sequence: u64, status: JobStatus) -> JobView {
    let id = |kind: &str, n: u64| derive(&[kind, &n.to_string()]);
    JobView {
        id: JobId(id("job", n)),
        workspace: acme(),
        status,
        reason: None,
        message: None,
        cancelling: false,
        platform: None,
        job_agent_id: None,
        job_agent: None,
        deployment: "web".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        target: TargetKey {
            deployment: DeploymentId(id("d", n % 3)),
            environment: EnvironmentId(id("e", n % 2)),
            resource: ResourceId(id("r", n % 7)),
        },
        version_id: VersionId(id("v", n % 5)),
        version: format!("v{}", n % 5),
        name: None,
        release_id: ReleaseId(id("release", n)),
        attempt: 1,
        external: None,
        links: Default::default(),
        created_at: at(n as i64),
        started_at: None,
        completed_at: None,
        confirmed_at: None,
        updated_at: at(sequence as i64),
        sequence,
        purpose: Default::default(),
    }
}

fn change(view: JobView) -> JobChange {
    let entry = HistoryEntry {
        sequence: view.sequence,
        at: view.updated_at,
        fact: "observed".into(),
        status: view.status,
        reason: None,
        message: None,
        source: None,
        cause: None,
        lag_ms: None,
    };
    JobChange { view, history: vec![entry] }
}

#[tokio::test]
async fn a_job_is_shown_as_its_newest_fact_made_it_in_whatever_order_facts_come() {
    let (_store, views) = Store::start().await;
    let first = change(view(1, 10, JobStatus::Pending));
    let mut second = change(view(1, 20, JobStatus::InProgress));
    second.view.platform = Some("github-actions".parse().unwrap());
    let third = change(view(1, 30, JobStatus::Successful));

    assert_eq!(views.apply(&first).await.unwrap(), Applied::Stored);
    assert_eq!(views.apply(&third).await.unwrap(), Applied::Stored);
    for old in [&first, &second, &third] {
        assert_eq!(views.apply(old).await.unwrap(), Applied::Older);
    }
    assert_eq!(views.job(&acme(), first.view.id).await.unwrap(), Some(third.view.clone()));
    let facts: Vec<u64> =
        views.history(&acme(), first.view.id).await.unwrap().iter().map(|entry| entry.sequence).collect();
    assert_eq!(facts, [10, 20, 30], "each fact once, oldest first");
    let counts = views.counts(&acme()).await.unwrap();
    assert_eq!(counts[&JobStatus::Successful], 1);
    assert_eq!(counts.values().sum::<u64>(), 1, "a job is counted in one status");
    assert_eq!(views.applied_sequence().await.unwrap(), 30);
}

#[tokio::test]
async fn a_job_leaves_the_indexes_of_what_it_was() {
    let (_store, views) = Store::start().await;
    let mut one = view(1, 1, JobStatus::Queued);
    one.platform = Some("github-actions".parse().unwrap());
    one.job_agent_id = Some(JobAgentId(derive(&["agent"])));
    views.apply(&change(one.clone())).await.unwrap();
    let mut two = view(1, 2, JobStatus::Pending);
    two.platform = Some("gitlab".parse().unwrap());
    views.apply(&change(two.clone())).await.unwrap();
    let old = JobFilter { platform: one.platform, ..JobFilter::default() };
    let old_agent = JobFilter { agent: one.job_agent_id, ..JobFilter::default() };
    let new = JobFilter { platform: two.platform.clone(), ..JobFilter::default() };
    for (filter, total) in [(old, 0), (old_agent, 0), (new, 1)] {
        let page = views.jobs(&acme(), &filter, Page::first(10)).await.unwrap();
        assert_eq!((page.items.len() as u64, page.total), (total, total), "{filter:?}");
    }
}

#[tokio::test]
async fn lists_filter_exactly_and_pages_join_without_gap_or_repetition() {
    let (_store, views) = Store::start().await;
    let all: Vec<JobView> = (0..400)
        .map(|n| {
            let mut view = view(n, n + 1, JobStatus::ALL[(n % 11) as usize]);
            // Many jobs of one instant: the id decides.
            view.created_at = at(n as i64 / 100);
            view.platform = (n % 2 == 0).then(|| "github-actions".parse().unwrap());
            view
        })
        .collect();
    let changes: Vec<JobChange> = all.iter().cloned().map(change).collect();
    assert!(views.apply_batch(&changes).await.unwrap().iter().all(|applied| *applied == Applied::Stored));

    let any = &all[10];
    let target = |filter: JobFilter| JobFilter {
        deployment: Some(any.target.deployment),
        environment: Some(any.target.environment),
        resource: Some(any.target.resource),
        ..filter
    };
    let filters = [
        JobFilter::default(),
        JobFilter { statuses: vec![JobStatus::Failure], ..JobFilter::default() },
        JobFilter { statuses: vec![JobStatus::Failure, JobStatus::Queued], ..JobFilter::default() },
        JobFilter {
            statuses: vec![JobStatus::Failure, JobStatus::Queued, JobStatus::Pending],
            deployment: Some(any.target.deployment),
            platform: any.platform.clone(),
            ..JobFilter::default()
        },
        JobFilter {
            version: Some(any.version_id),
            resource: Some(any.target.resource),
            ..JobFilter::default()
        },
        target(JobFilter::default()),
        target(JobFilter { statuses: vec![any.status], ..JobFilter::default() }),
        JobFilter { agent: Some(JobAgentId(derive(&["nobody"]))), ..JobFilter::default() },
    ];
    for filter in filters {
        let mut expected: Vec<&JobView> = all.iter().filter(|view| fits(&filter, view)).collect();
        expected.sort_by_key(|view| std::cmp::Reverse((view.created_at, view.id.to_string())));
        let mut listed = Vec::new();
        let mut page = Page::first(7);
        loop {
            let got = views.jobs(&acme(), &filter, page).await.unwrap();
            assert_eq!((got.total, got.total_is_floor), (expected.len() as u64, false), "{filter:?}");
            listed.extend(got.items);
            match got.next {
                Some(next) => page = Page::after(7, next),
                None => break,
            }
        }
        assert!(listed.iter().eq(expected.iter().copied()), "{filter:?}");
        let skipped = views.jobs(&acme(), &filter, Page { offset: 5, ..Page::first(4) }).await.unwrap();
        assert!(skipped.items.iter().eq(expected.iter().copied().skip(5).take(4)), "{filter:?}");
    }
    // A cursor holds even when its job has left the list.
    let failures = JobFilter { statuses: vec![JobStatus::Failure], ..JobFilter::default() };
    let before = views.jobs(&acme(), &failures, Page::first(40)).await.unwrap().items;
    let mut moved = before[9].clone();
    (moved.status, moved.sequence) = (JobStatus::Pending, 10_000);
    views.apply(&change(moved.clone())).await.unwrap();
    let rest =
        views.jobs(&acme(), &failures, Page::after(5, Cursor::of(moved.id, moved.created_at))).await.unwrap();
    assert_eq!(rest.items, before[10..15]);
}

fn fits(filter: &JobFilter, view: &JobView) -> bool {
    (filter.statuses.is_empty() || filter.statuses.contains(&view.status))
        && filter.deployment.is_none_or(|id| id == view.target.deployment)
        && filter.environment.is_none_or(|id| id == view.target.environment)
        && filter.resource.is_none_or(|id| id == view.target.resource)
        && filter.version.is_none_or(|id| id == view.version_id)
        && filter.platform.as_ref().is_none_or(|slug| Some(slug) == view.platform.as_ref())
        && filter.agent.is_none_or(|id| Some(id) == view.job_agent_id)
}

#[tokio::test]
async fn a_rebuild_takes_live_changes_with_it_and_gives_the_same_bytes() {
    let (store, views) = Store::start().await;
    let other = Projections::connect(&store.redis.url()).unwrap();
    let changes: Vec<JobChange> = (0..50).map(|n| change(view(n, n + 1, JobStatus::Queued))).collect();
    views.apply_batch(&changes).await.unwrap();
    other.apply_batch(&changes[..1]).await.unwrap();
    assert!(!views.is_complete().await.unwrap(), "nobody has declared the views complete");

    let rebuild = views.begin_rebuild().await.unwrap();
    assert!(matches!(other.begin_rebuild().await, Err(ProjectionError::Busy)));
    // A writer that has not yet heard of the rebuild, and news that the replay does not see.
    let news = change(view(3, 100, JobStatus::Successful));
    other.apply(&news).await.unwrap();
    rebuild.apply_batch(&changes).await.unwrap();
    let filled = rebuild.digest(&acme()).await.unwrap();
    assert_eq!(filled, views.digest(&acme()).await.unwrap());
    let keys = store.key_count().await;
    let rebuilt = rebuild.switch(51).await.unwrap();
    assert!(rebuilt.removed_keys > 100, "{rebuilt:?}");
    assert!(store.key_count().await < keys, "the old generation is gone");
    assert!(other.is_complete().await.unwrap());
    assert_eq!(other.job(&acme(), news.view.id).await.unwrap(), Some(news.view.clone()));
    assert_eq!(other.digest(&acme()).await.unwrap(), filled);

    // Emptied, written to, rebuilt from all that was recorded before: the same again.
    store.command(&["FLUSHALL"]).await;
    other.apply(&news).await.unwrap();
    assert_eq!(views.jobs(&acme(), &JobFilter::default(), Page::first(10)).await.unwrap().total, 1);
    assert!(!views.is_complete().await.unwrap());
    let rebuild = views.begin_rebuild().await.unwrap();
    rebuild.apply_batch(&changes).await.unwrap();
    assert_ne!(rebuild.digest(&acme()).await.unwrap(), filled, "the news is missing");
    rebuild.apply_batch(&[news]).await.unwrap();
    rebuild.switch(100).await.unwrap();
    assert_eq!(other.digest(&acme()).await.unwrap(), filled);
    assert_eq!(views.applied_sequence().await.unwrap(), 100);
    assert_eq!(views.workspaces().await.unwrap(), [acme()]);
}

#[tokio::test]
async fn an_interrupted_rebuild_says_so_and_an_abandoned_one_leaves_nothing() {
    let (store, views) = Store::start().await;
    let changes = [change(view(1, 1, JobStatus::Queued))];
    views.apply_batch(&changes).await.unwrap();
    let rebuild = views.begin_rebuild().await.unwrap();
    store.command(&["FLUSHALL"]).await;
    assert!(matches!(rebuild.apply_batch(&changes).await, Err(ProjectionError::Interrupted)));
    assert!(matches!(rebuild.switch(1).await, Err(ProjectionError::Interrupted)));
    assert!(!views.is_complete().await.unwrap());
    let rebuild = views.begin_rebuild().await.unwrap();
    rebuild.apply_batch(&changes).await.unwrap();
    rebuild.abandon().await.unwrap();
    assert_eq!(store.key_count().await, 0);
}

#[tokio::test]
async fn old_finished_jobs_are_forgotten_with_every_trace() {
    let (store, views) = Store::start().await;
    let changes: Vec<JobChange> =
        (0..500).map(|n| change(view(n, n + 1, JobStatus::ALL[(n % 11) as usize]))).collect();
    views.apply_batch(&changes).await.unwrap();
    let over = |view: &&JobView| view.status.is_terminal() && view.created_at < at(450);
    let expected = changes.iter().map(|change| &change.view).filter(over).count() as u64;
    assert_eq!(views.forget_before(&acme(), at(450)).await.unwrap(), expected);
    assert_eq!(views.forget_before(&acme(), at(450)).await.unwrap(), 0);
    let left = views.jobs(&acme(), &JobFilter::default(), Page::first(1_000)).await.unwrap();
    assert_eq!(left.total, 500 - expected);
    assert!(left.items.iter().all(|view| !over(&view)));
    // The same views, built without the forgotten jobs.
    let digest = views.digest(&acme()).await.unwrap();
    store.command(&["FLUSHALL"]).await;
    let kept: BTreeSet<JobId> = left.items.iter().map(|view| view.id).collect();
    let kept: Vec<JobChange> = changes.into_iter().filter(|change| kept.contains(&change.view.id)).collect();
    views.apply_batch(&kept).await.unwrap();
    assert_eq!(views.digest(&acme()).await.unwrap(), digest);
}

#[tokio::test]
async fn a_lost_redis_is_said_at_once_and_survived() {
    let (mut store, views) = Store::start().await;
    let one = change(view(1, 1, JobStatus::Queued));
    views.apply(&one).await.unwrap();
    store.redis.kill().await;
    let asked = Instant::now();
    let error = views.job(&acme(), one.view.id).await.unwrap_err();
    assert!(matches!(error, ProjectionError::Unavailable { .. }) && error.is_transient(), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(views.apply(&one).await.is_err());
    store.redis.restart().await.unwrap();
    // Neither the connection nor the scripts are there any more.
    let give_up = Instant::now() + Duration::from_secs(10);
    while let Err(error) = views.apply(&one).await {
        assert!(error.is_transient() && Instant::now() < give_up, "{error}");
    }
    assert_eq!(views.job(&acme(), one.view.id).await.unwrap(), Some(one.view));
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_does_not_tell_it() {
    let (store, _views) = Store::start().await;
    store.command(&["CONFIG", "SET", "requirepass", "swordfish"]).await;
    let url = store.redis.url().replace("redis://", "redis://:hunter2@");
    let error = Projections::connect(&url).unwrap().ping().await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(matches!(error, ProjectionError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn lists_stay_quick_with_a_hundred_thousand_jobs() {
    let (_store, views) = Store::start().await;
    const JOBS: u64 = 100_000;
    for start in (0..JOBS).step_by(1_000) {
        let changes: Vec<JobChange> = (start..start + 1_000)
            .map(|n| {
                // One rare combination, and two large indexes that hardly meet.
                let status = if n % 2 == 0 { JobStatus::Successful } else { JobStatus::Failure };
                let mut view = view(n, n + 1, status);
                let platform = if n % 2 == 0 || n < 10 { "github-actions" } else { "gitlab" };
                view.platform = Some(platform.parse().unwrap());
                JobChange { view, history: Vec::new() }
            })
            .collect();
        views.apply_batch(&changes).await.unwrap();
    }
    let rare = JobFilter {
        statuses: vec![JobStatus::Failure],
        platform: Some("github-actions".parse().unwrap()),
        ..JobFilter::default()
    };
    let whole = JobFilter { platform: Some("github-actions".parse().unwrap()), ..JobFilter::default() };
    for (filter, count) in [(&rare, 5), (&whole, 50), (&JobFilter::default(), 50)] {
        let asked = Instant::now();
        let page = views.jobs(&acme(), filter, Page::first(50)).await.unwrap();
        let took = asked.elapsed();
        assert_eq!(page.items.len(), count);
        assert!(page.total <= TOTAL_MAX || filter.statuses.is_empty());
        assert!(took < Duration::from_secs(2), "{took:?} for {filter:?}");
        tracing::warn!(?took, total = page.total, "listed");
    }
    let asked = Instant::now();
    assert_eq!(views.counts(&acme()).await.unwrap()[&JobStatus::Successful], JOBS / 2);
    assert!(asked.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_look_that_found_nothing_new_moves_only_when_the_status_was_confirmed() {
    let (_store, views) = Store::start().await;
    let mut first = change(view(1, 10, JobStatus::InProgress));
    first.view.confirmed_at = Some(at(10));
    let id = first.view.id;
    let look = |ms| Confirmed { workspace: acme(), job: id, at: at(ms) };
    views.confirm(&[look(5)]).await.unwrap();
    assert_eq!(views.job(&acme(), id).await.unwrap(), None, "a job that is not shown stays so");
    views.apply(&first).await.unwrap();
    let shown = async || {
        let page = Page::first(10);
        let listed = views.jobs(&acme(), &JobFilter::default(), page).await.unwrap();
        let single = views.job(&acme(), id).await.unwrap().unwrap();
        assert_eq!(listed.items, std::slice::from_ref(&single));
        single.confirmed_at
    };
    let digest = views.digest(&acme()).await.unwrap();
    for (looks, confirmed) in [(vec![look(7)], 10), (vec![look(30), look(20)], 30), (vec![look(25)], 30)] {
        views.confirm(&looks).await.unwrap();
        assert_eq!(shown().await, Some(at(confirmed)), "{looks:?}");
    }
    assert_eq!(views.confirmed_at(&acme(), id).await.unwrap(), Some(at(30)));
    assert_eq!(views.digest(&acme()).await.unwrap(), digest, "it is no part of what facts say");
    // News of later facts counts, and older looks do not take it back.
    let mut second = change(view(1, 20, JobStatus::Successful));
    second.view.confirmed_at = Some(at(50));
    views.apply(&second).await.unwrap();
    views.confirm(&[look(40)]).await.unwrap();
    assert_eq!(shown().await, Some(at(50)));
}
