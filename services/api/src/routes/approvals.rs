//! What people say of a version for environments. The person is the one whose key it is.

use crate::openapi::shapes::Accepted;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::clock;
use domain::entity::{Approval, ApprovalStatus, Entity, Kind, Meta, Record};
use domain::id::{ApprovalId, EnvironmentId, VersionId};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::audited;
use crate::auth::Role;
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::problem::{Fault, Problem};
use crate::request::{Body, Segments};
use crate::said;
use crate::store::Mode;

/// One request names at most so many environments.
const ENVIRONMENTS_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 2_000;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Word {
    #[schema(value_type = String)]
    status: ApprovalStatus,
    environment_ids: Vec<String>,
    reason: Option<String>,
}

/// `PUT /deployment-versions/{v}/user-approval-records`: for the named environments only. A yes that has expired may be
/// said again.
#[utoipa::path(put, path = "/deployment-versions/{v}/user-approval-records", request_body = Word, responses((status = 202, description = "The word is recorded", body = Accepted)))]
pub(super) async fn record(
    State(app): State<App>,
    caller: Caller,
    Segments((w, v)): Segments<(String, String)>,
    Body(word): Body<Word>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Approver)?;
    let version = app.catalog.find(&workspace, Kind::Version, &v);
    let version = version.ok_or_else(|| Problem::not_found(format_args!("version {v}")))?;
    let environments = environments(&app, &workspace, &word)?;
    let reason = word.reason.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(Problem::invalid_field("reason", format!("is longer than {REASON_BYTES_MAX} bytes")));
    }
    let (mut first, mut revision, mut names) = (None, 0, Vec::new());
    for environment in &environments {
        let now = clock::now();
        let (version_id, environment_id) =
            (VersionId(version.meta().id), EnvironmentId(environment.meta().id));
        let id = ApprovalId::of(version_id, environment_id, &caller.name);
        let name = format!(
            "{} for {} by {}",
            audited::called(&app.catalog, &version),
            environment.meta().name,
            caller.name
        );
        let meta = Meta {
            id: id.0,
            workspace: workspace.clone(),
            name,
            metadata: [].into(),
            created_at: now,
            updated_at: now,
        };
        let spec = Approval {
            version: version_id,
            environment: environment_id,
            user: caller.name.clone(),
            status: word.status,
            reason: reason.clone(),
            role: None,
            at: now,
            of_content: None,
        };
        let approval = Entity::Approval(Record { meta, spec });
        let written = app
            .store
            .write(&caller, &approval.key(), Mode::Write, |before| {
                let now = clock::now();
                let mut after = changes::declared(&caller, before, approval.clone(), now);
                said::of_content(&app.catalog, &mut after);
                Ok(changes::same_word(before, after, |yes| said::has_expired(&app.catalog, yes, now)))
            })
            .await?;
        first.get_or_insert(id);
        revision = revision.max(written.revision);
        names.push(environment.meta().name.clone());
    }
    app.store.seen(revision).await;
    let said = match word.status {
        ApprovalStatus::Approved => "approved",
        ApprovalStatus::Rejected => "rejected",
    };
    let message = format!("{} {said} for {} by {}", version.meta().name, names.join(", "), caller.name);
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": first, "message": message }))))
}

fn environments(app: &App, workspace: &Slug, word: &Word) -> Result<Vec<Entity>, Problem> {
    if word.environment_ids.is_empty() {
        return Err(Problem::invalid_field("environmentIds", "names no environment"));
    }
    if word.environment_ids.len() > ENVIRONMENTS_MAX {
        let message = format!("names more than {ENVIRONMENTS_MAX} environments");
        return Err(Problem::invalid_field("environmentIds", message));
    }
    let (mut found, mut faults): (Vec<Entity>, _) = (Vec::new(), Vec::new());
    for (index, text) in word.environment_ids.iter().enumerate() {
        match app.catalog.find(workspace, Kind::Environment, text) {
            Some(environment) if found.iter().all(|known| known.meta().id != environment.meta().id) => {
                found.push(environment);
            }
            Some(_again) => {}
            None => faults.push(Fault::of_field(
                format!("environmentIds[{index}]"),
                format!("there is no environment {text}"),
            )),
        }
    }
    if faults.is_empty() {
        return Ok(found);
    }
    Err(Problem::invalid("an environment does not exist; nothing was recorded").with(faults))
}
