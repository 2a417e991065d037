//! Applying files: all documents are read and checked before the first is written, then written in the order in which
//! things may name each other. Applying the same again writes nothing.

use std::collections::{BTreeMap, HashMap};

use axum::http::StatusCode;
use bus::clock;
use domain::entity::{CatalogKey, Entity, Kind};
use domain::id::{DeploymentId, VersionId};
use domain::manifest::Names;
use domain::token::Slug;
use serde::{Deserialize, Serialize};

use crate::auth::Role;
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::diff::diff;
use crate::documents::{self, File, Located};
use crate::lookup::Lookup;
use crate::names;
use crate::problem::{Fault, Problem};
use crate::references::{names_no_rule, references};
use crate::said;
use crate::store::{Action, Mode};

/// One apply takes at most so many documents.
const DOCUMENTS_MAX: usize = 10_000;

/// What is applied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    files: Vec<File>,
    /// The workspace of documents that name none.
    workspace: Option<Slug>,
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Applied {
    results: Vec<Outcome>,
    dry_run: bool,
}

/// What became of one document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    kind: &'static str,
    name: String,
    workspace: Slug,
    id: uuid::Uuid,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    revision: u64,
}

/// Applies the files.
pub(crate) async fn apply(
    app: &App,
    caller: &Caller,
    request: Request,
    mode: Mode,
) -> Result<Applied, Problem> {
    let default = request.workspace.or_else(|| caller.grants.only().cloned());
    let by = caller.name.clone();
    let reader = app.clone();
    let reading = tokio::task::spawn_blocking(move || {
        documents::read(&reader.catalog, &request.files, default.as_ref(), &by)
    });
    let read = reading.await.map_err(|panicked| Problem::internal(&panicked))?;
    let mut declared = read.map_err(refused)?;
    if declared.len() > DOCUMENTS_MAX {
        return Err(Problem::invalid(format!("more than {DOCUMENTS_MAX} documents in one apply")));
    }
    for located in &mut declared {
        let entity = located.entity.clone();
        located.entity = changes::declared(caller, None, entity, clock::now());
    }
    check_tenant(caller, &declared)?;
    if mode == Mode::Write {
        check_role(caller, &declared)?;
    }
    let faults = faults(app, &declared).await?;
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    declared.sort_by_key(|located| located.entity.kind());
    write(app, caller, declared, mode).await
}

async fn write(app: &App, caller: &Caller, declared: Vec<Located>, mode: Mode) -> Result<Applied, Problem> {
    let (mut results, mut revision) = (Vec::with_capacity(declared.len()), 0);
    let total = declared.len();
    let names = Declared::of(&app.catalog, &declared);
    for located in declared {
        let (entity, says_when) = (&located.entity, located.says("spec.at"));
        let written = app
            .store
            .write(caller, &entity.key(), mode, |before| {
                let now = clock::now();
                before.map_or(Ok(()), |before| names::keeps(before, entity))?;
                let mut after = changes::declared(caller, before, entity.clone(), now);
                said::of_content(&app.catalog, &mut after);
                let after =
                    changes::same_word(before, after, |yes| said::has_expired(&app.catalog, yes, now));
                Ok(if says_when { after } else { changes::same_wish(before, after) })
            })
            .await
            .inspect_err(|_problem| {
                tracing::warn!(
                    done = results.len(),
                    total,
                    "an apply stopped on its way; applying again goes on"
                );
            })?;
        if written.action != Action::Unchanged && mode == Mode::Write {
            revision = revision.max(written.revision);
        }
        let meta = written.after.meta();
        results.push(Outcome {
            kind: written.after.kind().name(),
            name: meta.name.clone(),
            workspace: meta.workspace.clone(),
            id: meta.id,
            action: written.action,
            diff: diff(written.before.as_ref(), Some(&written.after), &names),
            revision: written.revision,
        });
    }
    app.store.seen(revision).await;
    Ok(Applied { results, dry_run: mode == Mode::DryRun })
}

