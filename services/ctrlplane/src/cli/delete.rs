//! `ctrlplane delete`: one thing by kind and name, or everything that files declare, the last first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::entity::{Entity, Kind};
use domain::manifest::{self, Defaults, File, Ids, OfNames, has_own_name};
use domain::token::Slug;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::ApiError;
use super::args::DeleteArgs;
use super::failure::Failure;
use super::files::{self, Source};
use super::get::kind_and_name;
use super::output::{self, Format};
use super::session::Session;
use super::words::plain;

/// Who says what files leave open: no entity is told by it.
const NOBODY: &str = "nobody";

/// What a document names.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    kind: Kind,
    /// By what it is asked for.
    asked: String,
    /// By what people know it.
    name: String,
    workspace: Option<String>,
    /// Of a version: the name of its deployment, and the id it has if that never got another name.
    version_of: Option<(String, Uuid)>,
}

pub(super) async fn run(session: &Session, args: &DeleteArgs) -> Result<(), Failure> {
    let mut declared = match &args.kind {
        Some(kind) => {
            let (kind, name) = kind_and_name(kind, args.name.as_deref())?;
            let name = name.to_owned();
            vec![Declared { kind, asked: name.clone(), name, workspace: None, version_of: None }]
        }
        None => all(&files::collect(&args.files)?, session.given_workspace())?,
    };
    if declared.is_empty() {
        return Err(Failure::Usage("the files declare nothing".to_owned()));
    }
    // What names others goes before what is named.
    declared.sort_by_key(|one| std::cmp::Reverse(one.kind));
    let mut told = Vec::new();
    for one in &declared {
        let gone = delete(session, one, args).await?;
        let name = plain(&format!("{}/{}", one.kind.token(), one.name));
        let action = if gone { "deleted" } else { "absent" };
        match session.format {
            Format::Table => output::line(&format!("{name} {action}"))?,
            Format::Name => output::line(&name)?,
            Format::Json | Format::Yaml => {
                told.push(json!({ "kind": one.kind.name(), "name": one.name, "action": action }));
            }
        }
    }
    match session.format {
        Format::Json => output::json(&json!({ "results": told })),
        Format::Yaml => output::yaml(&json!({ "results": told })),
        Format::Table | Format::Name => Ok(()),
    }
}

/// Whether it was there. That it is not is an answer where files say what should be gone, and a refusal else.
async fn delete(session: &Session, one: &Declared, args: &DeleteArgs) -> Result<bool, Failure> {
    let workspace = match (&one.workspace, one.kind) {
        (Some(workspace), _) => workspace.as_str(),
        (None, Kind::Workspace) => one.name.as_str(),
        (None, _) => session.workspace().await?.as_str(),
    };
    let path = |asked| ["workspaces", workspace, "catalog", one.kind.token(), asked];
    let cascade = [("cascade", if args.cascade { "true" } else { "false" })];
    if there(session.api.delete(&path(&one.asked), &cascade).await, args)? {
        return Ok(true);
    }
    let Some((deployment, id)) = &one.version_of else { return Ok(false) };
    let named = ["workspaces", workspace, "catalog", Kind::Deployment.token(), deployment];
    if there(session.api.get(&named, &[]).await, args)? {
        return Ok(false);
    }
    // The deployment has another name than when the file was written; the version's id does not change with it.
    there(session.api.delete(&path(&id.to_string()), &cascade).await, args)
}

fn there(answer: Result<Value, ApiError>, args: &DeleteArgs) -> Result<bool, Failure> {
    match answer {
        Ok(_) => Ok(true),
        Err(ApiError::Refused(refusal)) if refusal.status == 404 && !args.files.is_empty() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Everything the files declare.
///
/// # Errors
/// Every mistake in them, each with its place.
fn all(sources: &[Source], workspace: Option<&Slug>) -> Result<Vec<Declared>, Failure> {
    let files: Vec<File<'_>> =
        sources.iter().map(|source| File { name: &source.name, text: &source.text }).collect();
    let said = Said::default();
    match manifest::parse(&files, &Defaults { workspace, now: bus::clock::now(), by: NOBODY, ids: &said }) {
        Ok(documents) => {
            Ok(documents.into_iter().map(|document| Declared::of(&document.entity, &said)).collect())
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(|error| plain(&error.to_string())).collect();
            Err(Failure::Refused(format!("{}\nnothing was deleted", lines.join("\n"))))
        }
    }
}

/// Ids as if nothing had ever got another name, and the names of deployments they came from.
#[derive(Debug, Default)]
struct Said(Mutex<HashMap<Uuid, String>>);

impl Ids for Said {
    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid> {
        let id = OfNames.id(workspace, kind, name)?;
        if kind == Kind::Deployment {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, name.to_owned());
        }
        Some(id)
    }
}

impl Said {
    fn deployment(&self, id: Uuid) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Declared {
    fn of(entity: &Entity, said: &Said) -> Self {
        let meta = entity.meta();
        if let Entity::Version(version) = entity
            && let Some(deployment) = said.deployment(version.spec.deployment.0)
        {
            let name = format!("{deployment}:{}", version.spec.tag);
            return Self {
                kind: Kind::Version,
                asked: name.clone(),
                name,
                workspace: Some(meta.workspace.to_string()),
                version_of: Some((deployment, meta.id)),
            };
        }
        let name = match entity {
            Entity::Resource(resource) => resource.spec.identifier.clone(),
            Entity::Workspace(_)
            | Entity::System(_)
            | Entity::Environment(_)
            | Entity::JobAgent(_)
            | Entity::Deployment(_)
            | Entity::Policy(_)
            | Entity::TriggerSource(_)
            | Entity::Trigger(_)
            | Entity::Version(_)
            | Entity::Approval(_)
            | Entity::Skip(_)
            | Entity::Freeze(_)
            | Entity::Pin(_)
            | Entity::Redeploy(_)
            | Entity::RolloutControl(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_)
            | Entity::ResourceProvider(_)
            | Entity::Workflow(_)
            | Entity::WorkflowRun(_) => meta.name.clone(),
        };
        Self {
            kind: entity.kind(),
            // What has a name is asked for by it: it may have another id than files tell.
            asked: if has_own_name(entity.kind()) { name.clone() } else { meta.id.to_string() },
            name,
            workspace: Some(meta.workspace.to_string()),
            version_of: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, Failure> {
        let declared = all(&[Source { name: "a.yaml".into(), text: text.into() }], None)?;
        Ok(declared
            .into_iter()
            .map(|one| format!("{}/{} {}", one.kind.token(), one.name, one.workspace.unwrap_or_default()))
            .collect())
    }

    #[test]
    fn every_document_names_something() {
        let text = "kind: Workspace\nmetadata: { name: acme }\n---\nkind: Version\n\
                    spec: { deployment: web, tag: v1 }\n---\nkind: Resource\nmetadata: { name: EU, workspace: b }\n\
                    spec: { identifier: eu-1 }\n";
        assert_eq!(names(text).unwrap(), ["workspace/acme acme", "version/web:v1 acme", "resource/eu-1 b"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for text in ["kind: Pod\nmetadata: {name: a}", "kind: System", "a: ["] {
            assert!(matches!(names(text), Err(Failure::Refused(why)) if why.contains("a.yaml:")), "{text}");
        }
    }
}
