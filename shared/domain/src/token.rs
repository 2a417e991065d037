//! Tokens: the only strings that may become part of a subject or a key.
//!
//! A token can never hold a dot, a wildcard or white space, so no name can cross a tenant's border.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest accepted slug, in bytes. Subjects of eight tokens stay far below the server's 4 KiB limit.
pub const SLUG_BYTES_MAX: usize = 100;

/// A checked name: one to [`SLUG_BYTES_MAX`] bytes of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Box<str>);

/// Why a string is not a [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than [`SLUG_BYTES_MAX`] bytes.
    #[error("is longer than {SLUG_BYTES_MAX} bytes")]
    TooLong,
    /// A character outside `[A-Za-z0-9_-]`.
    #[error("has the character {0:?}; only letters, digits, '-' and '_' are allowed")]
    Character(char),
}

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where deployments and environments stand in status subjects, of a workflow's job: a token that no name can have.
    pub fn workflow() -> Self {
        Self("~workflow".into())
    }

    /// Whether it is a token that no name can have. It is not written: absent, it is this one.
    pub(crate) fn is_workflow(&self) -> bool {
        *self == Self::workflow()
    }

    /// The nearest slug of any name: every other character becomes `-`, runs and edges are trimmed.
    /// A name without one legal character becomes `x`, so that the result is always a legal token.
    pub fn of_name(name: &str) -> Self {
        let mut text = String::with_capacity(name.len().min(SLUG_BYTES_MAX));
        for c in name.chars() {
            if text.len() == SLUG_BYTES_MAX {
                break;
            }
            if is_token_char(c) {
                text.push(c);
            } else if !text.is_empty() && !text.ends_with('-') {
                text.push('-');
            }
        }
        let trimmed = text.trim_matches('-');
        Self(if trimmed.is_empty() { "x".into() } else { trimmed.into() })
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl JsonSchema for Slug {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Slug".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$" })
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Self, SlugError> {
        if text.is_empty() {
            return Err(SlugError::Empty);
        }
        if let Some(c) = text.chars().find(|c| !is_token_char(*c)) {
            return Err(SlugError::Character(c));
        }
        if text.len() > SLUG_BYTES_MAX {
            return Err(SlugError::TooLong);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Slug {
    type Error = SlugError;

    fn try_from(text: String) -> Result<Self, SlugError> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.into()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_token_characters_make_a_slug() {
        for good in ["a", "acme", "Web_2-eu"] {
            assert_eq!(good.parse::<Slug>().map(|s| s.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a.b", "*", ">", "a b", "é", &"x".repeat(101)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_name_has_a_slug() {
        for (name, slug) in [
            ("Production EU (west)", "Production-EU-west"),
            ("a.b>*", "a-b"),
            ("...", "x"),
            ("", "x"),
            ("ok", "ok"),
        ] {
            assert_eq!(Slug::of_name(name).as_str(), slug);
        }
        assert!(Slug::of_name(&"y.".repeat(300)).as_str().parse::<Slug>().is_ok());
    }
}
