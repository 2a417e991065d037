//! `ctrlplane version`: create one, as CI does, or reject one everywhere.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::args::{CreateArgs, RejectArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::rollout;
use super::session::Session;
use super::words::{plain, text_at};

/// `ctrlplane version create`
pub(super) async fn create(session: &Session, args: &CreateArgs) -> Result<(), Failure> {
    let path = session.below(&["deployments", &args.deployment, "versions"]).await?;
    let upsert = if args.upsert { "true" } else { "false" };
    let body = json!({
        "tag": args.tag, "name": args.name.as_deref().unwrap_or_default(),
        "config": map(&args.config), "metadata": map(&args.metadata),
        "dependencies": args.needs.iter()
            .map(|(deployment, selector)| json!({ "deployment": deployment, "versionSelector": selector }))
            .collect::<Vec<_>>(),
    });
    let answer = session.api.send_json(Method::POST, &path, &[("upsert", upsert)], &body).await?;
    told(session, &args.deployment, &answer, "created")?;
    if args.wait {
        let limits = rollout::Limits { within: args.timeout, blocked: args.patience };
        return rollout::wait(session, &answer, limits).await;
    }
    Ok(())
}

/// `ctrlplane version reject`
pub(super) async fn reject(session: &Session, args: &RejectArgs) -> Result<(), Failure> {
    if let Some(reason) = &args.reason {
        return veto(session, &args.deployment, &args.tag, reason).await;
    }
    let version = format!("{}:{}", args.deployment, args.tag);
    let path = session.below(&["deployment-versions", &version]).await?;
    let answer = session.api.send_json(Method::PATCH, &path, &[], &json!({ "status": "rejected" })).await?;
    told(session, &args.deployment, &answer, "rejected")
}

/// Rejects a version everywhere, and says why.
pub(super) async fn veto(
    session: &Session,
    deployment: &str,
    tag: &str,
    reason: &str,
) -> Result<(), Failure> {
    let version = format!("{deployment}:{tag}");
    let path = session.below(&["deployment-versions", &version, "reject"]).await?;
    let answer = session.api.send_json(Method::POST, &path, &[], &json!({ "reason": reason })).await?;
    told(session, deployment, &answer, "rejected")
}

fn told(session: &Session, deployment: &str, answer: &Value, action: &str) -> Result<(), Failure> {
    let name = plain(&format!("version/{deployment}:{}", text_at(answer, "/tag")));
    match session.format {
        Format::Json => output::json(answer),
        Format::Yaml => output::yaml(answer),
        Format::Name => output::line(&name),
        Format::Table => output::line(&format!("{name} {action}")),
    }
}

fn map(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}
