//! The endpoints, as `workflow.proto` and `workflow-archive.proto` of Argo Workflows 4.0 lay them out.

use crate::gate::gate;
use crate::lifecycle::{go, made_of};
use crate::reply::{Answer, Refusal, json_response, only};
use crate::state::{Key, Shared, State as Store, Workflow};
use crate::{retry, stream};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) type Asked = Query<HashMap<String, String>>;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/workflows/{namespace}/submit", post(submit))
        .route("/api/v1/workflows/{namespace}/{name}", get(read))
        .route("/api/v1/workflows/{namespace}/{name}/{verb}", put(act))
        .route("/api/v1/archived-workflows", get(list_archived))
        .route("/api/v1/archived-workflows/{uid}", get(read_archived))
        .route("/api/v1/archived-workflows/{uid}/retry", put(retry_archived))
        .route("/api/v1/workflow-events/{namespace}", get(stream::events))
        .fallback(async || Refusal::not_found("Not Found"))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate))
        .with_state(shared)
}

fn respond(answer: Answer) -> Response {
    match answer {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(refusal) => refusal.into_response(),
    }
}

fn body(bytes: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::invalid(error.to_string()))
}

async fn submit(State(cx): State<Arc<Shared>>, Path(namespace): Path<String>, bytes: Bytes) -> Response {
    respond(submitted(&cx, namespace, &bytes))
}

fn submitted(cx: &Arc<Shared>, namespace: String, bytes: &Bytes) -> Answer {
    let request = body(bytes)?;
    let (kind, wanted) = (&request["resourceKind"], request["resourceName"].as_str().unwrap_or_default());
    let is_cluster = match kind.as_str() {
        Some("WorkflowTemplate") => false,
        Some("ClusterWorkflowTemplate") => true,
        _ => return Err(Refusal::invalid(format!("Resource kind {kind} is not supported for submitting"))),
    };
    let fits = |namespaced: &Option<String>| match namespaced {
        None => is_cluster,
        Some(of) => !is_cluster && *of == namespace,
    };
    let template = cx.options.templates.iter().find(|it| it.name == wanted && fits(&it.namespace));
    let plural = if is_cluster { "clusterworkflowtemplates" } else { "workflowtemplates" };
    let missing = || Refusal::not_found(format!("{plural}.argoproj.io \"{wanted}\" not found"));
    let options = &request["submitOptions"];
    let name = options["name"].as_str().filter(|name| name.len() <= 63);
    let name = name.ok_or_else(|| Refusal::invalid("the name must be given, with 63 characters at most"))?;
    let key = (namespace, name.to_owned());
    let workflow = made_of(template.ok_or_else(missing)?, &key, options)?;
    if !cx.options.namespaces.contains(&key.0) {
        return Err(Refusal::not_found(format!("namespaces \"{}\" not found", key.0)));
    }
    let object = cx.change(|state| {
        if state.workflows.contains_key(&key) {
            return Err(Refusal::exists(format!("workflows.argoproj.io \"{}\" already exists", key.1)));
        }
        state.submitted += 1;
        Ok(state.insert(key.clone(), workflow))
    })?;
    go(cx, key);
    Ok(object)
}

fn no_workflow(name: &str) -> Refusal {
    Refusal::not_found(format!("workflows.argoproj.io \"{name}\" not found"))
}

async fn read(State(cx): State<Arc<Shared>>, Path(key): Path<Key>, Query(asked): Asked) -> Response {
    let fields = asked.get("fields").map_or("", String::as_str);
    respond(found(&cx, &key).map(|object| only(object, fields)))
}

fn found(cx: &Shared, key: &Key) -> Answer {
    let state = cx.lock();
    if let Some(workflow) = state.workflows.get(key) {
        return Ok(workflow.object.clone());
    }
    let archived = cx.options.reads_archive.then(|| archived(&state, key)).flatten();
    archived.ok_or_else(|| no_workflow(&key.1))
}

fn archived(state: &Store, key: &Key) -> Option<Value> {
    let is_it =
        |object: &&Value| object["metadata"]["namespace"] == key.0 && object["metadata"]["name"] == key.1;
    state.archive.values().find(is_it).cloned()
}

async fn act(
    State(cx): State<Arc<Shared>>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
    bytes: Bytes,
) -> Response {
    let key = (namespace, name);
    respond(match verb.as_str() {
        "stop" => ended(&cx, key, "Stop"),
        "terminate" => ended(&cx, key, "Terminate"),
        "resume" => resumed(&cx, &key),
        "retry" => body(&bytes).and_then(|request| retried(&cx, key, &request)),
        _ => Err(Refusal::not_found("Not Found")),
    })
}

