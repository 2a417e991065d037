//! From a rule to the dispatch of its job: the rule's metrics, with every text rendered over the context of the job that
//! is verified.

use crate::catalog::WorkspaceCatalog;
use crate::dispatch::{Undispatchable, context_of};
use crate::entity::{
    DatadogMetric, Deadlines, HttpMetric, Metric, MetricProvider, PolicyRule, PrometheusMetric, Verification,
};
use crate::id::{JobAgentId, JobId, PolicyId};
use crate::job::{Dispatch, JobRef, Reason};
use crate::template::{TemplateError, render_str};
use crate::token::Slug;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The platform of verification jobs: the token in their commands and statuses. No job agent of the catalog may have it.
pub const PLATFORM: &str = "verification";
/// The name of the agent that runs them.
pub const AGENT_NAME: &str = "verification";

/// Added to what the measurements may take: for claims that died and for a service that is restarted.
const MARGIN_SECONDS: u32 = 600;

/// The config of a verification job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The tenant whose secrets the metrics may name.
    pub workspace: Slug,
    /// What is measured. Every text is rendered; secrets are names.
    pub metrics: Vec<Metric>,
}

impl Config {
    /// The config of a dispatch or a command.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn read(config: &Map<String, Value>) -> Result<Self, String> {
        // What begins with `$` the agent's loop adds for itself.
        let ours = config.iter().filter(|(field, _)| !field.starts_with('$'));
        let ours = ours.map(|(field, value)| (field.clone(), value.clone())).collect();
        let read: Self = serde_json::from_value(Value::Object(ours))
            .map_err(|error| format!("this is no verification's config: {error}"))?;
        if read.metrics.is_empty() {
            return Err("a verification has at least one metric".to_owned());
        }
        Ok(read)
    }
}

/// The dispatch of the job that verifies, by a rule of a policy, what the job `of` brought. It needs no agent in the catalog.
///
/// # Errors
/// When the rule is gone, so that there is nothing to do; when a part of the job is gone or a text cannot be rendered.
pub(crate) fn plan(
    workspace: &WorkspaceCatalog,
    job: &JobRef,
    of: JobId,
    policy: PolicyId,
    rule_index: u32,
) -> Result<Dispatch, Undispatchable> {
    let rule = rule(workspace, policy, rule_index)?;
    // Templates speak of the job that is verified, not of the one that verifies it.
    let context = context_of(workspace, &JobRef { id: of, ..job.clone() })?;
    let metrics = rule
        .metrics
        .iter()
        .map(|metric| {
            rendered(metric, &context).map_err(|why| {
                Undispatchable::new(Reason::BadConfig, format!("metric {:?}: {why}", metric.name))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let run_seconds = metrics.iter().map(seconds_max).fold(MARGIN_SECONDS, u32::saturating_add);
    let config = Config { workspace: workspace.slug().clone(), metrics };
    let Ok(Value::Object(config)) = serde_json::to_value(config) else {
        return Err(Undispatchable::new(Reason::BadConfig, "the metrics have no JSON form"));
    };
    Ok(Dispatch {
        agent: JobAgentId::of(workspace.slug(), AGENT_NAME),
        agent_name: AGENT_NAME.to_owned(),
        platform: Slug::of_name(PLATFORM),
        config,
        secrets: BTreeMap::new(),
        context,
        deadlines: Deadlines { run_seconds, ..Deadlines::default() },
    })
}

fn rule(
    workspace: &WorkspaceCatalog,
    policy: PolicyId,
    rule_index: u32,
) -> Result<&Verification, Undispatchable> {
    let gone = |what: String| Undispatchable::skipped(format!("nothing is verified any more: {what}"));
    let policy = workspace.policy(policy).ok_or_else(|| gone("the policy is not in the catalog".into()))?;
    let name = &policy.meta.name;
    if !policy.spec.enabled {
        return Err(gone(format!("policy {name:?} is disabled")));
    }
    let index = usize::try_from(rule_index).unwrap_or(usize::MAX);
    match policy.spec.rules.get(index) {
        Some(PolicyRule::Verification(rule)) => Ok(rule),
        Some(
            PolicyRule::AnyApproval(_)
            | PolicyRule::EnvironmentProgression(_)
            | PolicyRule::GradualRollout(_)
            | PolicyRule::DeploymentWindow(_)
            | PolicyRule::VersionCooldown(_)
            | PolicyRule::VersionSelector(_)
            | PolicyRule::DeploymentDependency(_)
            | PolicyRule::Retry(_)
            | PolicyRule::Rollback(_),
        )
        | None => Err(gone(format!("rule {rule_index} of policy {name:?} is no verification now"))),
    }
}

/// How long a metric may take: every measurement after its whole interval, and with all the time it may take itself.
fn seconds_max(metric: &Metric) -> u32 {
    let timeout = match &metric.provider {
        MetricProvider::Http(http) => http.timeout_seconds,
        MetricProvider::Prometheus(prometheus) => prometheus.timeout_seconds,
        MetricProvider::Datadog(datadog) => datadog.timeout_seconds,
        MetricProvider::Sleep(sleep) => return sleep.duration_seconds,
    };
    metric.interval_seconds.saturating_add(timeout).saturating_mul(metric.count)
}

/// The metric with its texts rendered. Names of secrets, conditions and words of ours are no templates.
fn rendered(metric: &Metric, context: &Value) -> Result<Metric, TemplateError> {
    let text = |field: &str, text: &str| {
        render_str(text, context).map_err(|why| TemplateError(format!("{field}: {why}")))
    };
    let headers = |headers: &BTreeMap<String, String>| {
        headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), text(&format!("headers.{name}"), value)?)))
            .collect::<Result<BTreeMap<_, _>, TemplateError>>()
    };
    let provider = match &metric.provider {
        MetricProvider::Http(http) => MetricProvider::Http(HttpMetric {
            url: text("url", &http.url)?,
            headers: headers(&http.headers)?,
            body: http.body.as_deref().map(|body| text("body", body)).transpose()?,
            ..http.clone()
        }),
        MetricProvider::Prometheus(prometheus) => MetricProvider::Prometheus(PrometheusMetric {
            address: text("address", &prometheus.address)?,
            query: text("query", &prometheus.query)?,
            headers: headers(&prometheus.headers)?,
            ..prometheus.clone()
        }),
        MetricProvider::Datadog(datadog) => MetricProvider::Datadog(DatadogMetric {
            site: text("site", &datadog.site)?,
            query: text("query", &datadog.query)?,
            ..datadog.clone()
        }),
        MetricProvider::Sleep(sleep) => MetricProvider::Sleep(sleep.clone()),
    };
    Ok(Metric { provider, ..metric.clone() })
}

#[cfg(test)]
mod tests;
