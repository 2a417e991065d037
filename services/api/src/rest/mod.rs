//! Entities over REST. A body becomes the document that a file would hold, so that `apply` and REST are one way of writing:
//! read, checked and refused alike, and stored by the same compare-and-set.

pub(crate) mod etag;
pub(crate) mod remove;
pub(crate) mod shown;
pub(crate) mod values;

use bus::clock;
use domain::entity::{Entity, Kind, Metadata};
use domain::token::Slug;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::apply::{role_for, same_slug};
use crate::caller::Caller;
use crate::changes;
use crate::context::App;
use crate::documents::{self, File};
use crate::names;
use crate::problem::{Fault, Problem};
use crate::references::names_agent;
use crate::store::{Action, Mode, Written};
use crate::wishes;
use etag::Precondition;

/// What a body declares.
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
    pub(crate) metadata: Option<Metadata>,
    /// The fields that the body has.
    pub(crate) spec: Map<String, Value>,
    /// Fields that the body calls otherwise: as documents have them, as it was sent.
    pub(crate) called: &'static [(&'static str, &'static str)],
}

impl Draft {
    pub(crate) fn new(kind: Kind, name: impl Into<Option<String>>, metadata: Option<Metadata>) -> Self {
        Self { kind, name: name.into(), metadata, spec: Map::new(), called: &[] }
    }

    /// A field, where the body has it.
    pub(crate) fn with(mut self, field: &str, value: Option<impl Serialize>) -> Self {
        let value = value.map(|value| json!(value)).filter(|value| !value.is_null());
        self.spec.extend(value.map(|value| (field.to_owned(), value)));
        self
    }

    pub(crate) fn called(mut self, called: &'static [(&'static str, &'static str)]) -> Self {
        self.called = called;
        self
    }

    /// The entity it is, or everything that is wrong with it.
    pub(crate) fn entity(self, app: &App, caller: &Caller, workspace: &Slug) -> Result<Entity, Problem> {
        let Self { kind, name, metadata, spec, called } = self;
        let mut head = json!({ "workspace": workspace });
        if kind == Kind::Workspace {
            head = json!({});
        }
        if let Some(name) = name {
            head["name"] = json!(name);
        }
        if let Some(metadata) = metadata {
            head["metadata"] = json!(metadata);
        }
        let document = json!({ "kind": kind.name(), "metadata": head, "spec": spec });
        let file = File::new("body", document.to_string());
        let read = documents::read(&app.catalog, &[file], Some(workspace), &caller.name);
        let located = read.map_err(|faults| {
            Problem::invalid_fields(faults.into_iter().map(|fault| as_sent(fault, called)).collect())
        })?;
        let declared = located.into_iter().next();
        let declared = declared.ok_or_else(|| Problem::internal(&"a document that declares nothing"))?;
        Ok(changes::declared(caller, None, declared.entity, clock::now()))
    }
}

fn as_sent(fault: Fault, called: &[(&str, &str)]) -> Fault {
    let field = fault.field.map(|field| {
        let field = documents::sent_as(&field);
        let renamed = called.iter().find_map(|(ours, theirs)| {
            let rest = field.strip_prefix(ours)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{theirs}{rest}"))
        });
        renamed.unwrap_or(field)
    });
    Fault { file: None, document: None, line: None, field, ..fault }
}

/// Where a body goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    /// Something new. Sent again it is the same; what is there and is different stays.
    New,
    /// What the path names; it may get another name. An id that nothing has is the client's own: what is written has the
    /// id of its name, which the answer tells.
    Named(&'a str),
    /// What has the same key as the body.
    Key,
}

