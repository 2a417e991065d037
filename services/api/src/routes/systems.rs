//! Systems, and what is linked to them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::entity::{Entity, Kind, Metadata};
use domain::id::SystemId;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::entities;
use crate::apply::role_for;
use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::{Accepted, Flat, Listed, Thing};
use crate::problem::Problem;
use crate::request::{Body, Cel, Page, Params, Segments};
use crate::rest::etag::{Precondition, Tagged};
use crate::rest::{self, Draft, To, shown};
use crate::store::Mode;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSystem {
    name: String,
    description: Option<String>,
    metadata: Option<Metadata>,
}

/// `GET /systems`
#[utoipa::path(get, path = "/systems", params(Page, Cel), responses((status = 200, description = "A page of them", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(cel): Params<Cel>,
) -> Result<Json<Value>, Problem> {
    entities::list(&app, &caller, &w, Kind::System, page, &cel)
}

/// `GET /systems/{s}`
#[utoipa::path(get, path = "/systems/{s}", responses((status = 200, description = "A system and what is linked to it", body = Flat)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments((w, s)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    entities::one(&app, &caller, &w, Kind::System, &s).await
}

/// `DELETE /systems/{s}`
#[utoipa::path(delete, path = "/systems/{s}", responses((status = 202, description = "It is gone", body = Flat)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Segments((w, s)): Segments<(String, String)>,
    precondition: Precondition,
) -> Result<Tagged, Problem> {
    entities::delete(&app, &caller, &w, Kind::System, &s, &precondition).await
}

/// `POST /systems`
#[utoipa::path(post, path = "/systems", request_body = NewSystem, responses((status = 202, description = "It is there", body = Flat)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    precondition: Precondition,
    Body(body): Body<NewSystem>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::New, &precondition, body, StatusCode::ACCEPTED).await
}

/// `PUT /systems/{s}`
#[utoipa::path(put, path = "/systems/{s}", request_body = NewSystem, responses((status = 202, description = "It is as it was sent", body = Flat)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Segments((w, s)): Segments<(String, String)>,
    precondition: Precondition,
    Body(body): Body<NewSystem>,
) -> Result<Tagged, Problem> {
    write(&app, &caller, &w, To::Named(&s), &precondition, body, StatusCode::ACCEPTED).await
}

async fn write(
    app: &App,
    caller: &Caller,
    w: &str,
    to: To<'_>,
    precondition: &Precondition,
    body: NewSystem,
    status: StatusCode,
) -> Result<Tagged, Problem> {
    let workspace = app.workspace(caller, w)?;
    let entity = Draft::new(Kind::System, body.name, body.metadata)
        .with("description", body.description)
        .entity(caller, &workspace)?;
    let written = rest::write(app, caller, to, precondition, entity, |_before, _after| {}).await?;
    Ok(entities::written(app, status, &written))
}

macro_rules! links {
    ($path:literal, $kind:ident, $get:ident, $put:ident, $delete:ident) => {
        /// Whether it is linked to the system.
        #[utoipa::path(get, path = $path, responses((status = 200, description = "It is linked", body = Thing)))]
        pub(super) async fn $get(
            State(app): State<App>,
            caller: Caller,
            Segments(path): Segments<(String, String, String)>,
        ) -> Result<Json<Value>, Problem> {
            Link::of(&app, &caller, path, Kind::$kind)?.shown()
        }

        /// Links it to the system: it has release targets with what else is in it.
        #[utoipa::path(put, path = $path, responses((status = 202, description = "It is linked", body = Accepted)))]
        pub(super) async fn $put(
            State(app): State<App>,
            caller: Caller,
            Segments(path): Segments<(String, String, String)>,
        ) -> Result<Tagged, Problem> {
            Link::of(&app, &caller, path, Kind::$kind)?.write(&app, &caller, true).await
        }

        /// Takes it out of the system.
        #[utoipa::path(delete, path = $path, responses((status = 202, description = "It is not linked", body = Accepted)))]
        pub(super) async fn $delete(
            State(app): State<App>,
            caller: Caller,
            Segments(path): Segments<(String, String, String)>,
        ) -> Result<Tagged, Problem> {
            Link::of(&app, &caller, path, Kind::$kind)?.write(&app, &caller, false).await
        }
    };
}

links!("/systems/{s}/deployments/{d}", Deployment, deployment, link_deployment, unlink_deployment);
links!("/systems/{s}/environments/{e}", Environment, environment, link_environment, unlink_environment);

/// A deployment or an environment, and a system.
struct Link {
    system: SystemId,
    other: Entity,
}

impl Link {
    fn of(
        app: &App,
        caller: &Caller,
        (w, s, other): (String, String, String),
        kind: Kind,
    ) -> Result<Self, Problem> {
        let workspace = app.workspace(caller, &w)?;
        let system = entities::find(app, &workspace, Kind::System, &s)?;
        let other = entities::find(app, &workspace, kind, &other)?;
        Ok(Self { system: SystemId(system.meta().id), other })
    }

    fn is_there(&self) -> bool {
        shown::systems_of(&self.other).contains(&self.system)
    }

    fn shown(&self) -> Result<Json<Value>, Problem> {
        let kind = self.other.kind();
        if !self.is_there() {
            let name = &self.other.meta().name;
            return Err(Problem::not_found(format_args!("{} {name} in this system", kind.name())));
        }
        let field = if kind == Kind::Deployment { "deploymentId" } else { "environmentId" };
        Ok(Json(json!({ "systemId": self.system, field: self.other.meta().id })))
    }

    /// Writes that it is linked, or that it is not. Either twice is as once.
    async fn write(&self, app: &App, caller: &Caller, linked: bool) -> Result<Tagged, Problem> {
        caller.needs(role_for(self.other.kind()))?;
        let system = self.system;
        let (kind, name) = (self.other.kind().name(), self.other.meta().name.clone());
        let desire = |before: Option<&Entity>| {
            let before = before.ok_or_else(|| Problem::not_found(format_args!("{kind} {name}")))?;
            let mut after = before.clone();
            let systems = if let Entity::Deployment(deployment) = &mut after {
                &mut deployment.spec.systems
            } else if let Entity::Environment(environment) = &mut after {
                &mut environment.spec.systems
            } else {
                return Err(Problem::internal(&"only deployments and environments are linked"));
            };
            match (linked, systems.contains(&system)) {
                (true, false) => systems.push(system),
                (false, true) => systems.retain(|known| *known != system),
                (true, true) | (false, false) => {}
            }
            Ok(after)
        };
        let written = app.store.write(caller, &self.other.key(), Mode::Write, desire).await?;
        app.store.seen(written.revision).await;
        let message = if linked { "linked" } else { "not linked" };
        let answer = json!({ "id": self.system, "message": message });
        Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, answer))
    }
}
