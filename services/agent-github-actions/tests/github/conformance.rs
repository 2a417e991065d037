//! The suite every platform passes, against github.com by personal token and as an App, and against a server of one's
//! own that names no run.

use crate::rig::{PAT, config, connect, new_job, options, platform_on};
use agent_github_actions::github::GithubActions;
use bus::Bus;
use chrono::TimeDelta;
use domain::id::JobId;
use fake_github::{
    Conclusion, Ending, FakeGithub, FaultKind, Options, Plan, Run, SAMPLE_APP_PRIVATE_KEY_PEM, Script, Status,
};
use platform::conformance::{self, Fault, RunIs, Webhook};
use platform::{Clock, Platform as _, TriggerRequest, Triggered};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::time::Duration;

/// Nothing happens to a run by itself: the suite decides.
fn quiet() -> Options {
    Options { cancel_takes: Duration::from_secs(3_600), ..options(Script::of(Plan::new(Ending::HoldQueued))) }
}

struct GithubRig {
    fake: FakeGithub,
    platform: Arc<GithubActions>,
    config: Map<String, Value>,
}

impl GithubRig {
    async fn new(bus: &Bus, clock: Clock, options: Options, base: fn(&FakeGithub) -> String) -> Self {
        let fake = FakeGithub::start(options).await.unwrap();
        let config = config(&base(&fake));
        Self { platform: Arc::new(platform_on(bus, clock)), fake, config }
    }

    fn run_of(&self, job: JobId) -> Option<Run> {
        let job = job.to_string();
        self.fake.runs().into_iter().find(|run| run.inputs.get("job_id") == Some(&job))
    }
}

#[async_trait::async_trait]
impl conformance::Rig for GithubRig {
    type Platform = GithubActions;

    fn platform(&self) -> Arc<GithubActions> {
        Arc::clone(&self.platform)
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secrets(&self) -> Vec<String> {
        let key_line = SAMPLE_APP_PRIVATE_KEY_PEM.lines().nth(1).unwrap();
        vec![PAT.to_owned(), key_line.to_owned(), "ghs_".to_owned(), "Bearer".to_owned()]
    }

    async fn runs(&self, job: JobId) -> usize {
        let job = job.to_string();
        self.fake.runs().iter().filter(|run| run.inputs.get("job_id") == Some(&job)).count()
    }

    async fn cut_off(&self) -> bool {
        let late = FaultKind::LateEffect(Duration::from_secs(3_600));
        self.fake.inject(fake_github::Fault::once("POST", "*/dispatches", late));
        true
    }

    async fn let_it_happen(&self) {
        self.fake.hurry_late_effects().await;
    }

    async fn fault(&self, fault: Fault) {
        let dispatch = "*/dispatches";
        self.fake.inject(match fault {
            Fault::AnswerLost => fake_github::Fault::once("POST", dispatch, FaultKind::DropAfterEffect),
            Fault::RateLimited { after } => fake_github::secondary_limit("POST", dispatch, after.as_secs()),
            Fault::Unauthorized => {
                let every = fake_github::Fault::answer("GET", "*", 401, "Bad credentials").times(u32::MAX);
                fake_github::Fault { method: None, ..every }
            }
            Fault::Invalid => fake_github::Fault::answer("POST", dispatch, 404, "Not Found").times(u32::MAX),
        });
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "Bad credentials",
            Fault::Invalid => "knows no workflow deploy.yml",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        self.fake.clear_faults();
    }

    async fn set(&self, job: JobId, run: RunIs) {
        let id = self.run_of(job).unwrap().id;
        // GitHub tells whole seconds.
        self.fake.advance_clock(TimeDelta::seconds(1));
        assert!(match run {
            RunIs::InProgress => self.fake.set_status(id, Status::InProgress),
            RunIs::Successful => self.fake.finish(id, Conclusion::Success),
            RunIs::Cancelled => self.fake.finish(id, Conclusion::Cancelled),
            RunIs::Unheard => self.fake.set_status(id, Status::Other("dreaming".to_owned())),
            RunIs::Deleted => self.fake.delete_run(id),
        });
    }

    async fn webhook(&self, job: JobId) -> Option<Webhook> {
        let run = self.run_of(job)?;
        let url = format!("{}/repos/{}/actions/runs/{}", self.fake.base_url(), run.repo, run.id);
        let request = reqwest::Client::new().get(url).bearer_auth(PAT).header("user-agent", "test");
        let shown: Value = request.send().await.unwrap().json().await.unwrap();
        let action = if run.is_completed() { "completed" } else { "in_progress" };
        let payload = json!({ "action": action, "workflow_run": shown, "repository": shown["repository"] });
        Some(Webhook {
            event_type: "workflow_run".to_owned(),
            source_kind: "github".parse().unwrap(),
            payload: payload.to_string().into(),
        })
    }
}

async fn hold(make: impl AsyncFn(&Bus, Clock) -> GithubRig) {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    conformance::all(&bus, async |clock| make(&bus, clock).await).await;
}

#[tokio::test]
async fn github_by_personal_token_conforms() {
    hold(async |bus, clock| GithubRig::new(bus, clock, quiet(), FakeGithub::base_url).await).await;
}

#[tokio::test]
async fn github_as_an_app_conforms() {
    hold(async |bus, clock| {
        let mut rig = GithubRig::new(bus, clock, quiet(), FakeGithub::base_url).await;
        rig.config.insert("tokenSecret".to_owned(), Value::Null);
        rig.config.insert("appId".to_owned(), json!(crate::rig::APP));
        rig.config.insert("privateKeySecret".to_owned(), json!("app-key"));
        rig
    })
    .await;
}

#[tokio::test]
async fn a_server_of_ones_own_conforms() {
    hold(async |bus, clock| {
        let nameless = Options { returns_run_details: false, ..quiet() };
        let rig = GithubRig::new(bus, clock, nameless, FakeGithub::ghes_base_url).await;
        // It learns here that the server names no run, so that a fault meets a dispatch and not the question.
        let first = TriggerRequest { job: new_job(), config: &rig.config };
        assert_eq!(rig.platform.trigger(&first).await, Ok(Triggered::Accepted));
        rig
    })
    .await;
}
