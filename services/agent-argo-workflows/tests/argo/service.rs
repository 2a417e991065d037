//! The whole service on a real bus: two replicas, commands in, news over the event stream, every job run once and finished, and
//! no secret in anything that is recorded or logged.

use crate::rig::{SOON, TOKEN, config, connect, name_of, new_job, options};
use ::service::{CommonSettings, Plan, Secrets, Started, Supervisor};
use agent_argo_workflows::{AgentArgoWorkflows, Settings};
use bus::topology::{ARGO_WORKFLOWS, JOBS};
use bus::{Base, Bus, Change, FollowSource, From, Recorded};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, JobEvent, JobFact, JobRef, JobStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use fake_argo::{Ending, FakeArgo, NewsChaos, Options};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

const JOB_COUNT: usize = 20;
const SHOP_DB: &str = "pl4nted-shop-db";

async fn replica(supervisor: &Supervisor, nats: &Nats) -> Started {
    let mut common = CommonSettings::default();
    nats.url().clone_into(&mut common.nats.url);
    let secrets =
        [("CTRLPLANE_SECRET_FOR_ACME_ARGO_TOKEN", TOKEN), ("CTRLPLANE_SECRET_VAR_ACME_SHOP_DB", SHOP_DB)];
    let secrets = Secrets::new(None, secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let plan = Plan { settings: Settings::default(), common, secrets: Arc::new(secrets) };
    ::service::start::<AgentArgoWorkflows>(supervisor, plan).await.unwrap()
}

/// A job as the dispatcher leaves it, and its command on the bus.
async fn dispatch(bus: &Bus, config: &Map<String, Value>, secrets: &[(&str, &str)]) -> JobRef {
    let owned = |(pointer, name): &(&str, &str)| ((*pointer).to_owned(), (*name).to_owned());
    let secrets: BTreeMap<String, String> = secrets.iter().map(owned).collect();
    let platform = Slug::of_name(ARGO_WORKFLOWS);
    let agent = JobAgentId(Uuid::new_v4());
    let job = JobRef {
        workspace: Slug::of_name("acme"),
        id: new_job(),
        target: TargetKey {
            deployment: DeploymentId(Uuid::new_v4()),
            environment: EnvironmentId(Uuid::new_v4()),
            resource: ResourceId(Uuid::new_v4()),
        },
        version: VersionId(Uuid::new_v4()),
        tag: "v1".to_owned(),
        release: ReleaseId(Uuid::new_v4()),
        attempt: 1,
        deployment: Slug::of_name("shop"),
        environment: Slug::of_name("production"),
        purpose: Default::default(),
        content: None,
    };
    let dispatched = JobFact::Dispatched(Dispatch {
        agent,
        agent_name: "argo".to_owned(),
        platform: platform.clone(),
        config: config.clone(),
        context: Value::Null,
        deadlines: Default::default(),
        secrets: secrets.clone(),
    });
    let mut after = 0;
    for fact in [JobFact::Requested { catalog_revision: 1, grounds: None }, dispatched] {
        match bus.jobs().record(&job, fact, Base::Look, None).await {
            Ok(Recorded::Appended { sequence }) => after = sequence,
            other => panic!("not recorded: {other:?}"),
        }
    }
    let command = AgentCommand {
        verb: Verb::Trigger,
        job: job.clone(),
        agent,
        platform: platform.clone(),
        config: config.clone(),
        after,
        rerun_of: None,
        force: false,
        freezes_seen: Default::default(),
        freeze_begins_at: None,
        secrets,
    };
    let subject = subject::command(&platform, agent, Verb::Trigger, job.id);
    // Twice, as a dispatcher that died in between would.
    for id in ["first", "second"] {
        bus.publish_json(subject.clone(), &command, Some(&format!("{}-{id}", job.id))).await.unwrap();
    }
    job
}

/// The jobs of which a fact of that name was recorded, as they become known.
fn recorded(bus: &Bus, name: &'static str, supervisor: &Supervisor) -> watch::Receiver<BTreeSet<JobId>> {
    let (jobs, seen) = watch::channel(BTreeSet::new());
    let (bus, stop) = (bus.clone(), supervisor.token());
    supervisor.spawn(name, async move {
        let note = move |change| {
            let Change::Put { payload, .. } = change else { return };
            let event: JobEvent = serde_json::from_slice(&payload).unwrap();
            if event.fact.name() == name {
                jobs.send_modify(|jobs| {
                    jobs.insert(event.job.id);
                });
            }
        };
        Ok(bus::follow(&bus, FollowSource::Stream(&JOBS, None), From::All, note, stop).await?)
    });
    seen
}

async fn wait_for(count: usize, mut seen: watch::Receiver<BTreeSet<JobId>>, doing: &str) {
    let all = seen.wait_for(|jobs| jobs.len() == count);
    let waited = tokio::time::timeout(SOON, all).await.is_ok();
    assert!(waited, "{} of {count} jobs are {doing}", seen.borrow().len());
}

async fn nats() -> (Nats, Bus, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    (nats, bus, dir)
}

/// Nobody looks: the stream alone tells how workflows end, though it repeats and breaks.
#[tokio::test]
async fn two_replicas_run_every_job_once_and_hear_how_it_ends() {
    let (nats, bus, _dir) = nats().await;
    let plan = fake_argo::Plan {
        queued: Duration::from_millis(20),
        runs: Duration::from_millis(300),
        ending: Ending::Fails("exit code 1".to_owned()),
    };
    let chaos = NewsChaos { drop: 0.0, repeat: 0.3, cut: 0.05 };
    let fake = FakeArgo::start(Options { chaos, seed: 7, ..options(plan) }).await.unwrap();
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    replica(&supervisor, &nats).await;
    let finished = recorded(&bus, "finished", &supervisor);

    let mut jobs = Vec::new();
    for _ in 0..JOB_COUNT {
        jobs.push(dispatch(&bus, &config(&fake.base_url()), &[]).await);
    }
    wait_for(JOB_COUNT, finished, "finished").await;

    assert_eq!(fake.submitted(), JOB_COUNT);
    for job in jobs {
        let known = bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap();
        assert_eq!(known.state.status(), JobStatus::Failure, "{:?}", known.state);
        let facts = bus.jobs().events(&job.workspace, job.id).await.unwrap();
        let names: Vec<&str> = facts.iter().map(|(_, event)| event.fact.name()).collect();
        let count = |name: &str| names.iter().filter(|it| **it == name).count();
        assert_eq!((count("triggered"), count("finished")), (1, 1), "{names:?}");
    }
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}

/// A workflow gets the secret its job's workspace has under that name, and whatever Argo repeats of it is masked.
#[tokio::test]
async fn a_workflow_gets_its_secret_and_nobody_else_does() {
    let (nats, bus, _dir) = nats().await;
    // The step repeats the secret in its message, as a careless script would.
    let plan = fake_argo::Plan::at_once(Ending::Fails(format!("cannot log in with {SHOP_DB}")));
    let fake = FakeArgo::start(options(plan)).await.unwrap();
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    let finished = recorded(&bus, "finished", &supervisor);
    let mut config = config(&fake.base_url());
    config.insert("parameters".to_owned(), json!({ "version": null }));

    let given = dispatch(&bus, &config, &[("/parameters/version", "shop-db")]).await;
    let refused = dispatch(&bus, &config, &[("/parameters/version", "argo-token")]).await;
    wait_for(2, finished, "finished").await;

    let made = fake.workflow("ci", &name_of(given.id)).unwrap();
    assert_eq!(made.parameter("version"), Some(SHOP_DB));
    assert_eq!(fake.submitted(), 1);
    for (job, status) in [(&given, JobStatus::Failure), (&refused, JobStatus::InvalidIntegration)] {
        for (_, event) in bus.jobs().events(&job.workspace, job.id).await.unwrap() {
            let text = serde_json::to_string(&event).unwrap();
            assert!(!text.contains(SHOP_DB) && !text.contains(TOKEN), "{text}");
        }
        let known = bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap();
        assert_eq!(known.state.status(), status, "{:?}", known.state);
    }
    let message = bus.jobs().load(&given.workspace, given.id).await.unwrap().unwrap().state.message;
    assert!(message.is_some_and(|message| message.contains("cannot log in with ***")));
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}
