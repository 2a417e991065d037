//! Providers against little servers on the loopback interface: what they are sent, what their answers mean, and what is never
//! asked, followed or said.

use super::*;
use axum::Router;
use axum::extract::{RawQuery, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{any, get};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::task::JoinSet;

const SECRET: &str = "hunter2-hunter2";
const OTHERS: &str = "swordfish-swordfish";

/// A server, and what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(routes: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<(String, HeaderMap)>>>::default();
        let heard = Arc::clone(&asked);
        let hear = axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
            let what = format!("{} {}", request.method(), request.uri());
            heard.lock().unwrap().push((what, request.headers().clone()));
            next.run(request)
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes.layer(hear)).await.unwrap() });
        Self { address, asked, _serving: serving }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }

    fn header(&self, name: &str) -> String {
        let asked = self.asked.lock().unwrap();
        let (_, headers) = asked.last().expect("it was asked");
        headers.get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn providers(networks: &[&str]) -> Providers {
    let secrets = [
        ("CTRLPLANE_SECRET_VAR_ACME_TOKEN", SECRET),
        ("CTRLPLANE_SECRET_VAR_ACME_MULTILINE", "a\nb"),
        ("CTRLPLANE_SECRET_VAR_GLOBEX_KEY", OTHERS),
        ("CTRLPLANE_SECRET_KEY", OTHERS),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Providers::new(Arc::new(Secrets::new(None, secrets)), networks, Clock::real()).unwrap()
}

fn open() -> Providers {
    providers(&["127.0.0.0/8"])
}

fn metric(provider: Value, success: &str) -> Metric {
    serde_json::from_value(json!({ "name": "m", "successCondition": success, "provider": provider })).unwrap()
}

async fn measure(providers: &Providers, metric: &Metric) -> (Reading, String) {
    let (reading, why) = providers.measure(&Slug::of_name("acme"), metric).await;
    assert!(!why.contains(SECRET) && !why.contains(OTHERS), "{why}");
    (reading, why)
}

async fn http(providers: &Providers, url: String, success: &str) -> (Reading, String) {
    measure(providers, &metric(json!({ "type": "http", "url": url, "timeoutSeconds": 1 }), success)).await
}

fn web() -> Router {
    Router::new()
        .route("/ok", get(|| async { ([("x-one", "1")], axum::Json(json!({ "status": "up", "n": 3 }))) }))
        .route("/broken", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "out of order") }))
        .route("/no-json", get(|| async { "{\"status\": " }))
        .route("/away", get(|| async { Redirect::temporary("/ok") }))
        .route("/large", get(|| async { "1".repeat(200 * 1024) }))
        .route("/never", get(std::future::pending::<()>))
        .route("/echo", any(|headers: HeaderMap, body: String| async move { format!("{headers:?} {body}") }))
}

#[tokio::test]
async fn any_answer_is_a_measurement_and_the_condition_says_what_it_means() {
    let (server, providers) = (Server::start(web()).await, open());
    for (path, condition, reading) in [
        (
            "/ok",
            "result.statusCode == 200 && result.json.status == 'up' && result.json.n == 3",
            Reading::Good,
        ),
        ("/ok", "result.headers['x-one'] == '1' && result.durationMs < 1000", Reading::Good),
        ("/ok", "result.json.status == 'down'", Reading::Bad),
        ("/ok", "result.json.nothing == 1", Reading::Unclear),
        ("/broken", "result.statusCode == 200", Reading::Bad),
        ("/broken", "result.statusCode == 500 && result.body == 'out of order'", Reading::Good),
        ("/no-json", "result.json == null && result.body.startsWith('{')", Reading::Good),
        // A redirect is an answer; where it leads is not asked.
        ("/away", "result.statusCode == 307 && result.headers.location == '/ok'", Reading::Good),
        ("/large", "size(result.body) == 65536 && result.json == null", Reading::Good),
        ("/nothing", "result.statusCode == 404", Reading::Good),
    ] {
        let before = server.asked().len();
        let (measured, why) = http(&providers, server.url(path), condition).await;
        assert_eq!(measured, reading, "{path}: {why}");
        assert_eq!(server.asked().len(), before + 1, "{path} is asked once, and nothing else");
    }
    let (_, why) = http(&providers, server.url("/broken"), "result.statusCode == 200").await;
    assert_eq!(why, "status 500: `result.statusCode == 200` is not true");
}

