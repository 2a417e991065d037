//! Selectors and conditions: CEL, compiled once. What cannot be evaluated is an error, and callers fail closed.

mod check;
mod function;
mod kind;
mod mistake;
mod value;

pub use mistake::Mistake;
pub use value::{ScopeValue, value_of};

use crate::catalog::FIELDS;
use cel::common::ast::{Expr, operators};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, IdedExpr, Value as Cel};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Longest accepted expression, in bytes: the parser recurses, and CEL has no evaluation budget.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// A compiled CEL expression that must yield a boolean.
#[derive(Clone)]
pub struct Selector {
    source: Arc<str>,
    expression: Arc<IdedExpr>,
    names: Arc<check::Names>,
    number: u64,
    /// What it is the `and` of; nothing where it is none.
    parts: Arc<[Selector]>,
}

/// Why a selector cannot be compiled or evaluated; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

/// The variables an expression sees. Values are made once, with [`value_of`], and shared: making a scope copies none.
#[derive(Clone, Default)]
pub struct Scope {
    variables: Vec<(&'static str, ScopeValue)>,
}

impl Scope {
    /// The scope with one more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: ScopeValue) -> Self {
        self.variables.push((name, value));
        self
    }
}

impl VariableResolver for Scope {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let found = self.variables.iter().find(|(name, _)| *name == variable);
        found.map(|(_, value)| CowVal::Borrowed(value.as_val()))
    }
}

/// The functions there are. Building it is far dearer than most evaluations.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

impl Selector {
    /// Compiles the expression, and holds it to the variables and functions it may use: a misspelt one is refused
    /// here, when somebody is there to read it, and not at evaluation.
    ///
    /// # Errors
    /// When it is too long, does not parse, uses another variable or function, or nests too many loops.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, SelectorError> {
        if source.trim().is_empty() {
            return Err(SelectorError("an expression is empty; write `true` to select everything".into()));
        }
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(SelectorError(format!("an expression may have {EXPRESSION_BYTES_MAX} bytes")));
        }
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            let messages: Vec<String> = errors.errors.iter().map(|error| one_line(&error.msg)).collect();
            SelectorError(format!("`{source}` is no expression: {}", messages.join("; ")))
        })?;
        let names = check::names(program.expression(), variables)?;
        if let Some((field, known)) = unknown_field(&names, &["user"]) {
            let are = known.iter().map(|known| format!("`user.{known}`")).collect::<Vec<_>>().join(", ");
            return Err(SelectorError(format!("there is no `{field}`; there are {are}")));
        }
        let source: Arc<str> = source.into();
        let mut operands = Vec::new();
        take_apart(program.expression(), &mut operands);
        let part = |operand: &IdedExpr| {
            let names = check::names(operand, variables)?;
            Ok(Self::of(Arc::clone(&source), operand.clone(), names, Arc::default()))
        };
        let parts = match operands.as_slice() {
            [_] => Arc::default(),
            operands => operands.iter().map(|operand| part(operand)).collect::<Result<_, _>>()?,
        };
        let expression = program.expression().clone();
        Ok(Self::of(source, expression, names, parts))
    }

    fn of(source: Arc<str>, expression: IdedExpr, names: check::Names, parts: Arc<[Selector]>) -> Self {
        // What is compiled again gets another number, so that an answer kept under it is never another text's.
        static COMPILED: AtomicU64 = AtomicU64::new(0);
        let number = COMPILED.fetch_add(1, Ordering::Relaxed);
        Self { source, expression: Arc::new(expression), names: Arc::new(names), number, parts }
    }

    /// Asks it part by part, where it is an `and`, for who knows what some of them say already: a no of one is the answer,
    /// whatever is wrong with the others. Else as a whole, so that what is wrong is told as of the whole.
    ///
    /// # Errors
    /// As [`Selector::matches`].
    pub(crate) fn all(
        &self,
        ask: impl Fn(&Selector) -> Result<bool, SelectorError>,
    ) -> Result<bool, SelectorError> {
        if self.parts.is_empty() {
            return ask(self);
        }
        let mut told = true;
        for part in self.parts.iter() {
            match ask(part) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) => told = false,
            }
        }
        if told { Ok(true) } else { ask(self) }
    }

    /// Names it and its copies, as long as this process lives.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether what it says depends on this variable and no other.
    pub(crate) fn is_only_about(&self, variable: &str) -> bool {
        self.names.used.len() == 1 && self.names.used.contains(variable)
    }

    /// What was compiled.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether what it says can depend on the variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.names.used.contains(variable)
    }

    /// A field that it asks for and that is never there, as `variable.field`; and which ones are. Only of what always has
    /// the same fields: what senders and people make up may have any.
    pub(crate) fn unknown_field(&self) -> Option<(String, &'static [&'static str])> {
        let variables: Vec<&str> = self.names.used.iter().map(String::as_str).collect();
        unknown_field(&self.names, &variables)
    }

    /// What is surely wrong with it, whatever it will be asked about: it can be no boolean, or a part of it can be no value. For
    /// those who write it; what is stored is evaluated as it is.
    pub fn mistake(&self, variables: &[&str]) -> Option<Mistake> {
        mistake::first(&self.expression, variables)
    }

    /// The fields of a variable that it asks for, as far as the text says which.
    pub fn fields_of(&self, variable: &str) -> impl Iterator<Item = &str> {
        let of = self.names.fields.iter().filter(move |(of, _)| of == variable);
        of.map(|(_, field)| field.as_str())
    }

    /// Whether the expression is true of the scope.
    ///
    /// # Errors
    /// When it cannot be evaluated (a field that is not there), or is not a boolean.
    pub fn matches(&self, scope: &Scope) -> Result<bool, SelectorError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(scope);
        match Cel::resolve(&self.expression, &context) {
            Ok(Cel::Bool(yes)) => Ok(yes),
            Ok(other) => {
                Err(SelectorError(format!("`{}` is no boolean but {}", self.source, other.type_of())))
            }
            Err(error) => Err(SelectorError(format!("`{}`: {}", self.source, one_line(&error.to_string())))),
        }
    }
}

