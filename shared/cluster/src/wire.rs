//! The parts that every object has, as far as we read them. Everything may be missing.

use serde::Deserialize;
use std::collections::BTreeMap;

/// An object's `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name in its namespace.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What tells it from an earlier object of that name.
    pub uid: String,
    /// Changes with every change of the object.
    pub resource_version: String,
    /// When it was made, in RFC 3339.
    pub creation_timestamp: Option<String>,
    /// When somebody asked for its end, in RFC 3339.
    pub deletion_timestamp: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// The resource version as a number that grows with every change. By KEP-5504 (stable in 1.35) versions of one kind of
    /// object compare as integers; older API servers hand out etcd's revision, which grows too. `None`: another server's own
    /// idea of a version, which only says "different".
    pub fn version(&self) -> Option<i64> {
        self.resource_version.parse().ok().filter(|version| *version >= 0)
    }
}

/// What the API server says instead of an object: the reason of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// The HTTP status.
    pub(crate) code: u16,
    /// For people.
    pub(crate) message: String,
    /// One word, e.g. `AlreadyExists`.
    pub(crate) reason: String,
    /// About what.
    pub(crate) details: Details,
}

/// What a [`Status`] is about.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Details {
    /// The kind or resource, e.g. `namespaces`.
    pub(crate) kind: String,
    /// The name.
    pub(crate) name: String,
    /// How long to wait.
    pub(crate) retry_after_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_nothing_to_compare_by() {
        let of = |text: &str| Metadata { resource_version: text.to_owned(), ..Metadata::default() }.version();
        assert_eq!((of("42"), of("0")), (Some(42), Some(0)));
        assert_eq!((of(""), of("abc"), of("-1"), of("99999999999999999999")), (None, None, None, None));
    }
}
