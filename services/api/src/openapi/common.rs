//! What holds for every operation, said once: who may call, the parts of the path, and how the API says no.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use crate::problem::{Fault, Problem};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const IF_MATCH: &str = "If-Match";
/// Needs no key.
const OPEN: [(&str, &str); 7] = [
    ("get", "/api/healthz"),
    ("get", "/api/version"),
    ("get", "/openapi.json"),
    ("post", "/api/v1/session"),
    ("get", "/api/v1/login"),
    ("get", "/api/v1/login/oidc"),
    ("get", "/api/v1/login/oidc/callback"),
];

/// The document with everything that its operations have in common.
pub(super) fn completed(mut document: Value) -> Value {
    document["info"] = json!({
        "title": "Ctrlplane", "version": env!("CARGO_PKG_VERSION"),
        "description": "What goes where and when, and what became of it. Lists are `{items,total,limit,offset}`, times RFC 3339, \
                        errors problem details (RFC 9457).",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["components"]["securitySchemes"] = json!({
        "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        "bearer": { "type": "http", "scheme": "bearer" },
    });
    document["components"]["schemas"]["Problem"] = json!(Problem::schema());
    document["components"]["schemas"]["Fault"] = json!(Fault::schema());
    let Some(Value::Object(paths)) = document.get_mut("paths") else { return document };
    for (path, item) in paths.iter_mut() {
        for method in METHODS {
            if let Some(Value::Object(operation)) = item.get_mut(method) {
                complete(path, method, operation);
            }
        }
    }
    document
}

fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    operation.insert("operationId".to_owned(), json!(name(path, method)));
    operation.insert("tags".to_owned(), json!([subject(path)]));
    let mut parameters = match operation.remove("parameters") {
        Some(Value::Array(parameters)) => parameters,
        _ => Vec::new(),
    };
    let condition = parameters.iter().any(|parameter| parameter["name"] == IF_MATCH);
    for segment in variables(path) {
        let schema = json!({ "type": "string", "minLength": 1 });
        parameters.push(json!({ "name": segment, "in": "path", "required": true, "schema": schema }));
    }
    let is_open = OPEN.contains(&(method, path));
    if method == "post" && !is_open {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            "description": "The same key with the same request gets the same answer, for a day.",
        }));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if !is_open {
        operation.insert("security".to_owned(), json!([{ "apiKey": [] }, { "bearer": [] }]));
    }
    let takes = Takes { body: operation.contains_key("requestBody"), condition };
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, why) in refusals(method, path, takes) {
        let content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        responses.entry(*status).or_insert_with(|| json!({ "description": why, "content": content }));
    }
}

/// What an operation is sent beside its path and query.
#[derive(Clone, Copy)]
struct Takes {
    body: bool,
    condition: bool,
}

/// Statuses with which the API says no.
fn refusals(method: &str, path: &str, takes: Takes) -> Vec<&'static (&'static str, &'static str)> {
    const ALWAYS: &[(&str, &str)] = &[("503", "Something behind the API is away: try again")];
    const WITH_KEY: &[(&str, &str)] = &[
        ("400", "Something that was sent does not fit; `errors` names the fields"),
        ("401", "No valid key"),
        ("403", "The key's role may not do this"),
        ("404", "There is no such thing, or it is another tenant's"),
        ("429", "Too many requests"),
    ];
    const WRITES: &[(&str, &str)] = &[("409", "What is there does not allow it")];
    const CONDITIONAL: &[(&str, &str)] = &[("412", "It is of another revision than `If-Match` names")];
    const BODIES: &[(&str, &str)] = &[("413", "The body is too large")];
    const ONCE: &[(&str, &str)] = &[("422", "The idempotency key was used for another request")];
    let is_open = OPEN.contains(&(method, path));
    let mut all: Vec<_> = ALWAYS.iter().collect();
    if !is_open || path.starts_with("/api/v1/") {
        all.extend(WITH_KEY);
    }
    if !is_open && method != "get" {
        all.extend(WRITES);
    }
    if takes.condition {
        all.extend(CONDITIONAL);
    }
    if takes.body || method == "post" {
        all.extend(BODIES);
    }
    if !is_open && (takes.body || method == "post") {
        all.extend(ONCE);
    }
    all
}

/// The variable segments of a path.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// What the operation is about: the first word after the workspace.
fn subject(path: &str) -> &str {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let path = path.strip_prefix("/workspaces/{w}/").unwrap_or(path);
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// `getWorkspacesBySystemsById`: unique, as paths are.
fn name(path: &str, method: &str) -> String {
    let mut name = method.to_owned();
    let path = path.strip_prefix("/api").unwrap_or(path);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let inner = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        if inner.is_some() {
            name.push_str("By");
        }
        for word in inner.unwrap_or(segment).split(|c: char| !c.is_ascii_alphanumeric()) {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_says_who_may_call_it_and_how_it_refuses() {
        let path = "/api/v1/workspaces/{w}/systems/{s}";
        let condition = json!({ "name": "If-Match", "in": "header" });
        let operation =
            json!({ "responses": { "202": { "description": "done" } }, "parameters": [condition] });
        let put = json!({ "responses": {} });
        let document = completed(json!({ "paths": { path: { "delete": operation, "put": put } } }));
        let operation = &document["paths"][path]["delete"];
        assert_eq!(operation["operationId"], "deleteV1WorkspacesByWSystemsByS");
        assert_eq!(
            (&operation["tags"][0], &operation["parameters"][2]["name"]),
            (&json!("systems"), &json!("s"))
        );
        for status in ["202", "401", "404", "412", "503"] {
            assert!(operation["responses"][status].is_object(), "{status}");
        }
        assert!(document["components"]["schemas"]["Problem"]["properties"]["detail"].is_object());
        assert!(document["paths"][path]["put"]["responses"]["412"].is_null(), "it takes no condition");
        assert!(operation["responses"]["500"].is_null() && operation["security"].is_array());
    }
}
