//! The suite every platform passes: through Argo Server, with and without a server that reads its archive by itself.

use crate::rig::{TOKEN, config, connect, name_of, options, platform_on};
use agent_argo_workflows::argo::ArgoWorkflows;
use bus::Bus;
use domain::id::JobId;
use fake_argo::{FakeArgo, FaultKind, Options, Plan};
use platform::Clock;
use platform::conformance::{self, Fault, RunIs, Webhook};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::sync::Arc;
use std::time::Duration;

struct ArgoRig {
    fake: FakeArgo,
    platform: Arc<ArgoWorkflows>,
    config: Map<String, Value>,
}

impl ArgoRig {
    async fn new(bus: &Bus, clock: Clock, options: Options) -> Self {
        let fake = FakeArgo::start(options).await.unwrap();
        let config = config(&fake.base_url());
        Self { platform: Arc::new(platform_on(bus, clock)), fake, config }
    }
}

#[async_trait::async_trait]
impl conformance::Rig for ArgoRig {
    type Platform = ArgoWorkflows;

    fn platform(&self) -> Arc<ArgoWorkflows> {
        Arc::clone(&self.platform)
    }

    fn config(&self) -> Map<String, Value> {
        self.config.clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), "Bearer".to_owned()]
    }

    async fn runs(&self, job: JobId) -> usize {
        let name = name_of(job);
        self.fake.workflows().iter().filter(|workflow| workflow.name() == name).count()
    }

    async fn fault(&self, fault: Fault) {
        let fault = match fault {
            // A submission or a retry: both start something.
            Fault::AnswerLost => {
                for (method, path) in [("POST", "/submit"), ("PUT", "/retry")] {
                    self.fake.inject(fake_argo::Fault::once(method, path, FaultKind::DropAfterEffect));
                }
                return;
            }
            Fault::RateLimited { after } => fake_argo::Fault::too_many("POST", "/submit", after.as_secs()),
            Fault::Unauthorized => fake_argo::Fault::always(401, "token not valid"),
            Fault::Invalid => {
                let words = "workflowtemplates.argoproj.io \"deploy\" not found";
                fake_argo::Fault::answer("POST", "/submit", 404, words).times(u32::MAX)
            }
        };
        self.fake.inject(fault);
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "token not valid",
            Fault::Invalid => "\"deploy\" not found",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        self.fake.clear_faults();
    }

    async fn set(&self, job: JobId, run: RunIs) {
        let name = name_of(job);
        let is_over = self.fake.workflow("ci", &name).is_some_and(|it| it.phase() == "Succeeded");
        assert!(match run {
            RunIs::InProgress => self.fake.begin("ci", &name),
            RunIs::Successful => is_over || self.fake.finish("ci", &name, "Succeeded", "", ""),
            RunIs::Cancelled => {
                self.fake.write("ci", &name, "/spec/shutdown", &json!("Stop"));
                let words = "Stopped with strategy 'Stop'";
                self.fake.finish("ci", &name, "Failed", words, "workflow shutdown with strategy:  Stop")
            }
            RunIs::Unheard => self.fake.write("ci", &name, "/status/phase", &json!("Dreaming")),
            RunIs::Deleted => {
                self.fake.clear_archive();
                self.fake.delete("ci", &name)
            }
        });
    }

    async fn webhook(&self, _job: JobId) -> Option<Webhook> {
        None
    }
}

async fn hold(make: impl Fn() -> Options) {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    conformance::all(&bus, async |clock| ArgoRig::new(&bus, clock, make()).await).await;
}

/// Nothing happens to a workflow by itself: the suite decides.
fn quiet() -> Options {
    Options { ending_takes: Duration::from_secs(3_600), ..options(Plan::hold()) }
}

#[tokio::test]
async fn argo_server_conforms() {
    hold(quiet).await;
}

#[tokio::test]
async fn a_server_that_does_not_read_its_archive_by_itself_conforms() {
    hold(|| Options { reads_archive: false, ..quiet() }).await;
}
