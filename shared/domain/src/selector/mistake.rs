//! What is surely wrong with an expression, whatever it will be asked about: something that is no boolean where one is expected,
//! calls that nothing answers, texts that are no regular expression, instant or duration. What only values tell is left to them.

use super::check::MAPS;
use super::function::{self, name as called};
use super::kind::Type;
use super::{ENVIRONMENT, one_line};
use crate::catalog::{FIELDS, MAPS_OF_FIELDS};
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, IdedExpr, Value as Cel};
use std::sync::Arc;

/// The field of entities whose values always are strings.
const METADATA: &str = "metadata";

/// What is wrong, and what may help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, as a sentence without its end.
    pub problem: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(problem: String, hint: String) -> Self {
        Self { problem, hint: Some(hint) }
    }

    pub(super) fn plain(problem: String) -> Self {
        Self { problem, hint: None }
    }
}

/// The first mistake in an expression over these variables that must be a boolean.
pub(super) fn first(expression: &IdedExpr, variables: &[&str]) -> Option<Mistake> {
    Walk { variables, bound: Vec::new() }.boolean(expression).err()
}

struct Walk<'a> {
    variables: &'a [&'a str],
    /// What the loops around bind.
    bound: Vec<(&'a str, Type)>,
}

impl<'a> Walk<'a> {
    /// Holds it to being a boolean, as far as that can be told.
    fn boolean(&mut self, expression: &'a IdedExpr) -> Result<(), Mistake> {
        if let Expr::Call(call) = &expression.expr
            && call.func_name == operators::CONDITIONAL
        {
            // A branch that is null has nothing to say: that is no mistake of the other.
            let is_null = |part: &IdedExpr| matches!(part.expr, Expr::Literal(LiteralValue::Null));
            return call.args.iter().filter(|part| !is_null(part)).try_for_each(|part| self.boolean(part));
        }
        let is = self.type_of(expression)?;
        if matches!(is, Type::Any | Type::Bool) { Ok(()) } else { Err(no_boolean(expression, is)) }
    }

