//! Argo through the Kubernetes API: workflows are objects that the controller picks up, and everything is a read, a write or a
//! watch of them. It cannot unpack what Argo packs away of very large workflows.

use super::config::{ArgoConfig, Template};
use super::names::JOB_LABEL;
use super::news::Teller;
use super::server::Submitted;
use super::words::Phase;
use super::workflow::Workflow;
use cluster::{Change, Cluster, Patch, Refused, Seen};
use platform::{CallError, CancelAck, CancelMode};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const API: &str = "/apis/argoproj.io/v1alpha1";

/// How long a workflow that is over is kept, whatever its template says: two days. One that is deleted before the agent is back
/// from an outage could not be found, and would be made once more.
const KEPT_SECONDS: u32 = 172_800;

/// Why there is no retry here.
pub(super) const NO_RETRY: &str = "Argo offers retries through Argo Server only: give the job agent a baseUrl and \
                                   leave `via: kubernetes` out, or start a new job";

fn path(namespace: &str, plural: &str, name: Option<&str>) -> String {
    let collection = format!("{API}/namespaces/{namespace}/{plural}");
    match name {
        Some(name) => format!("{collection}/{name}"),
        None => collection,
    }
}

/// Makes the workflow of that name from the config's template.
pub(super) async fn create(
    cluster: &Cluster,
    config: &ArgoConfig,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Submitted, CallError> {
    there_is(cluster, config).await?;
    let collection = path(&config.namespace, "workflows", None);
    match cluster.create(&collection, &[], &object(config, name, labels)).await {
        // Whatever the object says, it is there.
        Ok(done) => {
            Ok(Workflow::deserialize(&done.object)
                .map_or(Submitted::Exists, |it| Submitted::New(Box::new(it))))
        }
        Err(Refused::Conflict(_)) => Ok(Submitted::Exists),
        Err(refused @ (Refused::NotFound(_) | Refused::Expired(_) | Refused::Call(_))) => Err(refused.into()),
    }
}

/// The controller finds out only later that there is no such template. Where we may not look, it is left to find out.
async fn there_is(cluster: &Cluster, config: &ArgoConfig) -> Result<(), CallError> {
    let (template, what) = match &config.template {
        Template::Namespaced(name) => {
            (path(&config.namespace, "workflowtemplates", Some(name)), "WorkflowTemplate")
        }
        Template::Cluster(name) => {
            (format!("{API}/clusterworkflowtemplates/{name}"), "ClusterWorkflowTemplate")
        }
    };
    match cluster.get::<Value>(&template, &[]).await {
        Ok(_) | Err(Refused::Call(CallError::Unauthorized(_))) => Ok(()),
        Err(Refused::NotFound(why)) => Err(CallError::Invalid(format!("there is no such {what}: {why}"))),
        Err(refused @ (Refused::Conflict(_) | Refused::Expired(_) | Refused::Call(_))) => Err(refused.into()),
    }
}

fn object(config: &ArgoConfig, name: &str, labels: &BTreeMap<String, String>) -> Value {
    let reference = match &config.template {
        Template::Namespaced(name) => json!({ "name": name }),
        Template::Cluster(name) => json!({ "name": name, "clusterScope": true }),
    };
    let parameters: Vec<Value> =
        config.parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let mut spec = json!({
        "workflowTemplateRef": reference,
        "arguments": { "parameters": parameters },
        "ttlStrategy": { "secondsAfterCompletion": KEPT_SECONDS },
    });
    if let Some(account) = &config.service_account {
        spec["serviceAccountName"] = json!(account);
    }
    if let Some(entrypoint) = &config.entrypoint {
        spec["entrypoint"] = json!(entrypoint);
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": { "name": name, "namespace": config.namespace, "labels": labels },
        "spec": spec,
    })
}

/// Reads a workflow; `None` where there is none.
pub(super) async fn read(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Workflow>, CallError> {
    match cluster.get(&path(namespace, "workflows", Some(name)), &[]).await {
        Ok(workflow) => Ok(Some(workflow)),
        Err(Refused::NotFound(_)) => Ok(None),
        Err(refused @ (Refused::Conflict(_) | Refused::Expired(_) | Refused::Call(_))) => Err(refused.into()),
    }
}

/// Asks the controller to end a workflow. What is over stays as it is.
pub(super) async fn end(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    how: CancelMode,
) -> Result<CancelAck, CallError> {
    let Some(workflow) = read(cluster, namespace, name).await? else { return Ok(CancelAck::Gone) };
    if matches!(workflow.status.phase, Phase::Succeeded | Phase::Failed | Phase::Error) {
        return Ok(CancelAck::AlreadyOver);
    }
    let strategy = match how {
        CancelMode::Graceful => "Stop",
        CancelMode::Force => "Terminate",
    };
    let patch = json!({ "spec": { "shutdown": strategy } });
    match cluster.patch(&path(namespace, "workflows", Some(name)), Patch::Merge, &[], &patch).await {
        Ok(_) => Ok(CancelAck::Requested),
        Err(Refused::NotFound(_)) => Ok(CancelAck::Gone),
        Err(refused @ (Refused::Conflict(_) | Refused::Expired(_) | Refused::Call(_))) => Err(refused.into()),
    }
}

/// Follows the namespace until it cannot go on, and says why. Each workflow is handed to the teller.
pub(super) async fn watch(cluster: Cluster, namespace: &str, teller: &mut Teller<'_>) -> CallError {
    let mut watch = cluster::watch(cluster, &path(namespace, "workflows", None), JOB_LABEL);
    loop {
        match watch.next().await {
            Ok(Change { object, seen }) => match Workflow::deserialize(&object) {
                Ok(workflow) => teller.tell(&workflow, seen == Seen::Deleted).await,
                Err(error) => {
                    tracing::warn!(namespace, "a workflow cannot be read: {:?}", error.classify());
                }
            },
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argo::config::AllowedHosts;

    #[test]
    fn an_object_says_what_the_config_says() {
        let config = json!({
            "via": "kubernetes", "namespace": "ci", "clusterTemplate": "deploy", "serviceAccount": "runner",
            "entrypoint": "main", "parameters": { "version": "1.2=3" },
        });
        let config = ArgoConfig::parse(config.as_object().unwrap(), &AllowedHosts::default()).unwrap();
        let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        let expected = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": { "name": "job-1", "namespace": "ci", "labels": { "team": "shop" } },
            "spec": {
                "workflowTemplateRef": { "name": "deploy", "clusterScope": true },
                "arguments": { "parameters": [{ "name": "version", "value": "1.2=3" }] },
                "serviceAccountName": "runner", "entrypoint": "main",
                "ttlStrategy": { "secondsAfterCompletion": 172_800 },
            },
        });
        assert_eq!(object(&config, "job-1", &labels), expected);
    }
}
