//! What a write changes, as a text people can read. Times are left out: they are ours, not theirs.

use domain::entity::Entity;
use domain::manifest::{Names, to_manifest};
use serde_json::Value;
use similar::TextDiff;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// The unified difference of two states of an entity, as documents of a file would have them: with names instead of
/// ids. `None` when there is none.
pub(crate) fn diff(before: Option<&Entity>, after: Option<&Entity>, names: &dyn Names) -> Option<String> {
    let (before, after) = (text(before, names), text(after, names));
    if before == after {
        return None;
    }
    let difference = TextDiff::from_lines(before.as_str(), after.as_str());
    Some(difference.unified_diff().context_radius(CONTEXT).header("catalog", "declared").to_string())
}

fn text(entity: Option<&Entity>, names: &dyn Names) -> String {
    let Some(entity) = entity else { return String::new() };
    let mut lines = String::new();
    write_block(&mut lines, &to_manifest(entity, names), 0);
    lines
}

/// One line per leaf, indented by two spaces per level, as YAML would have it.
fn write_block(lines: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                write_entry(lines, &format!("{indent}{key}:"), value, depth);
            }
        }
        Value::Array(items) => {
            for value in items {
                write_entry(lines, &format!("{indent}-"), value, depth);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push_str(&format!("{indent}{value}\n"));
        }
    }
}

fn write_entry(lines: &mut String, head: &str, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            lines.push_str(&format!("{head}\n"));
            write_block(lines, value, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            lines.push_str(&format!("{head}\n"));
            write_block(lines, value, depth + 1);
        }
        Value::String(text) if is_plain(text) => lines.push_str(&format!("{head} {text}\n")),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => lines.push_str(&format!("{head} {value}\n")),
    }
}

/// Whether a string reads the same without quotes.
fn is_plain(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_alphabetic)
        && !text.contains(['\n', '"', '#'])
        && !text.contains(": ")
        && !text.ends_with([' ', ':'])
        && !matches!(text, "true" | "false" | "null" | "yes" | "no")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entity::{Environment, Kind, Meta, Record};
    use domain::id::{DeploymentId, SystemId, VersionId};
    use domain::token::Slug;

    /// Knows one system, and no other.
    struct Shop;

    impl Names for Shop {
        fn name(&self, workspace: &Slug, _: Kind, id: uuid::Uuid) -> Option<String> {
            (id == SystemId::of(workspace, "shop").0).then(|| "shop".to_owned())
        }

        fn version(&self, _: &Slug, _: VersionId) -> Option<(DeploymentId, String)> {
            None
        }
    }

    fn environment(selector: &str, at: &str) -> Entity {
        let at = at.parse().unwrap();
        let meta = Meta {
            id: uuid::Uuid::nil(),
            workspace: "acme".parse().unwrap(),
            name: "staging".into(),
            metadata: [("team".to_owned(), "web".to_owned())].into(),
            created_at: at,
            updated_at: at,
        };
        let spec = Environment {
            systems: vec![SystemId::of(&"acme".parse().unwrap(), "shop")],
            description: None,
            resource_selector: selector.into(),
        };
        Entity::Environment(Record { meta, spec })
    }

    #[test]
    fn only_what_people_declared_makes_a_difference() {
        let one = environment("resource.name == 'a'", "2026-01-01T00:00:00Z");
        let later = environment("resource.name == 'a'", "2026-01-02T00:00:00Z");
        assert_eq!(diff(Some(&one), Some(&later), &Shop), None);
        let other = environment("resource.name == 'b'", "2026-01-02T00:00:00Z");
        let text = diff(Some(&one), Some(&other), &Shop).unwrap();
        assert!(text.contains("-  resourceSelector: resource.name == 'a'\n"), "{text}");
        assert!(text.contains("+  resourceSelector: resource.name == 'b'\n"), "{text}");
        assert!(!text.contains("2026"), "{text}");
    }

    #[test]
    fn something_new_is_all_plus() {
        let text = diff(None, Some(&environment("true", "2026-01-01T00:00:00Z")), &Shop).unwrap();
        assert!(text.contains("- shop\n"), "names, not ids: {text}");
        assert!(
            text.contains("+    team: web\n") && text.contains("+  resourceSelector: \"true\"\n"),
            "{text}"
        );
        assert!(text.lines().skip(3).all(|line| line.starts_with('+')), "{text}");
    }
}
