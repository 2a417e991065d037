//! The Job we apply: the config's manifest with our name, our labels and an end to everything. Pure.

use super::config::JobConfig;
use super::names::{ATTEMPT, JOB_ID, object_name, run_id};
use domain::id::JobId;
use platform::CallError;
use serde_json::{Map, Value, json};

/// How long a finished Job must be kept at least: a day.
const TTL_SECONDS_MIN: i64 = 86_400;

/// The object for an attempt of a job.
///
/// # Errors
/// [`CallError::Invalid`] where the manifest is no Job, one of another namespace, or one that is not kept for a day. What a Job may hold is the API
/// server's to say.
pub(super) fn object(config: &JobConfig, job: JobId, attempt: u32) -> Result<Value, CallError> {
    let mut object = config.manifest.clone();
    constant(&mut object, "apiVersion", "batch/v1")?;
    constant(&mut object, "kind", "Job")?;
    let metadata = map(&mut object, "metadata", "metadata")?;
    metadata.remove("generateName");
    match metadata.insert("namespace".to_owned(), config.access.namespace.clone().into()) {
        Some(Value::String(other)) if other != config.access.namespace => {
            let wanted = &config.access.namespace;
            return Err(CallError::Invalid(format!(
                "the manifest is for namespace {other:?}, the config for {wanted:?}"
            )));
        }
        Some(_) | None => {}
    }
    metadata.insert("name".to_owned(), object_name(&run_id(job), attempt).into());
    label(metadata, job, attempt)?;
    let spec = map(&mut object, "spec", "spec")?;
    let defaults = [
        ("activeDeadlineSeconds", config.defaults.active_deadline_seconds),
        ("backoffLimit", config.defaults.backoff_limit),
        ("ttlSecondsAfterFinished", config.defaults.ttl_seconds_after_finished),
    ];
    for (field, default) in defaults {
        if spec.get(field).is_none_or(Value::is_null) {
            spec.insert(field.to_owned(), default.into());
        }
    }
    kept_long_enough(spec)?;
    let template = map(spec, "template", "spec.template")?;
    label(map(template, "metadata", "spec.template.metadata")?, job, attempt)?;
    let pod = map(template, "spec", "spec.template.spec")?;
    if pod.get("restartPolicy").is_none_or(Value::is_null) {
        pod.insert("restartPolicy".to_owned(), json!("Never"));
    }
    Ok(Value::Object(object))
}

/// A Job that is deleted before we know of it would be made again by the next try: it must outlive the longest outage of ours.
fn kept_long_enough(spec: &Map<String, Value>) -> Result<(), CallError> {
    match spec.get("ttlSecondsAfterFinished").and_then(Value::as_i64) {
        Some(seconds) if seconds < TTL_SECONDS_MIN => Err(CallError::Invalid(format!(
            "ttlSecondsAfterFinished is {seconds}; it must be at least {TTL_SECONDS_MIN} (a day), so that a finished Job is \
             still found after an outage and not started once more"
        ))),
        // What is no number is the API server's to refuse.
        Some(_) | None => Ok(()),
    }
}

/// What the manifest says there must be this, where it says anything.
fn constant(object: &mut Map<String, Value>, field: &str, only: &str) -> Result<(), CallError> {
    match object.get(field) {
        None | Some(Value::Null) => {
            object.insert(field.to_owned(), only.into());
            Ok(())
        }
        Some(Value::String(given)) if given == only => Ok(()),
        Some(other) => {
            Err(CallError::Invalid(format!("the manifest's {field} is {other}, it must be {only}")))
        }
    }
}

/// The map at a field, made where there is none.
fn map<'m>(
    object: &'m mut Map<String, Value>,
    field: &str,
    path: &str,
) -> Result<&'m mut Map<String, Value>, CallError> {
    let value = object.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| CallError::Invalid(format!("the manifest's {path} is not a map")))
}