    fn type_of(&mut self, expression: &'a IdedExpr) -> Result<Type, Mistake> {
        match &expression.expr {
            Expr::Unspecified | Expr::Struct(_) => Ok(Type::Any),
            Expr::Literal(literal) => Ok(Type::of(literal)),
            Expr::Ident(name) => Ok(self.variable(name)),
            Expr::Select(select) => {
                let of = self.type_of(&select.operand)?;
                if !matches!(of, Type::Any | Type::Map | Type::Optional | Type::Sum | Type::Class) {
                    let (whole, of) = (words(&select.operand), of.words());
                    return Err(Mistake::plain(format!("{whole} is {of}, which has no fields")));
                }
                Ok(if select.test { Type::Bool } else { self.field(&select.operand, &select.field) })
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                list.elements.iter().try_for_each(|element| self.type_of(element).map(drop))?;
                Ok(Type::List)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::StructField(field) => drop(self.type_of(&field.value)?),
                        EntryExpr::MapEntry(entry) => {
                            self.type_of(&entry.key)?;
                            self.type_of(&entry.value)?;
                        }
                    }
                }
                Ok(Type::Map)
            }
            Expr::Comprehension(each) => {
                self.type_of(&each.iter_range)?;
                let begins = self.type_of(&each.accu_init)?;
                let before = self.bound.len();
                self.bound.push((&each.iter_var, Type::Any));
                self.bound.extend(each.iter_var2.as_deref().map(|name| (name, Type::Any)));
                self.bound.push((&each.accu_var, begins));
                let body = [&each.loop_cond, &each.loop_step, &each.result];
                let types = body.map(|part| self.type_of(part));
                self.bound.truncate(before);
                let [condition, step, result] = types;
                condition.and(step).and(result)
            }
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<Type, Mistake> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, parts) => {
                parts.iter().try_for_each(|part| self.boolean(part))?;
                Ok(Type::Bool)
            }
            (operators::NOT_STRICTLY_FALSE, parts) => {
                parts.iter().try_for_each(|part| self.type_of(part).map(drop))?;
                Ok(Type::Bool)
            }
            (operators::CONDITIONAL, [asked, yes, no]) => {
                self.boolean(asked)?;
                let (yes, no) = (self.type_of(yes)?, self.type_of(no)?);
                Ok(if yes == no { yes } else { Type::Any })
            }
            (name @ (operators::EQUALS | operators::NOT_EQUALS), [one, other]) => {
                let types = (self.type_of(one)?, self.type_of(other)?);
                match types {
                    (Type::Null | Type::Optional, _) | (_, Type::Null | Type::Optional) => Ok(Type::Bool),
                    (a, b) if a.is_sure() && b.is_sure() && a != b => Err(never(name, (one, a), (other, b))),
                    _ => Ok(Type::Bool),
                }
            }
            (
                name @ (operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS),
                [one, other],
            ) => {
                let (a, b) = (self.type_of(one)?, self.type_of(other)?);
                if a.is_sure() && b.is_sure() && a != b {
                    return Err(never(name, (one, a), (other, b)));
                }
                Ok(Type::Bool)
            }
            (operators::IN, [one, all]) => {
                self.type_of(one)?;
                let of = self.type_of(all)?;
                if !of.is_sure() || matches!(of, Type::List | Type::Map) {
                    return Ok(Type::Bool);
                }
                let problem = format!("`in` looks in a list or a map, and {} is {}", words(all), of.words());
                let hint = (of == Type::String).then(|| "`text.contains('a')` looks in a string".to_owned());
                Err(Mistake { problem, hint })
            }
            (operators::ADD, [one, other]) => Ok(match (self.type_of(one)?, self.type_of(other)?) {
                (Type::String, _) | (_, Type::String) => Type::String,
                (Type::List, _) | (_, Type::List) => Type::List,
                (Type::Number, Type::Number) => Type::Number,
                _ => Type::Sum,
            }),
            (
                operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE,
                parts,
            ) => {
                let mut made = Type::Number;
                for part in parts {
                    if self.type_of(part)? != Type::Number {
                        made = Type::Sum;
                    }
                }
                Ok(made)
            }
            (operators::INDEX, [of, index]) => {
                self.type_of(of)?;
                self.type_of(index)?;
                let Expr::Literal(LiteralValue::String(field)) = &index.expr else { return Ok(Type::Any) };
                Ok(self.field(of, field.inner()))
            }
            (operators::OPT_INDEX | operators::OPT_SELECT, parts) => {
                parts.iter().try_for_each(|part| self.type_of(part).map(drop))?;
                Ok(Type::Optional)
            }
            (_, arguments) => {
                let name = called(call);
                let of = match &call.target {
                    // The namespace is a part of the name.
                    Some(_) if *name != *call.func_name => None,
                    Some(target) => Some(self.type_of(target)?),
                    None => None,
                };
                let types = arguments.iter().map(|part| self.type_of(part)).collect::<Result<Vec<_>, _>>()?;
                let given = function::call(&name, of, &types)?;
                literal(&name, call)?;
                Ok(given)
            }
        }
    }

    fn variable(&self, name: &str) -> Type {
        if let Some((_, of)) = self.bound.iter().rev().find(|(bound, _)| *bound == name) {
            return *of;
        }
        match name {
            _ if !self.variables.contains(&name) => Type::Class,
            "succeeded" => Type::Bool,
            "type" | "source" | "subject" => Type::String,
            _ if MAPS.iter().any(|(map, _)| *map == name) => Type::Map,
            _ => Type::Any,
        }
    }

    /// What a field is that always is the same.
    fn field(&self, of: &IdedExpr, field: &str) -> Type {
        let is_free = |name: &str| {
            self.variables.contains(&name) && !self.bound.iter().any(|(bound, _)| *bound == name)
        };
        if let Expr::Ident(name) = &of.expr
            && is_free(name)
        {
            let known = FIELDS.iter().find(|(of, _)| of == name);
            let is_known = known.is_some_and(|(_, fields)| fields.contains(&field));
            return match is_known {
                true if MAPS_OF_FIELDS.contains(&field) => Type::Map,
                true => Type::String,
                false if name == "needs" => Type::Map,
                false => Type::Any,
            };
        }
        if let Expr::Select(part) = &of.expr
            && let Expr::Ident(name) = &part.operand.expr
            && is_free(name)
        {
            let has_metadata = FIELDS.iter().any(|(of, fields)| of == name && fields.contains(&METADATA));
            if (name == "needs" && field == "status") || (has_metadata && part.field == METADATA) {
                return Type::String;
            }
        }
        Type::Any
    }
}

/// How an expression is told, in short.
fn words(expression: &IdedExpr) -> String {
    if let Some(path) = path(expression) {
        return format!("`{path}`");
    }
    match &expression.expr {
        Expr::Literal(literal) => format!("`{}`", written(literal)),
        Expr::List(_) => "`[…]`".to_owned(),
        Expr::Map(_) => "`{…}`".to_owned(),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::CONDITIONAL => "what `? :` makes".to_owned(),
            name if name.starts_with(|c: char| c.is_ascii_alphabetic()) => format!("`{}(…)`", called(call)),
            name => format!("what `{}` makes", name.trim_matches(['_', '@'])),
        },
        Expr::Comprehension(_) => "what the loop makes".to_owned(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) => "it".to_owned(),
    }
}

