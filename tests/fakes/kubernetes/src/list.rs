//! Lists in pages, and watches.

use crate::access::status;
use crate::server::Shared;
use crate::store::{Event, text};
use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a watch that hears nothing says how far it is.
const BOOKMARK: Duration = Duration::from_secs(5);

/// Whether an object has the labels: `a`, `!a`, `a=b`, with commas between.
pub(crate) fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').map(str::trim).filter(|part| !part.is_empty()).all(|part| {
        if let Some(absent) = part.strip_prefix('!') {
            return labels.get(absent).is_none();
        }
        match part.split_once('=') {
            Some((name, value)) => {
                labels.get(name).and_then(Value::as_str) == Some(value.trim_start_matches('='))
            }
            None => labels.get(part).is_some(),
        }
    })
}

/// A page of a list.
pub(crate) fn page(
    shared: &Shared,
    resource: &str,
    namespace: &str,
    selector: &str,
    limit: usize,
    next: &str,
) -> Result<Value, Value> {
    let world = shared.world();
    let store = &world.store;
    let (version, after) = match next.split_once('/') {
        Some((version, after)) => (version.parse().unwrap_or(0), after.to_owned()),
        None => (store.version, String::new()),
    };
    if version < store.compacted {
        return Err(status(410, "Expired", "The provided continue parameter is too old", "", ""));
    }
    let all = store.all(resource, namespace).filter(|object| selects(selector, object));
    let mut items: Vec<Value> =
        all.filter(|object| text(object, "/metadata/name") > after).cloned().collect();
    let more = limit > 0 && items.len() > limit;
    if more {
        items.truncate(limit);
    }
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if let (true, Some(last)) = (more, items.last()) {
        metadata["continue"] = format!("{version}/{}", text(last, "/metadata/name")).into();
    }
    Ok(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
}

struct Watching {
    shared: Arc<Shared>,
    resource: String,
    namespace: String,
    selector: String,
    version: u64,
    ready: VecDeque<Value>,
    changes: watch::Receiver<u64>,
    cuts: watch::Receiver<u64>,
    until: Instant,
    is_over: bool,
}

/// What changes from that version on, a line for each.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    resource: &str,
    namespace: &str,
    selector: &str,
    version: u64,
    seconds: u64,
) -> Body {
    let watching = Watching {
        shared: Arc::clone(shared),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        selector: selector.to_owned(),
        version,
        ready: VecDeque::new(),
        changes: shared.changes.subscribe(),
        cuts: shared.cuts.subscribe(),
        until: Instant::now() + Duration::from_secs(seconds),
        is_over: false,
    };
    Body::from_stream(stream::unfold(watching, |mut watching| async {
        let line = watching.next().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), watching))
    }))
}

impl Watching {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            self.changes.borrow_and_update();
            self.read();
            if !self.ready.is_empty() || self.is_over {
                continue;
            }
            let bookmark = tokio::time::sleep(BOOKMARK);
            tokio::select! {
                changed = self.changes.changed() => self.is_over = changed.is_err(),
                _ = self.cuts.changed() => self.is_over = true,
                () = tokio::time::sleep_until(self.until) => self.is_over = true,
                () = bookmark => {
                    let metadata = json!({ "resourceVersion": self.version.to_string(), "creationTimestamp": null });
                    return Some(json!({ "type": "BOOKMARK", "object": { "kind": "Job", "apiVersion": "batch/v1", "metadata": metadata } }));
                }
            }
        }
    }

    fn read(&mut self) {
        let mut world = self.shared.world();
        let chaos = world.chaos.clone();
        if self.version < world.store.compacted || world.dice.falls(chaos.expired) {
            let gone =
                status(410, "Expired", "The resourceVersion for the provided watch is too old.", "", "");
            self.ready.push_back(json!({ "type": "ERROR", "object": gone }));
            self.is_over = true;
            return;
        }
        let of = |event: &&Event| {
            event.resource == self.resource
                && event.namespace == self.namespace
                && selects(&self.selector, &event.object)
        };
        let events: Vec<Value> = world
            .store
            .since(self.version)
            .filter(of)
            .map(|event| json!({ "type": event.kind, "object": event.object }))
            .collect();
        self.version = world.store.version;
        if !events.is_empty() && world.dice.falls(chaos.cut) {
            self.is_over = true;
        }
        self.ready.extend(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_ask_for_labels() {
        let object = json!({ "metadata": { "labels": { "a": "b", "c/d": "" } } });
        for (selector, selected) in [
            ("", true),
            ("a", true),
            ("a=b", true),
            ("a==b", true),
            ("a=c", false),
            ("c/d", true),
            ("x", false),
            ("!x", true),
            ("!a", false),
            ("a,x", false),
        ] {
            assert_eq!(selects(selector, &object), selected, "{selector:?}");
        }
    }
}
