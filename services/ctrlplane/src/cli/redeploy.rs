//! `ctrlplane redeploy` and `ctrlplane rollout`: something is brought once more, pauses on its way, or goes on.

use reqwest::Method;
use serde_json::json;

use super::args::{RedeployArgs, VersionThereArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::wishes;
use super::words::{plain, text_at};

/// `ctrlplane redeploy`
pub(super) async fn run(session: &Session, args: &RedeployArgs) -> Result<(), Failure> {
    let path = session.below(&["release-targets", "redeploy"]).await?;
    let body = wishes::body(json!({
        "deployment": args.deployment, "environment": args.environment, "resource": args.resource,
        "version": args.version, "reason": args.reason,
    }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let targets = answer["targets"].as_array().into_iter().flatten();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::print(
            &targets.map(|target| format!("target/{}\n", text_at(target, "/key"))).collect::<String>(),
        ),
        Format::Table => {
            let lines = targets.map(|target| {
                let name = |part: &str| plain(&text_at(target, &format!("/{part}/name")));
                let [deployment, environment, resource] =
                    ["deployment", "environment", "resource"].map(name);
                format!(
                    "{deployment} → {environment} {resource} is to be deployed again, as soon as nothing holds it back: \
                     ctrlplane explain {deployment} {environment} {resource}\n"
                )
            });
            output::print(&lines.collect::<String>())
        }
    }
}

/// `ctrlplane rollout pause` and `ctrlplane rollout resume`
pub(super) async fn rollout(session: &Session, args: &VersionThereArgs, action: &str) -> Result<(), Failure> {
    let version = format!("{}:{}", args.deployment, args.tag);
    let path = session.below(&["deployment-versions", &version, "rollout"]).await?;
    let body =
        wishes::body(json!({ "environment": args.environment, "action": action, "reason": args.reason }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let hint = text_at(&answer, "/hint");
    if !hint.is_empty() {
        eprintln!("{}", plain(&hint));
    }
    let name = format!("rollout/{version}");
    wishes::told(session, &answer, &name, &format!("{action}d in {}", args.environment))
}
