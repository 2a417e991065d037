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

entities::reading! { System, "/systems", "/systems/{s}", "A system and what is linked to it" }
entities::writing! { NewSystem, "/systems", "/systems/{s}", 202, ACCEPTED }

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
        .entity(app, caller, &workspace)?;
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
        #[utoipa::path(put, path = $path, params(Precondition), responses((status = 202, description = "It is linked", body = Accepted)))]
        pub(super) async fn $put(
            State(app): State<App>,
            caller: Caller,
            Segments(path): Segments<(String, String, String)>,
            precondition: Precondition,
        ) -> Result<Tagged, Problem> {
            Link::of(&app, &caller, path, Kind::$kind)?.write(&app, &caller, &precondition, true).await
        }

        /// Takes it out of the system.
        #[utoipa::path(delete, path = $path, params(Precondition), responses((status = 202, description = "It is not linked", body = Accepted)))]
        pub(super) async fn $delete(
            State(app): State<App>,
            caller: Caller,
            Segments(path): Segments<(String, String, String)>,
            precondition: Precondition,
        ) -> Result<Tagged, Problem> {
            Link::of(&app, &caller, path, Kind::$kind)?.write(&app, &caller, &precondition, false).await
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
    async fn write(
        &self,
        app: &App,
        caller: &Caller,
        precondition: &Precondition,
        linked: bool,
    ) -> Result<Tagged, Problem> {
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
        let written =
            app.store.write_if(caller, &self.other.key(), Mode::Write, precondition, desire).await?;
        app.store.seen(written.revision).await;
        let message = if linked { "linked" } else { "not linked" };
        let answer = json!({ "id": self.system, "message": message });
        Ok(Tagged::new(StatusCode::ACCEPTED, written.revision, answer))
    }
}
