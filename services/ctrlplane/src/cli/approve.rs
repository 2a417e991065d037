//! `ctrlplane approve` and `ctrlplane reject`: a person's word on a version, in an environment or everywhere.

use reqwest::Method;
use serde_json::json;

use super::args::{VersionThereArgs, VetoArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::version;
use super::words::{plain, text_at};

/// `ctrlplane approve`
pub(super) async fn approve(session: &Session, args: &VersionThereArgs) -> Result<(), Failure> {
    let VersionThereArgs { deployment, tag, environment, reason, .. } = args;
    say(session, (deployment, tag, environment), "approved", reason.as_deref()).await
}

/// `ctrlplane reject`
pub(super) async fn reject(session: &Session, args: &VetoArgs) -> Result<(), Failure> {
    let VetoArgs { deployment, tag, environment, reason, .. } = args;
    match environment {
        Some(environment) => {
            say(session, (deployment, tag, environment), "rejected", reason.as_deref()).await
        }
        None => version::veto(session, deployment, tag, reason.as_deref().unwrap_or_default()).await,
    }
}

/// Says `approved` or `rejected`.
async fn say(
    session: &Session,
    (deployment, tag, environment): (&str, &str, &str),
    word: &str,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let version = format!("{deployment}:{tag}");
    let path = session.below(&["deployment-versions", &version, "user-approval-records"]).await?;
    let body = json!({ "status": word, "environmentIds": [environment], "reason": reason });
    let answer = session.api.send_json(Method::PUT, &path, &[], &body).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&format!("approval/{}", text_at(&answer, "/id"))),
        Format::Table => output::line(&format!("{deployment} {}", plain(&text_at(&answer, "/message")))),
    }
}
