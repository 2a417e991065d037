//! `ctrlplane freeze` and `ctrlplane thaw`: nothing new starts somewhere, and it may again.

use reqwest::Method;
use serde_json::json;

use super::args::{FreezeArgs, ThawArgs};
use super::failure::Failure;
use super::session::Session;
use super::wishes;
use super::words::{stamp, text_at, time_at};

/// `ctrlplane freeze`
pub(super) async fn freeze(session: &Session, args: &FreezeArgs) -> Result<(), Failure> {
    let path = session.below(&["freezes"]).await?;
    let body = wishes::body(json!({
        "name": args.name, "selector": args.selector, "environment": args.environment, "reason": args.reason,
        "until": args.end.until, "forSeconds": args.end.for_seconds(),
    }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let until = time_at(&answer, "/until")
        .map_or("until it is thawed".to_owned(), |until| format!("until {}", stamp(until)));
    let name = format!("freeze/{}", text_at(&answer, "/name"));
    wishes::told(session, &answer, &name, &format!("is on where {}, {until}", text_at(&answer, "/selector")))
}

/// `ctrlplane thaw`
pub(super) async fn thaw(session: &Session, args: &ThawArgs) -> Result<(), Failure> {
    let path = session.below(&["freezes", &args.name]).await?;
    let answer = session.api.delete(&path, &[]).await?;
    wishes::told(session, &answer, &format!("freeze/{}", text_at(&answer, "/name")), "thawed")
}
