//! What Argo makes of a workflow that is to run again: the same object, of which some is forgotten. As `util.go` of Argo Workflows
//! 4.0 does it, the loss of a template's own parameters included.

use crate::lifecycle::{list, now};
use crate::options::Template;
use crate::reply::Refusal;
use serde_json::{Value, json};

/// The object to run again.
pub(crate) fn formulate(object: &Value, request: &Value) -> Result<Value, Refusal> {
    let mut new = object.clone();
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    let restarts = request["restartSuccessful"] == true && request["nodeFieldSelector"].as_str().is_some();
    match phase {
        "Failed" | "Error" => {}
        "Succeeded" if restarts => {}
        "Succeeded" => {
            let words =
                "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector";
            return Err(Refusal::invalid(words));
        }
        _ => return Err(Refusal::invalid(format!("Cannot retry a workflow in phase {phase}"))),
    }
    if let Some(labels) = new["metadata"]["labels"].as_object_mut() {
        labels.remove("workflows.argoproj.io/completed");
    }
    if let Some(spec) = new["spec"].as_object_mut() {
        spec.remove("shutdown");
    }
    let status = &mut new["status"];
    status["phase"] = json!("");
    status["message"] = json!("");
    status["startedAt"] = now();
    status["finishedAt"] = Value::Null;
    match request["nodeFieldSelector"].as_str() {
        // The first node is the workflow itself, with all that is below it.
        Some(selector)
            if selector == format!("name={}", object["metadata"]["name"].as_str().unwrap_or_default()) =>
        {
            status["nodes"] = json!({});
        }
        _ => {
            let failed = |node: &Value| node["phase"] == "Failed" || node["phase"] == "Error";
            if let Some(nodes) = status["nodes"].as_object_mut() {
                nodes.retain(|_, node| node["type"] == "Steps" || !failed(node));
            }
        }
    }
    override_parameters(&mut new, &request["parameters"])?;
    Ok(new)
}

fn override_parameters(object: &mut Value, parameters: &Value) -> Result<(), Refusal> {
    let mut new: Vec<Value> = Vec::new();
    for text in list(parameters) {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Refusal::invalid(format!(
                "expected parameter of the form: NAME=VALUE. Received: {text}"
            )));
        };
        new.push(json!({ "name": name, "value": value }));
    }
    if new.is_empty() {
        return Ok(());
    }
    let old = object["spec"]["arguments"]["parameters"].as_array().cloned().unwrap_or_default();
    new.extend(old.into_iter().filter(|old| !list(parameters).any(|text| is_of(text, &old["name"]))));
    object["spec"]["arguments"]["parameters"] = json!(new);
    object["status"]["storedWorkflowTemplateSpec"]["arguments"]["parameters"] = json!(new);
    Ok(())
}

fn is_of(pair: &str, name: &Value) -> bool {
    pair.split_once('=').is_some_and(|(pair_name, _)| name == pair_name)
}

/// A parameter of the template that has no value any more.
pub(crate) fn lost_parameter(object: &Value, template: &Template) -> Option<String> {
    let kept = object["status"]["storedWorkflowTemplateSpec"]["arguments"]["parameters"].as_array();
    let has = |name: &str| kept.is_some_and(|kept| kept.iter().any(|it| it["name"] == name));
    template.parameters.iter().map(|(name, _)| name.clone()).find(|name| !has(name))
}
