//! A verification job from its first fact to its last, through the dispatcher, the agent and the syncer, under the permissions
//! of production. The first fact is written here as the evaluator writes it.

use crate::NODE;
use bus::{Base, Bus, ConnectOptions, Provision, Recorded};
use domain::id::{JobId, PolicyId};
use domain::job::{JobFact, JobRef, Purpose};
use domain::token::Slug;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, tell};

/// A policy that governs nothing: what it says is asked for by name.
const POLICY: &str = "
---
kind: Policy
metadata: { name: verified }
spec:
  selector: 'false'
  rules:
    - verification:
        metrics:
          - name: github
            intervalSeconds: 1
            count: 2
            successCondition: result.statusCode < 500 && result.headers['content-type'] != ''
            provider: { type: http, url: 'GITHUB_URL/{{ environment.name }}' }
          - name: settle
            provider: { type: sleep, durationSeconds: 1 }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_is_dispatched_measured_and_shown() {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let mut system = System::start(Options {
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        catalog: format!("{BASIC}{POLICY}"),
        ..Options::new(NODE)
    })
    .await;
    tell(&mut system, "push v1\nv1 is successful in staging on stage-1").await;
    let bus = as_evaluator(&system).await;
    let acme: Slug = "acme".parse().unwrap();
    let deployed: JobId = system.client.jobs().await.unwrap()[0]["id"].as_str().unwrap().parse().unwrap();
    let deployed = bus.jobs().load(&acme, deployed).await.unwrap().unwrap().state;
    let verification = |policy: &str, rule_index: u32| {
        let (of, policy) = (deployed.job.id, PolicyId::of(&acme, policy));
        let id = JobId::of_verification(of, deployed.completed_at.unwrap(), policy, rule_index);
        JobRef { id, purpose: Purpose::Verify { of, policy, rule_index }, ..deployed.job.clone() }
    };
    let (verified, skipped) = (verification("verified", 0), verification("verified", 7));
    for job in [&verified, &skipped] {
        let requested = JobFact::Requested { catalog_revision: deployed.catalog_revision, grounds: None };
        let recorded = bus.jobs().record(job, requested, Base::New, None).await;
        assert!(matches!(recorded, Ok(Recorded::Appended { .. })), "{recorded:?}");
    }
    let verified = shown(&system, verified.id, "successful").await;
    assert_eq!(verified["message"], "github: passed; settle: passed", "{verified:#}");
    assert_eq!(verified["platform"], "verification", "{verified:#}");
    let skipped = shown(&system, skipped.id, "skipped").await;
    assert!(skipped["message"].as_str().unwrap().contains("rule 7 of policy \"verified\""), "{skipped:#}");
    assert!(system.crashes.is_empty(), "{:?}\n{}", system.crashes, system.logs());
    assert!(!system.logs().to_lowercase().contains("permissions violation"), "{}", system.logs());
}

/// The job as people see it, once it has that status.
async fn shown(system: &System, id: JobId, status: &str) -> Value {
    let id = id.to_string();
    let what = format!("the job is {status}");
    let shown = eventually(&what, Duration::from_secs(30), || async {
        let jobs = system.client.jobs().await?;
        let job = jobs.into_iter().find(|job| job["id"] == id.as_str()).ok_or("not shown")?;
        if job["status"] == status { Ok(job) } else { Err(job.to_string()) }
    });
    shown.await
}

/// The bus, as the evaluator has it in production.
pub(crate) async fn as_evaluator(system: &System) -> Bus {
    let options = ConnectOptions {
        url: system.servers.nats.url(),
        name: "policy-evaluator".to_owned(),
        user: Some("policy-evaluator".to_owned()),
        password: Some("password-of-policy-evaluator".to_owned()),
        credentials_file: None,
        provision: Provision::Verify,
    };
    Bus::connect(&options).await.unwrap()
}
