//! Who may do what: bearer tokens, and grants as a Role of RBAC gives them.

use serde_json::{Value, json};

/// A verb on a resource; `*` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// E.g. `patch`.
    pub verb: String,
    /// E.g. `jobs`.
    pub resource: String,
}

impl Grant {
    /// That verb on that resource.
    pub fn new(verb: &str, resource: &str) -> Self {
        Self { verb: verb.to_owned(), resource: resource.to_owned() }
    }
}

/// Somebody with a token.
#[derive(Clone, Debug)]
pub struct User {
    /// What the token is sent as.
    pub token: String,
    /// E.g. `system:serviceaccount:ci:agent`.
    pub name: String,
    /// What the user may do in every namespace.
    pub grants: Vec<Grant>,
}

impl User {
    /// Somebody who may do everything.
    pub fn admin(token: &str) -> Self {
        Self { token: token.to_owned(), name: "admin".to_owned(), grants: vec![Grant::new("*", "*")] }
    }

    pub(crate) fn may(&self, verb: &str, resource: &str) -> bool {
        let fits = |granted: &str, asked: &str| granted == "*" || granted == asked;
        self.grants.iter().any(|grant| fits(&grant.verb, verb) && fits(&grant.resource, resource))
    }
}

/// RBAC's refusal, in the API server's words.
pub(crate) fn forbidden(
    user: &str,
    verb: &str,
    resource: &str,
    group: &str,
    namespace: &str,
    name: &str,
) -> Value {
    let of = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let message = format!(
        "{of}{named} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} in the namespace {namespace:?}"
    );
    status(403, "Forbidden", &message, resource, name)
}

/// A `Status` that says why not.
pub(crate) fn status(code: u16, reason: &str, message: &str, kind: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "details": { "kind": kind, "name": name }, "code": code,
    })
}