/// Asks for the end; the controller sees to it a moment later.
fn ended(cx: &Arc<Shared>, key: Key, strategy: &'static str) -> Answer {
    let (object, epoch) = cx.change(|state| {
        let workflow = state.workflows.get_mut(&key).ok_or_else(|| no_workflow(&key.1))?;
        if workflow.is_over() {
            let (name, namespace) = (&key.1, &key.0);
            let words = format!(
                "cannot shutdown a completed workflow: workflow: \"{name}\", namespace: \"{namespace}\""
            );
            return Err(Refusal::internal(words));
        }
        workflow.epoch += 1;
        let epoch = workflow.epoch;
        let object = state.edit(&key, |object| object["spec"]["shutdown"] = json!(strategy));
        object.map(|object| (object, epoch)).ok_or_else(|| no_workflow(&key.1))
    })?;
    let (cx_then, takes) = (Arc::clone(cx), cx.options.ending_takes);
    cx.tasks.spawn(async move {
        tokio::select! { () = tokio::time::sleep(takes) => {}, () = cx_then.stop.cancelled() => return }
        cx_then.change(|state| {
            let Some(workflow) = state.workflows.get(&key).filter(|it| it.epoch == epoch && !it.is_over())
            else {
                return;
            };
            if workflow.phase() == "Pending" {
                // The controller releases what is terminated while it waits as if it had run; what is stopped waits on.
                if strategy == "Terminate" {
                    state.finish(&key, "Succeeded", "", "");
                }
                return;
            }
            let words = format!("Stopped with strategy '{strategy}'");
            state.finish(&key, "Failed", &words, &format!("workflow shutdown with strategy:  {strategy}"));
        });
    });
    Ok(object)
}

fn resumed(cx: &Arc<Shared>, key: &Key) -> Answer {
    cx.change(|state| {
        if !state.workflows.contains_key(key) {
            return Err(no_workflow(&key.1));
        }
        state.edit(key, |object| {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("suspend");
            }
            let nodes = object["status"]["nodes"].as_object_mut().into_iter().flatten();
            for (_, node) in nodes.filter(|(_, node)| node["type"] == "Suspend" && node["phase"] == "Running")
            {
                node["phase"] = json!("Succeeded");
            }
        });
        state.finish(key, "Succeeded", "", "");
        Ok(state.workflows.get(key).map(|workflow| workflow.object.clone()).unwrap_or_default())
    })
}

fn retried(cx: &Arc<Shared>, key: Key, request: &Value) -> Answer {
    let object = cx.change(|state| {
        let workflow = state.workflows.get(&key).ok_or_else(|| no_workflow(&key.1))?;
        let new = retry::formulate(&workflow.object, request)?;
        state.edit(&key, |object| *object = new).ok_or_else(|| no_workflow(&key.1))
    })?;
    run_again(cx, key);
    Ok(object)
}

/// Lets it go once more, unless the template's parameters were forgotten.
fn run_again(cx: &Arc<Shared>, key: Key) {
    let lost = cx.change(|state| {
        let workflow = state.workflows.get(&key)?;
        let of = workflow.object["spec"]["workflowTemplateRef"]["name"].as_str()?;
        let template = cx.options.templates.iter().find(|template| template.name == of)?;
        let lost = retry::lost_parameter(&workflow.object, template)?;
        state.error(&key, &format!("failed to resolve {{{{workflow.parameters.{lost}}}}}"));
        Some(lost)
    });
    if lost.is_none() {
        go(cx, key);
    }
}

async fn list_archived(State(cx): State<Arc<Shared>>, Query(asked): Asked) -> Response {
    let state = cx.lock();
    let selector = asked.get("listOptions.fieldSelector").map_or("", String::as_str);
    let wanted =
        |field: &str| selector.split(',').find_map(|part| part.strip_prefix(field)?.strip_prefix('='));
    let (namespace, name) = (wanted("metadata.namespace"), wanted("metadata.name"));
    let fits = |object: &&Value| {
        let of = &object["metadata"];
        namespace.is_none_or(|wanted| of["namespace"] == wanted)
            && name.is_none_or(|wanted| of["name"] == wanted)
    };
    let without_nodes = |object: &Value| {
        let mut object = object.clone();
        if let Some(status) = object["status"].as_object_mut() {
            status.remove("nodes");
        }
        object
    };
    let items: Vec<Value> = state.archive.values().filter(fits).map(without_nodes).collect();
    json_response(
        StatusCode::OK,
        &json!({ "metadata": {}, "items": if items.is_empty() { Value::Null } else { json!(items) } }),
    )
}

async fn read_archived(State(cx): State<Arc<Shared>>, Path(uid): Path<String>) -> Response {
    let found = cx.lock().archive.get(&uid).cloned();
    respond(found.ok_or_else(|| Refusal::not_found("not found")))
}

async fn retry_archived(State(cx): State<Arc<Shared>>, Path(uid): Path<String>, bytes: Bytes) -> Response {
    respond(brought_back(&cx, &uid, &bytes))
}

fn brought_back(cx: &Arc<Shared>, uid: &str, bytes: &Bytes) -> Answer {
    let request = body(bytes)?;
    let (key, object) = cx.change(|state| {
        let old = state.archive.get(uid).cloned().ok_or_else(|| Refusal::not_found("not found"))?;
        let text = |field: &str| old["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        if state.workflows.contains_key(&key) {
            return Err(Refusal::exists("Workflow already exists on cluster, use argo retry {name} instead"));
        }
        let mut new = retry::formulate(&old, &request)?;
        new["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
        let of = new["spec"]["workflowTemplateRef"]["name"].as_str().unwrap_or_default();
        let plan = cx.options.templates.iter().find(|it| it.name == of).map(|it| it.plan.clone());
        let plan = plan
            .ok_or_else(|| Refusal::not_found(format!("workflowtemplates.argoproj.io \"{of}\" not found")))?;
        let object = state.insert(key.clone(), Workflow { object: new, plan, epoch: 0 });
        Ok((key, object))
    })?;
    run_again(cx, key);
    Ok(object)
}
