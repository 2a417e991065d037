//! Manifests on the wire: files in, entities with the places they stand in; entities out, as they would stand in a file.

use bus::clock;
use domain::entity::{Entity, Kind};
use domain::id::{DeploymentId, VersionId};
use domain::manifest;
use domain::token::Slug;
use serde::Deserialize;
use uuid::Uuid;

use crate::lookup::Lookup;
use crate::problem::{Fault, Problem};

/// A file of manifests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    /// Its name, for messages.
    #[serde(alias = "file")]
    name: String,
    /// Its text.
    #[serde(alias = "text")]
    content: String,
}

impl File {
    pub(crate) fn new(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self { name: name.into(), content: content.into() }
    }
}

/// An entity and where it stands.
pub(crate) struct Located {
    pub(crate) entity: Entity,
    document: manifest::Document,
}

impl Located {
    /// What is wrong with a field of it.
    pub(crate) fn fault(&self, field: &str, message: impl Into<String>) -> Fault {
        fault(self.document.error(manifest::Problem {
            field: field.to_owned(),
            message: message.into(),
            hint: None,
        }))
    }

    /// What is over already where it is written now in the place of `before`, and does not stand there.
    pub(crate) fn faults_over(&self, before: Option<&Entity>) -> Vec<Fault> {
        let problems = over(before, &self.entity).into_iter();
        problems.map(|problem| fault(self.document.error(problem))).collect()
    }

    /// Whether the file says the field itself.
    pub(crate) fn says(&self, field: &str) -> bool {
        self.document.says(field)
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        self.document.place.to_string()
    }
}

/// Every document of the files, or every mistake in them. Reading many takes a while: not for a thread that serves others.
/// `by` is who says what names nobody; `ids` knows what names stand for.
pub(crate) fn read(
    ids: &dyn manifest::Ids,
    files: &[File],
    workspace: Option<&Slug>,
    by: &str,
) -> Result<Vec<Located>, Vec<Fault>> {
    let files: Vec<manifest::File<'_>> =
        files.iter().map(|file| manifest::File { name: &file.name, text: &file.content }).collect();
    match manifest::parse(&files, &manifest::Defaults { workspace, now: clock::now(), by, ids }) {
        Ok(documents) => Ok(documents
            .into_iter()
            .map(|document| Located { entity: document.entity.clone(), document })
            .collect()),
        Err(errors) => Err(errors.into_iter().map(fault).collect()),
    }
}

/// What is wrong with an entity that came in the body of a request: it has the fields of the spec, and the name, by
/// themselves.
pub(crate) fn check(entity: &Entity) -> Result<(), Problem> {
    refuse(manifest::validate(entity))
}

/// Refuses what has no effect any more when it is written, unless it stands there already.
pub(crate) fn check_times(before: Option<&Entity>, after: &Entity) -> Result<(), Problem> {
    refuse(over(before, after))
}

fn over(before: Option<&Entity>, after: &Entity) -> Vec<manifest::Problem> {
    let mut after = after.clone();
    if let Some(before) = before {
        if has_same_rules(before, &after) {
            return Vec::new();
        }
        // Windows recur from the creation.
        after.meta_mut().created_at = before.meta().created_at;
    }
    manifest::over(&after, clock::now())
}

fn has_same_rules(one: &Entity, other: &Entity) -> bool {
    match (one, other) {
        (Entity::Policy(one), Entity::Policy(other)) => {
            (one.spec.enabled, &one.spec.rules) == (other.spec.enabled, &other.spec.rules)
        }
        _ => false,
    }
}

fn refuse(problems: Vec<manifest::Problem>) -> Result<(), Problem> {
    let problems: Vec<_> = problems
        .into_iter()
        .map(|found| manifest::Problem { field: sent_as(&found.field), ..found })
        .collect();
    let Some(first) = problems.first() else { return Ok(()) };
    let detail = first.to_string();
    let faults = problems
        .into_iter()
        .map(|found| Fault { hint: found.hint, ..Fault::of_field(found.field, found.message) })
        .collect();
    Err(Problem::invalid(detail).with(faults))
}

/// A field of a document as such a body has it.
pub(crate) fn sent_as(field: &str) -> String {
    let inner = ["spec.", "metadata."].iter().find_map(|part| field.strip_prefix(part));
    inner.unwrap_or(field).to_owned()
}

/// The entities as documents of one file.
pub(crate) fn write<'a>(
    entities: impl IntoIterator<Item = &'a Entity>,
    catalog: &Lookup,
) -> Result<String, Problem> {
    let documents: Vec<_> =
        entities.into_iter().map(|entity| manifest::to_manifest(entity, catalog)).collect();
    manifest::to_yaml(&documents).map_err(|error| Problem::internal(&error))
}

impl manifest::Names for Lookup {
    /// Documents refer to a resource by its identifier.
    fn name(&self, workspace: &Slug, kind: Kind, id: Uuid) -> Option<String> {
        let entity = self.get(workspace, kind, id)?;
        if let Entity::Resource(resource) = &entity {
            return Some(resource.spec.identifier.clone());
        }
        Some(entity.meta().name.clone())
    }

    fn version(&self, workspace: &Slug, id: VersionId) -> Option<(DeploymentId, String)> {
        let Entity::Version(version) = self.get(workspace, Kind::Version, id.0)? else { return None };
        Some((version.spec.deployment, version.spec.tag))
    }

    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid> {
        manifest::Ids::id(self, workspace, kind, name)
    }
}

fn fault(error: manifest::ManifestError) -> Fault {
    let manifest::ManifestError { place, problem } = error;
    Fault {
        file: Some(place.file),
        document: Some(place.document),
        line: Some(place.line),
        field: Some(problem.field).filter(|field| !field.is_empty()),
        message: problem.message,
        hint: problem.hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use domain::manifest::OfNames;

    #[test]
    fn a_window_that_counts_from_the_creation_of_its_policy_may_be_over_already() {
        let text = "kind: Policy\nmetadata: { name: gate }\nspec:\n  selector: 'true'\n  rules:\n    - deploymentWindow: { rrule: \
                    FREQ=DAILY;COUNT=2, durationMinutes: 60 }\n";
        let acme: Slug = "acme".parse().unwrap();
        let files = [File::new("gate.yaml", text)];
        let Ok(read) = read(&OfNames, &files, Some(&acme), "ann") else { panic!("it is new") };
        assert_eq!(read[0].faults_over(None), []);
        let mut stands = read[0].entity.clone();
        stands.meta_mut().created_at -= TimeDelta::days(3);
        assert_eq!(read[0].faults_over(Some(&stands)), [], "it stands there");
        let Entity::Policy(policy) = &mut stands else { panic!("it is a policy") };
        policy.spec.enabled = false;
        let told = read[0].faults_over(Some(&stands));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].file.as_deref(), told[0].line), (Some("gate.yaml"), Some(6)));
        assert!(told[0].hint.as_deref().is_some_and(|hint| hint.contains("COUNT")), "{told:?}");
    }
}
