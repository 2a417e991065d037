//! One run: reading it, its attempts, jobs and pending deployments; cancelling and re-running it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use serde_json::json;

use crate::auth::Caller;
use crate::payload;
use crate::reply::Reply;
use crate::shared::{Record, Shared};

type Cx = State<Arc<Shared>>;
type Who = Extension<Caller>;
type RunPath = Path<(String, String, u64)>;

pub(super) async fn show(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    read(&cx, &caller, &path, |record| Reply::ok(payload::run(&cx.base_url, &record.run)))
}

pub(super) async fn attempt(
    State(cx): Cx,
    Extension(caller): Who,
    Path((owner, repo, id, attempt)): Path<(String, String, u64, u32)>,
) -> Reply {
    read(&cx, &caller, &(owner, repo, id), |record| {
        let mut attempts = record.earlier.iter().chain([&record.run]);
        match attempts.find(|run| run.run_attempt == attempt) {
            Some(run) => Reply::ok(payload::run(&cx.base_url, run)),
            None => Reply::not_found(),
        }
    })
}

pub(super) async fn jobs(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    read(&cx, &caller, &path, |record| {
        Reply::ok(json!({ "total_count": 1, "jobs": [payload::job(&cx.base_url, &record.run)] }))
    })
}

pub(super) async fn pending_deployments(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    read(&cx, &caller, &path, |record| Reply::ok(payload::pending_deployments(&cx.base_url, &record.run)))
}

pub(super) async fn cancel(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    write(&cx, &caller, &path, |state, id| state.cancel(id, false))
}

pub(super) async fn force_cancel(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    write(&cx, &caller, &path, |state, id| state.cancel(id, true))
}

pub(super) async fn rerun(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    write(&cx, &caller, &path, |state, id| state.rerun(id, false))
}

pub(super) async fn rerun_failed_jobs(State(cx): Cx, Extension(caller): Who, Path(path): RunPath) -> Reply {
    write(&cx, &caller, &path, |state, id| state.rerun(id, true))
}

fn read(
    cx: &Shared,
    caller: &Caller,
    (owner, repo, id): &(String, String, u64),
    show: impl FnOnce(&Record) -> Reply,
) -> Reply {
    match cx.stage.lock().run(caller, owner, repo, *id) {
        Ok(record) => show(record),
        Err(refusal) => refusal,
    }
}

fn write(
    cx: &Shared,
    caller: &Caller,
    (owner, repo, id): &(String, String, u64),
    act: impl FnOnce(&mut crate::shared::State, u64) -> Reply,
) -> Reply {
    cx.stage.change(|state| {
        if let Err(refusal) = state.run(caller, owner, repo, *id) {
            return refusal;
        }
        match caller.may_write_actions() {
            Ok(()) => act(state, *id),
            Err(refusal) => refusal,
        }
    })
}
