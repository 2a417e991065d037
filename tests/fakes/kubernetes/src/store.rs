//! Objects, their versions, and every change since the last compaction.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Names a collection: `jobs`, `pods`.
pub(crate) type Resource = String;

/// A change, as a watch tells it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

/// Everything there is.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) version: u64,
    /// Watches from before this version are too late.
    pub(crate) compacted: u64,
    pub(crate) namespaces: BTreeSet<String>,
    objects: BTreeMap<(Resource, String, String), Value>,
    events: Vec<Event>,
}

impl Store {
    /// Empty, at that version.
    pub(crate) fn at(version: u64, namespaces: impl IntoIterator<Item = String>) -> Self {
        Self { version, namespaces: namespaces.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn all<'s>(
        &'s self,
        resource: &'s str,
        namespace: &'s str,
    ) -> impl Iterator<Item = &'s Value> {
        let of = move |key: &(Resource, String, String)| {
            key.0 == resource && (namespace.is_empty() || key.1 == namespace)
        };
        self.objects.iter().filter(move |(key, _)| of(key)).map(|(_, object)| object)
    }

    /// Stores an object, new or changed, and says how it is then. What is as it was is no change.
    pub(crate) fn put(&mut self, resource: &str, mut object: Value) -> Value {
        let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let key = (resource.to_owned(), namespace.clone(), name);
        let known = self.objects.get(&key);
        if known == Some(&object) {
            return object;
        }
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        self.version += 1;
        let metadata = metadata(&mut object);
        metadata.insert("resourceVersion".to_owned(), self.version.to_string().into());
        metadata.entry("uid").or_insert_with(|| Uuid::new_v4().to_string().into());
        metadata.entry("creationTimestamp").or_insert_with(|| now().into());
        self.objects.insert(key, object.clone());
        self.tell(resource, namespace, kind, object.clone());
        object
    }

    /// Removes an object and says how it was.
    pub(crate) fn remove(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut object =
            self.objects.remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned()))?;
        self.version += 1;
        metadata(&mut object).insert("resourceVersion".to_owned(), self.version.to_string().into());
        self.tell(resource, namespace.to_owned(), "DELETED", object.clone());
        Some(object)
    }

    fn tell(&mut self, resource: &str, namespace: String, kind: &'static str, object: Value) {
        let (version, resource) = (self.version, resource.to_owned());
        self.events.push(Event { version, resource, namespace, kind, object });
    }

    /// What changed since.
    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().skip_while(move |event| event.version <= version)
    }

    /// Forgets what happened: every open position is too old from now on.
    pub(crate) fn compact(&mut self) {
        self.version += 1;
        self.compacted = self.version;
        self.events.clear();
    }
}

pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("it was just made a map")
}

pub(crate) fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// RFC 7386: null removes, maps are merged, everything else replaces.
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    for (field, value) in patch {
        if value.is_null() {
            into.remove(field);
        } else {
            merge(into.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_removes_replaces_and_merges() {
        let mut object = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        merge(&mut object, &json!({ "a": { "b": null, "e": 3 }, "d": [2], "f": { "g": 4 } }));
        assert_eq!(object, json!({ "a": { "c": 2, "e": 3 }, "d": [2], "f": { "g": 4 } }));
    }

    #[test]
    fn every_change_has_a_version_and_is_told() {
        let mut store = Store::default();
        let made = store.put("jobs", json!({ "metadata": { "namespace": "ci", "name": "a" } }));
        assert_eq!(store.put("jobs", made.clone()), made, "as it was");
        let mut changed = made;
        changed["spec"] = json!({});
        store.put("jobs", changed);
        store.remove("jobs", "ci", "a").expect("it is there");
        let told: Vec<_> = store.since(0).map(|event| (event.version, event.kind)).collect();
        assert_eq!(told, [(1, "ADDED"), (2, "MODIFIED"), (3, "DELETED")]);
        assert_eq!(store.since(2).count(), 1);
    }
}
