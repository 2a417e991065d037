//! `ctrlplane approve` and `ctrlplane reject`: a person's word on a version in an environment.

use reqwest::Method;
use serde_json::json;

use super::args::ApproveArgs;
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::words::{plain, text_at};

/// Says `approved` or `rejected`.
pub(super) async fn run(session: &Session, args: &ApproveArgs, word: &str) -> Result<(), Failure> {
    let version = format!("{}:{}", args.deployment, args.tag);
    let path = session.below(&["deployment-versions", &version, "user-approval-records"]).await?;
    let body = json!({ "status": word, "environmentIds": [args.environment], "reason": args.reason });
    let answer = session.api.send_json(Method::PUT, &path, &[], &body).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&format!("approval/{}", text_at(&answer, "/id"))),
        Format::Table => {
            output::line(&format!("{} {}", args.deployment, plain(&text_at(&answer, "/message"))))
        }
    }
}
