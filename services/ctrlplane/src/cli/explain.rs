//! `ctrlplane explain`: why a release target is as it is, as a tree people can read.

use domain::Timestamp;
use domain::decision::{
    ConsideredVersion, HeldVersion, JobOnTarget, RuleVerdict, TargetDecision, Verdict, VerificationOnTarget,
    VersionOnTarget,
};
use serde::Deserialize;
use serde_json::Value;

use super::args::ExplainArgs;
use super::failure::Failure;
use super::get::when;
use super::output::{self, Format};
use super::session::Session;
use super::words::{one_line, stamp, status_at, text_at, text_of, time_at};

/// What the API says.
#[derive(Debug, Deserialize)]
struct Explanation {
    target: Value,
    decision: TargetDecision,
    #[serde(default)]
    more: Option<More>,
    #[serde(default)]
    chain: Vec<Value>,
}

/// The candidates that the decision left out, as the rules say now.
#[derive(Debug, Deserialize)]
struct More {
    considered: Vec<ConsideredVersion>,
    #[serde(default)]
    untold: usize,
}

pub(super) async fn run(session: &Session, args: &ExplainArgs) -> Result<(), Failure> {
    let answer = match args.target.as_slice() {
        [key] => {
            let key = key.strip_prefix("target/").unwrap_or(key);
            session.get(&["release-targets", key, "explain"], &[]).await?
        }
        [deployment, environment, resource] => {
            let query = [
                ("deployment", deployment.as_str()),
                ("environment", environment.as_str()),
                ("resource", resource.as_str()),
            ];
            session.get(&["release-targets", "explain"], &query).await?
        }
        _ => {
            return Err(Failure::Usage("a target is DEPLOYMENT ENVIRONMENT RESOURCE, or one key".to_owned()));
        }
    };
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&format!("target/{}", text_at(&answer, "/target/key"))),
        Format::Table => {
            let explanation = serde_json::from_value(answer).map_err(|error| {
                Failure::Refused(format!("the API's explanation cannot be read: {error}"))
            })?;
            output::print(&tree(&explanation, bus::clock::now()))
        }
    }
}

