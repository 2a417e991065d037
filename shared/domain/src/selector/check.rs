//! Holds an expression to names that are there, and to an amount of work.

use super::{SelectorError, function};
use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use std::collections::BTreeSet;

/// How deep loops (`exists`, `all`, `map`, `filter`) may nest: each level multiplies the work.
const LOOPS_MAX: usize = 2;

/// The operators that compare their operands, as the parser names them.
const COMPARISONS: [&str; 6] = ["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"];

/// The operator that looks for its first operand in its second.
const IN: &str = "@in";

/// The operator that takes a field of its first operand by the name that is its second.
const INDEX: &str = "_[_]";

/// Variables that have fields, and a field that people mean.
pub(super) const MAPS: [(&str, &str); 13] = [
    ("inputs", "version"),
    ("deployment", "name"),
    ("environment", "name"),
    ("event", "ref"),
    ("from", "name"),
    ("jobAgent", "name"),
    ("needs", "build.status"),
    ("resource", "name"),
    ("result", "value"),
    ("to", "name"),
    ("user", "name"),
    ("version", "tag"),
    ("workspace", "name"),
];

/// Of what an expression asks, and which of its fields.
pub(super) type Field = (String, String);

/// What an expression speaks of.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The variables.
    pub(super) used: BTreeSet<String>,
    /// The fields of variables, as far as the text says which.
    pub(super) fields: BTreeSet<Field>,
}

/// Names that are there without being variables: types, and the namespace of optional values.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "optional", "string", "type", "uint"];

/// Which of these variables the expression uses, if it uses no others, only functions that exist, and loops within bounds.
pub(super) fn names(expression: &IdedExpr, variables: &[&str]) -> Result<Names, SelectorError> {
    let mut walk = Walk { variables, names: Names::default(), bound: Vec::new(), loops: 0 };
    walk.expression(expression)?;
    Ok(walk.names)
}

struct Walk<'a> {
    variables: &'a [&'a str],
    names: Names,
    /// What the loops around bind.
    bound: Vec<&'a str>,
    loops: usize,
}

impl<'a> Walk<'a> {
    fn expression(&mut self, expression: &'a IdedExpr) -> Result<(), SelectorError> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                self.field(&select.operand, &select.field);
                self.expression(&select.operand)
            }
            Expr::Call(call) => {
                function::there_is(&function::name(call)).map_err(SelectorError)?;
                match call.func_name.as_str() {
                    name if COMPARISONS.contains(&name) => {
                        call.args.iter().try_for_each(|part| self.not_a_whole(part))?;
                    }
                    // `'x' in resource` asks for a field.
                    IN => {
                        call.args.iter().take(1).try_for_each(|part| self.not_a_whole(part))?;
                        self.field_of(call.args.get(1), call.args.first());
                    }
                    INDEX => self.field_of(call.args.first(), call.args.get(1)),
                    "size" => {}
                    _ => call.target.iter().try_for_each(|target| self.not_a_whole(target))?,
                }
                call.target
                    .iter()
                    .map(AsRef::as_ref)
                    .chain(&call.args)
                    .try_for_each(|part| self.expression(part))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(made) => Err(SelectorError(format!("there is no type `{}`", made.type_name))),
            Expr::Comprehension(each) => {
                self.expression(&each.iter_range)?;
                self.expression(&each.accu_init)?;
                if self.loops == LOOPS_MAX {
                    return Err(SelectorError(format!("at most {LOOPS_MAX} loops may nest")));
                }
                let before = self.bound.len();
                self.bound.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
                self.bound.extend(each.iter_var2.as_deref());
                self.loops += 1;
                let body = [&each.loop_cond, &each.loop_step, &each.result];
                let checked = body.into_iter().try_for_each(|part| self.expression(part));
                self.loops -= 1;
                self.bound.truncate(before);
                checked
            }
        }
    }

    /// A map is never equal to a text, in no list of texts, and begins with none: `user != 'bob'` would be true of everybody.
    fn not_a_whole(&self, part: &IdedExpr) -> Result<(), SelectorError> {
        let Expr::Ident(name) = &part.expr else { return Ok(()) };
        if self.bound.contains(&name.as_str()) {
            return Ok(());
        }
        let Some((_, field)) = MAPS.iter().find(|(map, _)| map == name) else { return Ok(()) };
        Err(SelectorError(format!("`{name}` has fields: compare one of them, e.g. `{name}.{field}`")))
    }

    fn field(&mut self, of: &IdedExpr, field: &str) {
        if let Expr::Ident(variable) = &of.expr
            && !self.bound.contains(&variable.as_str())
        {
            self.names.fields.insert((variable.clone(), field.to_owned()));
        }
    }

    /// `variable["field"]`, `"field" in variable`
    fn field_of(&mut self, of: Option<&IdedExpr>, field: Option<&IdedExpr>) {
        if let (Some(of), Some(field)) = (of, field)
            && let Expr::Literal(LiteralValue::String(field)) = &field.expr
        {
            self.field(of, field.inner());
        }
    }

    fn entry(&mut self, entry: &'a EntryExpr) -> Result<(), SelectorError> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        }
    }

    fn variable(&mut self, name: &str) -> Result<(), SelectorError> {
        if self.bound.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        if self.variables.contains(&name) {
            self.names.used.insert(name.to_owned());
            return Ok(());
        }
        let are = if self.variables.len() == 1 { "is" } else { "are" };
        let known = self.variables.join(", ");
        Err(SelectorError(format!("there is no variable `{name}` here; there {are} {known}")))
    }
}