fn label(metadata: &mut Map<String, Value>, job: JobId, attempt: u32) -> Result<(), CallError> {
    let labels = map(metadata, "labels", "labels")?;
    labels.insert(JOB_ID.to_owned(), job.0.hyphenated().to_string().into());
    labels.insert(ATTEMPT.to_owned(), attempt.to_string().into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::AllowedHosts;
    use uuid::Uuid;

    const JOB: JobId = JobId(Uuid::from_u128(7));

    fn made(manifest: Value, attempt: u32) -> Result<Value, String> {
        let config = json!({ "namespace": "ci", "manifest": manifest });
        let config = JobConfig::parse(config.as_object().unwrap(), &AllowedHosts::default()).unwrap();
        object(&config, JOB, attempt).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bare_pod_becomes_a_whole_job() {
        let manifest =
            json!({ "spec": { "template": { "spec": { "containers": [{ "name": "a", "image": "b" }] } } } });
        let name = "job-00000000-0000-0000-0000-000000000007";
        let labels = json!({ JOB_ID: "00000000-0000-0000-0000-000000000007", ATTEMPT: "1" });
        let expected = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": name, "namespace": "ci", "labels": labels },
            "spec": {
                "activeDeadlineSeconds": 86_400, "backoffLimit": 0, "ttlSecondsAfterFinished": 172_800,
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "a", "image": "b" }], "restartPolicy": "Never" },
                },
            },
        });
        assert_eq!(made(manifest, 1), Ok(expected));
    }

    #[test]
    fn what_the_manifest_says_stays() {
        let manifest = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": "mine", "generateName": "mine-", "namespace": "ci", "labels": { "team": "a" }, "annotations": { "b": "c" } },
            "spec": {
                "activeDeadlineSeconds": 5, "backoffLimit": 3, "ttlSecondsAfterFinished": 90_000,
                "template": { "metadata": { "labels": { "app": "x" } }, "spec": { "restartPolicy": "OnFailure" } },
            },
        });
        let made = made(manifest, 2).unwrap();
        assert_eq!(made["metadata"]["name"], "job-00000000-0000-0000-0000-000000000007-a2");
        assert_eq!(
            (&made["metadata"]["labels"]["team"], &made["metadata"]["labels"][ATTEMPT]),
            (&json!("a"), &json!("2"))
        );
        assert_eq!(
            (&made["metadata"]["annotations"]["b"], made["metadata"].get("generateName")),
            (&json!("c"), None)
        );
        let spec = &made["spec"];
        assert_eq!(
            (&spec["activeDeadlineSeconds"], &spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]),
            (&json!(5), &json!(3), &json!(90_000))
        );
        assert_eq!(spec["template"]["metadata"]["labels"]["app"], "x");
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "OnFailure");
    }

    #[test]
    fn a_job_that_would_not_outlive_an_outage_is_refused() {
        let kept_for = |seconds: Value| made(json!({ "spec": { "ttlSecondsAfterFinished": seconds } }), 1);
        for seconds in [json!(0), json!(60), json!(86_399)] {
            let why = kept_for(seconds).unwrap_err();
            assert!(why.contains("at least 86400"), "{why}");
        }
        for seconds in [json!(86_400), json!(1_000_000), Value::Null, json!("a text")] {
            assert!(kept_for(seconds.clone()).is_ok(), "{seconds}");
        }
        let config =
            json!({ "namespace": "ci", "manifest": { "spec": {} }, "ttlSecondsAfterFinished": 3_600 });
        let config = JobConfig::parse(config.as_object().unwrap(), &AllowedHosts::default()).unwrap();
        assert!(object(&config, JOB, 1).is_err(), "neither may the job agent say so");
    }

    #[test]
    fn what_is_no_job_is_refused() {
        for manifest in [
            json!({ "kind": "Deployment" }),
            json!({ "apiVersion": "batch/v1beta1" }),
            json!({ "metadata": { "namespace": "elsewhere" } }),
            json!({ "metadata": [] }),
            json!({ "spec": "text" }),
            json!({ "spec": { "template": { "metadata": { "labels": 7 } } } }),
        ] {
            assert!(
                made(manifest.clone(), 1).is_err_and(|why| why.starts_with("the manifest")),
                "{manifest}"
            );
        }
    }
}
