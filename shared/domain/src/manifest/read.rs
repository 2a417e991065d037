//! From text to entities. All mistakes of all documents are found, not only the first.

use super::convert::names_to_ids;
use super::locate::Lines;
use super::suggest::nearest;
use super::validate::{Fault, validate};
use super::{Document, File, Problem};
use crate::Timestamp;
use crate::entity::{
    Deployment, Entity, Environment, JobAgent, Kind, Meta, Metadata, Policy, Record, Resource, System,
    Trigger, TriggerSource, Version, Workspace,
};
use crate::id::{
    DeploymentId, EnvironmentId, JobAgentId, PolicyId, ResourceId, SystemId, TriggerId, TriggerSourceId,
    VersionId, WorkspaceId,
};
use crate::token::Slug;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Reads all documents of all files. A document's workspace is its own `metadata.workspace`, else the one workspace
/// these files declare, else `default`.
///
/// # Errors
/// With every mistake that was found; then there are no entities.
pub fn read(
    files: &[File<'_>],
    default: Option<&Slug>,
    now: Timestamp,
) -> Result<Vec<Document>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut raw = Vec::new();
    for file in files {
        for (n, (line, text)) in split(file.text).into_iter().enumerate() {
            let at = At { file: file.name, document: n + 1, lines: Lines::new(text, line), line };
            match parse(text) {
                Ok(None) => {}
                Ok(Some(value)) => raw.push((at, value)),
                Err((offset, message)) => {
                    problems.push(Problem { line: line + offset, ..at.problem("", message) })
                }
            }
        }
    }
    let declared = the_one_workspace(&raw);
    let default = declared.as_ref().or(default);
    let mut documents: Vec<Document> = Vec::new();
    for (at, value) in raw {
        match entity(value, default, now) {
            Ok(entity) => {
                let faults = validate(&entity);
                problems.extend(faults.into_iter().map(|fault| at.fault(fault)));
                if let Some(twin) = documents.iter().find(|other| other.entity.key() == entity.key()) {
                    let first = format!("is declared twice; the first time at {}:{}", twin.file, twin.line);
                    problems.push(at.problem("metadata.name", first));
                }
                let At { file, document, lines, line } = at;
                documents.push(Document { file: file.to_owned(), document, line, entity, lines });
            }
            Err(fault) => problems.push(at.fault(fault)),
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// Where a document stands.
struct At<'a> {
    file: &'a str,
    document: usize,
    lines: Lines,
    line: usize,
}

impl At<'_> {
    fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            document: self.document,
            line: self.lines.of(field),
            field: field.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    fn fault(&self, fault: Fault) -> Problem {
        Problem { hint: fault.hint, ..self.problem(&fault.field, fault.message) }
    }
}

/// The documents of a text with their first lines. A line that begins with `---` separates documents everywhere,
/// even within a block of text (YAML 1.2.2 §9.1.2).
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut first, mut offset) = (0, 1, 0);
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            documents.push((first, &text[begin..offset]));
            begin = offset + line.len().min(3 + usize::from(bare.len() == 3) * (line.len() - 3));
            first = n + 1 + usize::from(bare.len() == 3);
        }
        offset += line.len();
    }
    documents.push((first, &text[begin..]));
    documents
}

/// The value of a document; nothing for an empty one. Errors carry the line within the document, from 0.
fn parse(text: &str) -> Result<Option<Value>, (usize, String)> {
    let parsed: Result<serde_yaml_ng::Value, _> = serde_yaml_ng::from_str(text);
    let value = parsed.map_err(|error| {
        let line = error.location().map_or(0, |location| location.line().saturating_sub(1));
        (line, format!("is no YAML: {error}"))
    })?;
    if value.is_null() {
        return Ok(None);
    }
    let json = serde_json::to_value(value).map_err(|error| (0, format!("has no JSON form: {error}")))?;
    Ok(Some(json))
}

