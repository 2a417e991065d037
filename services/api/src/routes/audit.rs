//! Who did what: the audit of a workspace, or of everything, the newest first.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bus::topology::AUDIT;
use bus::{ReadBack, read_back};
use domain::Timestamp;
use domain::audit::{AuditEvent, Object};
use domain::entity::Kind;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};
use crate::spelling::spelt;

/// One request looks at no more events than these.
const LOOKED_AT_MAX: usize = 50_000;
const READ_WITHIN: Duration = Duration::from_secs(20);
const JOB: &str = "Job";

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Who: the name of a key, or a user.
    actor: Option<String>,
    /// The kind of the object.
    kind: Option<String>,
    /// The object: its id, its name, or a word of its name.
    object: Option<String>,
    /// The verb.
    action: Option<String>,
    /// What stands in the actor's name, or in the object's kind, id or name, in whatever case.
    text: Option<String>,
    /// No older ones.
    since: Option<String>,
}

struct Wanted {
    actor: Option<String>,
    object: Option<String>,
    action: Option<String>,
    text: Option<String>,
    since: Option<Timestamp>,
}

/// `GET /workspaces/{w}/audit?limit&offset&actor&kind&object&action&since`
#[utoipa::path(get, path = "/workspaces/{w}/audit", params(Page, Query), responses((status = 200, description = "A page of events, the newest first", body = Listed)))]
pub(super) async fn of_workspace(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs_in(&workspace, Role::Viewer)?;
    listed(&app, Some(&workspace), page, query).await
}

/// `GET /audit`: of all workspaces, and of what belongs to none.
#[utoipa::path(get, path = "/audit", params(Page, Query), responses((status = 200, description = "A page of events, the newest first", body = Listed)))]
pub(super) async fn of_all(
    State(app): State<App>,
    caller: Caller,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    if !caller.sees_all() {
        return Err(Problem::not_found("path for this key"));
    }
    caller.needs(Role::Admin)?;
    listed(&app, None, page, query).await
}

/// `total` counts all that match, unless `complete` says that only so many of the newest were looked at.
async fn listed(
    app: &App,
    workspace: Option<&Slug>,
    page: Page,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let (kind, wanted) = query.read()?;
    let workspace = workspace.map_or("*", Slug::as_str);
    let kind = kind.map_or_else(|| "*".to_owned(), |kind| Slug::of_name(&kind).to_string());
    let filter = format!("ctrlplane.audit.{workspace}.{kind}");
    let all = app.bus.count_matching(&AUDIT, &filter).await?;
    let (mut items, mut matching, mut looked_at) = (Vec::new(), 0_usize, 0_usize);
    let (from, end) = (page.offset(), page.offset().saturating_add(page.limit()));
    let mut over = false;
    let each = |sequence: u64, payload: bytes::Bytes| {
        looked_at += 1;
        match serde_json::from_slice::<AuditEvent>(&payload) {
            Ok(event) if wanted.since.is_some_and(|since| event.at < since) => {
                over = true;
                return ControlFlow::Break(());
            }
            Ok(event) if wanted.fits(&event) => {
                if (from..end).contains(&matching) {
                    items.push(shape(sequence, event));
                }
                matching += 1;
            }
            Ok(_other) => {}
            Err(error) => tracing::warn!(sequence, %error, "an audit event cannot be read"),
        }
        let enough = matching >= end && wanted.is_everything();
        if enough || looked_at >= LOOKED_AT_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let reading = read_back(&app.bus, &AUDIT, &filter, each);
    let read = tokio::time::timeout(READ_WITHIN, reading).await;
    let read = read.map_err(|_| Problem::unavailable("the bus takes too long; try again"))??;
    let complete = over || read == ReadBack::Whole || wanted.is_everything();
    let total = if wanted.is_everything() { usize::try_from(all).unwrap_or(usize::MAX) } else { matching };
    Ok(Json(json!({
        "items": items,
        "total": total,
        "limit": page.limit(),
        "offset": page.offset(),
        "complete": complete,
    })))
}

impl Query {
    fn read(self) -> Result<(Option<String>, Wanted), Problem> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let since = given(self.since).map(|text| text.parse::<Timestamp>()).transpose();
        let since = since
            .map_err(|error| Problem::invalid_field("since", format!("is no RFC 3339 time: {error}")))?;
        let wanted = Wanted {
            actor: given(self.actor),
            object: given(self.object),
            action: given(self.action),
            text: given(self.text).map(|text| text.trim().to_lowercase()),
            since,
        };
        let kind = given(self.kind)
            .map(|kind| Kind::parse(&kind).map_or(kind.clone(), |kind| kind.name().to_owned()));
        Ok((kind, wanted))
    }
}

impl Wanted {
    /// Whether every event is wanted.
    fn is_everything(&self) -> bool {
        let Self { actor, object, action, text, since } = self;
        text.is_none() && actor.is_none() && object.is_none() && action.is_none() && since.is_none()
    }

    fn fits(&self, event: &AuditEvent) -> bool {
        let is = |wanted: &Option<String>, found: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| found.contains(&wanted.as_str()))
        };
        is(&self.actor, &[&event.actor.key])
            && self.object.as_ref().is_none_or(|object| is_called(&event.object, object))
            && is(&self.action, &[&event.action])
            && self.text.as_ref().is_none_or(|text| {
                let said = [&event.actor.key, &event.object.kind, &event.object.id, &event.object.name];
                said.iter().any(|said| said.to_lowercase().contains(text))
            })
    }
}

/// A name may say where a thing belongs as well: `web v1`.
fn is_called(object: &Object, wanted: &str) -> bool {
    object.id == wanted || object.name == wanted || object.name.split_whitespace().any(|word| word == wanted)
}

/// `before` and `after` are the documents; the revisions stand by themselves.
fn shape(sequence: u64, event: AuditEvent) -> Value {
    // What is said of jobs is ours; documents of entities are shown as they were written.
    let state = |state: Option<Value>| if event.object.kind == JOB { spelt(state) } else { json!(state) };
    json!({
        "id": sequence,
        "at": event.at,
        "actor": event.actor,
        "action": event.action,
        "workspace": event.workspace,
        "object": event.object,
        "before": state(event.documents.before),
        "after": state(event.documents.after),
        "cut": event.documents.cut,
        "revisions": { "before": event.before, "after": event.after },
    })
}
