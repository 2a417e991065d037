//! The api asks for those it has let in: without an agent's key, on subjects where the bus lets nobody else ask.

use crate::rig::{Rig, SOON, acme, runner};
use agent_http_pull::Settings;
use bus::{Bus, ConnectOptions, Provision};
use domain::id::JobAgentId;
use domain::subject;
use domain::token::Slug;
use futures::future::join_all;
use serde_json::{Value, json};

/// The bus as the api is on it.
async fn api(rig: &Rig) -> Bus {
    let options = ConnectOptions {
        url: rig.nats.url(),
        name: "api".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Verify,
    };
    Bus::connect(&options).await.unwrap()
}

/// The status by the words of HTTP, and what was said.
async fn ask(bus: &Bus, agent: JobAgentId, verb: &str, body: Value) -> (u16, Value) {
    let subject = subject::desk(&acme(), agent, &Slug::of_name(verb));
    let answer = bus.client().request(subject, body.to_string().into()).await.expect("an answer");
    let code = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
    let code = code.map_or(200, |code| code.as_str().parse().expect("a status"));
    (code, serde_json::from_slice(&answer.payload).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_claims_gets_the_job_and_reports_need_no_fence() {
    let rig = Rig::start().await;
    let (_one, _) = rig.replica(Settings::default()).await;
    let (_two, _) = rig.replica(Settings::default()).await;
    let api = api(&rig).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let listed = ask(&api, runner(), "list", json!({ "status": "queued" })).await;
    assert_eq!((listed.0, &listed.1["items"][0]["id"]), (200, &json!(job.id)), "{listed:?}");

    let claims =
        (0..16).map(|n| ask(&api, runner(), "claim", json!({ "job": job.id, "by": format!("program {n}") })));
    let answers = join_all(claims).await;
    let won: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 200).map(|(_, claim)| claim).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [200, 409].contains(status)), "{answers:?}");
    assert_eq!(
        won[0]["leaseSeconds"],
        json!(Settings::default().lease_seconds_max),
        "it gives no signs of life"
    );
    for (status, fits) in [("inProgress", 200), ("successful", 200), ("successful", 200), ("inProgress", 409)]
    {
        let told =
            ask(&api, runner(), "report", json!({ "job": job.id, "status": status, "message": null })).await;
        assert_eq!(told.0, fits, "{status}: {told:?}");
    }
    assert_eq!(rig.names(&job).await.last(), Some(&"finished"));
    let nobody = ask(&api, JobAgentId::of(&acme(), "nobody"), "list", json!({})).await;
    assert_eq!(nobody.0, 404, "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reports_on_a_job_that_was_given_out_again_must_say_which_claim_is_theirs() {
    let rig = Rig::start().await;
    let (_one, _) = rig.replica(Settings::default()).await;
    let api = api(&rig).await;
    let job = rig.dispatch().await;
    rig.waiting(&job, 1).await;
    let claim = async || {
        let (status, claim) = ask(&api, runner(), "claim", json!({ "job": job.id, "by": "program" })).await;
        assert_eq!(status, 200, "{claim}");
        claim["fence"].clone()
    };
    let report = async |fence: Value| {
        let body = json!({ "job": job.id, "status": "successful", "fence": fence });
        ask(&api, runner(), "report", body).await
    };
    let first = claim().await;
    assert_eq!(ask(&api, runner(), "release", json!({ "job": job.id })).await.0, 200);
    let second = claim().await;
    let told = report(Value::Null).await;
    assert_eq!(told.0, 400, "it may be the first claimer's: {told:?}");
    assert!(told.1.to_string().contains("given out more than once"), "{told:?}");
    assert_eq!(report(first).await.0, 409);
    assert_eq!(report(second).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_the_api_hears_nothing() {
    let rig = Rig::start().await;
    let (_one, _) = rig.replica(Settings::default()).await;
    let subject = subject::desk(&acme(), runner(), &Slug::of_name("list"));
    // Its inbox is not the api's, so that no answer goes there.
    let asked = tokio::time::timeout(SOON, rig.bus.client().request(subject, "{}".into())).await;
    assert!(asked.expect("it gives up by itself").is_err());
}
