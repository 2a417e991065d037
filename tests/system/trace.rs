//! One trace from the webhook to the call of the platform, and health and metrics on every service.

use crate::NODE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use system_tests::{Options, System, eventually, no_secret_left_a_trace, tell};

/// Trace id → names of the services that took part.
type Traces = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

async fn collect(State(traces): State<Traces>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut traces = traces.lock().unwrap();
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = attributes.iter().find(|attribute| attribute.key == "service.name");
        let service = format!("{:?}", service.and_then(|attribute| attribute.value.clone()));
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            traces.entry(hex::encode(&span.trace_id)).or_default().insert(service.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_from_the_webhook_to_the_call_of_the_platform() {
    let traces = Traces::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/traces", post(collect)).with_state(traces.clone());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await });

    let environment =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned())];
    let mut system = System::start(Options { environment, ..Options::new(NODE) }).await;
    tell(&mut system, "push v1\nv1 is successful in staging on stage-1").await;
    let run = system.github.runs().remove(0);
    let traceparent = run.traceparent.expect("the call of the platform carries the trace");
    let trace = traceparent.split('-').nth(1).unwrap().to_owned();
    let wanted = ["trigger-ingester", "policy-evaluator", "dispatcher", "agent-github-actions"];
    eventually("all four services are in the trace", Duration::from_secs(20), || async {
        let traces = traces.lock().unwrap();
        let seen = traces.get(&trace).cloned().unwrap_or_default();
        let missing =
            wanted.iter().filter(|name| !seen.iter().any(|service| service.contains(**name))).count();
        if missing == 0 { Ok(()) } else { Err(format!("trace {trace}: {seen:?} of {traces:?}")) }
    })
    .await;
    serving.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_says_how_it_is_and_drains_when_asked() {
    let mut system = System::start(Options::new(NODE)).await;
    tell(&mut system, "push v1\nv1 is successful in staging on stage-1").await;
    for process in &system.processes {
        let base = format!("http://{}", process.address().await);
        for (path, contains) in
            [("/livez", "alive"), ("/readyz", "\"ready\":true"), ("/metrics", "ctrlplane_build_info{")]
        {
            let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
            assert_eq!(answer.status(), 200, "{} {path}", process.service());
            let text = answer.text().await.unwrap();
            assert!(text.contains(contains), "{} {path}: {text}", process.service());
        }
    }
    for process in &mut system.processes {
        assert!(process.stop().await.success(), "{}\n{}", process.service(), process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_a_stream_a_metric_an_answer_or_redis() {
    let mut system = System::start(Options::new(NODE)).await;
    tell(&mut system, include_str!("../stories/push_to_production.story")).await;
    let told = told(&system).await;
    assert!(told.contains("platform_budget_remaining{") && told.contains("\"budgets\":[{"), "{told}");
    no_secret_left_a_trace(&system, &[]).await;
}

/// What services and the doctor tell of budgets.
async fn told(system: &System) -> String {
    let mut told = system.client.get("/api/v1/doctor").await.unwrap().1.to_string();
    for process in &system.processes {
        let url = format!("http://{}/metrics", process.address().await);
        told += &reqwest::get(url).await.unwrap().text().await.unwrap();
    }
    told
}
