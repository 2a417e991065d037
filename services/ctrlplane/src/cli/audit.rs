//! `ctrlplane audit`: who did what.

use chrono::TimeDelta;
use serde_json::Value;

use super::access_args::AuditArgs;
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{one_line, short, stamp, text_at, text_of, time_at};

/// How much of a change a table shows.
const CHANGE_CHARS: usize = 90;

/// `ctrlplane audit`
pub(super) async fn run(session: &Session, args: &AuditArgs) -> Result<(), Failure> {
    let since = args.since.map(|length| {
        let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        bus::clock::now().checked_sub_signed(length).map(|at| at.to_rfc3339()).unwrap_or_default()
    });
    let (limit, offset) = (args.limit.to_string(), args.offset.to_string());
    let mut query = vec![("limit", limit.as_str()), ("offset", offset.as_str())];
    let given = [
        ("since", &since),
        ("actor", &args.actor),
        ("kind", &args.kind),
        ("object", &args.object),
        ("action", &args.action),
    ];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let answer = if args.all {
        session.api.get(&["audit"], &query).await?
    } else {
        session.api.get(&session.below(&["audit"]).await?, &query).await?
    };
    let events = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::print(
            &events.iter().map(|event| format!("{}\n", text_at(event, "/id"))).collect::<String>(),
        ),
        Format::Table => {
            let mut table = Table::new(["AT", "WHO", "ROLE", "ACTION", "KIND", "OBJECT", "CHANGE"]);
            for event in events {
                let text = |pointer: &str| text_at(event, pointer);
                let name = Some(text("/object/name")).filter(|name| !name.is_empty());
                table.row([
                    time_at(event, "/at").map(stamp).unwrap_or_default(),
                    text("/actor/key"),
                    text("/actor/role"),
                    text("/action"),
                    text("/object/kind"),
                    name.unwrap_or_else(|| text("/object/id")),
                    short(&change(event), CHANGE_CHARS),
                ]);
            }
            let rendered = table.render();
            if rendered.is_empty() {
                eprintln!("nothing was done, as far as the audit is kept and asked for");
            }
            output::print(&rendered)?;
            let shown = args.offset + events.len() as u64;
            let total = answer["total"].as_u64().unwrap_or(0);
            if shown < total {
                eprintln!("{shown} of {total}; older: --offset {shown}");
            }
            if answer["complete"].as_bool() == Some(false) {
                eprintln!("only the newest events were looked at; ask for less with --since");
            }
            Ok(())
        }
    }
}

/// What the other columns say already, or nobody reads.
const LEFT_OUT: [&str; 4] = ["kind", "meta.id", "meta.name", "meta.workspace"];

/// Each field that changed, as `field: before → after`.
fn change(event: &Value) -> String {
    let mut parts = Vec::new();
    compare("", &event["before"], &event["after"], &mut parts);
    parts.join("; ")
}

fn compare(field: &str, before: &Value, after: &Value, parts: &mut Vec<String>) {
    let fields = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    if LEFT_OUT.contains(&field) {
        return;
    }
    match (fields(before), fields(after)) {
        (None, None) if before.is_null() && after.is_null() => {}
        (None, None) if before.is_null() => parts.push(format!("{field}: {}", one_line(&text_of(after)))),
        (None, None) => {
            parts.push(format!("{field}: {} → {}", one_line(&text_of(before)), one_line(&text_of(after))));
        }
        (was, is) => {
            let mut names = was.unwrap_or_default();
            names.extend(is.unwrap_or_default());
            names.sort();
            names.dedup();
            for name in names {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                compare(&inner, &before[&name], &after[&name], parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_told_by_its_fields() {
        let event = json!({
            "before": { "spec": { "enabled": true, "gone": 1 } },
            "after": { "spec": { "enabled": false, "new": "x y" } },
        });
        assert_eq!(change(&event), "spec.enabled: true → false; spec.gone: 1 → ; spec.new: x y");
        assert_eq!(change(&json!({ "before": null, "after": null })), "");
        assert_eq!(
            change(&json!({ "before": null, "after": { "a": [1, 2], "meta": { "id": 1 } } })),
            "a: 1,2"
        );
    }
}
