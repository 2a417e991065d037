//! The event stream of a namespace: how everything stands, then every change, as server-sent events.

use crate::news::NewsFault;
use crate::reply::{Refusal, only};
use crate::routes::Asked;
use crate::state::{Shared, State as Store};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

struct Follower {
    cx: Arc<Shared>,
    namespace: String,
    /// `name` or `name=value`.
    selector: String,
    fields: String,
    seen: u64,
    version: watch::Receiver<u64>,
    cuts: watch::Receiver<u64>,
    ready: VecDeque<String>,
    over: bool,
}

pub(crate) async fn events(
    State(cx): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(asked): Asked,
) -> Response {
    let text = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let fields = text("fields").replace("result.object.", "").replace("result.type,", "");
    let mut follower = Follower {
        version: cx.version.subscribe(),
        cuts: cx.cuts.subscribe(),
        namespace,
        selector: text("listOptions.labelSelector"),
        fields,
        seen: 0,
        ready: VecDeque::new(),
        over: false,
        cx,
    };
    let from = text("listOptions.resourceVersion");
    if from.is_empty() {
        follower.everything();
    } else {
        match from.parse() {
            Ok(version) => follower.seen = version,
            Err(_) => return Refusal::invalid("invalid resource version").into_response(),
        }
    }
    let stream = futures::stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), follower))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

impl Follower {
    /// What stands there now, as if it had just come.
    fn everything(&mut self) {
        let cx = Arc::clone(&self.cx);
        let state = cx.lock();
        self.seen = state.version;
        let lines: Vec<String> = objects(&state).filter_map(|object| self.line("ADDED", object)).collect();
        self.ready.extend(lines);
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over || self.cx.stop.is_cancelled() {
                return None;
            }
            self.version.mark_unchanged();
            self.read_on();
            if !self.ready.is_empty() || self.over {
                continue;
            }
            tokio::select! {
                changed = self.version.changed() => { changed.ok()?; }
                cut = self.cuts.changed() => {
                    cut.ok()?;
                    self.over = true;
                    self.ready.push_back(failed(8, 429, "EOF"));
                }
                () = tokio::time::sleep(SIGN_OF_LIFE) => self.ready.push_back(":\n".to_owned()),
                () = self.cx.stop.cancelled() => return None,
            }
        }
    }

    fn read_on(&mut self) {
        let cx = Arc::clone(&self.cx);
        let mut state = cx.lock();
        let Some(changes) = state.history.after(self.seen) else {
            self.over = true;
            let words = format!("too old resource version: {} ({})", self.seen, state.version);
            self.ready.push_back(failed(3, 400, &words));
            return;
        };
        let mut cut_at = None;
        for change in changes {
            self.seen = change.version;
            let line = self.line(change.kind, &change.object);
            match change.fault {
                None => self.ready.extend(line),
                Some(NewsFault::Drop) => {}
                Some(NewsFault::Repeat) => self.ready.extend(line.clone().into_iter().chain(line)),
                Some(NewsFault::Cut) => {
                    cut_at = Some(change.version);
                    break;
                }
            }
        }
        if let Some(version) = cut_at {
            self.over = true;
            // Whoever comes back for it gets it.
            state.history.mend(version);
        }
    }

    /// The line of a change; `None` where it is not asked for.
    fn line(&self, kind: &str, object: &Value) -> Option<String> {
        let of = &object["metadata"];
        let selected = match self.selector.split_once('=') {
            _ if self.selector.is_empty() => true,
            None => !of["labels"][&self.selector].is_null(),
            Some((name, value)) => of["labels"][name] == value,
        };
        let object =
            (of["namespace"] == self.namespace && selected).then(|| only(object.clone(), &self.fields))?;
        Some(format!("data: {}\n\n", json!({ "result": { "type": kind, "object": object } })))
    }
}

fn objects(state: &Store) -> impl Iterator<Item = &Value> {
    state.workflows.values().map(|workflow| &workflow.object)
}

fn failed(grpc: u8, http: u16, message: &str) -> String {
    let error = json!({ "grpc_code": grpc, "http_code": http, "message": message });
    format!("data: {}\n\n", json!({ "error": error }))
}
