//! What each verb does.

use crate::access::status;
use crate::controller::{self, Script};
use crate::http::{Reply, wait};
use crate::list;
use crate::server::{Shared, World};
use crate::store::{merge, metadata, text};
use crate::validate;
use axum::body::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

type Query = BTreeMap<String, String>;

/// What a path names.
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
}

impl Target {
    /// `/api/v1/namespaces/NS/RESOURCE[/NAME]` or `/apis/GROUP/VERSION/namespaces/…`, of the kinds there are.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", "batch", "v1", rest @ ..] => ("batch", rest),
            ["apis", "argoproj.io", "v1alpha1", rest @ ..] => ("argoproj.io", rest),
            _ => return None,
        };
        let (namespace, resource, name) = match rest {
            ["namespaces", namespace, resource] => (*namespace, *resource, ""),
            ["namespaces", namespace, resource, name] => (*namespace, *resource, *name),
            _ => return None,
        };
        // Of custom objects it keeps whatever it is given: no controller looks at them here.
        let known = matches!(
            (group, resource),
            ("batch", "jobs") | ("", "pods" | "events") | ("argoproj.io", "workflows" | "workflowtemplates")
        );
        let owned = str::to_owned;
        known.then(|| Self {
            group: owned(group),
            namespace: owned(namespace),
            resource: owned(resource),
            name: owned(name),
        })
    }

    fn kind(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    fn not_found(&self) -> Value {
        let message = format!("{} {:?} not found", self.kind(), self.name);
        status(404, "NotFound", &message, &self.resource, &self.name)
    }
}

pub(crate) fn get(shared: &Shared, target: &Target) -> Reply {
    match shared.world().store.get(&target.resource, &target.namespace, &target.name) {
        Some(object) => Reply::json(200, object),
        None => Reply::refused(&target.not_found()),
    }
}

pub(crate) fn list(shared: &Shared, target: &Target, query: &Query) -> Reply {
    let of = |name: &str| query.get(name).map_or("", String::as_str);
    let limit = of("limit").parse().unwrap_or(0);
    match list::page(shared, &target.resource, &target.namespace, of("labelSelector"), limit, of("continue"))
    {
        Ok(page) => Reply::json(200, &page),
        Err(refused) => Reply::refused(&refused),
    }
}

pub(crate) fn create(shared: &Arc<Shared>, target: &Target, query: &Query, body: &Bytes) -> Reply {
    let object = match serde_json::from_slice::<Value>(body) {
        Ok(object) => object,
        Err(error) => return Reply::refused(&status(400, "BadRequest", &error.to_string(), "", "")),
    };
    let name = text(&object, "/metadata/name");
    let named = Target { name: name.clone(), ..target.parts() };
    if shared.world().store.get(&target.resource, &target.namespace, &name).is_some() {
        let message = format!("{} {name:?} already exists", target.kind());
        return Reply::refused(&status(409, "AlreadyExists", &message, &target.resource, &name));
    }
    store(shared, &named, query, object, |_, given| given)
}

pub(crate) fn apply(shared: &Arc<Shared>, target: &Target, query: &Query, body: &Bytes) -> Reply {
    let object = match serde_yaml_ng::from_slice::<Value>(body) {
        Ok(object) if object.is_object() => object,
        Ok(_) | Err(_) => return Reply::refused(&status(400, "BadRequest", "error decoding YAML", "", "")),
    };
    if !query.contains_key("fieldManager") {
        return Reply::refused(&status(
            400,
            "BadRequest",
            "fieldManager is required for apply patch",
            "",
            "",
        ));
    }
    store(shared, target, query, object, |known, given| match known {
        Some(known) => {
            let mut merged = known.clone();
            merge(&mut merged, &given);
            merged
        }
        None => given,
    })
}