/// `environment.name`, `environment['name']`
fn path(expression: &IdedExpr) -> Option<String> {
    if let Expr::Ident(name) = &expression.expr {
        return Some(name.clone());
    }
    if let Expr::Select(select) = &expression.expr {
        let of = path(&select.operand).filter(|_| !select.test)?;
        return Some(format!("{of}.{}", select.field));
    }
    if let Expr::Call(call) = &expression.expr
        && let (operators::INDEX, [of, index]) = (call.func_name.as_str(), call.args.as_slice())
        && let Expr::Literal(index @ LiteralValue::String(_)) = &index.expr
    {
        return Some(format!("{}[{}]", path(of)?, written(index)));
    }
    None
}

fn written(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(yes) => yes.inner().to_string(),
        LiteralValue::Bytes(_) => "b'…'".to_owned(),
        LiteralValue::Double(number) => number.inner().to_string(),
        LiteralValue::Int(number) => number.inner().to_string(),
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::String(text) => format!("'{}'", one_line(text.inner())),
        LiteralValue::UInt(number) => format!("{}u", number.inner()),
    }
}

fn no_boolean(expression: &IdedExpr, is: Type) -> Mistake {
    let whole = words(expression);
    if is == Type::Sum {
        return Mistake::plain(format!("{whole} is no boolean"));
    }
    let problem = format!("{whole} is no boolean but {}", is.words());
    let path = path(expression);
    let field = path.as_deref().and_then(|path| MAPS.iter().find(|(map, _)| *map == path));
    match (path, field, is) {
        (_, Some((map, field)), _) => {
            Mistake::new(problem, format!("compare one of its fields, e.g. `{map}.{field} == '…'`"))
        }
        (Some(path), None, Type::String) => {
            Mistake::new(problem, format!("compare it, e.g. `{path} == '…'`"))
        }
        (Some(_), None, _) | (None, None, _) => Mistake::plain(problem),
    }
}

/// Two things that no comparison brings together.
fn never(operator: &str, one: (&IdedExpr, Type), other: (&IdedExpr, Type)) -> Mistake {
    let sign = operator.trim_matches('_');
    let told = |(expression, is): (&IdedExpr, Type)| format!("{} is {}", words(expression), is.words());
    let hint = match (one.1, other.1) {
        (Type::String, Type::Number) | (Type::Number, Type::String) => {
            "write the number in quotes, or make one of the string: `int('5')`"
        }
        (Type::String, Type::Timestamp) | (Type::Timestamp, Type::String) => {
            "make a timestamp of the string: `timestamp('2026-01-31T09:00:00Z')`"
        }
        _ => "compare what is of one type",
    };
    Mistake::new(format!("`{sign}` cannot compare them: {}, {}", told(one), told(other)), hint.to_owned())
}

/// Tries what a function makes of a text that is written there, as it would at each evaluation.
fn literal(name: &str, call: &CallExpr) -> Result<(), Mistake> {
    let Some(argument) = call.args.last() else { return Ok(()) };
    let Expr::Literal(value @ LiteralValue::String(text)) = &argument.expr else { return Ok(()) };
    let text = || one_line(text.inner());
    let tried = match name {
        "matches" => function("matches", None, vec![string(""), argument.clone()]),
        "timestamp" | "duration" | "int" | "uint" | "double" | "bool" => {
            function(name, None, vec![argument.clone()])
        }
        _ if name.starts_with("get") => {
            let at = function("timestamp", None, vec![string("2026-01-01T00:00:00Z")]);
            function(name, Some(Box::new(at)), vec![argument.clone()])
        }
        _ => return Ok(()),
    };
    let Err(error) = Cel::resolve(&tried, &Context::with_env(Arc::clone(&ENVIRONMENT))) else {
        return Ok(());
    };
    let written = format!("`{name}({})`", written(value));
    Err(match name {
        "matches" => {
            let error = error.to_string();
            let why = error.rsplit("error: ").next().unwrap_or(&error);
            Mistake::new(
                format!("`{}` is no regular expression: {}", text(), one_line(why)),
                "as RE2 has them, e.g. `'^v[0-9]+$'`".to_owned(),
            )
        }
        "timestamp" => Mistake::new(
            format!("{written} is no timestamp"),
            "RFC 3339 with a zone, e.g. `timestamp('2026-01-31T09:00:00Z')`".to_owned(),
        ),
        "duration" => Mistake::new(
            format!("{written} is no duration"),
            "e.g. `duration('1h30m')`; the units are h, m, s, ms, us and ns".to_owned(),
        ),
        "bool" => {
            Mistake::new(format!("{written} is no boolean"), "`bool('true')`, `bool('false')`".to_owned())
        }
        "int" | "uint" | "double" => {
            Mistake::new(format!("{written} is no number of that type"), "e.g. `int('5')`".to_owned())
        }
        _ => Mistake::new(
            format!("there is no time zone `{}`", text()),
            "IANA names are understood, e.g. `Europe/Berlin`".to_owned(),
        ),
    })
}

