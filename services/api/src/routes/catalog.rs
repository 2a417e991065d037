//! Reading and deleting entities of any kind; and the same under the paths existing clients use.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get as on_get;
use axum::{Json, Router};
use domain::entity::{Entity, Kind};
use domain::token::Slug;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Role;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::{Fault, Problem};
use crate::references::{is_owned, references};
use crate::request::{Page, Params, Segments};
use crate::shape::flat;
use crate::{documents, filter};

/// How many of those that still name an entity are told.
const REFERRERS_SHOWN: usize = 20;

#[derive(Default, Deserialize)]
pub(super) struct Query {
    cel: Option<String>,
    /// `manifest`: as it would stand in a file.
    format: Option<String>,
}

/// `GET /catalog/{kind}?cel=&limit=&offset=`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind)): Segments<(String, String)>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Response, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let entities = selected(&app, &workspace, parse_kind(&kind)?, query.cel.as_deref())?;
    if query.is_manifest()? {
        let part = entities.iter().skip(page.offset()).take(page.limit());
        return manifest(&app, part);
    }
    Ok(Json(page.of(&entities)).into_response())
}

fn get_one(app: &App, caller: &Caller, w: &str, kind: Kind, name: &str) -> Result<Entity, Problem> {
    let workspace = app.workspace(caller, w)?;
    find(app, &workspace, kind, name)
}

/// `GET /catalog/{kind}/{name-or-id}?format=manifest`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind, name)): Segments<(String, String, String)>,
    Params(query): Params<Query>,
) -> Result<Response, Problem> {
    let entity = get_one(&app, &caller, &w, parse_kind(&kind)?, &name)?;
    if query.is_manifest()? {
        return manifest(&app, [&entity]);
    }
    Ok(Json(entity).into_response())
}

#[derive(Deserialize)]
pub(super) struct Cascade {
    /// Whether what belongs to it goes with it: a deployment's versions, a version's approvals.
    #[serde(default)]
    cascade: bool,
}

/// `DELETE /catalog/{kind}/{name-or-id}?cascade=`
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, kind, name)): Segments<(String, String, String)>,
    Params(Cascade { cascade }): Params<Cascade>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    caller.needs(Role::Admin)?;
    let entity = find(&app, &workspace, parse_kind(&kind)?, &name)?;
    let (owned, referrers) = dependents(&app, &workspace, &entity, cascade);
    if !referrers.is_empty() {
        return Err(still_named(&entity, &referrers));
    }
    let mut revision = 0;
    // What belongs to another goes before it, so that nothing is ever left without its owner.
    for gone in owned.iter().rev().chain([&entity]) {
        // Gone meanwhile is as good.
        if let Some((stored, at)) = app.store.read(&gone.key()).await? {
            revision = revision.max(app.store.delete(&caller, &stored, at).await?);
        }
    }
    app.store.seen(revision).await;
    Ok(Json(json!({
        "id": entity.meta().id, "kind": entity.kind().name(), "name": entity.meta().name,
        "deleted": owned.len() + 1, "message": "deleted",
    })))
}

/// What belongs to the entity (owners before what they own), and what else names it.
fn dependents(app: &App, workspace: &Slug, entity: &Entity, cascade: bool) -> (Vec<Entity>, Vec<Entity>) {
    let others = app.catalog.all(workspace);
    if entity.kind() == Kind::Workspace {
        return (Vec::new(), others.into_iter().filter(|other| other.kind() != Kind::Workspace).collect());
    }
    let (mut owned, mut referrers): (Vec<Entity>, Vec<Entity>) = (Vec::new(), Vec::new());
    let mut next = 0;
    let mut of = entity.key();
    loop {
        for other in &others {
            let names_it = references(other).iter().any(|reference| reference.to == of);
            if !names_it || owned.contains(other) || referrers.contains(other) {
                continue;
            }
            if cascade && is_owned(other.kind()) {
                owned.push(other.clone());
            } else {
                referrers.push(other.clone());
            }
        }
        let Some(following) = owned.get(next) else { return (owned, referrers) };
        of = following.key();
        next += 1;
    }
}