#[tokio::test]
async fn no_answer_is_an_error() {
    let (server, providers) = (Server::start(web()).await, open());
    let (reading, why) = http(&providers, server.url("/never"), "true").await;
    assert_eq!((reading, why.as_str()), (Reading::Error, "no answer within 1 s"));
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/?key=plain", nobody.local_addr().unwrap());
    let (reading, why) = http(&providers, url, "true").await;
    assert!(reading == Reading::Error && !why.contains("plain"), "{why}");
    let (reading, _) = http(&providers, "http://name.invalid/".to_owned(), "true").await;
    assert_eq!(reading, Reading::Error);
}

#[tokio::test]
async fn what_is_not_public_is_refused_before_it_hears_of_it() {
    let server = Server::start(web()).await;
    let (closed, port) = (providers(&["10.0.0.0/8"]), server.address.port());
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST.",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "192.168.0.1",
        "[fd00:ec2::254]",
    ] {
        let (reading, why) = http(&closed, format!("http://{host}:{port}/ok"), "true").await;
        assert_eq!(reading, Reading::Error, "{host}: {why}");
        assert!(
            why.contains("networks") || why.contains("resolve") || why.contains("lookup"),
            "{host}: {why}"
        );
    }
    let prometheus = json!({ "type": "prometheus", "address": server.url(""), "query": "up" });
    let datadog = json!({ "type": "datadog", "site": server.url(""), "query": "up", "apiKeySecret": "token",
        "appKeySecret": "token" });
    for provider in [prometheus, datadog] {
        let (reading, why) = measure(&closed, &metric(provider, "true")).await;
        assert!(reading == Reading::Error && why.contains("networks"), "{why}");
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    let (reading, why) = http(&open(), format!("http://localhost:{port}/ok"), "true").await;
    assert_eq!(reading, Reading::Good, "a name that leads into an open network: {why}");
}

#[tokio::test]
async fn a_secret_is_sent_and_never_said() {
    let (server, providers) = (Server::start(web()).await, open());
    let ask = |secret: &str, condition: &str| {
        let provider = json!({ "type": "http", "url": server.url("/echo"), "method": "post", "body": "hello",
            "headers": { "x-plain": "plain" }, "secretHeaders": { "Authorization": secret } });
        metric(provider, condition)
    };
    let (reading, why) = measure(&providers, &ask("token", "result.body.contains('hello')")).await;
    assert_eq!(reading, Reading::Good, "{why}");
    assert_eq!(
        (server.header("authorization").as_str(), server.header("x-plain").as_str()),
        (SECRET, "plain")
    );
    assert_eq!(server.header("traceparent"), "", "nothing of ours goes out");
    // The answer echoes it: a condition that fails, in whatever way, does not quote it.
    for condition in ["result.body == ''", "result.body < 1", "result.json.x == 1", "1"] {
        let (reading, _) = measure(&providers, &ask("token", condition)).await;
        assert_ne!(reading, Reading::Good);
    }
    let before = server.asked().len();
    for (secret, words) in
        [("missing", "var-acme-missing"), ("key", "var-acme-key"), ("multiline", "cannot be sent")]
    {
        let (reading, why) = measure(&providers, &ask(secret, "true")).await;
        assert!(reading == Reading::Error && why.contains(words), "{secret}: {why}");
    }
    assert_eq!(server.asked().len(), before, "nothing is asked without its secret");
}

