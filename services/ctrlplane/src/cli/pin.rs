//! `ctrlplane pin` and `ctrlplane unpin`: one version and no other may go somewhere, and others may again.

use domain::entity::Kind;
use domain::id::{DeploymentId, EnvironmentId, PinId, ResourceId};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::args::{PinArgs, UnpinArgs};
use super::failure::Failure;
use super::session::Session;
use super::wishes;
use super::words::text_at;

/// `ctrlplane pin`
pub(super) async fn pin(session: &Session, args: &PinArgs) -> Result<(), Failure> {
    let path = session.below(&["pins"]).await?;
    let body = wishes::body(json!({
        "deployment": args.deployment, "version": args.tag, "environment": args.environment,
        "resource": args.resource, "reason": args.reason,
    }));
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    let where_to = wishes::place(args.environment.as_deref(), args.resource.as_deref());
    let name = format!("pin/{}", text_at(&answer, "/id"));
    wishes::told(session, &answer, &name, &format!("{} stays at {}{where_to}", args.deployment, args.tag))
}

/// `ctrlplane unpin`: the pin of exactly that place
pub(super) async fn unpin(session: &Session, args: &UnpinArgs) -> Result<(), Failure> {
    let deployment = DeploymentId(id(session, Kind::Deployment, &args.deployment).await?);
    let environment = match &args.environment {
        Some(name) => Some(EnvironmentId(id(session, Kind::Environment, name).await?)),
        None => None,
    };
    let resource = match &args.resource {
        Some(name) => Some(ResourceId(id(session, Kind::Resource, name).await?)),
        None => None,
    };
    let id = PinId::of(deployment, environment, resource).to_string();
    let path = session.below(&["pins", &id]).await?;
    let answer = session.api.delete(&path, &[]).await?;
    let where_to = wishes::place(args.environment.as_deref(), args.resource.as_deref());
    wishes::told(session, &answer, &format!("pin/{id}"), &format!("{} is free{where_to}", args.deployment))
}

async fn id(session: &Session, kind: Kind, name: &str) -> Result<Uuid, Failure> {
    let entity = session.get(&["catalog", kind.token(), name], &[]).await?;
    text_at(&entity, "/meta/id").parse().map_err(|error| {
        Failure::Refused(format!("the API's {} {name} cannot be read: {error}", kind.name()))
    })
}
