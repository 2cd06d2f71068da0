//! Bodies of the allocation messages (protocol 5.12).

use hyperty_model::message::{OneOrMany, WireBody};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// Body of `create`: a block of addresses.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AllocateBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Block>,
}

/// What a `create` asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Block {
    /// How many; kept as it came, so that a fraction can be refused by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allocation_key: Option<String>,
}

impl AllocateBody {
    pub(crate) fn new(scheme: &str, number: usize, key: &str) -> AllocateBody {
        let block = Block { number: Some(number.into()), allocation_key: Some(key.to_owned()) };
        AllocateBody { scheme: Some(scheme.to_owned()), value: Some(block) }
    }
}

/// Body of `delete`: addresses, or all of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ReleaseBody {
    /// A key; an address is accepted too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<OneOrMany<Option<String>>>,
    /// Addresses. The widespread stub sends `[[…]]`, and `[null]` when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) children_resources: Option<OneOrMany<Option<String>>>,
    /// Older place of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

/// What a `delete` asks for, wherever it stood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    /// Texts that should be addresses.
    pub(crate) addresses: Vec<String>,
    /// Texts that are addresses or keys.
    pub(crate) either: Vec<String>,
    /// A key that was named as such.
    pub(crate) key: Option<String>,
}

impl ReleaseBody {
    pub(crate) fn of(addresses: &[hyperty_model::Url]) -> ReleaseBody {
        let list = addresses.iter().map(|url| Some(url.as_str().to_owned())).collect();
        ReleaseBody { children_resources: Some(OneOrMany(list)), ..ReleaseBody::default() }
    }

    /// `None` if it names nothing at all.
    pub(crate) fn read(&self) -> Option<Release> {
        let texts = |list: &OneOrMany<Option<String>>| list.0.iter().flatten().cloned().collect::<Vec<_>>();
        let older =
            |member: &str| self.value.as_ref().and_then(|value| value.get(member)).filter(|v| !v.is_null());
        let listed = older("childrenResources").and_then(|list| OneOrMany::deserialize(list).ok());
        let key = older("allocationKey").and_then(Value::as_str).map(str::to_owned);
        let lists = [self.children_resources.as_ref(), listed.as_ref()];
        if lists == [None, None] && self.resource.is_none() && key.is_none() {
            return None;
        }
        let addresses = lists.into_iter().flatten().flat_map(texts).collect();
        Some(Release { addresses, either: self.resource.as_ref().map(texts).unwrap_or_default(), key })
    }
}

impl WireBody for AllocateBody {}
impl WireBody for ReleaseBody {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Option<Release> {
        serde_json::from_value::<ReleaseBody>(value).unwrap().read()
    }

    #[test]
    fn all_places_of_a_release_are_read() {
        let addresses = |list: &[&str]| Release {
            addresses: list.iter().map(|&text| text.to_owned()).collect(),
            ..Release::default()
        };
        assert_eq!(read(json!({"childrenResources": ["a", "b"]})), Some(addresses(&["a", "b"])));
        assert_eq!(read(json!({"childrenResources": [["a", "b"]]})), Some(addresses(&["a", "b"])));
        assert_eq!(read(json!({"value": {"childrenResources": ["a"]}})), Some(addresses(&["a"])));
        assert_eq!(read(json!({"childrenResources": [[null]]})), Some(addresses(&[])));
        let either = Release { either: vec!["k".to_owned()], ..Release::default() };
        assert_eq!(read(json!({"resource": "k", "attribute": "attribute"})), Some(either));
        let key = Release { key: Some("k".to_owned()), ..Release::default() };
        assert_eq!(read(json!({"value": {"allocationKey": "k"}})), Some(key));
        assert_eq!(read(json!({})), None);
        assert_eq!(read(json!({"value": "anything", "resource": null})), None);
    }
}