#[tokio::test]
async fn prometheus_is_asked_by_its_own_api() {
    let answer = |RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        let result = match query.as_str() {
            "query=empty" => json!([]),
            "query=rate%28errors%5B5m%5D%29" => {
                json!([{ "metric": {}, "value": [1, "0.25"] }, { "metric": {}, "value": [1, "3"] }])
            }
            _ => return (StatusCode::BAD_REQUEST, "no such query: hunter2".to_owned()),
        };
        let data = json!({ "status": "success", "data": { "resultType": "vector", "result": result } });
        (StatusCode::OK, data.to_string())
    };
    let server = Server::start(Router::new().route("/base/api/v1/query", get(answer))).await;
    let providers = open();
    let ask = |query: &str, condition: &str| {
        let provider = json!({ "type": "prometheus", "address": server.url("/base/"), "query": query,
            "headers": { "x-scope-orgid": "acme" }, "bearerTokenSecret": "token" });
        metric(provider, condition)
    };
    let good =
        ask("rate(errors[5m])", "result.value < 1 && size(result.values) == 2 && result.values[1] == 3");
    let (reading, why) = measure(&providers, &good).await;
    assert_eq!(reading, Reading::Good, "{why}");
    assert!(why.starts_with("value 0.25, the first of 2: "), "{why}");
    assert_eq!(server.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(server.header("x-scope-orgid"), "acme");
    let (reading, why) = measure(&providers, &ask("empty", "result.value < 1")).await;
    assert_eq!(
        (reading, why.as_str()),
        (Reading::Unclear, "no value: `result.value < 1` cannot be evaluated on what came")
    );
    let (reading, why) = measure(&providers, &ask("nonsense", "true")).await;
    assert_eq!((reading, why.as_str()), (Reading::Error, "prometheus answered 400"));
}

#[tokio::test]
async fn datadog_is_asked_by_its_own_api() {
    let answer = || async {
        axum::Json(json!({ "status": "ok", "series": [{ "pointlist": [[1, 4.0], [2, 2.0], [3, null]] }] }))
    };
    let server = Server::start(Router::new().route("/api/v1/query", get(answer))).await;
    let provider = json!({ "type": "datadog", "site": server.url(""), "query": "avg:errors{env:prod}", "aggregator": "avg",
        "lookbackSeconds": 60, "apiKeySecret": "token", "appKeySecret": "TOKEN" });
    let (reading, why) = measure(&open(), &metric(provider, "result.value == 3")).await;
    assert_eq!(reading, Reading::Good, "{why}");
    assert_eq!(
        (server.header("dd-api-key").as_str(), server.header("dd-application-key").as_str()),
        (SECRET, SECRET)
    );
    let asked = server.asked().remove(0);
    let query: Vec<&str> = asked.split(['?', '&']).collect();
    let number = |part: &str| part.split_once('=').unwrap().1.parse::<i64>().unwrap();
    assert_eq!(number(query[2]) - number(query[1]), 60, "{asked}");
    assert_eq!(query[3], "query=avg%3Aerrors%7Benv%3Aprod%7D");
}

#[tokio::test]
async fn a_pause_needs_nobody() {
    let pause = metric(json!({ "type": "sleep", "durationSeconds": 5 }), "true");
    assert_eq!(measure(&providers(&[]), &pause).await.0, Reading::Good);
}

#[test]
fn what_cannot_be_measured_is_refused_beforehand() {
    let http = |more: Value| {
        let mut provider = json!({ "type": "http", "url": "https://shop.example/health" });
        for (key, value) in more.as_object().unwrap() {
            provider[key] = value.clone();
        }
        check(&metric(provider, "true"))
    };
    assert_eq!(http(json!({})), Ok(()));
    for bad in [
        json!({ "url": "shop.example" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "unix:/run/docker.sock" }),
        json!({ "method": "DELETE" }),
        json!({ "headers": { "a b": "c" } }),
        json!({ "headers": { "x": "a\r\nb: c" } }),
        json!({ "headers": { "Host": "other" } }),
        json!({ "secretHeaders": { "transfer-encoding": "token" } }),
    ] {
        assert!(http(bad.clone()).is_err(), "{bad}");
    }
    assert!(check(&metric(json!({ "type": "sleep", "durationSeconds": 1 }), "result.x ==")).is_err());
}
