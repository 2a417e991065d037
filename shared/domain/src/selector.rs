//! Selectors and conditions: CEL, compiled once. What cannot be evaluated is an error, and callers fail closed.

use cel::{Context, Program, Value as Cel};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// Longest accepted expression, in bytes: the parser recurses, and CEL has no evaluation budget.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// A compiled CEL expression that must yield a boolean.
#[derive(Clone)]
pub struct Selector {
    source: Arc<str>,
    program: Arc<Program>,
}

/// Why a selector cannot be compiled or evaluated; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

/// The variables an expression sees. Values are made once, with [`value_of`], and shared.
#[derive(Clone, Default)]
pub struct Scope {
    variables: Vec<(&'static str, ScopeValue)>,
}

/// A value of a scope, converted once.
#[derive(Clone)]
pub struct ScopeValue(Cel);

/// Converts a value for use in scopes.
///
/// # Errors
/// When it has no CEL form (a map with keys that are not strings or numbers).
pub fn value_of(value: &impl Serialize) -> Result<ScopeValue, SelectorError> {
    cel::to_value(value).map(ScopeValue).map_err(|error| SelectorError(error.to_string()))
}

impl Scope {
    /// The scope with one more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: ScopeValue) -> Self {
        self.variables.push((name, value));
        self
    }
}

impl Selector {
    /// Compiles the expression, and holds it to the variables it may use: a misspelt one is refused here, when
    /// somebody is there to read it, and not at evaluation.
    ///
    /// # Errors
    /// When it is too long, does not parse, or uses another variable.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, SelectorError> {
        if source.trim().is_empty() {
            return Err(SelectorError("an expression is empty; write `true` to select everything".into()));
        }
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(SelectorError(format!("an expression may have {EXPRESSION_BYTES_MAX} bytes")));
        }
        let program =
            Program::compile(source).map_err(|error| SelectorError(one_line(&error.to_string())))?;
        let mut unknown: Vec<String> = program
            .references()
            .variables()
            .into_iter()
            .filter(|name| !variables.contains(name) && !is_bound(source, name))
            .map(str::to_owned)
            .collect();
        unknown.sort();
        if let Some(name) = unknown.first() {
            return Err(SelectorError(format!(
                "there is no variable `{name}` here; there are {}",
                variables.join(", ")
            )));
        }
        Ok(Self { source: source.into(), program: Arc::new(program) })
    }

    /// What was compiled.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression is true of the scope.
    ///
    /// # Errors
    /// When it cannot be evaluated (a field that is not there), or is not a boolean.
    pub fn matches(&self, scope: &Scope) -> Result<bool, SelectorError> {
        let mut context = Context::default();
        for (name, value) in &scope.variables {
            context.add_variable_from_value(*name, value.0.clone());
        }
        match self.program.execute(&context) {
            Ok(Cel::Bool(yes)) => Ok(yes),
            Ok(other) => {
                Err(SelectorError(format!("`{}` is no boolean but {}", self.source, kind_of(&other))))
            }
            Err(error) => Err(SelectorError(format!("`{}`: {}", self.source, one_line(&error.to_string())))),
        }
    }
}

/// Whether a macro binds the name: `list.exists(name, …)`. The compiler counts such a name as a reference, too.
fn is_bound(source: &str, name: &str) -> bool {
    source.match_indices(name).any(|(at, _)| {
        source[..at].trim_end().ends_with('(') && source[at + name.len()..].trim_start().starts_with(',')
    })
}

fn kind_of(value: &Cel) -> String {
    value.type_of().to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selector").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(source: &str) -> Result<bool, SelectorError> {
        let resource = value_of(&json!({ "name": "eu-1", "metadata": { "region": "eu" }, "n": 3 }))?;
        Selector::compile(source, &["resource"])?.matches(&Scope::default().with("resource", resource))
    }

    #[test]
    fn expressions_over_the_scope() {
        for (source, yes) in [
            ("true", true),
            ("resource.name == 'eu-1'", true),
            ("resource.metadata.region == 'us'", false),
            ("resource.name.startsWith('eu') && resource.n > 2", true),
            ("'region' in resource.metadata", true),
            ("has(resource.metadata.zone)", false),
            ("resource.name in ['eu-1', 'eu-2']", true),
            ("resource.name.matches('^eu-[0-9]$')", true),
            ("['a','b'].exists(x, x == 'b')", true),
        ] {
            assert_eq!(check(source), Ok(yes), "{source}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_an_error() {
        for source in [
            "",
            "resource.",
            "resource.metadata.zone == 'a'",
            "resource.name",
            "resourc.name == 'a'",
            "1 + 1",
        ] {
            assert!(check(source).is_err(), "{source}");
        }
        assert!(check(&format!("'{}' == ''", "x".repeat(5000))).is_err());
        let unknown = check("resourc.name == 'a'").unwrap_err().to_string();
        assert!(unknown.contains("`resourc`") && unknown.contains("resource"), "{unknown}");
    }
}
