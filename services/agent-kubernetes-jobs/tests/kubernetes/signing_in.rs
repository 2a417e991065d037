//! Ways into a cluster: tokens, kubeconfigs with several contexts, a pod's service account; and rotation of each.

use crate::rig::{Rig, Secrets, TOKEN, Ways, config, invalid, new_job, options, platform, unauthorized};
use fake_kubernetes::{FakeKubernetes, Options, User};
use platform::{CallError, Platform as _, TriggerRequest, Triggered};
use serde_json::{Map, Value, json};
use std::path::Path;

fn kubeconfig(clusters: &[(&str, &str, &str)]) -> String {
    let named = |what: &str, name: &str, inner: Value| json!({ "name": name, what: inner });
    let all = |make: &dyn Fn(&(&str, &str, &str)) -> Value| clusters.iter().map(make).collect::<Vec<_>>();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": clusters[0].0,
        "clusters": all(&|(name, url, _)| named("cluster", name, json!({ "server": url }))),
        "users": all(&|(name, _, token)| named("user", name, json!({ "token": token }))),
        "contexts": all(&|(name, ..)| named("context", name, json!({ "cluster": name, "user": name }))),
    })
    .to_string()
}

/// The config of a job that names no cluster itself.
fn bare() -> Map<String, Value> {
    let mut config = config("");
    config.remove("baseUrl");
    config.remove("tokenSecret");
    config
}

async fn trigger(
    jobs: &agent_kubernetes_jobs::jobs::KubernetesJobs,
    config: &Map<String, Value>,
) -> Result<Triggered, CallError> {
    jobs.trigger(&TriggerRequest { job: new_job(), config }).await
}

#[tokio::test]
async fn a_wrong_token_is_said_without_the_token() {
    let rig = Rig::new().await;
    rig.secrets.set("token", "not-the-planted-token");
    let why = unauthorized(rig.trigger(new_job()).await);
    assert!(why.contains("tokenSecret") && !why.contains("not-the-planted-token"), "{why}");
    rig.secrets.set("token", TOKEN);
    rig.run(new_job()).await;
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let rig = Rig::new().await.with("tokenSecret", json!("lost"));
    assert!(unauthorized(rig.trigger(new_job()).await).contains("lost"));
}

#[tokio::test]
async fn a_kubeconfig_leads_to_the_cluster_of_each_context() {
    let (eu, us) =
        (Rig::new().await, Rig::start(Options { users: vec![User::admin("us-token")], ..options() }).await);
    let text = kubeconfig(&[("eu", &eu.fake.base_url(), TOKEN), ("us", &us.fake.base_url(), "us-token")]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    std::fs::write(&file, &text).unwrap();
    let secrets = Secrets::default();
    secrets.set("kube", &text);
    let jobs = platform(&secrets, Ways { kubeconfig: Some(file), ..Ways::default() });
    let mut made = (0, 0);
    for secret in [None, Some("kube")] {
        for (context, is_us) in [(None, false), (Some("eu"), false), (Some("us"), true)] {
            let mut config = bare();
            config.insert("kubeconfigSecret".to_owned(), json!(secret));
            config.insert("context".to_owned(), json!(context));
            trigger(&jobs, &config).await.unwrap_or_else(|error| panic!("{secret:?} {context:?}: {error}"));
            made = if is_us { (made.0, made.1 + 1) } else { (made.0 + 1, made.1) };
            assert_eq!((eu.fake.jobs("ci").len(), us.fake.jobs("ci").len()), made, "{secret:?} {context:?}");
        }
    }
    let mut config = bare();
    config.insert("context".to_owned(), json!("mars"));
    assert!(invalid(trigger(&jobs, &config).await).contains("has no context \"mars\""));
}

#[tokio::test]
async fn a_broken_kubeconfig_is_not_quoted() {
    let secrets = Secrets::default();
    secrets.set("kube", "users: [{ name: a, user: { token: planted-secret-in-yaml }");
    let mut config = bare();
    config.insert("kubeconfigSecret".to_owned(), json!("kube"));
    let why = unauthorized(trigger(&platform(&secrets, Ways::default()), &config).await);
    assert!(why.contains("secret kube of acme is no kubeconfig") && !why.contains("planted"), "{why}");
}

fn service_account(dir: &Path, token: &str) {
    std::fs::write(dir.join("token"), token).unwrap();
    std::fs::write(dir.join("ca.crt"), SOME_CA).unwrap();
}

/// Of no use over plain http, but it must be there.
const SOME_CA: &str = include_str!("../ca.pem");

#[tokio::test]
async fn a_pod_signs_in_with_its_service_account_and_reads_a_renewed_token() {
    let dir = tempfile::tempdir().unwrap();
    let users = vec![User::admin("first-token"), User::admin("second-token")];
    let fake = FakeKubernetes::start(Options { users, ..options() }).await.unwrap();
    let ways =
        || Ways { server: fake.base_url(), service_account_dir: dir.path().to_owned(), ..Ways::default() };
    let jobs = platform(&Secrets::default(), ways());
    assert!(unauthorized(trigger(&jobs, &bare()).await).contains("token cannot be read"));
    service_account(dir.path(), "wrong-token");
    assert!(unauthorized(trigger(&jobs, &bare()).await).contains("service account"));
    service_account(dir.path(), "first-token");
    trigger(&jobs, &bare())
        .await
        .expect("the token is good by now: a refusal leads to another look at the file");
    let mut named = bare();
    named.insert("context".to_owned(), json!("eu"));
    assert!(invalid(trigger(&jobs, &named).await).contains("no kubeconfig"));
}
