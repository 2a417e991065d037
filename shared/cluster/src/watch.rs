//! List and watch: everything there is, then every change. Classic list+watch, which every API server has: streaming lists
//! need a newer etcd than some distributions ship.

use crate::budget::Turn;
use crate::call::{Call, Cluster, of_error, request};
use crate::connect::said;
use crate::refusal::{Refused, of_status};
use crate::wire::{Details, Metadata, Status};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::Method;
use kube::core::WatchEvent;
use platform::CallError;
use platform::http::Effect;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How many objects a page of a list has.
const PAGE_MAX: &str = "500";
/// The server ends a watch after this long, and it is continued where it ended.
const WATCH_SECONDS: u64 = 240;
/// A connection on which nothing comes for so long is dead: the server would have ended it.
const SILENT_MAX: Duration = Duration::from_secs(WATCH_SECONDS + 30);
/// A watch that ends sooner than this is not continued at once.
const SHORT: Duration = Duration::from_secs(1);
/// How often a list whose pages expire is begun anew.
const LISTS_MAX: usize = 3;

/// An object of a watched collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object, as it is or as it last was.
    pub object: Value,
    /// Whether it is there, or was deleted.
    pub seen: Seen,
}

/// Whether an object is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is.
    There,
    /// It was deleted.
    Deleted,
}

/// What the API server tells of a collection.
type Events = BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>;

/// A watch of a collection.
pub struct Watch {
    cluster: Cluster,
    path: String,
    selector: String,
    ready: VecDeque<Change>,
    /// What there is, by name, so that a new list tells what is gone.
    known: BTreeMap<String, Value>,
    /// Where to go on; `None`: list first.
    version: Option<String>,
    open: Option<(Events, Instant)>,
}

/// Watches the objects of the collection at `path` that have the labels of `selector`.
pub fn watch(cluster: Cluster, path: &str, selector: &str) -> Watch {
    Watch {
        cluster,
        path: path.to_owned(),
        selector: selector.to_owned(),
        ready: VecDeque::new(),
        known: BTreeMap::new(),
        version: None,
        open: None,
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Watch {
    /// The next object: first all there are, then each as it changes. To be called again until it fails; not to be dropped
    /// half-way if it is called again.
    ///
    /// # Errors
    /// What cannot be healed by listing or watching once more.
    pub async fn next(&mut self) -> Result<Change, CallError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let Some(version) = self.version.clone() else {
                self.list().await?;
                continue;
            };
            let Some((stream, since)) = &mut self.open else {
                self.open(&version).await?;
                continue;
            };
            let event = tokio::time::timeout(SILENT_MAX, stream.next()).await;
            let was_short = since.elapsed() < SHORT;
            match event {
                Ok(Some(Ok(event))) => self.event(event).await?,
                Ok(Some(Err(error))) => {
                    tracing::debug!(path = self.path, "a watch broke and is continued: {}", said(&error));
                    self.ended(was_short).await;
                }
                Ok(None) | Err(_) => self.ended(was_short).await,
            }
        }
    }

    async fn ended(&mut self, was_short: bool) {
        self.open = None;
        if was_short {
            tokio::time::sleep(SHORT).await;
        }
    }

    async fn list(&mut self) -> Result<(), CallError> {
        for _ in 0..LISTS_MAX {
            match self.pages().await {
                Ok((items, version)) => {
                    let mut gone = std::mem::take(&mut self.known);
                    for object in items {
                        gone.remove(&name(&object));
                        self.is(object);
                    }
                    self.ready
                        .extend(gone.into_values().map(|object| Change { object, seen: Seen::Deleted }));
                    self.version = Some(version);
                    self.open = None;
                    return Ok(());
                }
                Err(Refused::Expired(_)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(CallError::Transient("the pages of a list expire faster than they can be read".to_owned()))
    }

    async fn pages(&mut self) -> Result<(Vec<Value>, String), Refused> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("labelSelector", self.selector.as_str()), ("limit", PAGE_MAX)];
            query.extend(next.as_deref().map(|next| ("continue", next)));
            let page: List = self.cluster.get(&self.path, &query).await?;
            items.extend(page.items);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(more) => next = Some(more),
                None => return Ok((items, page.metadata.resource_version)),
            }
        }
    }

    async fn open(&mut self, version: &str) -> Result<(), CallError> {
        let seconds = WATCH_SECONDS.to_string();
        let query = [
            ("watch", "1"),
            ("labelSelector", self.selector.as_str()),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let (method, content_type, body, effect) = (Method::GET, None, Vec::new(), Effect::Read);
        let turn = Turn::Ask;
        let call = Call { method, path: &self.path, query: &query, content_type, body, effect, turn };
        // A watch that is open takes no place from the calls: only its beginning is one.
        let _slot = self.cluster.budget.enter(turn).await?;
        let opened = self.cluster.client.request_events::<Value>(request(&call)?);
        match tokio::time::timeout(self.cluster.deadline, opened).await {
            Ok(Ok(stream)) => {
                self.open = Some((stream.boxed(), Instant::now()));
                Ok(())
            }
            Ok(Err(kube::Error::Api(status))) => self.refused(&status).await,
            Ok(Err(error)) => Err(of_error(&error, Effect::Read)),
            Err(_) => Err(CallError::Transient("the API server does not begin the watch".to_owned())),
        }
    }

    async fn event(&mut self, event: WatchEvent<Value>) -> Result<(), CallError> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.moved_to(&object);
                self.is(object);
            }
            WatchEvent::Deleted(object) => {
                self.moved_to(&object);
                self.known.remove(&name(&object));
                self.ready.push_back(Change { object, seen: Seen::Deleted });
            }
            WatchEvent::Bookmark(bookmark) => self.version = Some(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return self.refused(&status).await,
        }
        Ok(())
    }

    /// A position that is too old is left: the next list makes up for what was missed.
    async fn refused(&mut self, status: &kube::core::Status) -> Result<(), CallError> {
        if status.code == 401 {
            self.cluster.clusters.forget(&self.cluster.access.sign_in);
        }
        let details = status.details.as_ref();
        let said = Status {
            code: status.code,
            message: status.message.clone(),
            reason: status.reason.clone(),
            details: Details {
                kind: details.map(|details| details.kind.clone()).unwrap_or_default(),
                name: details.map(|details| details.name.clone()).unwrap_or_default(),
                retry_after_seconds: details
                    .map(|details| details.retry_after_seconds.into())
                    .filter(|after| *after > 0),
            },
        };
        let refused = of_status(&said, Effect::Read, &self.cluster.whose);
        self.cluster.budget.learn(&refused).await;
        match refused {
            Refused::Expired(why) => {
                tracing::info!(path = self.path, "the position of a watch is too old, it lists anew: {why}");
                (self.version, self.open) = (None, None);
                Ok(())
            }
            refused @ (Refused::NotFound(_) | Refused::Conflict(_) | Refused::Call(_)) => Err(refused.into()),
        }
    }

    fn is(&mut self, object: Value) {
        // What is gone is told by its metadata: no more is kept.
        let kept = serde_json::json!({ "metadata": object.get("metadata") });
        self.known.insert(name(&object), kept);
        self.ready.push_back(Change { object, seen: Seen::There });
    }

    fn moved_to(&mut self, object: &Value) {
        let version = metadata(object).resource_version;
        if !version.is_empty() {
            self.version = Some(version);
        }
    }
}

fn metadata(object: &Value) -> Metadata {
    object.get("metadata").and_then(|metadata| Metadata::deserialize(metadata).ok()).unwrap_or_default()
}

fn name(object: &Value) -> String {
    metadata(object).name
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("path", &self.path)
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}
