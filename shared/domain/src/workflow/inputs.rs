//! What a run is given: every input with its value, or what is wrong with them.

use super::INPUTS_BYTES_MAX;
use crate::entity::{InputType, WorkflowInput};
use crate::near::did_you_mean;
use serde_json::{Map, Value};

/// What is wrong with one input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InputProblem {
    /// `inputs.<key>`, or `inputs` for all of them.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// Every declared input with its value: the given one, else the default, else null.
///
/// # Errors
/// Everything that is wrong: an input that is not declared, missing, of another type, or none of its options.
pub fn resolve(
    declared: &[WorkflowInput],
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<InputProblem>> {
    let mut problems = Vec::new();
    for key in given.keys().filter(|key| declared.iter().all(|input| input.key != **key)) {
        let hint = did_you_mean(key, declared.iter().map(|input| input.key.as_str()));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        problems.push(problem(key, format!("there is no such input{hint}")));
    }
    let mut resolved = Map::new();
    for input in declared {
        let value = given.get(&input.key).filter(|value| !value.is_null()).or(input.default.as_ref());
        match value {
            None if input.required => problems.push(problem(&input.key, "is missing")),
            None => _ = resolved.insert(input.key.clone(), Value::Null),
            Some(value) => match fits(input, value) {
                Ok(()) => _ = resolved.insert(input.key.clone(), value.clone()),
                Err(why) => problems.push(problem(&input.key, why)),
            },
        }
    }
    let bytes = Value::Object(resolved.clone()).to_string().len();
    if bytes > INPUTS_BYTES_MAX {
        let message = format!("have {bytes} bytes; {INPUTS_BYTES_MAX} are allowed");
        problems.push(InputProblem { field: "inputs".to_owned(), message });
    }
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// Whether an input may have the value.
///
/// # Errors
/// Why not.
pub fn fits(input: &WorkflowInput, value: &Value) -> Result<(), String> {
    let is = match value {
        Value::String(_) => Some(InputType::String),
        Value::Number(_) => Some(InputType::Number),
        Value::Bool(_) => Some(InputType::Boolean),
        Value::Object(_) => Some(InputType::Object),
        Value::Array(_) => Some(InputType::Array),
        Value::Null => None,
    };
    let word = |of: InputType| match of {
        InputType::String => "a string",
        InputType::Number => "a number",
        InputType::Boolean => "true or false",
        InputType::Object => "an object",
        InputType::Array => "an array",
    };
    if is != Some(input.input_type) {
        return Err(format!("is {}, but must be {}", is.map_or("null", word), word(input.input_type)));
    }
    if !input.options.is_empty() && !input.options.contains(value) {
        let options: Vec<String> = input.options.iter().map(Value::to_string).collect();
        return Err(format!("must be one of {}", options.join(", ")));
    }
    Ok(())
}

fn problem(key: &str, message: impl Into<String>) -> InputProblem {
    InputProblem { field: format!("inputs.{key}"), message: message.into() }
}