fn the_one_workspace(raw: &[(At<'_>, Value)]) -> Option<Slug> {
    let mut workspaces = raw.iter().filter(|(_, value)| value["kind"] == "Workspace");
    let (Some((_, only)), None) = (workspaces.next(), workspaces.next()) else { return None };
    only.pointer("/metadata/name")?.as_str()?.parse().ok()
}

fn entity(value: Value, default: Option<&Slug>, now: Timestamp) -> Result<Entity, Fault> {
    let Value::Object(mut document) = value else { return Err(Fault::new("", "is no map of fields")) };
    document.remove("apiVersion");
    let kind = kind(document.remove("kind"))?;
    let header = header(kind, document.remove("metadata"))?;
    let mut spec = match document.remove("spec") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(spec)) => spec,
        Some(_) => return Err(Fault::new("spec", "is no map of fields")),
    };
    if let Some(field) = document.keys().next() {
        return Err(unknown(field, field, ["kind", "metadata", "spec"]));
    }
    let workspace = match (kind, header.workspace, default) {
        (Kind::Workspace, _, _) => {
            header.name.parse().map_err(|why| Fault::new("metadata.name", format!("{why}")))?
        }
        (_, Some(own), _) => own,
        (_, None, Some(default)) => default.clone(),
        (_, None, None) => {
            let message =
                "no workspace: give metadata.workspace, declare one Workspace beside it, or say which";
            return Err(Fault::new("metadata", message));
        }
    };
    names_to_ids(kind, &workspace, &mut spec);
    complete(kind, &header.name, &mut spec);
    let draft =
        Draft { workspace, name: header.name, metadata: header.metadata, spec: Value::Object(spec), now };
    draft.build(kind)
}

fn kind(written: Option<Value>) -> Result<Kind, Fault> {
    let names = || Kind::ALL.iter().map(|kind| kind.name());
    let list = names().collect::<Vec<_>>().join(", ");
    match written {
        Some(Value::String(text)) => {
            Kind::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
                let fault = Fault::new("kind", format!("there is no kind {text:?}; there are {list}"));
                fault.hint(nearest(&text, names()).map(|meant| format!("did you mean {meant}?")))
            })
        }
        Some(_) => Err(Fault::new("kind", "is no text")),
        None => Err(Fault::new("kind", format!("is missing; there are {list}"))),
    }
}

struct Header {
    name: String,
    workspace: Option<Slug>,
    metadata: Metadata,
}

fn header(kind: Kind, written: Option<Value>) -> Result<Header, Fault> {
    let Some(Value::Object(fields)) = written else { return Err(Fault::new("metadata", "is missing")) };
    let mut header = Header { name: String::new(), workspace: None, metadata: Metadata::new() };
    for (key, value) in fields {
        let field = format!("metadata.{key}");
        match key.as_str() {
            "name" => header.name = text(&field, value)?,
            "workspace" => {
                let slug =
                    text(&field, value)?.parse().map_err(|why| Fault::new(&field, format!("{why}")))?;
                header.workspace = Some(slug);
            }
            "metadata" | "labels" => header.metadata.extend(texts(&field, value)?),
            _ => return Err(unknown(&field, &key, ["name", "workspace", "metadata", "labels"])),
        }
    }
    if header.name.is_empty() && kind != Kind::Version {
        return Err(Fault::new("metadata.name", "is missing"));
    }
    Ok(header)
}

fn text(field: &str, value: Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(Fault::new(field, "is no text"))
        }
    }
}

fn texts(field: &str, value: Value) -> Result<Metadata, Fault> {
    let Value::Object(map) = value else { return Err(Fault::new(field, "is no map of texts")) };
    map.into_iter()
        .map(|(key, value)| match value {
            Value::Bool(yes) => Ok((key, yes.to_string())),
            other => text(&format!("{field}.{key}"), other).map(|text| (key, text)),
        })
        .collect()
}

