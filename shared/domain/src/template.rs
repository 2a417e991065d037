//! Templates in config: minijinja, strict about unknown names, bounded in work. No files, no side effects.

use crate::near::did_you_mean;
use minijinja::value::{Serde, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// Instructions one template may take; far more than any config needs.
const FUEL: u64 = 50_000;
/// Longest rendered text, in bytes.
const RENDERED_BYTES_MAX: usize = 256 * 1024;

/// Why a template is not one, or cannot be rendered; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment
    })
}

/// Whether the text is a template.
///
/// # Errors
/// When it does not parse.
pub fn check(text: &str) -> Result<(), TemplateError> {
    environment().template_from_str(text).map(|_| ()).map_err(|error| say(text, &error))
}

/// Whether the text is a template over these names: a misspelt one is refused when it is written.
///
/// # Errors
/// When it does not parse, or speaks of another name.
pub fn check_names(text: &str, names: &[&str]) -> Result<(), TemplateError> {
    let template = environment().template_from_str(text).map_err(|error| say(text, &error))?;
    let mut used: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    used.sort();
    let is_known = |name: &String| {
        names.contains(&name.as_str()) || environment().globals().any(|(global, _)| global == name)
    };
    match used.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(unknown) => {
            let hint = did_you_mean(unknown, names.iter().copied()).map(|hint| format!("; {hint}"));
            let hint = hint.unwrap_or_default();
            Err(TemplateError(format!("`{}`: there is no `{unknown}` here{hint}", shown(text))))
        }
    }
}

