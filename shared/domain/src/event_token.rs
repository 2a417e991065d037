//! Makes one subject token of an event type.
//!
//! Does not promise that two types get two tokens: the full type stands in the event.

use crate::token::Slug;

/// The most characters of a token.
const TOKEN_CHARS_MAX: usize = 64;

/// One legal subject token, `[A-Za-z0-9_-]{1,64}`, for an event type.
///
/// Every other character becomes `_`, and so neither a separator (`.`), nor a wildcard (`*`, `>`), nor white space
/// can pass. What is longer is cut; what is empty is `event`.
pub fn event_token(event_type: &str) -> Slug {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let token: String = event_type.chars().take(TOKEN_CHARS_MAX).map(legal).collect();
    token.parse().unwrap_or_else(|_empty| Slug::of_name("event"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_become_tokens() {
        for (event_type, token) in [
            ("push", "push"),
            ("workflow_run", "workflow_run"),
            ("Push Hook", "Push_Hook"),
            ("dev.cdevents.change.merged.0.3.0", "dev_cdevents_change_merged_0_3_0"),
            ("repo:push", "repo_push"),
            ("", "event"),
            ("*", "_"),
            (">", "_"),
            ("a.*.>", "a____"),
            ("$SYS", "_SYS"),
            ("größe", "gr__e"),
            ("a\r\nb\0\t", "a__b__"),
        ] {
            assert_eq!(event_token(event_type).as_str(), token, "{event_type:?}");
        }
        assert_eq!(event_token(&"x".repeat(65)).as_str(), "x".repeat(64));
        assert_eq!(event_token(&"é".repeat(200)).as_str(), "_".repeat(64));
    }

    #[test]
    fn no_character_can_widen_or_split_a_subject() {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for c in (0..=0x2FFF_u32).filter_map(char::from_u32) {
            for event_type in [c.to_string(), format!("a{c}"), format!("{c}b")] {
                let token = event_token(&event_type);
                assert!(token.as_str().chars().all(legal), "{c:?} gave {token}");
            }
        }
    }
}