/// Writes what the body declares. `keep` takes over from what is there whatever the body does not speak of.
pub(crate) async fn write(
    app: &App,
    caller: &Caller,
    to: To<'_>,
    precondition: &Precondition,
    mut entity: Entity,
    keep: impl Fn(&Entity, &mut Entity) + Send + Sync,
) -> Result<Written, Problem> {
    let kind = entity.kind();
    caller.needs_in(&entity.meta().workspace, role_for(kind))?;
    if let To::Named(text) = to {
        entity = renamed(app, text, entity)?;
    }
    if let Some(message) = same_slug(app, &entity) {
        return Err(
            Problem::conflict(format!("slug: {message}")).with(vec![Fault::of_field("slug", message)])
        );
    }
    documents::check(&entity)?;
    wishes::check_references(app, &entity).await?;
    let desire = |before: Option<&Entity>| {
        let mut after = changes::declared(caller, before, entity.clone(), clock::now());
        let Some(before) = before else {
            documents::check_times(None, &after)?;
            return Ok(after);
        };
        if !matches!(to, To::Named(_)) {
            names::keeps(before, &after)?;
        }
        keep(before, &mut after);
        after.meta_mut().created_at = before.meta().created_at;
        documents::check(&after)?;
        documents::check_times(Some(before), &after)?;
        if matches!(to, To::New) && !is_same(before, &after) {
            let (kind, name) = (kind.name(), &before.meta().name);
            return Err(Problem::conflict(format!(
                "there is a {kind} {name} already, and it is different; PUT changes it"
            )));
        }
        Ok(after)
    };
    let written = app.store.write_if(caller, &entity.key(), Mode::Write, precondition, desire).await?;
    app.store.seen(written.revision).await;
    Ok(written)
}

/// What a path names stays what it is, whatever the body calls it.
fn renamed(app: &App, text: &str, mut entity: Entity) -> Result<Entity, Problem> {
    let (kind, workspace) = (entity.kind(), entity.meta().workspace.clone());
    let Some(known) = app.catalog.find(&workspace, kind, text) else {
        return match Uuid::parse_str(text).is_ok() || entity.meta().name == text {
            true => Ok(entity),
            false => Err(Problem::not_found(format_args!("{} {text}", kind.name()))),
        };
    };
    let name = known.meta().name.clone();
    if name == entity.meta().name {
        return Ok(entity);
    }
    entity.meta_mut().id = known.meta().id;
    app.store.names.check(&entity)?;
    let by_id = "names the agent so; its `ref` may be the agent's id";
    let users = [
        (Kind::Deployment, "deployment", by_id),
        (Kind::Workflow, "workflow", by_id),
        (Kind::WorkflowRun, "workflow's run", "is not over, and names the agent so"),
    ];
    let naming = users.into_iter().filter(|_| kind == Kind::JobAgent).find_map(|(kind, word, why)| {
        let user = app.catalog.entities(&workspace, kind).into_iter().find(|it| names_agent(it, &name))?;
        Some((word, user.meta().name.clone(), why))
    });
    if let Some((word, user, why)) = naming {
        let message = format!("stays {name:?} as long as the {word} {user:?} {why}");
        return Err(
            Problem::conflict(format!("name: {message}")).with(vec![Fault::of_field("name", message)])
        );
    }
    Ok(entity)
}

fn is_same(before: &Entity, after: &Entity) -> bool {
    let mut after = after.clone();
    let times = before.meta();
    let meta = after.meta_mut();
    (meta.created_at, meta.updated_at) = (times.created_at, times.updated_at);
    *before == after
}

/// The entity a path names, as the bus has it now, and its revision; from memory where the bus does not answer.
pub(crate) async fn read(
    app: &App,
    workspace: &Slug,
    kind: Kind,
    text: &str,
) -> Result<(Entity, Option<u64>), Problem> {
    let missing = || Problem::not_found(format_args!("{} {text}", kind.name()));
    let known = app.catalog.find(workspace, kind, text).ok_or_else(missing)?;
    match app.store.read(&known.key()).await {
        Ok(Some((entity, revision))) => Ok((entity, Some(revision))),
        Ok(None) => Err(missing()),
        Err(problem) if problem.is_unavailable() => Ok((known, None)),
        Err(problem) => Err(problem),
    }
}

/// What a write is answered with: what was written, and what clients of the field expect beside it.
pub(crate) fn accepted(app: &App, written: &Written) -> Value {
    let message = match written.action {
        Action::Created => "created",
        Action::Updated => "updated",
        Action::Unchanged => "unchanged",
    };
    with_message(shown::listed(app, &written.after), message)
}

/// The object with a sentence for people, unless it has one.
pub(crate) fn with_message(mut shown: Value, message: &str) -> Value {
    if let Value::Object(shown) = &mut shown {
        shown.entry("message").or_insert_with(|| json!(message));
    }
    shown
}