fn still_named(entity: &Entity, referrers: &[Entity]) -> Problem {
    let count = referrers.len();
    let faults = referrers.iter().take(REFERRERS_SHOWN).map(|other| Fault {
        message: format!("{} {} ({})", other.kind().name(), other.meta().name, other.meta().id),
        ..Fault::default()
    });
    let (kind, name) = (entity.kind().name(), &entity.meta().name);
    let hint = if referrers.iter().all(|other| is_owned(other.kind())) {
        "; ?cascade=true deletes them too"
    } else {
        ""
    };
    Problem::conflict(format!("{kind} {name} is still named by {count}{hint}")).with(faults.collect())
}

/// The read paths existing clients use.
pub(super) fn aliases() -> Router<App> {
    let mut router = Router::new();
    for (path, kind) in [
        ("/systems", Kind::System),
        ("/deployments", Kind::Deployment),
        ("/environments", Kind::Environment),
        ("/resources", Kind::Resource),
        ("/job-agents", Kind::JobAgent),
        ("/policies", Kind::Policy),
    ] {
        let list = async move |State(app): State<App>,
                               caller: Caller,
                               Segments(w): Segments<String>,
                               Params(page): Params<Page>,
                               Params(query): Params<Query>| {
            let workspace = app.workspace(&caller, &w)?;
            let entities = selected(&app, &workspace, kind, query.cel.as_deref())?;
            Ok::<_, Problem>(Json(page.of(entities.iter().map(flat))))
        };
        let one = async move |State(app): State<App>,
                              caller: Caller,
                              Segments((w, d)): Segments<(String, String)>| {
            let entity = get_one(&app, &caller, &w, kind, &d)?;
            Ok::<_, Problem>(Json(flat(&entity)))
        };
        router = router.route(path, on_get(list)).route(&format!("{path}/{{d}}"), on_get(one));
    }
    router
}

/// `GET /deployments/name/{name}`
pub(super) async fn deployment_by_name(
    State(app): State<App>,
    caller: Caller,
    Segments((w, name)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let entity = get_one(&app, &caller, &w, Kind::Deployment, &name)?;
    Ok(Json(flat(&entity)))
}

/// `GET /environments/name/{name}`
pub(super) async fn environment_by_name(
    State(app): State<App>,
    caller: Caller,
    Segments((w, name)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let entity = get_one(&app, &caller, &w, Kind::Environment, &name)?;
    Ok(Json(flat(&entity)))
}

/// `GET /resources/identifier/{identifier}`
pub(super) async fn resource_by_identifier(
    State(app): State<App>,
    caller: Caller,
    Segments((w, identifier)): Segments<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let entity = get_one(&app, &caller, &w, Kind::Resource, &identifier)?;
    Ok(Json(flat(&entity)))
}

fn selected(app: &App, workspace: &Slug, kind: Kind, cel: Option<&str>) -> Result<Vec<Entity>, Problem> {
    let entities = app.catalog.entities(workspace, kind);
    match cel.filter(|cel| !cel.trim().is_empty()) {
        None => Ok(entities),
        Some(cel) => filter::matching(kind, entities, cel),
    }
}

fn find(app: &App, workspace: &Slug, kind: Kind, name: &str) -> Result<Entity, Problem> {
    let found = app.catalog.find(workspace, kind, name);
    found.ok_or_else(|| Problem::not_found(format_args!("{} {name}", kind.name())))
}

fn parse_kind(text: &str) -> Result<Kind, Problem> {
    Kind::parse(text).ok_or_else(|| {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Problem::new(
            axum::http::StatusCode::NOT_FOUND,
            format!("{text:?} is no kind of entity; there are {}", kinds.join(", ")),
        )
    })
}

fn manifest<'a>(app: &App, entities: impl IntoIterator<Item = &'a Entity>) -> Result<Response, Problem> {
    let text = documents::write(entities, &app.catalog)?;
    Ok(([(CONTENT_TYPE, "application/yaml")], text).into_response())
}

impl Query {
    fn is_manifest(&self) -> Result<bool, Problem> {
        match self.format.as_deref() {
            None | Some("json") => Ok(false),
            Some("manifest") => Ok(true),
            Some(other) => {
                Err(Problem::invalid_field("format", format!("{other:?} is neither json nor manifest")))
            }
        }
    }
}
