//! Manifests: the files people write, read into entities, and entities written as such files.
//!
//! Every error is told with file, line, field and what may help, and all of them at once. Knows no file system:
//! texts come in with their names.

mod convert;
mod ids;
mod node;
mod path;
mod secrets;
mod typed;
mod validate;
mod write;

pub(crate) use ids::of_name;
pub use ids::{Ids, OfNames, has_own_name};
pub use secrets::find as secrets_in;
pub(crate) use secrets::is_secret;
pub use typed::in_numbers;
pub use validate::{NAME_CHARS_MAX, over, validate};
pub use write::{Names, to_manifest, to_yaml};

use crate::Timestamp;
use crate::entity::{CatalogKey, Entity, Kind};
use crate::token::Slug;
use node::{Node, Unreadable};
use path::Path;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// At most so many errors are told at once.
pub const ERRORS_MAX: usize = 200;

/// One file: YAML of any number of documents, or JSON.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// What files leave open.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// The workspace of documents that name none, unless the files declare exactly one.
    pub workspace: Option<&'a Slug>,
    /// Creation and change of everything declared, and the moment of what people say without naming one.
    pub now: Timestamp,
    /// Who says what names nobody: the owner of freezes, the author of skips, pins, redeployments and pauses.
    pub by: &'a str,
    /// The ids of what names stand for.
    pub ids: &'a dyn Ids,
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Which document of the file, from 1; empty ones do not count.
    pub document: usize,
    /// The line, from 1.
    pub line: usize,
}

/// One declared entity and where it was declared.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it begins.
    pub place: Place,
    /// What it declares.
    pub entity: Entity,
    node: Node,
}

/// One thing that is wrong with an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The path of the field, e.g. `spec.rules[1].anyApproval.minApprovals`; empty: the document as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestError {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What.
    #[serde(flatten)]
    pub problem: Problem,
}

/// Every entity the files declare, in the order of files and documents.
///
/// # Errors
/// Everything that is wrong with any document, in that order; at most [`ERRORS_MAX`].
pub fn parse(files: &[File<'_>], defaults: &Defaults<'_>) -> Result<Vec<Document>, Vec<ManifestError>> {
    let mut errors = Vec::new();
    let drafts = drafts(files, &mut errors);
    let workspace = convert::sole_workspace(drafts.iter().map(|(_, node)| node));
    let workspace = workspace.as_ref().or(defaults.workspace);
    let mut documents = Vec::with_capacity(drafts.len());
    for (place, node) in drafts {
        match convert::entity(&node, workspace, defaults) {
            Ok(entity) => {
                let problems = validate(&entity);
                errors.extend(problems.into_iter().map(|problem| located(&place, &node, problem)));
                documents.push(Document { place, entity, node });
            }
            Err(problems) => {
                errors.extend(problems.into_iter().map(|problem| located(&place, &node, problem)))
            }
        }
    }
    errors.extend(twice(&documents));
    if errors.is_empty() {
        let mut workspaces = BTreeSet::new();
        documents.retain(|document| {
            document.entity.kind() != Kind::Workspace || workspaces.insert(document.entity.key())
        });
        return Ok(documents);
    }
    // The order of files is the caller's, the order within a file the reader's.
    let order = |file: &str| files.iter().position(|given| given.name == file);
    errors.sort_by_key(|error| (order(&error.place.file), error.place.line, error.problem.field.clone()));
    errors.truncate(ERRORS_MAX);
    Err(errors)
}

impl Document {
    /// The line of a field, or of the nearest thing above it that is in the file.
    pub fn line_of(&self, field: &str) -> usize {
        line_of(&self.node, field)
    }

    /// Whether the file itself says the field, rather than leaving it open.
    pub fn says(&self, field: &str) -> bool {
        let Ok(path) = field.parse::<Path>();
        path.steps().try_fold(&self.node, |node, step| node.get(&step)).is_some()
    }

    /// Something that turned out to be wrong with it, at its line.
    pub fn error(&self, problem: Problem) -> ManifestError {
        located(&self.place, &self.node, problem)
    }
}

fn drafts(files: &[File<'_>], errors: &mut Vec<ManifestError>) -> Vec<(Place, Node)> {
    let mut drafts = Vec::new();
    for file in files {
        let (nodes, failed) = node::read(file.text);
        let mut document = 0;
        for node in nodes.into_iter().flat_map(node::flatten) {
            document += 1;
            drafts.push((Place { file: file.name.to_owned(), document, line: node.line }, node));
        }
        if let Some(Unreadable { line, message, hint }) = failed {
            let place = Place { file: file.name.to_owned(), document: document + 1, line };
            let problem = Problem { field: String::new(), message, hint: hint.map(str::to_owned) };
            errors.push(ManifestError { place, problem });
        }
    }
    drafts
}

/// The same entity, or the same slug of deployments or of workflows, declared twice. A workspace may be: every file says which
/// it is about, as long as all say the same of it.
fn twice(documents: &[Document]) -> Vec<ManifestError> {
    let mut entities: BTreeMap<CatalogKey, &Document> = BTreeMap::new();
    let mut slugs: BTreeMap<(Kind, &Slug, &Slug), &Document> = BTreeMap::new();
    let mut errors = Vec::new();
    for document in documents {
        let meta = document.entity.meta();
        let kind = document.entity.kind().name();
        let first = *entities.entry(document.entity.key()).or_insert(document);
        if !std::ptr::eq(first, document) {
            if document.entity.kind() == Kind::Workspace && first.entity == document.entity {
                continue;
            }
            let message = format!("{kind} `{}` is already declared at {}", meta.name, first.place);
            errors.push(document.error(Problem { field: "metadata.name".to_owned(), message, hint: None }));
        } else if let Some(slug) = document.entity.slug()
            && let Some(first) = slugs.insert((document.entity.kind(), &meta.workspace, slug), document)
        {
            let kind = document.entity.kind().token();
            let message = format!("the slug `{slug}` is already that of the {kind} at {}", first.place);
            let hint = Some("give one of them another `slug`".to_owned());
            errors.push(document.error(Problem { field: "spec.slug".to_owned(), message, hint }));
        }
    }
    errors
}

fn located(place: &Place, node: &Node, problem: Problem) -> ManifestError {
    let line = line_of(node, &problem.field);
    ManifestError { place: Place { line, ..place.clone() }, problem }
}

fn line_of(node: &Node, field: &str) -> usize {
    let Ok(path) = field.parse::<Path>();
    node.line_of(&path)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ManifestError {}

#[cfg(test)]
mod tests;
