//! The whole service on a real bus: two replicas, commands in, webhooks in any order, every job run once and finished.

use crate::rig::{Nobody, PAT, SOON, config, connect, new_job, options};
use agent_github_actions::{AgentGithubActions, Settings};
use bus::topology::{GITHUB_ACTIONS, JOBS};
use bus::{Base, Bus, Change, FollowSource, From, Recorded, TriggerEvent};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, JobEvent, JobFact, JobRef, JobStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use fake_github::{Delivery, FakeGithub, Script, Webhook};
use serde_json::{Map, Value};
use servers::{Nats, NatsOptions, test_binaries};
use service::{CommonSettings, Plan, Secrets, Started, Supervisor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

const JOB_COUNT: usize = 20;
const SHOP_DB: &str = "pl4nted-shop-db";
const GLOBEX_TOKEN: &str = "pl4nted-globex-token";

async fn replica(supervisor: &Supervisor, nats: &Nats) -> Started {
    let mut common = CommonSettings::default();
    nats.url().clone_into(&mut common.nats.url);
    let secrets = [
        ("CTRLPLANE_SECRET_FOR_ACME_PAT", PAT),
        ("CTRLPLANE_SECRET_VAR_ACME_SHOP_DB", SHOP_DB),
        ("CTRLPLANE_SECRET_VAR_GLOBEX_TOKEN", GLOBEX_TOKEN),
    ];
    let secrets = Secrets::new(None, secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let plan = Plan { settings: Settings::default(), common, secrets: Arc::new(secrets) };
    service::start::<AgentGithubActions>(supervisor, plan).await.unwrap()
}

/// A job as the dispatcher leaves it, and its command on the bus.
async fn dispatch(bus: &Bus, config: &Map<String, Value>, secrets: &[(&str, &str)]) -> JobRef {
    let owned = |(pointer, name): &(&str, &str)| ((*pointer).to_owned(), (*name).to_owned());
    let secrets: BTreeMap<String, String> = secrets.iter().map(owned).collect();
    let platform = Slug::of_name(GITHUB_ACTIONS);
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
        agent_name: "github".to_owned(),
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

/// A delivery as the ingester hands it on.
async fn ingest(bus: &Bus, delivery: &Delivery) {
    let (workspace, source) = (Slug::of_name("acme"), Slug::of_name("github"));
    let event = TriggerAttributes {
        specversion: "1.0".to_owned(),
        id: delivery.guid.clone(),
        source: "https://github.com/Acme/Shop".to_owned(),
        event_type: delivery.event.clone(),
        subject: None,
        time: delivery.delivered_at,
        datacontenttype: Some("application/json".to_owned()),
        dataref: None,
        workspace: workspace.clone(),
        triggersource: source.clone(),
        sourcekind: source.clone(),
        traceparent: None,
    };
    let (headers, body) = TriggerEvent::new(event, delivery.payload.clone()).encode();
    let subject = subject::trigger(&workspace, &source, &Slug::of_name(&delivery.event));
    bus.publish(subject, headers, body, Some(&delivery.guid)).await.unwrap();
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

#[tokio::test]
async fn two_replicas_run_every_job_once_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    let fake = FakeGithub::start(options(Script::failure())).await.unwrap();
    // Nobody listens there: the test decides when and in which order deliveries come in.
    let nobody = Nobody::new();
    fake.set_webhook(Some(Webhook::new(&nobody.url(), "secret")));
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    replica(&supervisor, &nats).await;
    let (triggered, finished) =
        (recorded(&bus, "triggered", &supervisor), recorded(&bus, "finished", &supervisor));

    let mut jobs = Vec::new();
    for _ in 0..JOB_COUNT {
        jobs.push(dispatch(&bus, &config(&fake.base_url()), &[]).await);
    }
    wait_for(JOB_COUNT, triggered, "triggered").await;
    for run in fake.runs() {
        let over = |delivery: &Delivery| {
            delivery.run_id == Some(run.id) && delivery.action.as_deref() == Some("completed")
        };
        fake.wait_for_delivery(SOON, over).await.unwrap();
    }
    for delivery in fake.deliveries().iter().rev() {
        ingest(&bus, delivery).await;
    }
    wait_for(JOB_COUNT, finished, "finished").await;

    assert_eq!(fake.dispatch_count(), JOB_COUNT as u64);
    for job in jobs {
        let known = bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap();
        assert_eq!(known.state.status(), JobStatus::Failure, "{:?}", known.state);
    }
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}

/// A workflow gets the secret its job's workspace has under that name; of another workspace and of the agent's own, nothing.
#[tokio::test]
async fn a_workflow_gets_the_secrets_of_its_workspace_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    let fake = FakeGithub::start(options(Script::failure())).await.unwrap();
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    let (triggered, finished) =
        (recorded(&bus, "triggered", &supervisor), recorded(&bus, "finished", &supervisor));
    let mut config = config(&fake.base_url());
    config.insert("inputs".to_owned(), serde_json::json!({ "version": null }));

    let mut jobs = Vec::new();
    for name in ["shop-db", "token", "globex-token", "pat"] {
        jobs.push(dispatch(&bus, &config, &[("/inputs/version", name)]).await);
    }
    wait_for(1, triggered, "triggered").await;
    wait_for(3, finished, "finished").await;

    let inputs: Vec<Option<String>> =
        fake.runs().iter().map(|run| run.inputs.get("version").cloned()).collect();
    assert_eq!(inputs, [Some(SHOP_DB.to_owned())]);
    for (n, job) in jobs.iter().enumerate() {
        let events = bus.jobs().events(&job.workspace, job.id).await.unwrap();
        for (_, event) in &events {
            let text = serde_json::to_string(event).unwrap();
            assert!([SHOP_DB, GLOBEX_TOKEN, PAT].iter().all(|secret| !text.contains(secret)), "{text}");
        }
        let names: Vec<&str> = events.iter().map(|(_, event)| event.fact.name()).collect();
        let known = bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap();
        if n == 0 {
            assert!(names.contains(&"triggered"), "{names:?}");
        } else {
            assert_eq!(names, ["requested", "dispatched", "finished"]);
            assert_eq!(known.state.status(), JobStatus::InvalidIntegration, "{:?}", known.state);
        }
    }
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}
