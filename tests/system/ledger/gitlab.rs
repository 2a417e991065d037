//! GitLab CI/CD in the ledger.

use super::books::Run;
use super::{LATE, QUEUED, RUNS, Stand, failing_resources};
use domain::job::JobStatus;
use fake_gitlab::{Ending, FakeGitlab, Fault, FaultKind, HookChaos, Options, Pipeline, Plan, Script, Token};
use misbehaviour::Dice;
use std::time::Duration;
use system_tests::{System, eventually, gitlab};

pub(super) struct Gitlab(FakeGitlab);

impl Stand for Gitlab {
    const AGENT: &'static str = "agent-gitlab-ci";

    async fn start(seed: u64) -> Self {
        let ending = |status: &str| Plan::new(Ending::Finish(status.to_owned())).taking(QUEUED, RUNS);
        let script = failing_resources().fold(Script::of(ending("success")), |script, resource| {
            script.when_input("resource", &resource, ending("failed"))
        });
        let project = gitlab::project().script(script);
        let (tokens, projects) = (vec![Token::new(gitlab::TOKEN)], vec![project]);
        Self(FakeGitlab::start(Options { tokens, projects, seed, ..Options::default() }).await.unwrap())
    }

    fn job_agent(&self) -> (&'static str, String) {
        let manifests = include_str!("../../stories/gitlab.yaml").replace("GITLAB_URL", &self.0.base_url());
        ("gitlab", manifests)
    }

    fn secrets(&self) -> Vec<(&'static str, String)> {
        gitlab::secrets()
    }

    async fn attach(&self, system: &System) {
        let url = gitlab::webhooks_of(system).await;
        eventually("the trigger source is known to the ingester", Duration::from_secs(20), || async {
            let answer = reqwest::Client::new().post(&url).body("{}").send().await;
            let status = answer.map_err(|error| error.to_string())?.status();
            if status == 401 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        gitlab::attach(&self.0, system).await;
        self.0.set_hook_chaos(HookChaos {
            drop: 0.05,
            repeat: 0.1,
            reorder: 0.1,
            delay: 0.1,
            delay_max: Duration::from_secs(2),
        });
    }

    fn misbehave(&self, _system: &System, dice: &mut Dice) {
        let (start, read) = ("*/pipeline", "*/pipelines*");
        self.0.inject(match dice.below(10) {
            0 => fake_gitlab::limited("POST", start, 1),
            1 => Fault::answer("POST", start, 502, "Bad gateway"),
            2 => Fault::once("POST", start, FaultKind::DropBeforeEffect),
            3 | 4 => Fault::once("POST", start, FaultKind::DropAfterEffect),
            5 => Fault::once("POST", start, FaultKind::HangAfterEffect),
            6 => Fault::once("POST", start, FaultKind::LateEffect(LATE)),
            7 => Fault::answer("POST", start, 409, "409 Conflict: Resource lock"),
            8 => Fault::answer("GET", read, 503, "Service unavailable").times(3),
            _ => Fault::once("GET", read, FaultKind::DropAfterEffect).times(3),
        });
    }

    fn runs(&self, _system: &System) -> Vec<Run> {
        let pipelines = self.0.pipelines().into_iter();
        let job_of = |inputs: &serde_json::Map<String, serde_json::Value>| {
            inputs["job_id"].as_str().unwrap().to_owned()
        };
        let ended = |status: &str| match status {
            "success" => JobStatus::Successful,
            "failed" => JobStatus::Failure,
            other => panic!("no pipeline is planned to end as {other}"),
        };
        let run =
            |it: Pipeline| Run { id: it.id.to_string(), job: job_of(&it.inputs), ended: ended(&it.status) };
        pipelines.map(run).collect()
    }

    fn started(&self, _system: &System) -> usize {
        usize::try_from(self.0.start_count()).unwrap()
    }

    fn spoiled(&self, _system: &System) -> usize {
        let calls = self.0.calls();
        calls.iter().filter(|call| call.status.is_none_or(|status| status == 409 || status >= 429)).count()
    }
}
