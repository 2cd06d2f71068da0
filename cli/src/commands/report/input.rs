//! What a line of stdin asks for.

use hyperty_model::change::Change;
use hyperty_model::message::{UpdateBody, UpdateKind};
use serde_json::{Map, Value};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// One change.
    Change(Change),
    /// The whole data.
    Whole(Value),
    /// The end of the object.
    Delete,
}

impl Input {
    /// Reads a line; `None` for an empty one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Option<Input>, String> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
        let Value::Object(mut members) = value else {
            return Err("a line is a JSON object: a change, {\"data\":…} or {\"delete\":true}".to_owned());
        };
        if !members.contains_key("attribute")
            && let Some(input) = whole_or_delete(&mut members)?
        {
            return Ok(Some(input));
        }
        let update: UpdateBody =
            serde_json::from_value(Value::Object(members)).map_err(|error| format!("no change: {error}"))?;
        match update.kind {
            UpdateKind::Change(change) => Ok(Some(Input::Change(change))),
            UpdateKind::Metadata { .. } => Err("metadata is not changed by lines".to_owned()),
            _ => Err("no change: it lacks `attribute`, or its operation is none".to_owned()),
        }
    }
}

fn whole_or_delete(members: &mut Map<String, Value>) -> Result<Option<Input>, String> {
    match (members.remove("data"), members.remove("delete")) {
        (Some(data @ Value::Object(_)), None) => Ok(Some(Input::Whole(data))),
        (Some(_), None) => Err("`data` is a JSON object".to_owned()),
        (None, Some(Value::Bool(true))) => Ok(Some(Input::Delete)),
        (None, None) => Ok(None),
        _ => Err("`delete` stands alone, and is true".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::ChangeOp;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_of_a_line() {
        let parse = |line: Value| Input::parse(&line.to_string()).unwrap().unwrap();
        let change = |path: &str, op| Input::Change(Change::new(path, op));
        assert_eq!(parse(json!({"attribute": "a", "value": null})), change("a", ChangeOp::Set(Value::Null)));
        assert_eq!(parse(json!({"attribute": "a.b"})), change("a.b", ChangeOp::Delete));
        let add = json!({"attribute": "l.0", "attributeType": "array", "operation": "add", "value": [1]});
        assert_eq!(parse(add), change("l.0", ChangeOp::Insert(vec![json!(1)])));
        assert_eq!(parse(json!({"attribute": "data", "value": 1})), change("data", ChangeOp::Set(json!(1))));
        assert_eq!(parse(json!({"data": {"a": 1}})), Input::Whole(json!({"a": 1})));
        assert_eq!(parse(json!({"delete": true})), Input::Delete);
        assert_eq!(Input::parse(" \t"), Ok(None));
    }

    #[test]
    fn what_is_no_line() {
        for line in [
            "{",
            "[]",
            "7",
            "{}",
            r#"{"value":1}"#,
            r#"{"data":[]}"#,
            r#"{"data":{},"delete":true}"#,
            r#"{"delete":false}"#,
            r#"{"attribute":7}"#,
            r#"{"attribute":"a","attributeType":"array","operation":"turn"}"#,
            r#"{"attribute":"name","attributeType":"metadata","value":"x"}"#,
        ] {
            assert!(Input::parse(line).is_err(), "{line}");
        }
    }
}
