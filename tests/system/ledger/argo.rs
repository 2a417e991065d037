//! Argo Workflows in the ledger, through Argo Server.

use super::books::Run;
use super::{QUEUED, RUNS, Stand};
use domain::job::JobStatus;
use fake_argo::{Ending, FakeArgo, Fault, FaultKind, NewsChaos, Options, Plan, Template};
use misbehaviour::Dice;
use system_tests::System;

const NAMESPACE: &str = "ci";
const TOKEN: &str = "pl4nted-argo-token";

pub(super) struct Argo(FakeArgo);

impl Stand for Argo {
    const AGENT: &'static str = "agent-argo-workflows";

    async fn start(seed: u64) -> Self {
        let plan = Plan { queued: QUEUED, runs: RUNS, ending: Ending::Succeeds };
        let template =
            Template::new(NAMESPACE, "deploy").parameter("version", None).parameter("resource", None);
        let fake = FakeArgo::start(Options {
            tokens: vec![TOKEN.to_owned()],
            templates: vec![template.plan(plan)],
            chaos: NewsChaos { drop: 0.05, repeat: 0.1, cut: 0.01 },
            seed,
            ..Options::default()
        });
        Self(fake.await.unwrap())
    }

    fn job_agent(&self) -> (&'static str, String) {
        let manifest = include_str!("../../stories/argo.yaml").replace("ARGO_URL", &self.0.base_url());
        ("argo", manifest)
    }

    fn secrets(&self) -> Vec<(&'static str, String)> {
        vec![("CTRLPLANE_SECRET_FOR_ACME_ARGO_TOKEN", TOKEN.to_owned())]
    }

    async fn attach(&self, _system: &System) {}

    fn misbehave(&self, _system: &System, dice: &mut Dice) {
        let start = "/submit";
        self.0.inject(match dice.below(9) {
            0 => Fault::too_many("POST", start, 1),
            1 => Fault::answer("POST", start, 502, "Bad gateway"),
            2 => Fault::once("POST", start, FaultKind::DropBeforeEffect),
            3 | 4 => Fault::once("POST", start, FaultKind::DropAfterEffect),
            5 => Fault::once("POST", start, FaultKind::HangAfterEffect),
            6 => {
                let (status, body) =
                    (500, "{\"code\":2,\"message\":\"etcdserver: request timed out\"}".to_owned());
                Fault::once("POST", start, FaultKind::ErrorAfterEffect { status, body })
            }
            7 => Fault::answer("GET", "", 503, "Service unavailable").times(3),
            _ => {
                self.0.cut_streams();
                Fault::once("GET", "", FaultKind::DropAfterEffect).times(3)
            }
        });
    }

    fn runs(&self, _system: &System) -> Vec<Run> {
        let run = |it: fake_argo::Workflow| {
            let job = it.label("ctrlplane.dev/job-id").unwrap().to_owned();
            // Every workflow is planned to succeed.
            Run { id: it.name().to_owned(), job, ended: JobStatus::Successful }
        };
        self.0.workflows().into_iter().map(run).collect()
    }

    fn started(&self, _system: &System) -> usize {
        self.0.submitted()
    }

    fn spoiled(&self, _system: &System) -> usize {
        self.0.calls().iter().filter(|call| call.status.is_none_or(|status| status >= 429)).count()
    }
}