fn function(name: &str, target: Option<Box<IdedExpr>>, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target, args }) }
}

fn string(text: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(text.to_owned().into())) }
}

#[cfg(test)]
mod tests {
    use super::super::Selector;

    const VARIABLES: &[&str] = &[
        "resource",
        "environment",
        "deployment",
        "version",
        "user",
        "result",
        "event",
        "type",
        "inputs",
        "needs",
        "succeeded",
        "item",
    ];

    fn told(source: &str) -> Option<String> {
        let selector =
            Selector::compile(source, VARIABLES).unwrap_or_else(|error| panic!("{source}: {error}"));
        let mistake = selector.mistake(VARIABLES)?;
        Some(format!("{} ({})", mistake.problem, mistake.hint.unwrap_or_default()))
    }

    #[test]
    fn what_is_surely_no_boolean_is_told() {
        for (source, said) in [
            (
                "environment.name",
                "`environment.name` is no boolean but a string (compare it, e.g. `environment.name == '…'`)",
            ),
            ("environment['name']", "`environment['name']` is no boolean but a string"),
            ("version.tag", "`version.tag` is no boolean but a string"),
            ("deployment.slug", "`deployment.slug`"),
            ("resource.kind", "`resource.kind`"),
            ("resource.metadata", "`resource.metadata` is no boolean but a map"),
            ("resource.metadata.canary", "`resource.metadata.canary` is no boolean but a string (compare it"),
            (
                "environment",
                "`environment` is no boolean but a map (compare one of its fields, e.g. `environment.name == '…'`)",
            ),
            ("needs.build.status", "`needs.build.status` is no boolean but a string"),
            ("type", "`type` is no boolean but a string"),
            ("'production'", "`'production'` is no boolean but a string"),
            ("1", "`1` is no boolean but a number"),
            ("null", "`null` is no boolean but null"),
            ("1 + 1", "what `+` makes is no boolean but a number"),
            ("'a' + resource.metadata.zone", "what `+` makes is no boolean but a string"),
            ("resource.metadata.a + resource.config.b", "what `+` makes is no boolean"),
            ("-resource.config.n", "what `-` makes is no boolean"),
            ("size(resource.name)", "`size(…)` is no boolean but a number"),
            ("resource.name.size()", "`size(…)` is no boolean but a number"),
            ("string(resource.config.a)", "`string(…)` is no boolean but a string"),
            ("timestamp(version.createdAt)", "`timestamp(…)` is no boolean but a timestamp"),
            ("['a']", "`[…]` is no boolean but a list"),
            ("{'a': true}", "`{…}` is no boolean but a map"),
            ("['a'].filter(x, x == 'a')", "what the loop makes is no boolean but a list"),
            ("['a'].map(x, true)", "what the loop makes is no boolean but a list"),
            ("succeeded ? version.tag : 'v1'", "`version.tag` is no boolean"),
            ("succeeded ? true : 'v1'", "`'v1'` is no boolean"),
            ("environment.name ? true : false", "`environment.name` is no boolean"),
            ("version.tag == 'v1' || 'v2'", "`'v2'` is no boolean"),
            ("true && (environment.name == 'a' || environment.name)", "`environment.name` is no boolean"),
            ("!environment.name", "`environment.name` is no boolean"),
            ("['a'].exists(x, environment.name)", "`environment.name` is no boolean"),
            ("['a'].all(x, size(x))", "`size(…)` is no boolean"),
            ("size(['a'].filter(x, 'b')) > 0", "`'b'` is no boolean"),
            ("optional.of(1)", "`optional.of(…)` is no boolean but an optional value"),
        ] {
            let told = told(source).unwrap_or_else(|| panic!("{source}: no mistake"));
            assert!(told.contains(said), "{source}: {told}");
        }
    }

