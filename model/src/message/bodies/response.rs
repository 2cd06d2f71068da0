//! Responses.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::{StatusCode, UpdateBody, WireBody};
use crate::{HypertyUrl, Timestamp, Url};

/// Body of every `response` (2.5). What a procedure adds beyond the named members stands in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, from = "ResponseIn", into = "ResponseOut")]
pub struct ResponseBody {
    /// The code.
    pub code: StatusCode,
    /// Says why, for codes from 300; written as `desc` and `description`.
    pub description: Option<String>,
    /// What was asked for.
    pub value: Option<Value>,
    /// Children names.
    pub children_resources: Option<Vec<String>>,
    /// The schema.
    pub schema: Option<Url>,
    /// The entity the request was about.
    pub resource: Option<String>,
    /// The real sender, when `from` is not it.
    pub source: Option<Url>,
    /// The Reporter.
    pub owner: Option<HypertyUrl>,
    /// A word for programs: `no-route`, `limit`, `forbidden` (M12).
    pub reason: Option<String>,
    /// The version that was committed, or where a repair leads to.
    pub version: Option<u64>,
    /// The epoch of a repair.
    pub epoch: Option<u64>,
    /// Whether a repair carries the missing changes (10.1).
    pub recovered: Option<bool>,
    /// The missing changes.
    pub changes: Option<Vec<UpdateBody>>,
    /// When the commit was made.
    pub last_modified: Option<Timestamp>,
    /// Everything else.
    pub extra: Map<String, Value>,
}

impl ResponseBody {
    /// 200.
    pub fn ok() -> ResponseBody {
        ResponseBody::of(StatusCode::OK)
    }

    /// A bare code.
    pub fn of(code: StatusCode) -> ResponseBody {
        ResponseBody { code, ..ResponseBody::default() }
    }

    /// A failure and why.
    pub fn failure(code: StatusCode, description: impl Into<String>) -> ResponseBody {
        ResponseBody { code, description: Some(description.into()), ..ResponseBody::default() }
    }

    /// With a value.
    #[must_use]
    pub fn with_value(self, value: Value) -> ResponseBody {
        ResponseBody { value: Some(value), ..self }
    }

    /// With a reason for programs.
    #[must_use]
    pub fn with_reason(self, reason: &str) -> ResponseBody {
        ResponseBody { reason: Some(reason.to_owned()), ..self }
    }

    /// With the real sender.
    #[must_use]
    pub fn with_source(self, source: Url) -> ResponseBody {
        ResponseBody { source: Some(source), ..self }
    }

    /// Whether a message node speaks here, which did not let the request pass or knew no way for it: whom it was for has
    /// not heard of it (M12).
    pub fn is_of_the_way(&self) -> bool {
        let at_node = |source: &Url| source.key().starts_with("domain://msg-node.");
        let passing = [
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::TIMEOUT,
            StatusCode::INTERNAL,
            StatusCode::BACKEND_UNREACHABLE,
        ];
        passing.contains(&self.code) && self.source.as_ref().is_some_and(at_node)
    }

    /// The text that says why, never empty for failures.
    pub fn why(&self) -> &str {
        self.description.as_deref().unwrap_or(if self.code.is_success() { "" } else { "no reason given" })
    }
}

/// What is read: either spelling of the text, names under either member.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseIn {
    #[serde(default)]
    code: StatusCode,
    description: Option<String>,
    desc: Option<String>,
    value: Option<Value>,
    children_resources: Option<Vec<String>>,
    schema: Option<Url>,
    resource: Option<String>,
    source: Option<Url>,
    owner: Option<HypertyUrl>,
    reason: Option<String>,
    version: Option<u64>,
    epoch: Option<u64>,
    recovered: Option<bool>,
    changes: Option<Vec<UpdateBody>>,
    last_modified: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<ResponseIn> for ResponseBody {
    fn from(wire: ResponseIn) -> ResponseBody {
        let ResponseIn {
            code,
            description,
            desc,
            value,
            schema,
            resource,
            source,
            owner,
            reason,
            version,
            ..
        } = wire;
        let ResponseIn { epoch, recovered, changes, last_modified, children_resources, mut extra, .. } = wire;
        // The 100 to a subscription may name the children under `resources` only (protocol 6, row 2).
        let resources = extra.remove("resources").and_then(|names| serde_json::from_value(names).ok());
        ResponseBody {
            code,
            description: description.or(desc),
            value,
            children_resources: children_resources.or(resources),
            schema,
            resource,
            source,
            owner,
            reason,
            version,
            epoch,
            recovered,
            changes,
            last_modified,
            extra,
        }
    }
}

/// What is written: both spellings of the text, names under both members of a provisional response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseOut {
    code: StatusCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children_resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<HypertyUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<UpdateBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<Timestamp>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<ResponseBody> for ResponseOut {
    fn from(body: ResponseBody) -> ResponseOut {
        ResponseOut {
            resources: body.children_resources.clone().filter(|_| body.code.is_provisional()),
            desc: body.description.clone(),
            code: body.code,
            description: body.description,
            value: body.value,
            children_resources: body.children_resources,
            schema: body.schema,
            resource: body.resource,
            source: body.source,
            owner: body.owner,
            reason: body.reason,
            version: body.version,
            epoch: body.epoch,
            recovered: body.recovered,
            changes: body.changes,
            last_modified: body.last_modified,
            extra: body.extra,
        }
    }
}

impl WireBody for ResponseBody {}