/// What ids are called, once everything declared is there.
struct Declared<'a> {
    catalog: &'a Lookup,
    names: HashMap<(Slug, Kind, uuid::Uuid), String>,
    versions: HashMap<VersionId, (DeploymentId, String)>,
}

impl<'a> Declared<'a> {
    fn of(catalog: &'a Lookup, declared: &[Located]) -> Self {
        let (mut names, mut versions) = (HashMap::new(), HashMap::new());
        for Located { entity, .. } in declared {
            let meta = entity.meta();
            let name = if let Entity::Resource(resource) = entity {
                resource.spec.identifier.clone()
            } else {
                meta.name.clone()
            };
            names.insert((meta.workspace.clone(), entity.kind(), meta.id), name);
            if let Entity::Version(version) = entity {
                versions.insert(VersionId(meta.id), (version.spec.deployment, version.spec.tag.clone()));
            }
        }
        Self { catalog, names, versions }
    }
}

impl Names for Declared<'_> {
    fn name(&self, workspace: &Slug, kind: Kind, id: uuid::Uuid) -> Option<String> {
        let declared = self.names.get(&(workspace.clone(), kind, id)).cloned();
        declared.or_else(|| Names::name(self.catalog, workspace, kind, id))
    }

    fn version(&self, workspace: &Slug, id: VersionId) -> Option<(DeploymentId, String)> {
        self.versions.get(&id).cloned().or_else(|| Names::version(self.catalog, workspace, id))
    }

    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<uuid::Uuid> {
        Names::id(self.catalog, workspace, kind, name)
    }
}

/// A workspace the caller does not see does not exist for it.
fn check_tenant(caller: &Caller, declared: &[Located]) -> Result<(), Problem> {
    match declared.iter().find(|located| !caller.sees(&located.entity.meta().workspace)) {
        None => Ok(()),
        Some(located) => {
            let workspace = &located.entity.meta().workspace;
            let problem = Problem::not_found(format_args!("workspace {workspace}"));
            Err(problem.with(vec![located.fault("metadata.workspace", "does not exist")]))
        }
    }
}

fn check_role(caller: &Caller, declared: &[Located]) -> Result<(), Problem> {
    let mut needed: BTreeMap<&Slug, Role> = BTreeMap::new();
    for located in declared {
        let role = role_for(located.entity.kind());
        let known = needed.entry(&located.entity.meta().workspace).or_insert(role);
        *known = role.max(*known);
    }
    needed.into_iter().try_for_each(|(workspace, role)| caller.needs_in(workspace, role))
}

/// What it takes to declare an entity of this kind.
pub(crate) fn role_for(kind: Kind) -> Role {
    match kind {
        Kind::Version | Kind::Resource | Kind::ResourceProvider => Role::Operator,
        Kind::Approval => Role::Approver,
        Kind::Skip => Role::Approver,
        Kind::Freeze | Kind::Pin | Kind::Redeploy | Kind::RolloutControl | Kind::WorkflowRun => {
            Role::Operator
        }
        Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Workflow => Role::Admin,
    }
}

