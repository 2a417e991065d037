//! Values as expressions see them.

use super::SelectorError;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A value of a scope, converted once; a copy of it is a pointer.
#[derive(Clone)]
pub struct ScopeValue(Arc<dyn Val>);

impl ScopeValue {
    pub(super) fn as_val(&self) -> &dyn Val {
        self.0.as_ref()
    }
}

impl fmt::Debug for ScopeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Converts a value for use in scopes.
///
/// # Errors
/// When it has no JSON form (a map with keys that are not strings or numbers).
pub fn value_of(value: &impl Serialize) -> Result<ScopeValue, SelectorError> {
    let json = serde_json::to_value(value).map_err(|error| SelectorError(error.to_string()))?;
    Ok(ScopeValue(convert(json).into()))
}

fn convert(value: Value) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(yes) => Box::new(CelBool::from(yes)),
        // What fits is an `int`, as in expressions: `replicas + 1` has no meaning for `uint` and `int`.
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Box::new(CelInt::from(number)),
            (None, Some(number), _) => Box::new(CelUInt::from(number)),
            (None, None, number) => Box::new(CelDouble::from(number.unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text)),
        Value::Array(items) => Box::new(CelList::from(items.into_iter().map(convert).collect::<Vec<_>>())),
        Value::Object(map) => {
            let entries: HashMap<CelMapKey<'_>, Box<dyn Val>> =
                map.into_iter().map(|(key, value)| (CelMapKey::from(key), convert(value))).collect();
            Box::new(CelMap::from(entries))
        }
    }
}
