//! What commands have in common by which people say something against the ordinary course.

use serde_json::Value;

use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::words::plain;

/// The body without what was not given.
pub(super) fn body(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

/// Where something applies, for people.
pub(super) fn place(environment: Option<&str>, resource: Option<&str>) -> String {
    let environment = environment.map(|environment| format!(" in {environment}"));
    let resource = resource.map(|resource| format!(" on {resource}"));
    match (environment, resource) {
        (None, None) => " everywhere".to_owned(),
        (environment, resource) => environment.unwrap_or_default() + &resource.unwrap_or_default(),
    }
}

/// Tells what became of something.
pub(super) fn told(session: &Session, answer: &Value, name: &str, became: &str) -> Result<(), Failure> {
    match session.format {
        Format::Json => output::json(answer),
        Format::Yaml => output::yaml(answer),
        Format::Name => output::line(&plain(name)),
        Format::Table => output::line(&plain(&format!("{name} {became}"))),
    }
}