/// The operands of an `and`, however its parentheses are set; of anything else, itself.
fn take_apart<'e>(expression: &'e IdedExpr, operands: &mut Vec<&'e IdedExpr>) {
    if let Expr::Call(call) = &expression.expr
        && call.func_name == operators::LOGICAL_AND
        && call.target.is_none()
    {
        for operand in &call.args {
            take_apart(operand, operands);
        }
    } else {
        operands.push(expression);
    }
}

fn unknown_field(names: &check::Names, variables: &[&str]) -> Option<(String, &'static [&'static str])> {
    names.fields.iter().find_map(|(variable, field)| {
        let (_, known) = FIELDS.iter().find(|(of, _)| of == variable && variables.contains(of))?;
        (!known.contains(&field.as_str())).then(|| (format!("{variable}.{field}"), *known))
    })
}

/// In one line, and not without end: errors of CEL print the values they are about.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
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
        let resource = value_of(&json!({ "name": "eu-1", "metadata": { "region": "eu" }, "n": 3,
            "tags": ["x", "y"], "nothing": null, "at": "2026-02-01T00:00:00Z" }))?;
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
            ("['a','b'].exists(x, ['b'].exists(y, x == y))", true),
            ("resource.n + 1 == 4 && resource.n == 3.0", true),
            ("resource.tags.exists(tag, tag == 'x') && size(resource.tags) == 2", true),
            ("type(resource.name) == string && resource.nothing == null", true),
            ("timestamp(resource.at) > timestamp('2026-01-01T00:00:00Z')", true),
            ("has(resource.zone) ? resource.zone == 'a' : true", true),
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
            "x == 'a' || ['b'].exists(x, x == 'b')",
            "resource.name.startWith('eu')",
            "[1].all(a, [1].all(b, [1].all(c, true)))",
            "resource",
            "resource != 'a'",
            "'a' == resource",
            "optional.off(1).hasValue()",
        ] {
            assert!(check(source).is_err(), "{source}");
        }
        assert!(check(&format!("'{}' == ''", "x".repeat(5000))).is_err());
        let unknown = check("resourc.name == 'a'").unwrap_err().to_string();
        assert!(unknown.contains("`resourc`") && unknown.contains("resource"), "{unknown}");
    }

    #[test]
    fn an_and_says_the_same_asked_part_by_part() {
        let scope = Scope::default()
            .with("resource", value_of(&json!({ "yes": true, "no": false, "n": 1 })).unwrap());
        let words = ["resource.yes", "resource.no", "resource.gone", "resource.n"];
        let ands = words.iter().flat_map(|a| words.iter().map(move |b| (a, b)));
        let ands = ands.flat_map(|(a, b)| words.iter().map(move |c| (a, b, c)));
        for (a, b, c) in ands {
            for source in [
                format!("{a} && {b}"),
                format!("{a} && {b} && {c}"),
                format!("{a} && ({b} && {c})"),
                format!("{a} && ({b} || {c})"),
            ] {
                let selector = Selector::compile(&source, &["resource"]).unwrap();
                assert!(selector.parts.len() >= 2, "{source}");
                let whole = selector.matches(&scope);
                assert_eq!(selector.all(|part| part.matches(&scope)), whole, "{source}");
            }
        }
        assert!(Selector::compile("resource.yes || resource.no", &["resource"]).unwrap().parts.is_empty());
    }

    #[test]
    fn a_field_that_is_never_there_is_found_wherever_it_is_asked_for() {
        let variables = ["resource", "environment", "event"];
        let unknown = |source: &str| {
            let selector = Selector::compile(source, &variables).unwrap();
            selector.unknown_field().map(|(field, _)| field)
        };
        for source in [
            "environment.nmae == 'a'",
            "environment['nmae'] == 'a'",
            "'nmae' in environment",
            "resource.name == 'b' && has(environment.nmae)",
            "['a'].exists(x, x == environment.nmae)",
        ] {
            assert_eq!(unknown(source).as_deref(), Some("environment.nmae"), "{source}");
        }
        for source in [
            "environment.metadata.nmae == 'a' && resource.config.nmae == 'b'",
            "event.nmae == 'a'",
            "[{'nmae': 1}].exists(environment, environment.nmae == 1)",
            "'nmae' in environment.metadata && environment[resource.name] == 'a'",
        ] {
            assert_eq!(unknown(source), None, "{source}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_in_one_short_line() {
        for (source, said) in [
            ("resourc.name == 'a'", "there is no variable `resourc` here; there is resource"),
            ("resource.name.startWith('a')", "there is no function `startWith`; did you mean `startsWith`?"),
            ("resource.metadata.zone == 'a'", "zone"),
            ("resource.name ==", "is no expression"),
            ("[1].all(a, [1].all(b, [1].all(c, true)))", "loops"),
            ("resource.metadata + 1 == 2", "`resource.metadata + 1 == 2`"),
        ] {
            let message = check(source).unwrap_err().to_string();
            assert!(
                message.contains(said) && message.len() < 600 && !message.contains('\n'),
                "{source}: {message}"
            );
        }
    }

    #[test]
    fn a_variable_with_fields_is_no_text_and_the_field_that_is_meant_is_named() {
        let variables = [
            "deployment",
            "environment",
            "event",
            "from",
            "jobAgent",
            "resource",
            "result",
            "to",
            "user",
            "version",
            "workspace",
        ];
        for variable in variables {
            let meant = match variable {
                "version" => "version.tag".to_owned(),
                "event" => "event.ref".to_owned(),
                "result" => "result.value".to_owned(),
                other => format!("{other}.name"),
            };
            for wrong in [
                format!("{variable} == \"production\""),
                format!("\"production\" == {variable}"),
                format!("true && ({variable} != \"production\")"),
                format!("{variable} in [\"production\", \"staging\"]"),
                format!("!({variable} in [\"production\"])"),
                format!("{variable} < \"production\""),
                format!("{variable}.startsWith(\"prod\")"),
                format!("{variable}.matches(\"^prod\")"),
                format!("[\"production\"].exists(x, x == {variable})"),
            ] {
                let said = Selector::compile(&wrong, &[variable]).unwrap_err().to_string();
                assert!(said.contains(&format!("e.g. `{meant}`")), "{wrong}: {said}");
            }
            for right in [
                format!("{meant} == \"production\""),
                format!("{meant} in [\"production\"] && {meant}.startsWith(\"prod\")"),
                format!("\"name\" in {variable} && size({variable}) > 0"),
                // A loop's variable of that name is something else.
                format!("[\"a\"].exists({variable}, {variable} == \"a\")"),
            ] {
                assert!(Selector::compile(&right, &[variable]).is_ok(), "{right}");
            }
        }
        let said = Selector::compile("user.team == 'sre'", &["user"]).unwrap_err().to_string();
        assert_eq!(said, "there is no `user.team`; there are `user.name`, `user.role`");
    }
}
