//! How workflows come to be, go and end: what Argo's controller would write into them.

use crate::options::{Ending, Plan, Template};
use crate::reply::Refusal;
use crate::state::{Key, Shared, State, Workflow};
use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) fn now() -> Value {
    json!(Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// A new object, made of a template.
pub(crate) fn made_of(template: &Template, key: &Key, options: &Value) -> Result<Workflow, Refusal> {
    let given: Vec<Value> = list(&options["parameters"])
        .map(|text| match text.split_once('=') {
            Some((name, value)) => Ok(json!({ "name": name, "value": value })),
            None => Err(Refusal::internal(format!(
                "expected parameter of the form: NAME=VALUE. Received: {text}"
            ))),
        })
        .collect::<Result<_, _>>()?;
    for (name, default) in &template.parameters {
        if default.is_none() && !given.iter().any(|it| it["name"] == name.as_str()) {
            let words = format!("spec.arguments.{name}.value or spec.arguments.{name}.valueFrom is required");
            return Err(Refusal::invalid(words));
        }
    }
    let (reference, label) = match template.namespace {
        Some(_) => (json!({ "name": template.name }), "workflows.argoproj.io/workflow-template"),
        None => (
            json!({ "name": template.name, "clusterScope": true }),
            "workflows.argoproj.io/cluster-workflow-template",
        ),
    };
    let mut labels: Map<String, Value> = options["labels"]
        .as_str()
        .unwrap_or_default()
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    labels.insert(label.to_owned(), json!(template.name));
    let mut spec = json!({ "workflowTemplateRef": reference, "arguments": { "parameters": given } });
    for (option, field) in [("serviceAccount", "serviceAccountName"), ("entryPoint", "entrypoint")] {
        if !options[option].is_null() {
            spec[field] = options[option].clone();
        }
    }
    let object = json!({
        "metadata": { "name": key.1, "namespace": key.0, "uid": Uuid::new_v4().to_string(), "creationTimestamp": now(),
            "labels": labels, "managedFields": [{ "manager": "argo" }] },
        "spec": spec,
        "status": { "startedAt": null, "finishedAt": null,
            "storedWorkflowTemplateSpec": stored(template, &given) },
    });
    Ok(Workflow { object, plan: template.plan.clone(), epoch: 0 })
}

/// What is run: the template's parameters, with what was given laid over them.
fn stored(template: &Template, given: &[Value]) -> Value {
    let defaults =
        template.parameters.iter().filter(|(name, _)| !given.iter().any(|it| it["name"] == name.as_str()));
    let defaults = defaults.map(|(name, default)| json!({ "name": name, "value": default }));
    let parameters: Vec<Value> = given.iter().cloned().chain(defaults).collect();
    json!({ "arguments": { "parameters": parameters },
        "templates": [{ "name": "main" }, { "name": "approve", "suspend": {} }] })
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Lets a workflow go by its plan from now on.
pub(crate) fn go(shared: &Arc<Shared>, key: Key) {
    let Some((plan, epoch)) = shared.change(|state| {
        let workflow = state.workflows.get_mut(&key)?;
        workflow.epoch += 1;
        Some((workflow.plan.clone(), workflow.epoch))
    }) else {
        return;
    };
    if plan.ending == Ending::Holds {
        return;
    }
    let cx = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let goes = async {
            let Plan { queued, runs, ending } = plan;
            tokio::time::sleep(queued).await;
            if let Ending::Errors(message) = &ending {
                return cx.change(|state| state.if_due(&key, epoch, |state| state.error(&key, message)));
            }
            cx.change(|state| state.if_due(&key, epoch, |state| state.begin(&key)));
            tokio::time::sleep(runs).await;
            cx.change(|state| {
                state.if_due(&key, epoch, |state| match &ending {
                    Ending::Succeeds => state.finish(&key, "Succeeded", "", ""),
                    Ending::Fails(message) => state.finish(&key, "Failed", "child 'main' failed", message),
                    Ending::Suspends => state.suspend(&key),
                    Ending::Errors(_) | Ending::Runs | Ending::Holds => {}
                });
            });
        };
        tokio::select! { () = goes => {}, () = cx.stop.cancelled() => {} }
    });
}

impl State {
    fn if_due(&mut self, key: &Key, epoch: u64, change: impl FnOnce(&mut Self)) {
        if self.workflows.get(key).is_some_and(|workflow| workflow.epoch == epoch && !workflow.is_over()) {
            change(self);
        }
    }

    pub(crate) fn begin(&mut self, key: &Key) {
        self.edit(key, |object| {
            let name = key.1.as_str();
            let status = &mut object["status"];
            status["phase"] = json!("Running");
            status["progress"] = json!("0/1");
            status["startedAt"] = now();
            status["nodes"][name] = node(name, name, "Steps", "Running");
            status["nodes"][format!("{name}-1")] = node(name, "main", "Pod", "Running");
        });
    }

    /// It waits at a step.
    pub(crate) fn suspend(&mut self, key: &Key) {
        self.edit(key, |object| {
            let name = key.1.as_str();
            object["status"]["phase"] = json!("Running");
            object["status"]["nodes"][format!("{name}-1")]["phase"] = json!("Succeeded");
            object["status"]["nodes"][format!("{name}-2")] = node(name, "approve", "Suspend", "Running");
        });
    }

    pub(crate) fn error(&mut self, key: &Key, message: &str) {
        self.edit(key, |object| {
            let status = &mut object["status"];
            status["phase"] = json!("Error");
            status["message"] = json!(message);
            status["finishedAt"] = now();
        });
    }

    /// Ends a workflow, and its steps that still run with these words.
    pub(crate) fn finish(&mut self, key: &Key, phase: &str, message: &str, step: &str) {
        self.edit(key, |object| {
            object["metadata"]["labels"]["workflows.argoproj.io/completed"] = json!("true");
            object["metadata"]["labels"]["workflows.argoproj.io/phase"] = json!(phase);
            let status = &mut object["status"];
            status["phase"] = json!(phase);
            status["message"] = json!(message);
            status["finishedAt"] = now();
            if phase == "Succeeded" && !status["progress"].is_null() {
                status["progress"] = json!("1/1");
            }
            let nodes = status["nodes"].as_object_mut().into_iter().flatten();
            for (_, node) in nodes.filter(|(_, node)| node["phase"] == "Running") {
                node["phase"] = json!(phase);
                if node["type"] != "Steps" {
                    node["message"] = json!(step);
                }
                node["finishedAt"] = now();
            }
        });
    }
}

fn node(workflow: &str, label: &str, kind: &str, phase: &str) -> Value {
    let (id, name) = match (kind, label) {
        ("Steps", _) => (workflow.to_owned(), workflow.to_owned()),
        (_, "main") => (format!("{workflow}-1"), format!("{workflow}[0].main")),
        _ => (format!("{workflow}-2"), format!("{workflow}[1].{label}")),
    };
    json!({ "id": id, "name": name, "displayName": label, "type": kind, "phase": phase, "templateName": label,
        "startedAt": now(), "finishedAt": null })
}
