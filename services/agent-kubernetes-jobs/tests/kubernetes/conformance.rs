//! The suite every platform passes.

use crate::rig::{NAMESPACE, Rig, TOKEN, options};
use crate::support::connect;
use agent_kubernetes_jobs::jobs::{ATTEMPT, JOB_ID, KubernetesJobs};
use async_trait::async_trait;
use domain::id::JobId;
use fake_kubernetes::{Ending, FaultKind};
use platform::budget::Budgets;
use platform::conformance::{self, Fault, RunIs, Webhook};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;

#[async_trait]
impl conformance::Rig for Rig {
    type Platform = KubernetesJobs;

    fn platform(&self) -> Arc<KubernetesJobs> {
        Arc::clone(&self.jobs)
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), "Bearer".to_owned()]
    }

    /// All attempts are one run.
    async fn runs(&self, job: JobId) -> usize {
        let first = |object: &Value| object["metadata"]["labels"][ATTEMPT] == "1";
        self.objects(job).iter().filter(|object| first(object)).count()
    }

    async fn fault(&self, fault: Fault) {
        let refuse = |code: u16, message: &str, retry_after: Option<u64>| FaultKind::Answer {
            code,
            message: message.to_owned(),
            retry_after,
        };
        self.fake.inject(match fault {
            Fault::AnswerLost => {
                fake_kubernetes::Fault::once_in_earnest("/jobs/", FaultKind::DropAfterEffect)
            }
            Fault::RateLimited { after } => fake_kubernetes::Fault::once(
                "PATCH",
                "/jobs/",
                refuse(429, "too many requests", Some(after.as_secs())),
            ),
            Fault::Unauthorized => fake_kubernetes::Fault::always("", "", refuse(401, "Unauthorized", None)),
            Fault::Invalid => {
                let words = "Job.batch is invalid: spec.template.spec.containers: Required value";
                fake_kubernetes::Fault::always("PATCH", "/jobs/", refuse(422, words, None))
            }
        });
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "Unauthorized",
            Fault::Invalid => "Required value",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        self.fake.clear_faults();
    }

    async fn set(&self, job: JobId, run: RunIs) {
        let objects = self.objects(job);
        let attempt =
            |object: &Value| object["metadata"]["labels"][ATTEMPT].as_str().unwrap().parse::<u32>().unwrap();
        let last = objects.iter().max_by_key(|object| attempt(object)).expect("the job has a run");
        let name = last["metadata"]["name"].as_str().unwrap();
        assert!(match run {
            RunIs::InProgress => self.fake.run(NAMESPACE, name),
            RunIs::Successful => self.fake.end(NAMESPACE, name, Ending::Well),
            // The controller suspended it as soon as it was asked to.
            RunIs::Cancelled => last["spec"]["suspend"] == json!(true),
            RunIs::Unheard => self.fake.condition(NAMESPACE, name, "Levitating", "True", "Because"),
            RunIs::Deleted => self.fake.delete(NAMESPACE, name),
        });
    }

    async fn webhook(&self, _job: JobId) -> Option<Webhook> {
        None
    }
}

impl Rig {
    pub(crate) fn objects(&self, job: JobId) -> Vec<Value> {
        let id = json!(job.to_string());
        self.fake
            .jobs(NAMESPACE)
            .into_iter()
            .filter(|object| object["metadata"]["labels"][JOB_ID] == id)
            .collect()
    }
}

#[tokio::test]
async fn kubernetes_jobs_conform() {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    conformance::all(&bus, async |clock| Rig::counted(options(), Budgets::new(&bus, clock, 20)).await).await;
}