/// Fills in what follows from the name.
fn complete(kind: Kind, name: &str, spec: &mut Map<String, Value>) {
    match kind {
        Kind::Deployment => {
            spec.entry("slug").or_insert_with(|| Slug::of_name(name).as_str().into());
        }
        Kind::Resource => {
            spec.entry("identifier").or_insert_with(|| name.into());
        }
        Kind::Version => {
            if !name.is_empty() {
                spec.entry("tag").or_insert_with(|| name.into());
            }
        }
        Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::JobAgent
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Approval => {}
    }
}

struct Draft {
    workspace: Slug,
    name: String,
    metadata: Metadata,
    spec: Value,
    now: Timestamp,
}

impl Draft {
    fn build(self, kind: Kind) -> Result<Entity, Fault> {
        let (workspace, name) = (self.workspace.clone(), self.name.clone());
        let (w, n) = (&workspace, name.as_str());
        Ok(match kind {
            Kind::Workspace => Entity::Workspace(self.record(WorkspaceId::of(w).0, typed::<Workspace>)?),
            Kind::System => Entity::System(self.record(SystemId::of(w, n).0, typed::<System>)?),
            Kind::Environment => {
                Entity::Environment(self.record(EnvironmentId::of(w, n).0, typed::<Environment>)?)
            }
            Kind::JobAgent => Entity::JobAgent(self.record(JobAgentId::of(w, n).0, typed::<JobAgent>)?),
            Kind::Deployment => {
                Entity::Deployment(self.record(DeploymentId::of(w, n).0, typed::<Deployment>)?)
            }
            Kind::Policy => Entity::Policy(self.record(PolicyId::of(w, n).0, typed::<Policy>)?),
            Kind::TriggerSource => {
                Entity::TriggerSource(self.record(TriggerSourceId::of(w, n).0, typed::<TriggerSource>)?)
            }
            Kind::Trigger => Entity::Trigger(self.record(TriggerId::of(w, n).0, typed::<Trigger>)?),
            Kind::Resource => {
                let mut record: Record<Resource> = self.record(Uuid::nil(), typed)?;
                record.meta.id = ResourceId::of(w, &record.spec.identifier).0;
                Entity::Resource(record)
            }
            Kind::Version => {
                let mut record: Record<Version> = self.record(Uuid::nil(), typed)?;
                record.meta.id = VersionId::of(record.spec.deployment, &record.spec.tag).0;
                if record.meta.name.is_empty() {
                    record.meta.name.clone_from(&record.spec.tag);
                }
                Entity::Version(record)
            }
            Kind::Approval => {
                return Err(Fault::new(
                    "kind",
                    "an approval is a person's word: give it with `ctrlplane approve`",
                ));
            }
        })
    }

    fn record<S>(self, id: Uuid, typed: fn(Value) -> Result<S, Fault>) -> Result<Record<S>, Fault> {
        let Self { workspace, name, metadata, spec, now } = self;
        let meta = Meta { id, workspace, name, metadata, created_at: now, updated_at: now };
        Ok(Record { meta, spec: typed(spec)? })
    }
}

fn typed<S: DeserializeOwned>(spec: Value) -> Result<S, Fault> {
    serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        let message = error.inner().to_string();
        match quoted_after(&message, "unknown field ").or_else(|| quoted_after(&message, "unknown variant "))
        {
            Some((written, rest)) => {
                let candidates: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
                let hint = nearest(written, candidates.iter().copied())
                    .map(|meant| format!("did you mean {meant}?"));
                let field = if path.ends_with(written) || !message.starts_with("unknown field") {
                    path
                } else {
                    format!("{path}.{written}")
                };
                Fault::new(&field, message.clone()).hint(hint)
            }
            None => Fault::new(&path, message),
        }
    })
}

/// The word in backquotes after `begin`, and what follows it.
fn quoted_after<'a>(message: &'a str, begin: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(begin)?.strip_prefix('`')?.split_once('`')
}

fn unknown<const N: usize>(field: &str, written: &str, known: [&str; N]) -> Fault {
    let hint = nearest(written, known).map(|meant| format!("did you mean {meant}?"));
    Fault::new(field, format!("there is no field {written:?} here; there are {}", known.join(", ")))
        .hint(hint)
}
