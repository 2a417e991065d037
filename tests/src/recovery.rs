//! What a story sees of a failure: retries and their pauses, and how a target came back to what ran before.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// Later than this after its pause, a retry is too late. It is less than what would double the longest pause of a story.
const LATE_MAX: TimeDelta = TimeDelta::milliseconds(1_900);

/// Whether the jobs of one release all failed, and each began so many seconds after the end of the one before.
pub(crate) fn retried(jobs: &[Value], times: usize, pauses: &[i64]) -> Result<(), String> {
    let mut jobs: Vec<&Value> = jobs.iter().collect();
    jobs.sort_by_key(|job| job["attempt"].as_u64());
    let failed = jobs.iter().filter(|job| job["status"] == "failure").count();
    if (jobs.len(), failed) != (times, times) {
        return Err(format!("{failed} of {} jobs failed: {jobs:#?}", jobs.len()));
    }
    let mut paused = Vec::new();
    for (one, next) in jobs.iter().zip(jobs.iter().skip(1)) {
        paused.push(instant(next, "createdAt")? - instant(one, "completedAt")?);
    }
    assert_eq!(paused.len(), pauses.len(), "{jobs:#?}");
    for (pause, seconds) in paused.iter().zip(pauses) {
        let late = *pause - TimeDelta::seconds(*seconds);
        assert!(late >= TimeDelta::zero() && late < LATE_MAX, "{paused:?} and not {pauses:?}");
    }
    Ok(())
}

/// Whether the version runs there by a second job, which leads from its delivery to its run.
pub(crate) fn brought_back(explained: &Value, tag: &str) -> Result<(), String> {
    let (decision, chain) = (&explained["decision"], &explained["chain"]);
    let last = &decision["last"];
    let runs = decision["current"]["tag"] == tag && decision["desired"]["tag"] == tag;
    if !runs || last["tag"] != tag || last["attempt"] != 2 || last["status"] != "successful" {
        return Err(format!("{explained:#}"));
    }
    let steps: Vec<&str> =
        chain.as_array().into_iter().flatten().filter_map(|link| link["step"].as_str()).collect();
    assert_eq!(steps, ["delivery", "version", "decision", "job", "externalRun"], "{chain:#}");
    assert_eq!((&chain[2]["job"], &chain[3]["id"]), (&last["job"], &last["job"]), "{chain:#}");
    assert!(chain[2]["cause"].is_string(), "{chain:#}");
    Ok(())
}

/// Whether the version is held back there, and why.
pub(crate) fn held(explained: &Value, tag: &str, why: &str) -> Result<(), String> {
    let held = explained["decision"]["held"].as_array().into_iter().flatten();
    let reason = held.filter(|held| held["tag"] == tag).find_map(|held| held["reason"].as_str());
    if reason.is_some_and(|reason| reason.contains(why)) { Ok(()) } else { Err(format!("{explained:#}")) }
}

fn instant(job: &Value, field: &str) -> Result<DateTime<Utc>, String> {
    let text = job[field].as_str().ok_or_else(|| format!("no {field}: {job:#}"))?;
    text.parse().map_err(|error| format!("{field} {text}: {error}"))
}
