//! What the API server refuses: fields it does not know, Jobs that cannot be, changes that may not be.

use crate::access::status;
use serde_json::Value;

const JOB_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const SPEC_FIELDS: [&str; 17] = [
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completionMode",
    "completions",
    "managedBy",
    "manualSelector",
    "maxFailedIndexes",
    "parallelism",
    "podFailurePolicy",
    "podReplacementPolicy",
    "selector",
    "successPolicy",
    "suspend",
    "template",
    "ttlSecondsAfterFinished",
    "nodeSelector",
];
const POD_FIELDS: [&str; 12] = [
    "containers",
    "initContainers",
    "restartPolicy",
    "serviceAccountName",
    "volumes",
    "nodeSelector",
    "tolerations",
    "affinity",
    "securityContext",
    "imagePullSecrets",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
];
const CONTAINER_FIELDS: [&str; 10] = [
    "name",
    "image",
    "command",
    "args",
    "env",
    "envFrom",
    "resources",
    "volumeMounts",
    "workingDir",
    "imagePullPolicy",
];

/// The first field a strict API server does not know, as a `Status`.
pub(crate) fn strict(object: &Value) -> Result<(), Value> {
    let mut unknown = Vec::new();
    check(object, &JOB_FIELDS, "", &mut unknown);
    check(&object["spec"], &SPEC_FIELDS, "spec.", &mut unknown);
    check(&object["spec"]["template"]["spec"], &POD_FIELDS, "spec.template.spec.", &mut unknown);
    for (n, container) in list(&object["spec"]["template"]["spec"]["containers"]).iter().enumerate() {
        check(container, &CONTAINER_FIELDS, &format!("spec.template.spec.containers[{n}]."), &mut unknown);
    }
    match unknown.first() {
        None => Ok(()),
        Some(field) => {
            let message = format!(
                "Job in version \"v1\" cannot be handled as a Job: strict decoding error: unknown field {field:?}"
            );
            Err(status(400, "BadRequest", &message, "", ""))
        }
    }
}

fn check(object: &Value, known: &[&str], path: &str, unknown: &mut Vec<String>) {
    let Some(object) = object.as_object() else { return };
    unknown
        .extend(object.keys().filter(|key| !known.contains(&key.as_str())).map(|key| format!("{path}{key}")));
}

/// Whether it is a Job that can be.
pub(crate) fn valid(object: &Value, name: &str) -> Result<(), Value> {
    let refuse = |why: &str| {
        let message = format!("Job.batch {name:?} is invalid: {why}");
        Err(status(422, "Invalid", &message, "Job", name))
    };
    if name.len() > 63 {
        return refuse(&format!(
            "spec.template.labels: Invalid value: {name:?}: must be no more than 63 characters"
        ));
    }
    let pod = &object["spec"]["template"]["spec"];
    if list(&pod["containers"]).is_empty() {
        return refuse("spec.template.spec.containers: Required value");
    }
    if let Some(n) = list(&pod["containers"])
        .iter()
        .position(|container| container["image"].as_str().is_none_or(str::is_empty))
    {
        return refuse(&format!("spec.template.spec.containers[{n}].image: Required value"));
    }
    if !matches!(pod["restartPolicy"].as_str(), Some("Never" | "OnFailure")) {
        return refuse(
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        );
    }
    for field in
        ["activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "parallelism", "completions"]
    {
        let value = &object["spec"][field];
        if !value.is_null() && value.as_u64().is_none() {
            return refuse(&format!(
                "spec.{field}: Invalid value: {value}: must be greater than or equal to 0"
            ));
        }
    }
    Ok(())
}

/// Whether a Job may become that: its template stays.
pub(crate) fn may_become(was: &Value, is: &Value, name: &str) -> Result<(), Value> {
    if was["spec"]["template"] == is["spec"]["template"] {
        return Ok(());
    }
    let message = format!("Job.batch {name:?} is invalid: spec.template: Invalid value: field is immutable");
    Err(status(422, "Invalid", &message, "Job", name))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
