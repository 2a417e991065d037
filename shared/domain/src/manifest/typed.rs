//! From a JSON value to a type, with every error at its field, not only the first.

use super::Problem;
use super::path::Path;
use crate::near::did_you_mean;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use uuid::Uuid;

/// At most so many errors of one value are told.
const ERRORS_MAX: usize = 20;

/// Reads the value as a `T`. After each error the field it is about is taken out, or filled in where it is missing,
/// and the rest is read again; what goes wrong only because of that is not told.
pub(super) fn read<T: DeserializeOwned>(mut value: Value, at: &Path) -> Result<T, Vec<Problem>> {
    let (mut problems, mut taken, mut filled) = (Vec::new(), Vec::<Path>::new(), Vec::<(Path, usize)>::new());
    while problems.len() < ERRORS_MAX {
        let failed = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(typed) if problems.is_empty() => return Ok(typed),
            Ok(_) => break,
            Err(error) => Failed::of(&error).within::<T>(&value),
        };
        let (path, wrong) = failed.field();
        if let Some(n) = filled.iter().position(|(field, _)| failed.is_about(field)) {
            let (field, tries) = &mut filled[n];
            *tries += 1;
            if !fill(&mut value, field, *tries) {
                // Nothing fits: what it is missing in goes, too.
                let (field, _) = filled.swap_remove(n);
                match field.split_last().and_then(|(parent, _)| remove(&mut value, &parent)) {
                    Some(removed) => taken.push(removed),
                    None => break,
                }
            }
            continue;
        }
        if !taken.iter().any(|taken| taken.starts_with(&path)) {
            problems.push(failed.problem(at));
        }
        // Each turn takes something out or tries the next filling: the end is certain.
        if failed.is_missing() {
            if !fill(&mut value, &path, 0) {
                break;
            }
            filled.push((path, 0));
        } else {
            match remove(&mut value, &wrong) {
                Some(removed) => taken.push(removed),
                None => break,
            }
        }
    }
    Err(problems)
}

/// Puts something where a field is missing; the n-th thing that may fit there. Nothing of it is ever used.
fn fill(value: &mut Value, field: &Path, n: usize) -> bool {
    let fillings = [
        Value::Null,
        Value::from("x"),
        Value::from(1),
        Value::Array(Vec::new()),
        Value::Object(Map::new()),
        Value::Bool(true),
        Value::from(Uuid::nil().to_string()),
        Value::from("2026-01-01T00:00:00Z"),
    ];
    let Some((parent, last)) = field.split_last() else { return false };
    match (find(value, &parent), fillings.into_iter().nth(n)) {
        (Some(Value::Object(map)), Some(filling)) => {
            map.insert(last, filling);
            true
        }
        _ => false,
    }
}

struct Failed {
    path: Path,
    message: String,
}

impl Failed {
    fn of(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let mut path = Path::default();
        for segment in error.path() {
            path = match segment {
                Segment::Seq { index } => path.item(*index),
                Segment::Map { key } => path.key(key),
                Segment::Enum { variant } => path.key(variant),
                Segment::Unknown => path,
            };
        }
        Self { path, message: error.inner().to_string() }
    }

    /// The field the error is about, and the field to take out so that the rest can be read.
    fn field(&self) -> (Path, Path) {
        match self.about() {
            About::UnknownField(name) => {
                let parent = match self.path.split_last() {
                    Some((parent, last)) if last == name => parent,
                    Some(_) | None => self.path.clone(),
                };
                (parent.key(name), parent.key(name))
            }
            About::MissingField(name) => (self.path.key(name), self.path.clone()),
            About::UnknownVariant(name) => {
                let path = match self.path.split_last() {
                    Some((parent, last)) if last == name => parent,
                    Some(_) | None => self.path.clone(),
                };
                (path.clone(), path)
            }
            About::Value => (self.path.clone(), self.path.clone()),
        }
    }

    fn problem(&self, at: &Path) -> Problem {
        let known = self.known();
        let (message, hint) = match self.about() {
            About::UnknownField(name) => {
                (format!("there is no field `{name}` here"), did_you_mean(name, known))
            }
            About::MissingField(name) => (format!("`{name}` is missing"), None),
            About::UnknownVariant(name) => {
                (format!("`{name}` is none of what it can be"), did_you_mean(name, known))
            }
            About::Value => (sentence(&self.message), quote_hint(&self.message)),
        };
        let field = self.field().0.steps_under(at);
        Problem { field: field.to_string(), message, hint }
    }

