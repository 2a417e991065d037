//! The handler against real servers: facts in every disorder, several replicas, a lost Redis.

use crate::fixture::{dispatched, event, finished, job, requested, slug, story};
use crate::rebuild::rebuild;
use crate::status::{Told, tell};
use crate::sync::Syncer;
use bus::topology::{self, JOBS, STATUS, needs_of};
use bus::{
    Base, Bus, ConnectOptions, Delivery, Failure, Handler, HeaderMap, Json, Provision, Recorded, clock,
};
use domain::id::JobAgentId;
use domain::job::{HeldWhy, JobEvent, JobFact, JobRef, JobStatus, JobView, Source};
use domain::subject;
use projections::{JobFilter, Page, Projections};
use servers::TestServers;
use std::time::Duration;

pub(crate) struct World {
    pub(crate) servers: TestServers,
    pub(crate) bus: Bus,
    pub(crate) views: Projections,
}

impl World {
    pub(crate) async fn start() -> Self {
        telemetry::init_for_tests();
        let servers = TestServers::start().await;
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "test".into(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.unwrap();
        bus.ensure(&needs_of(topology::Service::Admin)).await.unwrap();
        let views = Projections::connect(&servers.redis.url()).unwrap();
        Self { servers, bus, views }
    }

    /// Records facts one after the other and answers them as they would be delivered.
    pub(crate) async fn record(&self, job: &JobRef, facts: Vec<JobFact>) -> Vec<(JobEvent, Delivery)> {
        let mut previous = 0;
        let mut delivered = Vec::new();
        for fact in facts {
            let base = if previous == 0 { Base::New } else { Base::After(previous) };
            let recorded = self.bus.jobs().record(job, fact.clone(), base, None).await.unwrap();
            let Recorded::Appended { sequence } = recorded else { panic!("{recorded:?}") };
            let events = self.bus.jobs().events(&job.workspace, job.id).await.unwrap();
            let event = events.last().unwrap().1.clone();
            let delivery = Delivery {
                subject: subject::job(&job.workspace, job.id),
                sequence,
                attempt: 1,
                headers: HeaderMap::new(),
                published_at: clock::now(),
                previous: Some(previous),
            };
            delivered.push((event, delivery));
            previous = sequence;
        }
        delivered
    }

    fn syncer(&self) -> Syncer {
        Syncer::new(self.bus.clone(), self.views.clone())
    }

    /// Every status that was told on a subject of the job, oldest first.
    pub(crate) async fn statuses(&self, job: &JobRef, platform: Option<&str>) -> Vec<JobView> {
        let platform = platform.map(slug);
        let subject =
            subject::status(&job.workspace, platform.as_ref(), &job.deployment, &job.environment, job.id);
        let mut told = Vec::new();
        let mut from = 1;
        while let Some(stored) = self.bus.next_of_subject(&STATUS, &subject, from).await.unwrap() {
            told.push(serde_json::from_slice(&stored.payload).unwrap());
            from = stored.sequence + 1;
        }
        told
    }
}

async fn work(syncer: &Syncer, (event, delivery): &(JobEvent, Delivery)) -> Result<(), Failure> {
    syncer.handle(Json(event.clone()), delivery).await
}

fn ascending(told: &[JobView]) -> bool {
    told.windows(2).all(|pair| pair[0].sequence < pair[1].sequence)
}

#[tokio::test]
async fn whatever_the_order_and_whoever_works_it_the_last_word_is_the_newest() {
    let world = World::start().await;
    let replicas = [world.syncer(), world.syncer()];
    // Six facts have 720 orders: every 24th, each on jobs of its own, each fact twice, shared by two replicas.
    for n in 0..30usize {
        let job = job(n);
        let delivered = world.record(&job, story(n)).await;
        let mut order: Vec<usize> = (0..6).collect();
        let mut code = n * 24;
        for i in (1..6).rev() {
            order.swap(i, code % (i + 1));
            code /= i + 1;
        }
        for (turn, i) in order.iter().chain(order.iter().rev()).enumerate() {
            work(&replicas[turn % 2], &delivered[*i]).await.unwrap();
        }
        let shown = world.views.job(&job.workspace, job.id).await.unwrap().unwrap();
        assert_eq!(
            (shown.status, shown.sequence),
            (JobStatus::Successful, delivered[5].1.sequence),
            "{order:?}"
        );
        let told = world.statuses(&job, Some("github-actions")).await;
        assert!(ascending(&told), "{order:?}");
        assert_eq!(told.last(), Some(&shown), "{order:?}");
        assert!(world.statuses(&job, None).await.is_empty());
        let history = world.views.history(&job.workspace, job.id).await.unwrap();
        let facts: Vec<&str> = history.iter().map(|entry| entry.fact.as_str()).collect();
        assert_eq!(facts, story(n).iter().map(JobFact::name).collect::<Vec<_>>(), "{order:?}");
        assert_eq!(history[4].status, JobStatus::InProgress, "as it was then");
        assert!(history[4].lag_ms.is_some());
    }
}

#[tokio::test]
async fn a_waiting_job_stands_under_no_platform_and_leaves_word_where_it_went() {
    let world = World::start().await;
    let held = JobFact::Held {
        why: HeldWhy::Concurrency { agent: JobAgentId(domain::id::derive(&["agent"])), limit: 1, ahead: 0 },
    };
    let job = job(1);
    let delivered = world.record(&job, vec![requested(), held, dispatched()]).await;
    let syncer = world.syncer();
    work(&syncer, &delivered[0]).await.unwrap();
    assert!(world.statuses(&job, None).await.is_empty(), "about to be dispatched, as a rule");
    work(&syncer, &delivered[1]).await.unwrap();
    // That the rest is done by another replica, twice, changes nothing.
    let other = world.syncer();
    for one in [&delivered[2], &delivered[1], &delivered[2]] {
        work(&other, one).await.unwrap();
        work(&world.syncer(), one).await.unwrap();
    }
    let (before, after) =
        (world.statuses(&job, None).await, world.statuses(&job, Some("github-actions")).await);
    assert!(ascending(&before) && ascending(&after));
    assert_eq!(after.len(), 1);
    assert_eq!(before.last(), after.last(), "the last word where it stood is where it stands");
}

#[tokio::test]
async fn a_job_that_never_reached_a_platform_is_told_under_none() {
    let world = World::start().await;
    let job = job(1);
    let ended = JobFact::ended(domain::job::TerminalStatus::InvalidJobAgent, None, "no agent matches");
    for one in world.record(&job, vec![requested(), ended]).await {
        work(&world.syncer(), &one).await.unwrap();
    }
    let told = world.statuses(&job, None).await;
    assert_eq!(told.iter().map(|view| view.status).collect::<Vec<_>>(), [JobStatus::InvalidJobAgent]);
}

#[tokio::test]
async fn replicas_that_tell_at_the_same_moment_do_not_overtake_each_other() {
    let world = World::start().await;
    let job = job(1);
    let delivered = world.record(&job, story(1)).await;
    let mut states = Vec::new();
    for (event, delivery) in &delivered[1..] {
        let mut view: JobView = JobView::of(
            &domain::job::fold(delivered.iter().map(|(event, _)| event)).unwrap(),
            delivery.sequence,
        );
        view.updated_at = event.at;
        states.push(view);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for view in states.iter().cycle().take(40).cloned() {
        let bus = world.bus.clone();
        tasks.spawn(async move {
            let platform = view.platform.clone();
            // What each believes is wrong: nothing, or something long gone.
            let known = (view.sequence % 2 == 0).then(|| Told::nothing(platform.clone()));
            tell(&bus, &view, platform, known).await
        });
    }
    while let Some(told) = tasks.join_next().await {
        told.unwrap().unwrap();
    }
    let told = world.statuses(&job, Some("github-actions")).await;
    assert!(ascending(&told) && told.last() == states.last(), "{told:?}");
}

#[tokio::test]
async fn without_redis_statuses_go_on_and_nothing_is_used_up() {
    let mut world = World::start().await;
    let syncer = world.syncer();
    world.servers.redis.kill().await;
    let mut all = Vec::new();
    for n in 0..20 {
        all.push((job(n), world.record(&job(n), story(n)).await));
    }
    for (job, delivered) in &all {
        for one in delivered {
            let failure = work(&syncer, one).await;
            let waits = match &failure {
                Ok(()) => matches!(one.0.fact, JobFact::Requested { .. }),
                Err(Failure::Later { .. }) => true,
                Err(Failure::Retry(_) | Failure::Reject(_)) => false,
            };
            assert!(waits, "{failure:?}");
        }
        let told = world.statuses(job, Some("github-actions")).await;
        assert_eq!(told.last().map(|view| view.status), Some(JobStatus::Successful));
        assert_eq!(told.len(), 5);
    }
    world.servers.redis.restart().await.unwrap();
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    for (job, delivered) in &all {
        for one in delivered {
            while let Err(failure) = work(&syncer, one).await {
                assert!(tokio::time::Instant::now() < give_up, "{failure}");
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(world.statuses(job, Some("github-actions")).await.len(), 5, "nothing is told twice");
        assert_eq!(world.views.history(&job.workspace, job.id).await.unwrap().len(), 6);
    }
}

#[tokio::test]
async fn a_rebuild_gives_the_same_bytes() {
    let world = World::start().await;
    let syncer = world.syncer();
    for n in 0..60 {
        let mut facts = story(n);
        if n % 3 == 0 {
            facts.push(JobFact::RetryRequested { by: "ann".into() });
            facts.push(dispatched());
        }
        facts.truncate(if n % 5 == 4 { 3 } else { facts.len() });
        for one in world.record(&job(n), facts).await {
            work(&syncer, &one).await.unwrap();
        }
    }
    world
        .bus
        .publish("ctrlplane.job.acme.nonsense".into(), HeaderMap::new(), "{".into(), None)
        .await
        .unwrap();
    let acme = slug("acme");
    let before = world.views.digest(&acme).await.unwrap();
    let client = redis::Client::open(world.servers.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: String = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    assert_ne!(world.views.digest(&acme).await.unwrap(), before);
    let mut steps = 0;
    let report = rebuild(&world.bus, &world.views, |_| steps += 1).await.unwrap();
    assert_eq!(world.views.digest(&acme).await.unwrap(), before);
    assert_eq!((report.unreadable, report.sequence), (1, world.bus.last_sequence(&JOBS).await.unwrap()));
    assert!(steps > 0 && world.views.is_complete().await.unwrap());
    // Once more, from live views to live views.
    rebuild(&world.bus, &world.views, |_| {}).await.unwrap();
    assert_eq!(world.views.digest(&acme).await.unwrap(), before);
    let page = world.views.jobs(&acme, &JobFilter::default(), Page::first(10)).await.unwrap();
    assert_eq!(page.total, 60);
}

#[test]
fn a_fold_remembers_where_its_status_stood() {
    use crate::folded::Folded;
    let held = JobFact::Held {
        why: HeldWhy::Concurrency { agent: JobAgentId(domain::id::derive(&["agent"])), limit: 1, ahead: 0 },
    };
    let facts = [requested(), held, dispatched(), finished(Source::Read, 1)];
    let events: Vec<(u64, JobEvent)> = facts
        .into_iter()
        .zip(1..)
        .map(|(fact, sequence)| (sequence, event(&job(1), clock::now(), fact)))
        .collect();
    let left = |count: usize| {
        let (folded, entries) = Folded::of(&events[..count]).unwrap();
        assert_eq!(entries.len(), count);
        (folded.place(), folded.left)
    };
    let github = Some(slug("github-actions"));
    assert_eq!(left(1), (None, vec![]));
    assert_eq!(left(2), (Some(None), vec![]));
    assert_eq!(left(3), (Some(github.clone()), vec![None]));
    assert_eq!(left(4), (Some(github), vec![None]));
}