fn tree(explanation: &Explanation, now: Timestamp) -> String {
    let Explanation { target, decision, more, chain } = explanation;
    let name = |part: &str| one_line(&text_at(target, &format!("/{part}/name")));
    let state = text_of(&serde_json::json!(decision.state));
    let mut lines = vec![
        format!("{} → {} {}   {state}", name("deployment"), name("environment"), name("resource")),
        format!("  {}", one_line(&decision.summary)),
        String::new(),
    ];
    let at = [
        ("desired", decision.desired.as_ref().map(version)),
        ("current", decision.current.as_ref().map(version)),
        ("active job", decision.active.as_ref().map(job)),
        ("last job", decision.last.as_ref().map(job)),
        (
            "next look",
            Some(decision.next_look.map_or("when something changes".to_owned(), |at| when(at, now))),
        ),
        ("decided", Some(format!("{}{}", when(decision.decided_at, now), cause(decision)))),
        ("key", Some(text_at(target, "/key"))),
    ];
    lines.extend(at.into_iter().filter_map(|(what, text)| Some(format!("  {what:<11} {}", text?))));
    lines.push(String::new());
    if decision.considered.is_empty() {
        lines.push("Versions: none is ready".to_owned());
    } else {
        lines.push("Versions, newest first".to_owned());
        decision.considered.iter().for_each(|considered| lines.extend(versions(considered, now)));
    }
    if let Some(more) = more.as_ref().filter(|more| !more.considered.is_empty()) {
        lines.push("More versions, as the rules say now".to_owned());
        more.considered.iter().for_each(|considered| lines.extend(versions(considered, now)));
        if more.untold > 0 {
            lines.push(format!("  and {} older ones that do not pass", more.untold));
        }
    } else if decision.left_out > 0 {
        lines.push(format!("  and {} more, which cannot be told now", decision.left_out));
    }
    if !decision.held.is_empty() {
        lines.push(String::new());
        lines.push("Held back here after a failure".to_owned());
        lines.extend(decision.held.iter().map(held));
    }
    if !decision.verifications.is_empty() {
        lines.push(String::new());
        lines.push("Verifications of what runs".to_owned());
        lines.extend(decision.verifications.iter().map(|found| verification(found, decision)));
    }
    if !chain.is_empty() {
        lines.push(String::new());
        lines.push("How it came".to_owned());
        lines.extend(
            chain.iter().enumerate().map(|(depth, step)| format!("  {}{}", arrow(depth), link(step))),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

fn cause(decision: &TargetDecision) -> String {
    let on = match decision.catalog_revision {
        0 => String::new(),
        revision => format!(", catalog revision {revision}"),
    };
    let because = decision.cause.as_ref().map(|cause| format!(", because of {}", one_line(cause)));
    format!("{on}{}", because.unwrap_or_default())
}

fn version(version: &VersionOnTarget) -> String {
    format!("{} since {}", one_line(&version.tag), stamp(version.since))
}

fn job(job: &JobOnTarget) -> String {
    format!("{} attempt {} {} {} ({})", one_line(&job.tag), job.attempt, job.status, stamp(job.at), job.job)
}

fn held(held: &HeldVersion) -> String {
    format!(
        "  {} since {}: {} ({})",
        one_line(&held.tag),
        stamp(held.since),
        one_line(&held.reason),
        held.job
    )
}

/// By which rule, as far as a rule of what was looked at is that one.
fn verification(found: &VerificationOnTarget, decision: &TargetDecision) -> String {
    let rules = decision.considered.iter().flat_map(|considered| &considered.rules);
    let policy = rules
        .filter(|rule| rule.policy == Some(found.policy))
        .map(|rule| one_line(&rule.policy_name))
        .next()
        .unwrap_or_else(|| found.policy.to_string());
    let result = text_of(&serde_json::json!(found.result));
    format!("  {result} since {}: rule {} of {policy} ({})", stamp(found.at), found.rule_index, found.job)
}

fn versions(considered: &ConsideredVersion, now: Timestamp) -> Vec<String> {
    let word = if considered.allowed { "passes" } else { "is held back" };
    let mut lines = vec![format!("  {} {word}", one_line(&considered.tag))];
    let last = considered.rules.len().saturating_sub(1);
    for (n, rule) in considered.rules.iter().enumerate() {
        let (branch, below) = if n == last { ("└─", " ") } else { ("├─", "│") };
        lines.push(format!("    {branch} {}", verdict(rule, now)));
        lines.extend(more(rule, now).into_iter().map(|line| format!("    {below}           {line}")));
    }
    lines
}

fn verdict(rule: &RuleVerdict, now: Timestamp) -> String {
    let (sign, until) = match &rule.verdict {
        Verdict::Allow => ("✓ allow", String::new()),
        Verdict::Deny => ("✗ deny ", String::new()),
        Verdict::Wait { until: None } => ("… wait ", String::new()),
        Verdict::Wait { until: Some(until) } => ("… wait ", format!(", until {}", when(*until, now))),
    };
    format!("{sign}  {} / {}: {}{until}", one_line(&rule.policy_name), rule.rule, one_line(&rule.reason))
}

/// What else is known of a verdict: what was looked at, when time changes it, what skips it, and which state of the policy
/// said it.
fn more(rule: &RuleVerdict, now: Timestamp) -> Vec<String> {
    let until = match &rule.verdict {
        Verdict::Wait { until } => *until,
        Verdict::Allow | Verdict::Deny => None,
    };
    let changes = rule.changes_at.filter(|at| Some(*at) != until);
    [
        looked_at(rule),
        changes.map(|at| format!("time may change it at {}", when(at, now))),
        rule.skipped_by.map(|skip| format!("by skip {skip}")),
        rule.policy_updated_at.map(|at| format!("as the policy is since {}", stamp(at))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The inputs of a rule by the names that they have in the API: `open true; changesAt 2026-01-01T22:00:00Z`.
fn looked_at(rule: &RuleVerdict) -> Option<String> {
    let Ok(Value::Object(inputs)) = serde_json::to_value(rule.inputs.as_ref()?) else { return None };
    let told = inputs.iter().filter(|(name, value)| *name != "of" && !value.is_null());
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {}", short(value))).collect();
    (!told.is_empty()).then(|| format!("looked at {}", told.join("; ")))
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.parse().map_or_else(|_| one_line(text), stamp),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: Vec<String> =
                fields.map(|(name, value)| format!("{name} {}", short(value))).collect();
            format!("({})", fields.join("; "))
        }
    }
}

fn arrow(depth: usize) -> &'static str {
    if depth == 0 { "" } else { "→ " }
}

/// One link of the chain of causes.
fn link(step: &Value) -> String {
    let text = |pointer: &str| one_line(&text_at(step, pointer));
    let at = time_at(step, "/at").map(|at| format!(" at {}", stamp(at))).unwrap_or_default();
    match text("/step").as_str() {
        "delivery" => format!("delivery {}", text("/id")),
        "version" if step["gone"] == true => format!("version {} (deleted since)", text("/id")),
        "version" => {
            let by = Some(text("/by"))
                .filter(|by| !by.is_empty())
                .map(|by| format!(" by {by}"))
                .unwrap_or_default();
            format!("version {}{by}{at}", text("/name"))
        }
        "decision" => decision(step, &at),
        "job" => format!(
            "job {} attempt {} of {}, {}{at}",
            text("/id"),
            text("/attempt"),
            text("/version"),
            status_at(step, "/status")
        ),
        "externalRun" => {
            let link =
                Some(text("/links/run")).filter(|link| !link.is_empty()).unwrap_or_else(|| text("/run/url"));
            format!("run {} of {}  {link}", text("/run/id"), text("/run/scope")).trim_end().to_owned()
        }
        other => format!("{other} {}", text("/id")),
    }
}

/// The decision that asked for the job: when, on which state of the catalog, because of what, and what the rules said
/// where that is known yet.
fn decision(step: &Value, at: &str) -> String {
    let some = |pointer: &str, before: &str| {
        let text = one_line(&text_at(step, pointer));
        if text.is_empty() { text } else { format!("{before}{text}") }
    };
    let rules = step["rules"].as_array().into_iter().flatten();
    let said: Vec<String> = rules
        .map(|rule| {
            let of = |pointer: &str| one_line(&text_at(rule, pointer));
            format!("{} {}", of("/rule"), of("/verdict/is"))
        })
        .collect();
    let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) };
    let on = some("/catalogRevision", ", catalog revision ");
    format!("decision{at}{on}{}{}{said}", some("/cause", ", because of "), some("/summary", ": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tree_names_every_rule_and_when_to_look_again() {
        let id = "29a51467-f7cc-52a4-900d-eddf4607415f";
        let at = "2026-01-01T00:00:00Z";
        let answer = json!({
            "target": { "key": "k", "deployment": { "name": "web" }, "environment": { "name": "production" },
                "resource": { "name": "eu-1" } },
            "decision": {
                "workspace": "acme", "target": { "deployment": id, "environment": id, "resource": id },
                "state": "waiting", "summary": "v1 runs; v2 waits", "decidedAt": at, "cause": "approval",
                "current": { "version": id, "tag": "v1", "release": id, "since": at },
                "nextLook": "2026-01-01T00:15:00Z",
                "considered": [{ "version": id, "tag": "v2", "allowed": false, "rules": [
                    { "policyName": "gate", "rule": "environmentProgression", "verdict": { "is": "allow" }, "reason": "met" },
                    { "policyName": "gate", "rule": "anyApproval",
                      "verdict": { "is": "wait", "until": "2026-01-01T00:15:00Z" }, "reason": "0 of 1",
                      "inputs": { "of": "approvals", "needed": 1, "approved": [], "rejected": ["bob"] },
                      "changesAt": "2026-01-01T00:15:00Z" },
                    { "policy": id, "policyName": "hours", "rule": "deploymentWindow", "policyUpdatedAt": at,
                      "verdict": { "is": "allow" }, "reason": "hotfix", "skippedBy": id,
                      "inputs": { "of": "window", "open": true, "changesAt": "2026-01-01T01:05:00.123456789Z", "firstDeployment": false },
                      "changesAt": "2026-01-01T01:05:00Z" },
                ] }],
                "held": [{ "version": id, "tag": "v0", "release": id, "job": id, "reason": "it\nfailed", "since": at }],
                "verifications": [
                    { "job": id, "of": id, "policy": id, "ruleIndex": 1, "result": "inconclusive", "at": at },
                ],
            },
            "chain": [
                { "step": "delivery", "id": "d-1" },
                { "step": "version", "id": id, "name": "v2", "by": "trigger push", "at": at },
                { "step": "decision", "job": id, "at": at, "catalogRevision": 7, "cause": "approval 42 changed", "summary": "v2 is on its way",
                  "rules": [{ "rule": "anyApproval", "verdict": { "is": "allow" } }] },
                { "step": "decision", "job": id, "at": at, "cause": "its time came" },
                { "step": "job", "id": id, "attempt": 1, "version": "v2", "status": "successful", "at": at },
                { "step": "externalRun", "run": { "id": "30", "scope": "acme/shop" }, "links": { "run": "https://x/30" } },
            ],
        });
        let tree = tree(&serde_json::from_value(answer).unwrap(), "2026-01-01T00:05:00Z".parse().unwrap());
        let expected = "\
web → production eu-1   waiting
  v1 runs; v2 waits

  current     v1 since 2026-01-01T00:00:00Z
  next look   2026-01-01T00:15:00Z (in 10m)
  decided     2026-01-01T00:00:00Z (5m ago), because of approval
  key         k

Versions, newest first
  v2 is held back
    ├─ ✓ allow  gate / environmentProgression: met
    ├─ … wait   gate / anyApproval: 0 of 1, until 2026-01-01T00:15:00Z (in 10m)
    │           looked at approved none; needed 1; rejected bob
    └─ ✓ allow  hours / deploymentWindow: hotfix
                looked at changesAt 2026-01-01T01:05:00Z; firstDeployment false; open true
                time may change it at 2026-01-01T01:05:00Z (in 60m)
                by skip 29a51467-f7cc-52a4-900d-eddf4607415f
                as the policy is since 2026-01-01T00:00:00Z

Held back here after a failure
  v0 since 2026-01-01T00:00:00Z: it failed (29a51467-f7cc-52a4-900d-eddf4607415f)

Verifications of what runs
  inconclusive since 2026-01-01T00:00:00Z: rule 1 of hours (29a51467-f7cc-52a4-900d-eddf4607415f)

How it came
  delivery d-1
  → version v2 by trigger push at 2026-01-01T00:00:00Z
  → decision at 2026-01-01T00:00:00Z, catalog revision 7, because of approval 42 changed: v2 is on its way (anyApproval allow)
  → decision at 2026-01-01T00:00:00Z, because of its time came
  → job 29a51467-f7cc-52a4-900d-eddf4607415f attempt 1 of v2, successful at 2026-01-01T00:00:00Z
  → run 30 of acme/shop  https://x/30
";
        assert_eq!(tree, expected);
    }
}