    /// Types with a tag lose the path below them: the field whose absence changes the error is the one it is about.
    fn within<T: DeserializeOwned>(self, value: &Value) -> Self {
        let mut copy = value.clone();
        let keys: Vec<String> = match (self.about(), find(&mut copy, &self.path)) {
            (About::Value, Some(Value::Object(map))) => map.keys().cloned().collect(),
            (
                About::Value | About::UnknownField(_) | About::MissingField(_) | About::UnknownVariant(_),
                _,
            ) => {
                return self;
            }
        };
        let is_blamed = |key: &String| {
            let mut without = value.clone();
            remove(&mut without, &self.path.key(key));
            match serde_path_to_error::deserialize::<_, T>(&without) {
                Ok(_) => true,
                Err(error) => {
                    let other = Failed::of(&error);
                    other.path != self.path
                        || matches!(other.about(), About::MissingField(name) if name == key)
                }
            }
        };
        match keys.iter().find(|key| is_blamed(key)) {
            Some(key) => Self { path: self.path.key(key), message: self.message },
            None => self,
        }
    }

    /// Whether the error is about the field or something in it.
    fn is_about(&self, field: &Path) -> bool {
        self.field().0.starts_with(field)
    }

    fn is_missing(&self) -> bool {
        matches!(self.about(), About::MissingField(_))
    }

    fn about(&self) -> About<'_> {
        let quoted = |prefix: &str| self.message.strip_prefix(prefix)?.split('`').next();
        if let Some(name) = quoted("unknown field `") {
            About::UnknownField(name)
        } else if let Some(name) = quoted("missing field `") {
            About::MissingField(name)
        } else if let Some(name) = quoted("unknown variant `") {
            About::UnknownVariant(name)
        } else {
            About::Value
        }
    }

    /// The words serde says it expected.
    fn known(&self) -> Vec<&str> {
        let expected = self.message.split_once("expected ").map_or("", |(_, expected)| expected);
        expected.split('`').skip(1).step_by(2).collect()
    }
}

