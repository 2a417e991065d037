//! Tokens that do not reach, and that nothing of them is ever said.

use crate::rig::{READER, Rig, TOKEN, name_of, new_job, unauthorized};
use domain::job::JobStatus;
use fake_argo::{Fault, Plan};
use platform::{CancelMode, Platform as _};
use serde_json::json;

#[tokio::test]
async fn tokens_that_do_not_reach_say_so_and_start_nothing() {
    let rig = Rig::of(Plan::hold()).await;
    let job = new_job();
    let run = rig.run(job).await;
    let mut said = Vec::new();
    for secret in ["nowhere", "broken", "wrong", "reader"] {
        let mut config = rig.config.clone();
        config.insert("tokenSecret".to_owned(), json!(secret));
        let request = platform::TriggerRequest { job: new_job(), config: &config };
        let why = unauthorized(rig.argo.trigger(&request).await);
        said.push((secret, why.clone()));
        if secret != "reader" {
            said.push((secret, unauthorized(rig.argo.observe(&config, &run).await)));
        }
        said.push((secret, unauthorized(rig.argo.cancel(&config, &run, CancelMode::Graceful).await)));
    }
    assert_eq!(rig.fake.submitted(), 1);
    for (secret, why) in &said {
        for planted in [TOKEN, READER, "pl4nted"] {
            assert!(!why.contains(planted), "{secret}: {why}");
        }
    }
    let of =
        |secret: &str| said.iter().find(|(name, _)| *name == secret).map(|(_, why)| why.clone()).unwrap();
    assert!(of("nowhere").contains("no secret nowhere"), "{}", of("nowhere"));
    assert!(of("wrong").contains("401") && of("wrong").contains("token not valid"), "{}", of("wrong"));
    assert!(of("reader").contains("403") && of("reader").contains("cannot create"), "{}", of("reader"));
    assert_eq!(rig.fake.workflow("ci", &name_of(job)).unwrap().phase(), "");
}

#[tokio::test]
async fn a_missing_secret_is_noticed_before_anything_is_recorded() {
    let rig = Rig::of(Plan::hold()).await.with("tokenSecret", json!("nowhere"));
    assert!(unauthorized(rig.argo.ready(&rig.config).await).contains("nowhere"));
    assert_eq!(rig.fake.calls().len(), 0);
}

#[tokio::test]
async fn a_renewed_token_counts_from_the_next_call_on() {
    let rig = Rig::of(Plan::hold()).await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::answer("GET", &run.id, 401, "token has expired"));
    assert!(unauthorized(rig.observe(&run).await).contains("token has expired"));
    rig.until(&run, JobStatus::Queued).await;
}
