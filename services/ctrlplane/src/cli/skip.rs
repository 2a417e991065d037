//! `ctrlplane skip`: one rule does not count for one version.

use reqwest::Method;
use serde_json::json;

use super::args::SkipArgs;
use super::failure::Failure;
use super::session::Session;
use super::wishes;
use super::words::{stamp, text_at, time_at};

pub(super) async fn run(session: &Session, args: &SkipArgs) -> Result<(), Failure> {
    let path = session.below(&["skips"]).await?;
    let body = wishes::body(json!({
        "policy": args.policy, "rule": args.rule, "ruleIndex": args.index, "deployment": args.deployment,
        "version": args.tag, "environment": args.environment, "resource": args.resource,
        "expiresAt": args.end.until, "forSeconds": args.end.for_seconds(), "reason": args.reason,
    }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let until = time_at(&answer, "/expiresAt")
        .map_or("for good".to_owned(), |until| format!("until {}", stamp(until)));
    let where_to = wishes::place(args.environment.as_deref(), args.resource.as_deref());
    let name = format!("skip/{}", text_at(&answer, "/id"));
    let became =
        format!("{} does not count for {} {}{where_to}, {until}", args.rule, args.deployment, args.tag);
    wishes::told(session, &answer, &name, &became)
}