enum About<'a> {
    UnknownField(&'a str),
    MissingField(&'a str),
    UnknownVariant(&'a str),
    Value,
}

/// Serde's own words, in people's.
fn sentence(message: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("invalid type: ", "this is "),
        ("invalid value: ", "this is "),
        ("invalid length ", "there are "),
        (", expected", ", but must be"),
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("floating point", "the number"),
        ("boolean", "the truth value"),
        ("null", "nothing"),
    ];
    let mut text = in_numbers(message);
    for (theirs, ours) in WORDS {
        if text.contains(ours) && theirs == "sequence" {
            continue;
        }
        text = text.replacen(theirs, ours, 1);
    }
    text
}

/// A deserializer's words, with the whole numbers that fit for the names that Rust has for them.
pub fn in_numbers(text: &str) -> String {
    const TYPES: [(&str, &str); 8] = [
        ("u8", " from 0 to 255"),
        ("u16", " from 0 to 65535"),
        ("u32", " from 0 to 4294967295"),
        ("u64", " from 0"),
        ("usize", " from 0"),
        ("i32", ""),
        ("i64", ""),
        ("isize", ""),
    ];
    let Some((before, after)) = text.split_once("expected ") else { return text.to_owned() };
    let (name, rest) = after.split_once(' ').map_or((after, None), |(name, rest)| (name, Some(rest)));
    let Some((_, range)) = TYPES.iter().find(|(theirs, _)| *theirs == name) else { return text.to_owned() };
    let rest = rest.map(|rest| format!(" {rest}")).unwrap_or_default();
    format!("{before}expected a whole number{range}{rest}")
}

fn quote_hint(message: &str) -> Option<String> {
    let is_number_for_text =
        ["invalid type: integer", "invalid type: floating point", "invalid type: boolean"]
            .iter()
            .any(|found| message.starts_with(found))
            && message.ends_with("expected a string");
    is_number_for_text.then(|| "write it in quotes".to_owned())
}

/// Takes the field out, and says what went. An item of a list cannot go alone, or the numbers of the others would no
/// longer be those of the file: the list goes as a whole.
fn remove(value: &mut Value, path: &Path) -> Option<Path> {
    let (parent, last) = path.split_last()?;
    match find(value, &parent)? {
        Value::Object(map) => map.remove(&last).map(|_| path.clone()),
        Value::Array(_) => remove(value, &parent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn find<'v>(value: &'v mut Value, path: &Path) -> Option<&'v mut Value> {
    path.steps().try_fold(value, |node, step| match node {
        Value::Object(map) => map.get_mut(&step),
        Value::Array(items) => step.parse::<usize>().ok().and_then(|n| items.get_mut(n)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{Deployment, Environment, JobAgent, Policy, Resource, TriggerSource, Version};
    use serde_json::json;

    fn faults<T: DeserializeOwned>(value: Value) -> Vec<(String, String)> {
        let problems = read::<T>(value, &"spec".parse().unwrap()).err().unwrap_or_default();
        problems
            .into_iter()
            .map(|p| {
                (p.field, [Some(p.message), p.hint].into_iter().flatten().collect::<Vec<_>>().join("; "))
            })
            .collect()
    }

    fn check<T: DeserializeOwned>(value: Value, expected: &[(&str, &str)]) {
        let found = faults::<T>(value.clone());
        assert_eq!(found.len(), expected.len(), "{value}: {found:#?}");
        for ((field, message), (wanted_field, wanted)) in found.iter().zip(expected) {
            assert_eq!(field, wanted_field, "{value}: {message}");
            assert!(message.contains(wanted), "{value}: {field}: {message}");
        }
    }

    #[test]
    fn every_error_is_told_at_its_field() {
        check::<Environment>(json!({"systems": [], "resourceSelector": "true"}), &[]);
        check::<Environment>(
            json!({"systms": ["a"], "resourceSelektor": "true"}),
            &[
                ("spec.resourceSelektor", "did you mean `resourceSelector`?"),
                ("spec.systms", "did you mean `systems`?"),
                ("spec.systems", "is missing"),
                ("spec.resourceSelector", "is missing"),
            ],
        );
        check::<Environment>(json!({"systems": []}), &[("spec.resourceSelector", "is missing")]);
        check::<Environment>(
            json!({}),
            &[("spec.systems", "is missing"), ("spec.resourceSelector", "is missing")],
        );
        check::<Version>(
            json!({"status": 1}),
            &[("spec.status", ""), ("spec.deployment", "is missing"), ("spec.tag", "is missing")],
        );
        check::<Environment>(json!([]), &[("spec", "")]);
        check::<Version>(
            json!({"deployment": "29a51467-f7cc-52a4-900d-eddf4607415f", "tag": 1.5, "status": "redy"}),
            &[("spec.status", "did you mean `ready`?"), ("spec.tag", "write it in quotes")],
        );
        check::<JobAgent>(
            json!({"type": "git hub", "maxConcurrent": -1}),
            &[("spec.maxConcurrent", "-1"), ("spec.type", "character ' '")],
        );
        check::<Resource>(json!({"identifier": "a", "config": [1]}), &[("spec.config", "must be a map")]);
        check::<Deployment>(
            json!({"slug": "web", "systems": [], "deadlines": {"runSecond": 1}, "onNewVersion": "supercede"}),
            &[
                ("spec.deadlines.runSecond", "did you mean `runSeconds`?"),
                ("spec.onNewVersion", "did you mean `supersede`?"),
            ],
        );
        check::<TriggerSource>(
            json!({"sender": {"type": "githb"}, "secretRefs": []}),
            &[("spec.sender.type", "did you mean `github`?")],
        );
    }

    #[test]
    fn errors_inside_rules_name_the_rule() {
        check::<Policy>(
            json!({"selector": "true", "rules": [
                {"anyApproval": {"minApprovals": 1}},
                {"anyApproval": {"minAprovals": 1, "minApprovals": 1}},
            ]}),
            &[("spec.rules[1].anyApproval.minAprovals", "did you mean `minApprovals`?")],
        );
        check::<Policy>(
            json!({"selector": "true", "rules": [{"verification": {"metrics": [
                {"name": "a", "provider": {"type": "sleep", "durationSeconds": "long"}},
            ]}}]}),
            &[(
                "spec.rules[0].verification.metrics[0].provider.durationSeconds",
                "must be a whole number from 0 to 4294967295",
            )],
        );
        check::<Policy>(
            json!({"selector": "true", "rules": [{"anyAproval": {}}], "enabled": "yes"}),
            &[("spec.enabled", "truth value"), ("spec.rules[0]", "did you mean `anyApproval`?")],
        );
    }
}
