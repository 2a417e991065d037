//! The functions of CEL's standard library: of what they are asked, with what, and what they give.

use super::kind::Type::{
    self, Any, Bool, Bytes, Duration, List, Map, Number, Optional, String as Text, Timestamp,
};
use super::mistake::Mistake;
use crate::near::did_you_mean;
use cel::common::ast::{CallExpr, Expr};
use std::borrow::Cow;

/// One form of a function.
pub(super) struct Function {
    name: &'static str,
    /// Of what it is asked, as in `text.contains(…)`; none: it is called by itself, as in `size(…)`.
    of: Option<&'static [Type]>,
    /// What each argument may be; nothing listed: anything.
    takes: &'static [&'static [Type]],
    /// So many of the last arguments may be left out.
    optional: usize,
    gives: Type,
}

const ANYTHING: &[Type] = &[];
const STRING: &[Type] = &[Text];
const SIZED: &[Type] = &[Text, Bytes, List, Map];
const OPTIONAL: &[Type] = &[Optional];

/// Each name has at most one form of either kind.
const FUNCTIONS: &[Function] = &[
    plain("bool", &[&[Bool, Text]], Bool),
    plain("bytes", &[&[Text, Bytes]], Bytes),
    asked("contains", STRING, &[STRING], Bool),
    plain("double", &[&[Number, Text]], Number),
    plain("duration", &[&[Text, Duration]], Duration),
    plain("dyn", &[ANYTHING], Any),
    asked("endsWith", STRING, &[STRING], Bool),
    of_time("getDate", &[Timestamp]),
    of_time("getDayOfMonth", &[Timestamp]),
    of_time("getDayOfWeek", &[Timestamp]),
    of_time("getDayOfYear", &[Timestamp]),
    of_time("getFullYear", &[Timestamp]),
    of_time("getHours", &[Timestamp, Duration]),
    of_time("getMilliseconds", &[Timestamp, Duration]),
    of_time("getMinutes", &[Timestamp, Duration]),
    of_time("getMonth", &[Timestamp]),
    of_time("getSeconds", &[Timestamp, Duration]),
    asked("hasValue", OPTIONAL, &[], Bool),
    plain("int", &[&[Number, Text, Timestamp]], Number),
    asked("matches", STRING, &[STRING], Bool),
    plain("matches", &[STRING, STRING], Bool),
    plain("optional.none", &[], Optional),
    plain("optional.of", &[ANYTHING], Optional),
    plain("optional.ofNonZeroValue", &[ANYTHING], Optional),
    asked("or", OPTIONAL, &[OPTIONAL], Optional),
    asked("orValue", OPTIONAL, &[ANYTHING], Any),
    asked("size", SIZED, &[], Number),
    plain("size", &[SIZED], Number),
    asked("startsWith", STRING, &[STRING], Bool),
    plain("string", &[&[Text, Bool, Number, Bytes, Timestamp, Duration]], Text),
    plain("timestamp", &[&[Text, Timestamp, Number]], Timestamp),
    plain("type", &[ANYTHING], Type::Class),
    plain("uint", &[&[Number, Text]], Number),
    asked("value", OPTIONAL, &[], Any),
];

/// What looks like a function and is expanded by the parser, where it is written as it should be.
const MACROS: [(&str, &str); 8] = [
    ("all", "list.all(x, x != 'a')"),
    ("exists", "list.exists(x, x == 'a')"),
    ("existsOne", "list.existsOne(x, x == 'a')"),
    ("exists_one", "list.exists_one(x, x == 'a')"),
    ("filter", "size(list.filter(x, x == 'a')) > 1"),
    ("has", "has(resource.metadata.zone)"),
    ("map", "'ab' in list.map(x, x + 'b')"),
    ("optMap", "resource.metadata.?zone.optMap(x, x == 'a').orValue(false)"),
];

