//! The row of an object: its record without data, position and children.

use std::borrow::Cow;

use hyperty_model::object::{Children, Metadata};
use hyperty_model::{ChildrenName, Identity, Position, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectRecord, RecordStatus, Role, Subscriber, json};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    metadata: Cow<'a, Metadata>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    children_names: Cow<'a, [ChildrenName]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    subscriptions: Cow<'a, [Subscriber]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    grants: Cow<'a, [Url]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reporter_user: Option<Cow<'a, Identity>>,
    status: RecordStatus,
    store: bool,
    domain_registration: bool,
    domain_routing: bool,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pending: Cow<'a, [Value]>,
}

pub(super) fn encode(record: &ObjectRecord) -> Vec<u8> {
    let header = Header {
        metadata: Cow::Borrowed(&record.metadata),
        children_names: Cow::Borrowed(&record.children_names),
        subscriptions: Cow::Borrowed(&record.subscriptions),
        grants: Cow::Borrowed(&record.grants),
        reporter_user: record.reporter_user.as_ref().map(Cow::Borrowed),
        status: record.status,
        store: record.store,
        domain_registration: record.domain_registration,
        domain_routing: record.domain_routing,
        pending: Cow::Borrowed(&record.pending),
    };
    json::of(&header)
}

/// The record of a row, with `position` and `data`, and without children.
pub(super) fn decode(
    role: Role,
    row: &[u8],
    position: Position,
    data: Option<Value>,
) -> Result<ObjectRecord, serde_json::Error> {
    let header: Header<'_> = serde_json::from_slice(row)?;
    Ok(ObjectRecord {
        role,
        metadata: header.metadata.into_owned(),
        position,
        data,
        children: Children::default(),
        children_names: header.children_names.into_owned(),
        subscriptions: header.subscriptions.into_owned(),
        grants: header.grants.into_owned(),
        reporter_user: header.reporter_user.map(Cow::into_owned),
        status: header.status,
        store: header.store,
        domain_registration: header.domain_registration,
        domain_routing: header.domain_routing,
        pending: header.pending.into_owned(),
    })
}
