//! The suite every platform passes. The bucket is a real one; what can go wrong between us and a platform that is a bucket is
//! put in front of it.

use crate::rig::connect;
use agent_verification::Verifications;
use async_trait::async_trait;
use bus::topology::VERIFICATIONS;
use bus::{Bucket, Bus};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::ExternalRef;
use domain::token::Slug;
use platform::conformance::{self, Fault, RunIs, Webhook};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    RunKey, Seen, Signal, TriggerRequest, Triggered,
};
use serde_json::{Map, Value, json};
use servers::{Nats, NatsOptions, test_binaries};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The bucket, and what stands between us and it.
struct Between {
    verifications: Verifications,
    clock: Clock,
    fault: Mutex<Option<Fault>>,
    blocked_until: Mutex<Option<Timestamp>>,
}

impl Between {
    /// What any call meets.
    fn gate(&self) -> Result<(), CallError> {
        match *self.fault.lock().unwrap() {
            Some(Fault::Unauthorized) => {
                Err(CallError::Unauthorized("the bus refuses a permission".to_owned()))
            }
            Some(Fault::AnswerLost | Fault::RateLimited { .. } | Fault::Invalid) | None => Ok(()),
        }
    }

    /// What a call meets that starts a run, before it has its effect.
    fn before(&self) -> Result<(), CallError> {
        self.gate()?;
        let mut fault = self.fault.lock().unwrap();
        if let Some(Fault::RateLimited { after }) = *fault {
            *fault = None;
            *self.blocked_until.lock().unwrap() = Some(self.clock.now() + after);
            return Err(CallError::RateLimited { after, why: "slow down".to_owned() });
        }
        let blocked = self.blocked_until.lock().unwrap().is_some_and(|until| self.clock.now() < until);
        assert!(!blocked, "called before the limit was over");
        Ok(())
    }

    /// What it meets afterwards.
    fn after(&self, triggered: Triggered) -> Result<Triggered, CallError> {
        let mut fault = self.fault.lock().unwrap();
        if *fault == Some(Fault::AnswerLost) {
            *fault = None;
            return Err(CallError::Ambiguous("connection reset".to_owned()));
        }
        Ok(triggered)
    }
}

#[async_trait]
impl Platform for Between {
    fn name(&self) -> Slug {
        self.verifications.name()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        self.verifications.event_tokens()
    }

    fn search_lag(&self) -> Duration {
        self.verifications.search_lag()
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        self.before()?;
        self.after(self.verifications.trigger(request).await?)
    }

    async fn find(&self, key: &CorrelationKey<'_>, since: Timestamp) -> Result<Found, CallError> {
        self.gate()?;
        self.verifications.find(key, since).await
    }

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        self.gate()?;
        self.verifications.observe(config, run).await
    }

    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        self.gate()?;
        self.verifications.cancel(config, run, how).await
    }

    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        self.before()?;
        self.after(self.verifications.rerun(config, run).await?)
    }

    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool {
        self.verifications.runs_there(config, run)
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        self.verifications.read_event(event)
    }
}

struct Rig {
    between: Arc<Between>,
    bucket: Bucket,
    /// What was there before it became something nobody can read.
    readable: Mutex<HashMap<JobId, Value>>,
}

impl Rig {
    fn new(bus: &Bus, clock: Clock) -> Self {
        let between = Between {
            verifications: Verifications::on(bus, clock.clone()),
            clock,
            fault: Mutex::default(),
            blocked_until: Mutex::default(),
        };
        Self { between: Arc::new(between), bucket: bus.bucket(&VERIFICATIONS), readable: Mutex::default() }
    }
}

#[async_trait]
impl conformance::Rig for Rig {
    type Platform = Between;

    fn platform(&self) -> Arc<Between> {
        Arc::clone(&self.between)
    }

    fn config(&self) -> Map<String, Value> {
        let condition = match *self.between.fault.lock().unwrap() {
            Some(Fault::Invalid) => "result.value <",
            Some(Fault::AnswerLost | Fault::RateLimited { .. } | Fault::Unauthorized) | None => {
                "result.value < 1"
            }
        };
        let config = json!({ "workspace": "acme", "metrics": [{ "name": "errors", "count": 5, "successCondition": condition,
            "provider": { "type": "prometheus", "address": "http://prometheus:9090", "query": "errors", "bearerTokenSecret": "token" } }] });
        config.as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        // Names are recorded, values never come by here.
        vec!["Bearer".to_owned()]
    }

    async fn runs(&self, job: JobId) -> usize {
        usize::from(self.bucket.get(&job.to_string()).await.unwrap().is_some())
    }

    async fn fault(&self, fault: Fault) {
        *self.between.fault.lock().unwrap() = Some(fault);
    }

    fn says(&self, fault: Fault) -> &'static str {
        match fault {
            Fault::Unauthorized => "refuses a permission",
            Fault::Invalid => "errors",
            Fault::AnswerLost | Fault::RateLimited { .. } => "",
        }
    }

    async fn heal(&self) {
        *self.between.fault.lock().unwrap() = None;
    }

    async fn set(&self, job: JobId, is: RunIs) {
        let key = job.to_string();
        let kept = self.readable.lock().unwrap().get(&job).cloned();
        let mut record = match kept {
            Some(record) => record,
            None => self.bucket.get_json::<Value>(&key).await.unwrap().expect("the job has a record").0,
        };
        let version = record["version"].as_i64().unwrap() + 1;
        record["version"] = json!(version);
        record["message"] = json!(format!("version {version}"));
        match is {
            RunIs::InProgress => {}
            RunIs::Successful => record["course"]["metrics"][0]["verdict"] = json!("passed"),
            RunIs::Cancelled => record["ended"] = json!("cancelled"),
            RunIs::Unheard => {
                self.readable.lock().unwrap().insert(job, record.clone());
                record["ended"] = json!("levitating");
            }
            RunIs::Deleted => {
                self.bucket.delete(&key).await.unwrap();
                return;
            }
        }
        if is != RunIs::Unheard {
            self.readable.lock().unwrap().remove(&job);
        }
        self.bucket.put_json(&key, &record).await.unwrap();
    }

    async fn webhook(&self, _job: JobId) -> Option<Webhook> {
        None
    }
}

#[tokio::test]
async fn the_bucket_of_verifications_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    conformance::all(&bus, async |clock| Rig::new(&bus, clock)).await;
}