const fn plain(name: &'static str, takes: &'static [&'static [Type]], gives: Type) -> Function {
    Function { name, of: None, takes, optional: 0, gives }
}

const fn asked(
    name: &'static str,
    of: &'static [Type],
    takes: &'static [&'static [Type]],
    gives: Type,
) -> Function {
    Function { name, of: Some(of), takes, optional: 0, gives }
}

/// With the time zone, or without for UTC.
const fn of_time(name: &'static str, of: &'static [Type]) -> Function {
    Function { name, of: Some(of), takes: &[STRING], optional: 1, gives: Number }
}

/// The name of what is called: `optional.of(x)` is written like a question to something.
pub(super) fn name(call: &CallExpr) -> Cow<'_, str> {
    match call.target.as_ref().map(|target| &target.expr) {
        Some(Expr::Ident(space)) if space == "optional" => format!("optional.{}", call.func_name).into(),
        Some(_) | None => call.func_name.as_str().into(),
    }
}

/// Whether there is a function of that name, and why not.
pub(super) fn there_is(name: &str) -> Result<(), String> {
    let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_operator || FUNCTIONS.iter().any(|function| function.name == name) {
        return Ok(());
    }
    if let Some((_, example)) = MACROS.iter().find(|(expanded, _)| *expanded == name) {
        return Err(format!("`{name}` is not written like that, but e.g. `{example}`"));
    }
    let known = FUNCTIONS.iter().map(|function| function.name).chain(MACROS.map(|(name, _)| name));
    let hint = did_you_mean(name, known).map(|hint| format!("; {hint}")).unwrap_or_default();
    Err(format!("there is no function `{name}`{hint}"))
}

/// What a function gives that is asked of something of a type (or by itself), with arguments of these types.
pub(super) fn call(name: &str, of: Option<Type>, arguments: &[Type]) -> Result<Type, Mistake> {
    let form = FUNCTIONS.iter().find(|form| form.name == name && form.of.is_some() == of.is_some());
    let Some(form) = form else {
        return Err(match of {
            Some(_) => Mistake::new(format!("`{name}` is called by itself"), format!("write `{name}(…)`")),
            None => Mistake::new(
                format!("`{name}` is asked of something"),
                format!("write `something.{name}(…)`"),
            ),
        });
    };
    if let (Some(of), Some(allowed)) = (of, form.of)
        && !accepts(allowed, of)
    {
        let problem = format!("`{name}` is asked of {}, not of {}", any_of(allowed), of.words());
        let is_in = name == "contains" && matches!(of, List | Map);
        let hint = is_in.then(|| "`'a' in list` looks for something in a list or a map".to_owned());
        return Err(Mistake { problem, hint });
    }
    let (most, given) = (form.takes.len(), arguments.len());
    let least = most - form.optional;
    if !(least..=most).contains(&given) {
        let many = if least == most { most.to_string() } else { format!("{least} or {most}") };
        let s = if most == 1 { "" } else { "s" };
        return Err(Mistake::plain(format!("`{name}` takes {many} argument{s}, not {given}")));
    }
    for (allowed, given) in form.takes.iter().zip(arguments) {
        if !accepts(allowed, *given) {
            let problem = format!("`{name}` takes {}, not {}", any_of(allowed), given.words());
            return Err(Mistake::plain(problem));
        }
    }
    Ok(form.gives)
}

fn accepts(allowed: &[Type], given: Type) -> bool {
    allowed.is_empty() || !given.is_sure() || allowed.contains(&given)
}

fn any_of(types: &[Type]) -> String {
    types.iter().map(|of| of.words()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_two_forms_of_one_kind() {
        for (n, one) in FUNCTIONS.iter().enumerate() {
            let same = |other: &&Function| other.name == one.name && other.of.is_some() == one.of.is_some();
            assert_eq!(FUNCTIONS[n..].iter().filter(same).count(), 1, "{}", one.name);
        }
    }
}
