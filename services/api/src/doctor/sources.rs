//! The trigger sources: whether anything ever came in through them.

use bus::topology::TRIGGERS;
use domain::Timestamp;
use domain::entity::{Entity, Kind};
use domain::token::Slug;

use super::{Check, ago};
use crate::context::App;

/// One check per source of the workspace.
pub(super) async fn check(app: &App, workspace: &Slug, now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    for source in app.catalog.entities(workspace, Kind::TriggerSource) {
        let Entity::TriggerSource(source) = source else { continue };
        let name = format!("source/{workspace}/{}", source.meta.name);
        if source.spec.secret_refs.is_empty() {
            let todo = "name a secret in its secretRefs";
            checks.push(Check::fail(name, "it has no secret, so every delivery is refused", todo));
            continue;
        }
        let filter = format!("ctrlplane.trigger.{workspace}.{}.>", Slug::of_name(&source.meta.name));
        checks.push(match app.bus.last_came_at(&TRIGGERS, &filter).await {
            Ok(Some(at)) => Check::ok(name, format!("the last event came {}", ago(at, now))),
            Ok(None) => {
                let todo = format!(
                    "let its sender post to /webhooks/{workspace}/{} of the trigger-ingester; if it does, see the answers \
                     on the sender's page of deliveries",
                    source.meta.name
                );
                Check::warn(name, "nothing came in through it in the last 30 days", todo)
            }
            Err(error) => Check::fail(name, error.to_string(), "see the check of the bus"),
        });
    }
    checks
}
