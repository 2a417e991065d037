//! What a request asks for and its operation does not know. A filter that narrows nothing and a condition that nobody looks
//! at would make the request do more than it says; so both are refused, by what the API says of itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use url::form_urlencoded;

use crate::context::App;
use crate::problem::Problem;

const CEL: &str = "cel";

/// The parameters of every operation, by method and path, in lower case.
pub(crate) struct Declared(HashMap<(String, String), BTreeSet<String>>);

impl Declared {
    /// As the API's description has them.
    pub(crate) fn of(document: &Value) -> Self {
        let mut declared = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let names = parameters.filter_map(|parameter| parameter["name"].as_str());
                declared.insert((method.clone(), path.clone()), names.map(str::to_ascii_lowercase).collect());
            }
        }
        Self(declared)
    }

    fn knows(&self, method: &Method, path: &str, parameter: &str) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let operation = (method.as_str().to_ascii_lowercase(), path.to_owned());
        self.0.get(&operation).is_some_and(|names| names.contains(parameter))
    }
}

/// Refuses what the operation does not know.
pub(crate) async fn only(State(_app): State<App>, request: Request, next: Next) -> Response {
    match check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(request: &Request) -> Result<(), Problem> {
    let extensions = request.extensions();
    let (Some(declared), Some(path)) =
        (extensions.get::<Arc<Declared>>(), extensions.get::<MatchedPath>().map(MatchedPath::as_str))
    else {
        return Err(Problem::internal(&"a request without its path, or nothing is known of the paths"));
    };
    let knows = |parameter: &str| declared.knows(request.method(), path, parameter);
    let query = request.uri().query().unwrap_or_default();
    let is_filtered =
        form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == CEL && !value.trim().is_empty());
    if is_filtered && !knows(CEL) {
        return Err(Problem::invalid_field(CEL, "is not understood here: nothing would be left out"));
    }
    // A condition before a mere look cannot do harm, and some clients send one of themselves.
    if !request.method().is_safe() {
        for (header, name) in [(IF_MATCH, "If-Match"), (IF_NONE_MATCH, "If-None-Match")] {
            if request.headers().contains_key(&header) && !knows(header.as_str()) {
                let message = "is not understood here: it would be done whatever is there";
                return Err(Problem::invalid_field(name, message));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operation_knows_what_it_declares_and_nothing_else() {
        let declared = Declared::of(&json!({ "paths": { "/systems/{s}": {
            "get": { "parameters": [{ "name": "cel", "in": "query" }] },
            "put": { "parameters": [{ "name": "If-Match", "in": "header" }] },
            "delete": {},
        } } }));
        for (method, parameter, knows) in [
            (Method::GET, "cel", true),
            (Method::HEAD, "cel", true),
            (Method::PUT, "cel", false),
            (Method::PUT, "if-match", true),
            (Method::PUT, "if-none-match", false),
            (Method::DELETE, "if-match", false),
            (Method::PATCH, "if-match", false),
        ] {
            assert_eq!(declared.knows(&method, "/systems/{s}", parameter), knows, "{method} {parameter}");
        }
        assert!(!declared.knows(&Method::GET, "/systems", "cel"));
    }
}
