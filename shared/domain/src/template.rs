//! Templates in config: minijinja, strict about unknown names, bounded in work. No files, no side effects.

mod secret;

use crate::near::did_you_mean;
use crate::target::Variables;
use minijinja::value::{Serde, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use secret::{Seen, below, opened};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
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

/// Renders every string inside a value. A string that is one expression and nothing else, `{{ x }}`, becomes what
/// the expression is, with its type; any other string stays a string.
///
/// # Errors
/// As [`render_str`], with the path of the string.
pub fn render_value(value: &Value, context: &Value) -> Result<Value, TemplateError> {
    Rendering { seen: Seen::plain(context), secrets: BTreeMap::new() }.at(value, "", "")
}

/// Renders every string inside a map.
///
/// # Errors
/// As [`render_value`].
pub fn render_map(map: &Map<String, Value>, context: &Value) -> Result<Map<String, Value>, TemplateError> {
    Rendering { seen: Seen::plain(context), secrets: BTreeMap::new() }.within(map, "", "")
}

/// A rendered config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The config, with null wherever a secret belongs.
    pub config: Map<String, Value>,
    /// The names of those secrets, by JSON pointer.
    pub secrets: BTreeMap<String, String>,
}

/// Renders every string inside a config, as [`render_value`] does, with `variables` as the context's `variables` and
/// `release.variables`. Only what an expression takes from a variable that is a secret is one: what merely looks like
/// a secret, in the config or elsewhere in the context, is itself.
///
/// # Errors
/// As [`render_value`], and when text is made of a secret.
pub fn render_config(
    config: &Map<String, Value>,
    context: &Map<String, Value>,
    variables: &Variables,
) -> Result<Rendered, TemplateError> {
    let mut rendering =
        Rendering { seen: Seen::with_variables(context, variables), secrets: BTreeMap::new() };
    let config = rendering.within(config, "", "")?;
    Ok(Rendered { config, secrets: rendering.secrets })
}

/// One rendering of a value, and the secrets that were found to belong into it.
struct Rendering {
    seen: Seen,
    secrets: BTreeMap<String, String>,
}

impl Rendering {
    /// Renders what is at a path, which is for people, and at a JSON pointer.
    fn at(&mut self, value: &Value, path: &str, pointer: &str) -> Result<Value, TemplateError> {
        match value {
            Value::String(text) if !text.contains('{') => Ok(value.clone()),
            Value::String(text) => self.text(text, pointer).map_err(|error| {
                if path.is_empty() { error } else { TemplateError(format!("{path}: {error}")) }
            }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(n, item)| self.at(item, &format!("{path}[{n}]"), &below(pointer, &n.to_string())))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Value::Object(map) => self.within(map, path, pointer).map(Value::Object),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
        }
    }

    fn within(
        &mut self,
        map: &Map<String, Value>,
        path: &str,
        pointer: &str,
    ) -> Result<Map<String, Value>, TemplateError> {
        let mut entry = |(key, item): (&String, &Value)| {
            Ok((key.clone(), self.at(item, &join(path, key), &below(pointer, key))?))
        };
        map.iter().map(&mut entry).collect()
    }

