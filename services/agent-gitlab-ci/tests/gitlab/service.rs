//! The whole service on a real bus: two replicas, commands in, webhooks that misbehave by seed, every job run once and
//! finished; and a pipeline that runs again on GitLab is followed again.

use crate::rig::{PLANTED, PROJECT, SOON, config, connect, nats, new_job, number, options, project, secrets};
use agent_gitlab_ci::{AgentGitlabCi, Settings};
use bus::topology::GITLAB_CI;
use bus::{Base, Bus, Recorded, TriggerEvent};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, JobFact, JobRef, JobState, JobStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use fake_gitlab::{Delivery, Ending, FakeGitlab, Hook, HookChaos, Plan, Script};
use serde_json::{Map, Value};
use service::{CommonSettings, Plan as ServicePlan, Supervisor};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const JOB_COUNT: usize = 20;

async fn replica(supervisor: &Supervisor, nats: &servers::Nats) {
    let mut common = CommonSettings::default();
    nats.url().clone_into(&mut common.nats.url);
    let plan = ServicePlan { settings: Settings::default(), common, secrets: Arc::new(secrets()) };
    service::start::<AgentGitlabCi>(supervisor, plan).await.unwrap();
}

/// A job as the dispatcher leaves it, and its command on the bus.
async fn dispatch(bus: &Bus, config: &Map<String, Value>) -> JobRef {
    let platform = Slug::of_name(GITLAB_CI);
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
        agent_name: "gitlab".to_owned(),
        platform: platform.clone(),
        config: config.clone(),
        context: Value::Null,
        deadlines: Default::default(),
        secrets: Default::default(),
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
        secrets: Default::default(),
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
    let (workspace, source) = (Slug::of_name("acme"), Slug::of_name("gitlab"));
    let event = TriggerAttributes {
        specversion: "1.0".to_owned(),
        id: delivery.key.clone(),
        source: "https://gitlab.example/acme/shop".to_owned(),
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
    let token: Slug = delivery.event.replace(' ', "_").parse().unwrap();
    let id = format!("{}-{}", delivery.key, delivery.id);
    bus.publish(subject::trigger(&workspace, &source, &token), headers, body, Some(&id)).await.unwrap();
}

/// Looks until the job is so.
async fn until(bus: &Bus, job: &JobRef, so: impl Fn(&JobState) -> bool) -> JobState {
    let looked = async {
        loop {
            let state = bus.jobs().load(&job.workspace, job.id).await.unwrap().unwrap().state;
            if so(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(SOON * 2, looked).await {
        Ok(state) => state,
        Err(_) => panic!("{:?}", bus.jobs().load(&job.workspace, job.id).await),
    }
}

#[tokio::test]
async fn two_replicas_run_every_job_once_to_its_end_however_webhooks_arrive() {
    let (nats, _dir) = nats().await;
    let bus = connect(&nats).await;
    let held = project(Script::of(Plan::new(Ending::Hold)));
    let fake = FakeGitlab::start(options(held)).await.unwrap();
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    replica(&supervisor, &nats).await;
    let mut jobs = Vec::new();
    for _ in 0..JOB_COUNT {
        jobs.push(dispatch(&bus, &config(&fake.base_url())).await);
    }
    for job in &jobs {
        until(&bus, job, |state| state.external.is_some()).await;
    }
    // Nobody listens there: what would be delivered is handed on below, with repetitions and in the wrong order.
    fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/", "t0ken").and_jobs()));
    fake.set_hook_chaos(HookChaos { repeat: 0.3, reorder: 0.3, ..HookChaos::default() });
    for pipeline in fake.pipelines() {
        fake.set_status(pipeline.id, "failed");
        fake.wait_for_delivery(SOON, |d| d.pipeline_id == Some(pipeline.id) && d.told == "failed")
            .await
            .unwrap();
    }
    for delivery in fake.deliveries().iter().rev() {
        ingest(&bus, delivery).await;
    }
    for job in &jobs {
        let state = until(&bus, job, JobState::is_finished).await;
        assert_eq!(state.status(), JobStatus::Failure, "{state:?}");
        assert_eq!(state.message.as_deref(), Some("failed: deploy (script_failure)"));
        for (_, event) in bus.jobs().events(&job.workspace, job.id).await.unwrap() {
            let text = serde_json::to_string(&event).unwrap();
            assert!(PLANTED.iter().all(|secret| !text.contains(secret)), "{text}");
        }
    }
    assert_eq!(fake.start_count(), JOB_COUNT as u64);
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}

/// `success → running` and `failed → running` on GitLab: by a retry, which is another attempt; what ended stays ended by
/// any other word.
#[tokio::test]
async fn a_pipeline_that_is_retried_on_gitlab_is_followed_again() {
    let (nats, _dir) = nats().await;
    let bus = connect(&nats).await;
    let script = Script::failure().and_again(Plan::new(Ending::Hold));
    let fake = FakeGitlab::start(options(project(script))).await.unwrap();
    let supervisor = Supervisor::new("test");
    replica(&supervisor, &nats).await;
    fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/", "t0ken")));
    let job = dispatch(&bus, &config(&fake.base_url())).await;
    let state = until(&bus, &job, |state| state.external.is_some()).await;
    let id = number(state.external.as_ref().unwrap());
    let told = async |status: &'static str| {
        let delivery = fake.wait_for_delivery(SOON, |d| d.told == status && d.pipeline_id == Some(id)).await;
        ingest(&bus, &delivery.unwrap()).await;
    };
    told("failed").await;
    let failed = until(&bus, &job, JobState::is_finished).await;
    assert_eq!((failed.status(), failed.external_attempt), (JobStatus::Failure, 1));

    fake.retry(id);
    fake.wait_for_status(id, "running", SOON).await.unwrap();
    told("running").await;
    let again = until(&bus, &job, |state| !state.is_finished()).await;
    assert_eq!((again.status(), again.external_attempt), (JobStatus::InProgress, 2));
    fake.set_status(id, "success");
    told("success").await;
    let over = until(&bus, &job, JobState::is_finished).await;
    assert_eq!((over.status(), over.external_attempt), (JobStatus::Successful, 2));
    assert_eq!(fake.pipelines().len(), 1, "{PROJECT} has the one pipeline");
    supervisor.drain();
    supervisor.finish(Duration::from_secs(10)).await.unwrap();
}