/// Everything that is wrong between the documents: declared twice, or naming what is nowhere.
async fn faults(app: &App, declared: &[Located]) -> Result<Vec<Fault>, Problem> {
    let mut faults = Vec::new();
    let mut first: HashMap<CatalogKey, &Located> = HashMap::new();
    for located in declared {
        let key = located.entity.key();
        if let Some(other) = first.get(&key) {
            faults.push(located.fault("metadata.name", format!("is declared in {} as well", other.place())));
            continue;
        }
        first.insert(key, located);
    }
    let mut known: BTreeMap<CatalogKey, bool> = first.keys().map(|key| (key.clone(), true)).collect();
    for located in declared {
        let workspace = &located.entity.meta().workspace;
        if located.entity.kind() != Kind::Workspace
            && !exists(app, &mut known, workspace_key(workspace)).await?
        {
            let message =
                format!("there is no workspace {workspace}, neither in the catalog nor in these files");
            faults.push(located.fault("metadata.workspace", message));
            continue;
        }
        if located.entity.kind() == Kind::Policy {
            let known = app.catalog.get(workspace, Kind::Policy, located.entity.meta().id);
            faults.extend(located.faults_over(known.as_ref()));
        }
        if let Some(message) = same_slug(app, &located.entity) {
            faults.push(located.fault("spec.slug", message));
        }
        if let Some((field, message)) = no_rule(app, &first, &located.entity).await? {
            faults.push(located.fault(field, message));
        }
        for reference in references(&located.entity, &app.catalog) {
            if !exists(app, &mut known, reference.to.clone()).await? {
                let kind = reference.to.kind.name();
                let message = format!("there is no such {kind}, neither in the catalog nor in these files");
                faults.push(located.fault(&reference.field, message));
            }
        }
    }
    Ok(faults)
}

/// Why a skip names no rule of its policy, in these files or else in the catalog. That there is no policy is said elsewhere.
async fn no_rule(
    app: &App,
    declared: &HashMap<CatalogKey, &Located>,
    entity: &Entity,
) -> Result<Option<(&'static str, String)>, Problem> {
    let Entity::Skip(skip) = entity else { return Ok(None) };
    let workspace = skip.meta.workspace.clone();
    let key = CatalogKey { workspace, kind: Kind::Policy, id: skip.spec.policy.0 };
    let policy = match declared.get(&key) {
        Some(located) => Some(located.entity.clone()),
        None => app.store.read(&key).await?.map(|(policy, _)| policy),
    };
    let Some(Entity::Policy(policy)) = policy else { return Ok(None) };
    Ok(names_no_rule(&skip.spec, &policy.spec))
}

/// Why the slug may not be: another of the catalog has it. Statuses of two deployments could not be told apart, and a path could
/// mean either of two workflows.
pub(crate) fn same_slug(app: &App, entity: &Entity) -> Option<String> {
    let (slug, meta) = (entity.slug()?, entity.meta());
    let others = app.catalog.entities(&meta.workspace, entity.kind());
    let collides = |other: &&Entity| other.meta().id != meta.id && other.slug() == Some(slug);
    let other = others.iter().find(collides)?;
    Some(format!("is the slug of the {} {} already", entity.kind().token(), other.meta().name))
}

/// Whether it is in these files or in the catalog; what our fold does not have (yet) is asked of the bus.
async fn exists(app: &App, known: &mut BTreeMap<CatalogKey, bool>, key: CatalogKey) -> Result<bool, Problem> {
    if let Some(known) = known.get(&key) {
        return Ok(*known);
    }
    let there =
        app.catalog.get(&key.workspace, key.kind, key.id).is_some() || app.store.read(&key).await?.is_some();
    known.insert(key, there);
    Ok(there)
}

fn workspace_key(slug: &Slug) -> CatalogKey {
    let id = domain::id::WorkspaceId::of(slug).0;
    CatalogKey { workspace: slug.clone(), kind: Kind::Workspace, id }
}

fn refused(faults: Vec<Fault>) -> Problem {
    let count = faults.len();
    let errors = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    Problem::new(StatusCode::BAD_REQUEST, format!("{errors}; nothing was written")).with(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_for_admins_and_versions_for_ci() {
        let roles: Vec<Role> = Kind::ALL.iter().map(|kind| role_for(*kind)).collect();
        assert!(roles.iter().all(|role| *role > Role::Viewer));
        assert_eq!((role_for(Kind::Version), role_for(Kind::Approval)), (Role::Operator, Role::Approver));
        assert_eq!(role_for(Kind::Policy), Role::Admin);
    }

    #[test]
    fn a_refusal_counts_its_errors() {
        let problem = refused(vec![Fault::of_field("a", "b")]);
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        let json = serde_json::to_value(problem).unwrap();
        assert_eq!(json["detail"], "1 error; nothing was written");
    }
}