    #[test]
    fn what_no_value_could_answer_is_told() {
        for (source, said) in [
            (
                "resource.name.matches('^(eu')",
                "`^(eu` is no regular expression: unclosed group (as RE2 has them",
            ),
            ("matches(resource.name, '[a')", "`[a` is no regular expression: unclosed"),
            ("resource.name.matches('(?=a)')", "is no regular expression: look-around"),
            (
                "timestamp(version.createdAt) > timestamp('2026-13-01')",
                "`timestamp('2026-13-01')` is no timestamp (RFC 3339",
            ),
            (
                "timestamp(version.createdAt) > timestamp('2026-01-01')",
                "`timestamp('2026-01-01')` is no timestamp",
            ),
            ("duration('1d') > duration('1h')", "`duration('1d')` is no duration (e.g. `duration('1h30m')`"),
            ("int('five') == 5", "`int('five')` is no number"),
            ("bool('maybe')", "`bool('maybe')` is no boolean"),
            (
                "timestamp(version.createdAt).getHours('Europe/Berln') > 9",
                "there is no time zone `Europe/Berln` (IANA",
            ),
            ("resource.name.startsWith()", "`startsWith` takes 1 argument, not 0"),
            ("resource.name.startsWith('a', 'b')", "`startsWith` takes 1 argument, not 2"),
            (
                "timestamp(version.createdAt).getHours('UTC', 1) > 9",
                "`getHours` takes 0 or 1 argument, not 2",
            ),
            ("size() > 1", "`size` takes 1 argument, not 0"),
            (
                "startsWith(resource.name, 'a')",
                "`startsWith` is asked of something (write `something.startsWith(…)`)",
            ),
            (
                "version.createdAt.timestamp() > timestamp(0)",
                "`timestamp` is called by itself (write `timestamp(…)`)",
            ),
            ("['a'].contains('a')", "`contains` is asked of a string, not of a list (`'a' in list`"),
            ("resource.name.contains(1)", "`contains` takes a string, not a number"),
            ("size(1) == 1", "`size` takes a string or bytes or a list or a map, not a number"),
            (
                "'prod' in environment.name",
                "`in` looks in a list or a map, and `environment.name` is a string (`text.contains",
            ),
            ("version.tag.major == '1'", "`version.tag` is a string, which has no fields"),
            (
                "version.tag == 1",
                "`==` cannot compare them: `version.tag` is a string, `1` is a number (write the number in quotes",
            ),
            (
                "version.createdAt < timestamp('2026-01-01T00:00:00Z')",
                "`<` cannot compare them: `version.createdAt` is a string",
            ),
        ] {
            let told = told(source).unwrap_or_else(|| panic!("{source}: no mistake"));
            assert!(told.contains(said), "{source}: {told}");
        }
    }

    #[test]
    fn what_only_values_tell_is_left_to_them() {
        for source in [
            "true",
            "resource.config.enabled",
            "resource.variables.on",
            "resource['config'].enabled",
            "version.config.a.b == 1 && version.config.a",
            "result.value < 0.01 && result.json.ok",
            "event.deleted || event.created",
            "inputs.deep",
            "item",
            "succeeded && needs.build.status == 'successful'",
            "needs['build'].status == 'successful'",
            "has(resource.metadata.zone) ? resource.metadata.zone == 'a' : true",
            "succeeded ? resource.config.a : false",
            "succeeded ? true : null",
            "(succeeded ? version.tag : 'v1') == 'v1'",
            "environment.description == null || environment.description != 'x'",
            "resource.config.n + 1 == 4 && resource.config.n * 2 > 1",
            "resource.config.n > 1.5 && 1u < 2",
            "type(resource.config.n) == int && type == 'push'",
            "environment.name in ['a', 'b'] && 'zone' in resource.metadata",
            "resource.metadata.exists(key, key == 'zone')",
            "['a', 'b'].exists_one(x, x == resource.name)",
            "[true].exists(environment, environment)",
            "resource.config.list.all(x, x)",
            "resource.config.list.contains('a') && resource.config.size() == 1",
            "resource.name.matches(resource.metadata.pattern)",
            "timestamp(resource.metadata.at).getHours('Europe/Berlin') > 9 && duration('90m') > duration('1h')",
            "timestamp(version.createdAt) + duration('1h') > timestamp('2026-01-01T00:00:00Z')",
            "optional.of(1).hasValue() && optional.none().or(optional.of(true)).orValue(false)",
            "resource.metadata.?zone.orValue('b') == 'a'",
            "resource.metadata.?zone.optMap(x, x == 'a').orValue(false)",
            "dyn(version.tag) == 1",
            "bool(resource.metadata.canary)",
        ] {
            assert_eq!(told(source), None, "{source}");
        }
    }
}
