//! What values are, as far as an expression alone tells.

use cel::common::ast::LiteralValue;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything: only values tell.
    Any,
    Bool,
    Bytes,
    /// What `type(…)` gives.
    Class,
    Duration,
    List,
    Map,
    Null,
    Number,
    Optional,
    String,
    /// A number, a string, …: what arithmetic makes of what only values tell.
    Sum,
    Timestamp,
}

impl Type {
    pub(super) fn of(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Bool,
            LiteralValue::Bytes(_) => Self::Bytes,
            LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Self::Number,
            LiteralValue::Null => Self::Null,
            LiteralValue::String(_) => Self::String,
        }
    }

    /// Whether it is said which of them it is.
    pub(super) fn is_sure(self) -> bool {
        !matches!(self, Self::Any | Self::Sum)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a boolean",
            Self::Bytes => "bytes",
            Self::Duration => "a duration",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Null => "null",
            Self::Number => "a number",
            Self::Optional => "an optional value",
            Self::String => "a string",
            Self::Sum => "a sum",
            Self::Timestamp => "a timestamp",
            Self::Class => "a type",
        }
    }
}
