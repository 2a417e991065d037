//! Secrets among the variables that templates see. A template can hand one on as a whole, and learn nothing of it.

use crate::target::Variables;
use crate::variables::secret_of;
use minijinja::value::{Object, ObjectRepr, Serde, Value as Jinja, ValueKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What templates see, and whether one made text of a secret.
pub(super) struct Seen {
    pub(super) names: Jinja,
    text_of_secret: Arc<AtomicBool>,
}

impl Seen {
    /// A context without secrets: whatever looks like one is itself.
    pub(super) fn plain(context: &Value) -> Self {
        Self { names: Jinja::from(Serde(context)), text_of_secret: Arc::default() }
    }

    /// The context, with these as its `variables` and as its `release.variables`.
    pub(super) fn with_variables(context: &Map<String, Value>, variables: &Variables) -> Self {
        let text_of_secret = Arc::default();
        let closed = variables.iter().map(|(key, value)| (key.as_str(), closed(value, &text_of_secret)));
        let closed = Jinja::from_pairs(closed);
        let names = context.iter().map(|(name, value)| match (name.as_str(), value) {
            ("variables", _) => (name.as_str(), closed.clone()),
            ("release", Value::Object(release)) => (name.as_str(), with(release, "variables", &closed)),
            (name, value) => (name, Jinja::from(Serde(value))),
        });
        Self { names: Jinja::from_pairs(names), text_of_secret }
    }

    /// Whether a template made text of a secret, alone or as a part of something.
    pub(super) fn made_text_of_secret(&self) -> bool {
        self.text_of_secret.load(Ordering::Relaxed)
    }
}

fn closed(value: &Value, text_of_secret: &Arc<AtomicBool>) -> Jinja {
    match secret_of(value) {
        Some(name) => {
            Jinja::from_object(Secret { name: name.to_owned(), text_of_secret: Arc::clone(text_of_secret) })
        }
        None => Jinja::from(Serde(value)),
    }
}

fn with(map: &Map<String, Value>, name: &str, replaced: &Jinja) -> Jinja {
    let entry = |(key, value): (&String, &Value)| {
        (key.clone(), if key == name { replaced.clone() } else { Jinja::from(Serde(value)) })
    };
    Jinja::from_pairs(map.iter().map(entry))
}

/// A variable that is a secret.
struct Secret {
    name: String,
    text_of_secret: Arc<AtomicBool>,
}

impl Object for Secret {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Secret {
    // An error here would be a panic wherever a filter makes a string of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text_of_secret.store(true, Ordering::Relaxed);
        f.write_str("(secret)")
    }
}

/// What an expression came to, as JSON. Where a secret is, there is null, and its name is noted by JSON pointer.
pub(super) fn opened(
    value: &Jinja,
    pointer: &str,
    secrets: &mut BTreeMap<String, String>,
) -> Result<Value, String> {
    if let Some(secret) = value.downcast_object_ref::<Secret>() {
        secrets.insert(pointer.to_owned(), secret.name.clone());
        return Ok(Value::Null);
    }
    let items = || value.try_iter().map_err(|error| error.to_string());
    let kind = value.kind();
    if kind == ValueKind::Map {
        let entries = items()?.map(|key| {
            let item = value.get_item(&key).map_err(|error| error.to_string())?;
            let key = key.to_string();
            let item = opened(&item, &below(pointer, &key), secrets)?;
            Ok((key, item))
        });
        entries.collect::<Result<Map<_, _>, String>>().map(Value::Object)
    } else if kind == ValueKind::Seq || kind == ValueKind::Iterable {
        let entries = items()?.enumerate();
        let entries = entries.map(|(n, item)| opened(&item, &below(pointer, &n.to_string()), secrets));
        entries.collect::<Result<Vec<_>, _>>().map(Value::Array)
    } else {
        serde_json::to_value(value).map_err(|error| error.to_string())
    }
}

/// The JSON pointer of an entry.
pub(super) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