    fn text(&mut self, text: &str, pointer: &str) -> Result<Value, TemplateError> {
        let rendered = match sole_expression(text) {
            Some(expression) => evaluate(expression, &self.seen.names).and_then(|value| {
                opened(&value, pointer, &mut self.secrets)
                    .map_err(|error| TemplateError(format!("`{expression}`: {error}")))
            }),
            None => render(text, &self.seen.names).map(Value::String),
        };
        if self.seen.made_text_of_secret() {
            let text = shown(text);
            return Err(TemplateError(format!(
                "`{text}`: no text can be made of a secret; it must be all of a value, as in `{{{{ variables.x }}}}`"
            )));
        }
        rendered
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

fn evaluate(expression: &str, context: &Jinja) -> Result<Jinja, TemplateError> {
    let compiled = environment().compile_expression(expression).map_err(|error| say(expression, &error))?;
    let value = compiled.eval(context).map_err(|error| say(expression, &error))?;
    if value.is_undefined() {
        return Err(TemplateError(format!("`{expression}` is not known here")));
    }
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

    fn with_variables(config: Value) -> Result<(Value, Value), String> {
        let variables = json!({ "db": { "secretRef": "db-key" }, "region": "eu", "pair": { "secretRef": "x", "n": 1 },
                                "inner": { "token": { "secretRef": "admin" } } });
        let context = json!({ "version": { "tag": "v1", "metadata": { "token": { "secretRef": "admin" } } },
                              "release": { "id": "r", "variables": variables }, "variables": variables });
        let variables = variables.as_object().unwrap().clone().into_iter().collect();
        let rendered = render_config(config.as_object().unwrap(), context.as_object().unwrap(), &variables);
        rendered.map(|it| (Value::Object(it.config), json!(it.secrets))).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_leaves_its_place_and_its_name() {
        for (config, rendered, secrets) in [
            (json!({ "a": "{{ variables.db }}" }), json!({ "a": null }), json!({ "/a": "db-key" })),
            (
                json!({ "a": "{{ release.variables['db'] }}" }),
                json!({ "a": null }),
                json!({ "/a": "db-key" }),
            ),
            (
                json!({ "in/puts": { "~": ["x", "{{ variables.db }}", "{{ variables.region }}-1"] } }),
                json!({ "in/puts": { "~": ["x", null, "eu-1"] } }),
                json!({ "/in~1puts/~0/1": "db-key" }),
            ),
            (
                json!({ "a": "{{ [1, variables.db] }}" }),
                json!({ "a": [1, null] }),
                json!({ "/a/1": "db-key" }),
            ),
            (
                json!({ "a": "{{ variables.db if version.tag == 'v1' else 'none' }}" }),
                json!({ "a": null }),
                json!({ "/a": "db-key" }),
            ),
            (
                json!({ "a": "{{ variables }}" }),
                json!({ "a": { "db": null, "region": "eu", "pair": { "secretRef": "x", "n": 1 },
                               "inner": { "token": { "secretRef": "admin" } } } }),
                json!({ "/a/db": "db-key" }),
            ),
            (json!({ "a": "{% if variables.db %}has one{% endif %}" }), json!({ "a": "has one" }), json!({})),
        ] {
            assert_eq!(with_variables(config.clone()), Ok((rendered, secrets)), "{config}");
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_is_itself() {
        let looks = json!({ "secretRef": "admin" });
        for config in [
            json!({ "a": looks }),
            json!({ "a": "{{ version.metadata.token }}" }),
            json!({ "a": "{{ {'secretRef': 'admin'} }}" }),
            json!({ "a": "{{ variables.inner.token }}" }),
        ] {
            assert_eq!(with_variables(config.clone()), Ok((json!({ "a": looks }), json!({}))), "{config}");
        }
    }

    #[test]
    fn no_text_is_made_of_a_secret() {
        for text in [
            "postgres://{{ variables.db }}@host",
            "{{ variables.region }}{{ variables.db }}",
            "{{ variables.db | upper }}",
            "{{ variables.db ~ '' }}",
            "{{ variables.db | string }}",
            "{{ variables.db | tojson }}",
            "{{ variables | tojson }}",
            "all: {{ variables }}",
            "{% set x = variables.db %}{{ x }}",
        ] {
            let said = with_variables(json!({ "a": [text] }));
            let said = said.expect_err(text);
            assert!(said.starts_with("a[0]: ") && said.contains("no text can be made"), "{text}: {said}");
        }
        let said = with_variables(json!({ "a": "{{ variables.db.secretRef }}" })).unwrap_err();
        assert!(said.contains("not known here"), "{said}");
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