/// Checks, and stores unless it is a dry run.
fn store(
    shared: &Arc<Shared>,
    target: &Target,
    query: &Query,
    object: Value,
    become_: impl FnOnce(Option<&Value>, Value) -> Value,
) -> Reply {
    let name = &target.name;
    let is_dry = query.get("dryRun").is_some_and(|dry| dry == "All");
    let (created, stored) = {
        let mut world = shared.world();
        if !world.store.namespaces.contains(&target.namespace) {
            let message = format!("namespaces {:?} not found", target.namespace);
            return Reply::refused(&status(404, "NotFound", &message, "namespaces", &target.namespace));
        }
        let known = world.store.get(&target.resource, &target.namespace, name).cloned();
        let checked = || {
            let is_job = target.resource == "jobs";
            if is_job && query.get("fieldValidation").is_some_and(|how| how == "Strict") {
                validate::strict(&object)?;
            }
            let mut object = become_(known.as_ref(), object.clone());
            let metadata = metadata(&mut object);
            metadata.insert("namespace".to_owned(), target.namespace.clone().into());
            metadata.insert("name".to_owned(), name.clone().into());
            if is_job {
                validate::valid(&object, name)?;
            }
            if let Some(known) = known.as_ref().filter(|_| is_job) {
                validate::may_become(known, &object, name)?;
            }
            Ok::<_, Value>(object)
        };
        let object = match checked() {
            Ok(object) => object,
            Err(refused) => return Reply::refused(&refused),
        };
        if is_dry {
            return Reply::json(if known.is_some() { 200 } else { 201 }, &object);
        }
        (known.is_none(), settle(&mut world, target, object))
    };
    shared.change(|_| ());
    if created && target.resource == "jobs" {
        play(shared, target);
    }
    Reply::json(if created { 201 } else { 200 }, &stored)
}

fn settle(world: &mut World, target: &Target, object: Value) -> Value {
    let stored = world.store.put(&target.resource, object);
    if target.resource == "jobs" {
        controller::reconcile(&mut world.store, &target.namespace, &target.name);
    }
    stored
}

pub(crate) fn patch(shared: &Shared, target: &Target, body: &Bytes) -> Reply {
    let Ok(patch) = serde_json::from_slice::<Value>(body) else {
        return Reply::refused(&status(400, "BadRequest", "error decoding patch", "", ""));
    };
    shared.change(|world| {
        let Some(mut object) = world.store.get(&target.resource, &target.namespace, &target.name).cloned()
        else {
            return Reply::refused(&target.not_found());
        };
        merge(&mut object, &patch);
        Reply::json(200, &settle(world, target, object))
    })
}

pub(crate) fn delete(shared: &Shared, target: &Target) -> Reply {
    let deleted = shared.change(|world| match target.resource.as_str() {
        "jobs" => controller::delete(&mut world.store, &target.namespace, &target.name),
        other => world.store.remove(other, &target.namespace, &target.name),
    });
    match deleted {
        Some(_) => Reply::json(
            200,
            &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200 }),
        ),
        None => Reply::refused(&target.not_found()),
    }
}

/// Lets a Job go by itself.
fn play(shared: &Arc<Shared>, target: &Target) {
    let Script::Plays { starts_after, runs_for, ending } = shared.world().script.clone() else { return };
    let (shared, namespace, name) = (Arc::clone(shared), target.namespace.clone(), target.name.clone());
    let mut plays = {
        let of = Arc::clone(&shared);
        let work = async move {
            let is_stopped = |world: &mut World| {
                world
                    .store
                    .get("jobs", &namespace, &name)
                    .is_none_or(|job| job["spec"]["suspend"] == json!(true))
            };
            if !wait(&of, starts_after).await || of.change(is_stopped) {
                return;
            }
            of.change(|world| controller::run(&mut world.store, &namespace, &name));
            if !wait(&of, runs_for).await || of.change(is_stopped) {
                return;
            }
            of.change(|world| controller::end(&mut world.store, &namespace, &name, ending));
        };
        let mut plays = shared.plays.lock().unwrap_or_else(PoisonError::into_inner);
        plays.spawn(work);
        plays
    };
    // What ended is let go.
    while plays.try_join_next().is_some() {}
}

impl Target {
    fn parts(&self) -> Self {
        let Self { group, namespace, resource, name } = self;
        Self {
            group: group.clone(),
            namespace: namespace.clone(),
            resource: resource.clone(),
            name: name.clone(),
        }
    }
}
