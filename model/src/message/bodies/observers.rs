//! Who observes, as the Reporter's runtime tells it, and what an observer asks the Reporter to do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::WireBody;
use crate::{HypertyUrl, Identity, ObjectUrl, Timestamp, Url};

/// Body of `update` to `O/observers` (5.3.5): a change of the list of observers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObserversBody {
    /// Always `observers`.
    pub attribute: String,
    /// Always `array`.
    pub attribute_type: String,
    /// What happened to those in `value`.
    pub operation: ObserversOperation,
    /// Whom it happened to.
    pub value: Vec<ObserverValue>,
    /// The first of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<HypertyUrl>,
}

/// What happened to an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObserversOperation {
    /// It observes from now on.
    Add,
    /// It observes no longer.
    Remove,
    /// The session of its runtime ended, and it keeps its place (M13). Beyond 5.3.5.
    Away,
    /// It is there again. Beyond 5.3.5.
    Back,
}

/// One observer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObserverValue {
    /// The hyperty.
    pub url: HypertyUrl,
    /// The user behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Since when it observes, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it is away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

impl ObserversBody {
    /// That something happened to one observer.
    pub fn new(operation: ObserversOperation, observer: ObserverValue) -> ObserversBody {
        ObserversBody {
            attribute: "observers".to_owned(),
            attribute_type: "array".to_owned(),
            operation,
            source: Some(observer.url.clone()),
            value: vec![observer],
        }
    }
}

/// Body of `execute`: an action that an observer asks the Reporter for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecuteBody {
    /// What to do; the application defines what there is.
    pub method: String,
    /// With what. One that is no list counts as a list of one.
    #[serde(default)]
    pub params: Value,
    /// The user behind the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Body of `forward` that hands an `execute` on to the Reporter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardExecuteBody {
    /// Always `execute`.
    #[serde(rename = "type")]
    pub kind: ForwardExecute,
    /// The observer that asks.
    pub from: Url,
    /// The object.
    pub to: ObjectUrl,
    /// The user behind the observer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What to do.
    pub method: String,
    /// With what.
    #[serde(default)]
    pub params: Vec<Value>,
}

/// The word `execute`, by which this `forward` is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardExecute {
    /// `execute`.
    #[serde(rename = "execute")]
    Execute,
}

impl ExecuteBody {
    /// The parameters as a list: one that is none is the only element, `null` is no element.
    pub fn into_params(self) -> Vec<Value> {
        match self.params {
            Value::Null => Vec::new(),
            Value::Array(params) => params,
            one => vec![one],
        }
    }
}

impl WireBody for ObserversBody {}
impl WireBody for ExecuteBody {}
impl WireBody for ForwardExecuteBody {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_a_list() {
        let params = |params: Value| ExecuteBody { params, ..ExecuteBody::default() }.into_params();
        assert_eq!(params(json!([1, [2]])), [json!(1), json!([2])]);
        assert_eq!(params(json!({"a": 1})), [json!({"a": 1})]);
        assert_eq!(params(Value::Null), Vec::<Value>::new());
    }

    #[test]
    fn a_change_of_the_list_is_written_as_the_protocol_says() {
        let observer = ObserverValue {
            url: "hyperty://example.com/bob".parse().unwrap(),
            identity: None,
            since: None,
            away: false,
        };
        let body = serde_json::to_value(ObserversBody::new(ObserversOperation::Add, observer)).unwrap();
        let wanted = json!({
            "attribute": "observers", "attributeType": "array", "operation": "add",
            "value": [{"url": "hyperty://example.com/bob"}], "source": "hyperty://example.com/bob",
        });
        assert_eq!(body, wanted);
    }
}
