//! Texts for a terminal: without control characters, times as people read them.

use chrono::SecondsFormat;
use domain::Timestamp;
use domain::job::JobStatus;
use serde_json::Value;

/// The text on one line, without what a terminal would act on: names and messages come from elsewhere.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// The text on one line of at most `chars` characters.
pub(super) fn short(text: &str, chars: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= chars {
        return text;
    }
    let mut cut: String = text.chars().take(chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The text on one line.
pub(super) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How long ago, or how soon, in its largest unit.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now - at).num_seconds().unsigned_abs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        172_800.. => format!("{}d", seconds / 86_400),
    }
}

/// To the second, in UTC.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The instant at a path of an answer.
pub(super) fn time_at(value: &Value, pointer: &str) -> Option<Timestamp> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

/// What stands at a path of an answer, as text; nothing where there is nothing.
pub(super) fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(text_of).unwrap_or_default()
}

/// The status of a job at a path of an answer, as it is written everywhere but in the HTTP API.
pub(super) fn status_at(value: &Value, pointer: &str) -> String {
    let text = text_at(value, pointer);
    JobStatus::parse(&text).map_or(text, |status| status.as_str().to_owned())
}

/// A value as text; lists with commas.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_spoken_to_by_others() {
        assert_eq!(plain("a\u{1b}[2Jb\tc"), "a [2Jb c");
        assert_eq!(one_line("a\n\n b\r\u{7}"), "a b");
        assert_eq!(short("häuser am see", 8), "häuser …");
        assert_eq!(short("short", 5), "short");
    }

    #[test]
    fn ages_have_one_unit() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-01-10T00:00:00Z");
        for (then, said) in [
            ("2026-01-10T00:00:00Z", "0s"),
            ("2026-01-09T23:58:30Z", "90s"),
            ("2026-01-09T23:50:00Z", "10m"),
            ("2026-01-09T20:00:00Z", "4h"),
            ("2026-01-01T00:00:00Z", "9d"),
            ("2026-01-10T00:05:00Z", "5m"),
        ] {
            assert_eq!(ago(at(then), now), said, "{then}");
        }
    }
}
