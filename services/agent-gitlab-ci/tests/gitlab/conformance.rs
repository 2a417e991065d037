//! The suite every platform passes: with the job's id in a variable, in an input, and by trigger token below a path.

use crate::rig::{PLANTED, config, connect, nats, options, platform_on, project};
use agent_gitlab_ci::gitlab::GitlabCi;
use bus::Bus;
use chrono::TimeDelta;
use domain::id::JobId;
use fake_gitlab::{Ending, FakeGitlab, FaultKind, Hook, Options, Pipeline, Plan, Project, Script};
use platform::Clock;
use platform::conformance::{self, Fault, RunIs, Webhook};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Nothing happens to a pipeline by itself: the suite decides.
fn quiet() -> Project {
    project(Script::of(Plan::new(Ending::HoldQueued)))
}

struct GitlabRig {
    fake: FakeGitlab,
    platform: Arc<GitlabCi>,
    config: Map<String, Value>,
}

impl GitlabRig {
    async fn new(bus: &Bus, clock: Clock, project: Project) -> Self {
        let options = Options { cancel_takes: Duration::from_secs(3_600), ..options(project) };
        let fake = FakeGitlab::start(options).await.unwrap();
        let config = config(&fake.base_url());
        Self { platform: Arc::new(platform_on(bus, clock)), fake, config }
    }

    /// The call that starts a pipeline.
    fn start(&self) -> &'static str {
        if self.config.contains_key("triggerTokenSecret") { "*/trigger/pipeline" } else { "*/pipeline" }
    }

    fn of_job(&self, job: JobId) -> Vec<Pipeline> {
        let job = job.to_string();
        let carries = |pipeline: &Pipeline| {
            pipeline.variables.get("JOB_ID") == Some(&job)
                || pipeline.inputs.get("job_id") == Some(&json!(job))
        };
        self.fake.pipelines().into_iter().filter(carries).collect()
    }
}

#[async_trait::async_trait]
impl conformance::Rig for GitlabRig {
    type Platform = GitlabCi;

    fn platform(&self) -> Arc<GitlabCi> {
        Arc::clone(&self.platform)
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secrets(&self) -> Vec<String> {
        PLANTED.into_iter().chain(["Bearer"]).map(str::to_owned).collect()
    }

    async fn runs(&self, job: JobId) -> usize {
        self.of_job(job).len()
    }

    async fn cut_off(&self) -> bool {
        let late = FaultKind::LateEffect(Duration::from_secs(3_600));
        self.fake.inject(fake_gitlab::Fault::once("POST", self.start(), late));
        true
    }

    async fn let_it_happen(&self) {
        self.fake.hurry_late_effects().await;
    }

    async fn fault(&self, fault: Fault) {
        let start = self.start();
        match fault {
            Fault::AnswerLost => {
                for path in [start, "*/retry"] {
                    self.fake.inject(fake_gitlab::Fault::once("POST", path, FaultKind::DropAfterEffect));
                }
            }
            Fault::RateLimited { after } => {
                self.fake.inject(fake_gitlab::limited("POST", start, after.as_secs()));
            }
            Fault::Unauthorized => {
                let every = fake_gitlab::Fault::answer("GET", "*", 401, "401 Unauthorized").times(u32::MAX);
                self.fake.inject(fake_gitlab::Fault { method: None, ..every });
            }
            Fault::Invalid => {
                let refusal =
                    fake_gitlab::Fault::answer("POST", start, 400, "Reference not found").times(u32::MAX);
                self.fake.inject(refusal);
            }
        }
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "401 Unauthorized",
            Fault::Invalid => "Reference not found",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        self.fake.clear_faults();
    }

    async fn set(&self, job: JobId, run: RunIs) {
        let id = self.of_job(job)[0].id;
        self.fake.advance_clock(TimeDelta::milliseconds(1));
        assert!(match run {
            RunIs::InProgress => self.fake.set_status(id, "running"),
            RunIs::Successful => self.fake.set_status(id, "success"),
            RunIs::Cancelled => self.fake.set_status(id, "canceled"),
            RunIs::Unheard => self.fake.set_status(id, "dreaming"),
            RunIs::Deleted => self.fake.delete(id),
        });
    }

    /// What GitLab would send: asked of the stand-in by telling it to send to where nobody is.
    async fn webhook(&self, job: JobId) -> Option<Webhook> {
        let pipeline = self.of_job(job).into_iter().next()?;
        let before = self.fake.deliveries().last().map_or(0, |delivery| delivery.id);
        self.fake.set_hook(Some(Hook::with_token("http://127.0.0.1:1/", "token")));
        self.fake.set_status(pipeline.id, &pipeline.status);
        let sent = self.fake.wait_for_delivery(crate::rig::SOON, |delivery| delivery.id > before).await;
        self.fake.set_hook(None);
        let delivery = sent.unwrap();
        Some(Webhook {
            event_type: delivery.event,
            source_kind: "gitlab".parse().unwrap(),
            payload: delivery.payload,
        })
    }
}

async fn hold(make: impl AsyncFn(&Bus, Clock) -> GitlabRig) {
    let (nats, _dir) = nats().await;
    let bus = connect(&nats).await;
    conformance::all(&bus, async |clock| make(&bus, clock).await).await;
}

#[tokio::test]
async fn gitlab_with_the_job_id_in_a_variable_conforms() {
    hold(async |bus, clock| GitlabRig::new(bus, clock, quiet()).await).await;
}

/// Nothing but the variable shows whose pipeline it is.
#[tokio::test]
async fn gitlab_without_names_conforms() {
    hold(async |bus, clock| GitlabRig::new(bus, clock, Project { named_after: None, ..quiet() }).await).await;
}

#[tokio::test]
async fn gitlab_with_the_job_id_in_an_input_conforms() {
    hold(async |bus, clock| {
        let project = Project { named_after: Some("job_id".to_owned()), takes_variables: false, ..quiet() };
        let mut rig = GitlabRig::new(bus, clock, project).await;
        rig.config.insert("jobIdInput".to_owned(), json!("job_id"));
        rig
    })
    .await;
}

#[tokio::test]
async fn gitlab_below_a_path_by_trigger_token_conforms() {
    hold(async |bus, clock| {
        let mut rig = GitlabRig::new(bus, clock, quiet()).await;
        rig.config.insert("baseUrl".to_owned(), json!(rig.fake.subpath_url()));
        rig.config.insert("triggerTokenSecret".to_owned(), json!("trigger"));
        rig
    })
    .await;
}
