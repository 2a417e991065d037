//! Kubernetes Jobs in the ledger.

use super::books::Run;
use super::{QUEUED, RUNS, Stand};
use domain::job::JobStatus;
use fake_kubernetes::{Chaos, Ending, FakeKubernetes, Fault, FaultKind, Options, Script, User};
use misbehaviour::Dice;
use system_tests::System;

const NAMESPACE: &str = "ci";
const TOKEN: &str = "planted-token-0123456789";

pub(super) struct Kubernetes(FakeKubernetes);

impl Stand for Kubernetes {
    const AGENT: &'static str = "agent-kubernetes-jobs";

    async fn start(seed: u64) -> Self {
        let script = Script::Plays { starts_after: QUEUED, runs_for: RUNS, ending: Ending::Well };
        let chaos = Chaos { seed, limited: 0.02, broken: 0.02, lost: 0.02, cut: 0.02, expired: 0.01 };
        let users = vec![User::admin(TOKEN)];
        Self(FakeKubernetes::start(Options { users, script, chaos, ..Options::default() }).await.unwrap())
    }

    fn job_agent(&self) -> (&'static str, String) {
        let manifest =
            include_str!("../../stories/kubernetes.yaml").replace("KUBERNETES_URL", &self.0.base_url());
        ("kubernetes", manifest)
    }

    fn secrets(&self) -> Vec<(&'static str, String)> {
        vec![("CTRLPLANE_SECRET_FOR_ACME_KUBE_TOKEN", TOKEN.to_owned())]
    }

    async fn attach(&self, _system: &System) {}

    fn misbehave(&self, _system: &System, dice: &mut Dice) {
        match dice.below(4) {
            0 => self.0.cut_watches(),
            1 => self.0.compact(),
            2 => self.0.inject(Fault::once_in_earnest("/jobs/", FaultKind::DropBefore)),
            _ => self.0.inject(Fault::once_in_earnest("/jobs/", FaultKind::DropAfterEffect)),
        }
    }

    fn runs(&self, _system: &System) -> Vec<Run> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let run = |job: &serde_json::Value| {
            let metadata = &job["metadata"];
            Run {
                id: text(&metadata["name"]),
                job: text(&metadata["labels"]["ctrlplane.dev/job-id"]),
                // All of its pods are planned to end well.
                ended: JobStatus::Successful,
            }
        };
        self.0.jobs(NAMESPACE).iter().map(run).collect()
    }

    /// A Job whose pods ran twice was started twice.
    fn started(&self, _system: &System) -> usize {
        self.0.objects("pods", NAMESPACE).len()
    }

    fn spoiled(&self, _system: &System) -> usize {
        self.0.calls().iter().filter(|call| call.status >= 429).count()
    }
}