/// Checks every string inside a value.
///
/// # Errors
/// With the path of the first string that does not parse.
pub fn check_value(value: &Value) -> Result<(), TemplateError> {
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => items.iter().try_for_each(check_value),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            check_value(value).map_err(|error| TemplateError(format!("{key}: {error}")))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Renders a text.
///
/// # Errors
/// When it does not parse, names something unknown, or takes too much.
pub fn render_str(text: &str, context: &Value) -> Result<String, TemplateError> {
    if !text.contains('{') {
        return Ok(text.to_owned());
    }
    render(text, &Jinja::from(Serde(context)))
}

/// Renders every string inside a map.
///
/// # Errors
/// As [`render_value`].
pub fn render_map(map: &Map<String, Value>, context: &Value) -> Result<Map<String, Value>, TemplateError> {
    let context = Jinja::from(Serde(context));
    map.iter().map(|(key, value)| Ok((key.clone(), render_at(value, &context, key)?))).collect()
}

/// Renders every string inside a value. A string that is one expression and nothing else, `{{ x }}`, becomes what
/// the expression is, with its type; any other string stays a string.
///
/// # Errors
/// As [`render_str`], with the path of the string.
pub fn render_value(value: &Value, context: &Value) -> Result<Value, TemplateError> {
    render_at(value, &Jinja::from(Serde(context)), "")
}

fn render_at(value: &Value, context: &Jinja, path: &str) -> Result<Value, TemplateError> {
    let within = |error: TemplateError| {
        if path.is_empty() { error } else { TemplateError(format!("{path}: {error}")) }
    };
    match value {
        Value::String(text) if !text.contains('{') => Ok(value.clone()),
        Value::String(text) => match sole_expression(text) {
            Some(expression) => evaluate(expression, context).map_err(within),
            None => render(text, context).map(Value::String).map_err(within),
        },
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, item)| render_at(item, context, &format!("{path}[{n}]")))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| Ok((key.clone(), render_at(item, context, &join(path, key))?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The expression of a text that is `{{ expression }}` and nothing else.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim())
}

fn evaluate(expression: &str, context: &Jinja) -> Result<Value, TemplateError> {
    let compiled = environment().compile_expression(expression).map_err(|error| say(expression, &error))?;
    let value = compiled.eval(context).map_err(|error| say(expression, &error))?;
    if value.is_undefined() {
        return Err(TemplateError(format!("`{expression}` is not known here")));
    }
    let value =
        serde_json::to_value(&value).map_err(|error| TemplateError(format!("`{expression}`: {error}")))?;
    Ok(value)
}

fn render(text: &str, context: &Jinja) -> Result<String, TemplateError> {
    let failed = |error: Error| match unknown_in(text, context) {
        Some(unknown) if error.kind() == ErrorKind::UndefinedError => unknown,
        Some(_) | None => say(text, &error),
    };
    let rendered = environment().render_str(text, context).map_err(failed)?;
    if rendered.len() > RENDERED_BYTES_MAX {
        return Err(TemplateError(format!("the rendered text has more than {RENDERED_BYTES_MAX} bytes")));
    }
    Ok(rendered)
}

/// Which name of the template is not in the context.
fn unknown_in(text: &str, context: &Jinja) -> Option<TemplateError> {
    let template = environment().template_from_str(text).ok()?;
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort();
    let is_there = |name: &String| {
        name.split('.')
            .try_fold(context.clone(), |value, part| value.get_attr(part).ok())
            .is_some_and(|v| !v.is_undefined())
    };
    let unknown = names.iter().find(|name| !is_there(name))?;
    Some(TemplateError(format!("`{}`: {unknown} is not known here", shown(text))))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn say(text: &str, error: &Error) -> TemplateError {
    let what = if error.kind() == ErrorKind::UndefinedError {
        "names something that is not known here".to_owned()
    } else if error.kind() == ErrorKind::OutOfFuel {
        "takes too long".to_owned()
    } else {
        error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
    };
    TemplateError(format!("`{}` {what}", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context() -> Value {
        json!({ "version": { "tag": "v1", "n": 3 }, "resource": { "config": { "zones": ["a", "b"] } } })
    }

    #[test]
    fn strings_are_rendered_and_sole_expressions_keep_their_type() {
        for (template, rendered) in [
            (json!("plain"), json!("plain")),
            (json!("tag {{ version.tag }}"), json!("tag v1")),
            (json!("{{ version.n }}"), json!(3)),
            (json!(" {{ resource.config.zones }} "), json!(["a", "b"])),
            (json!("{{ version.n }}{{ version.n }}"), json!("33")),
            (json!({"a": [{"b": "{{ version.tag | upper }}"}], "c": 1}), json!({"a": [{"b": "V1"}], "c": 1})),
            (json!("{{ version.tag[:1] }}"), json!("v")),
            (json!("${{ '{{' }} github.ref }}"), json!("${{ github.ref }}")),
        ] {
            assert_eq!(render_value(&template, &context()), Ok(rendered), "{template}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        for template in ["{{ version.nothing }}", "a {{ nothing }} b", "{{ version.nothing.more }}"] {
            let error = render_value(&json!({ "x": { "y": template } }), &context()).unwrap_err().to_string();
            assert!(error.contains("nothing") && error.starts_with("x.y"), "{error}");
        }
    }

    #[test]
    fn a_long_template_still_says_which_name() {
        let long = format!("{}{{{{ version.nothing }}}}", "x".repeat(200));
        let error = render_str(&long, &context()).unwrap_err().to_string();
        assert!(error.contains("nothing"), "{error}");
    }

    #[test]
    fn names_are_checked_before_anything_is_rendered() {
        for good in ["x", "{{ version.any }}", "{% for a in range(3) %}{{ a }}{{ loop.index }}{% endfor %}"] {
            assert_eq!(check_names(good, &["version"]), Ok(()), "{good}");
        }
        for (bad, said) in [
            ("{{ versoin.tag }}", "there is no `versoin` here; did you mean `version`?"),
            ("a {{ x | upper }}", "there is no `x` here; there are version"),
            ("{{ version", "syntax error"),
        ] {
            let error = check_names(bad, &["version"]).unwrap_err().to_string();
            assert!(error.contains(said) || said == "syntax error", "{error}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_and_work_is_bounded() {
        assert!(check("{{ a").is_err());
        assert!(check("{% for %}").is_err());
        assert!(check_value(&json!({ "a": "{{ b" })).is_err());
        assert!(check("{{ version.tag }}").is_ok());
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render_str(endless, &context()).is_err());
    }
}
