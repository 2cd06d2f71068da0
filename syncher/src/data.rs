//! What every value must be before it becomes part of an object.

use hyperty_model::change::{Change, ChangeOp, ValueError, check_value};
use serde_json::Value;

/// Why a value is refused before anything is sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// The data of an object is a JSON object; put the value into an attribute of one.
    #[error("the data must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// The value does not survive every implementation: an integer is too large, or it is nested too deep.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Checks whole data.
pub(crate) fn check_data(data: &Value) -> Result<(), DataError> {
    let kind = match data {
        Value::Object(_) => return Ok(check_value(data)?),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
    };
    Err(DataError::NotAnObject(kind))
}

/// Checks what a change brings.
pub(crate) fn check_change(change: &Change) -> Result<(), DataError> {
    match &change.op {
        ChangeOp::Set(data) if change.path.is_root() => check_data(data),
        _ => Ok(change.values().iter().try_for_each(check_value)?),
    }
}
