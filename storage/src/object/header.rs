//! The row of an object: its record without data, position, children, subscribers and entries.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hyperty_model::object::{Children, Metadata};
use hyperty_model::{ChildrenName, Identity, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Delegation, Grant, Invited, ObjectRecord, RecordStatus, Role, json};

/// Grants and invitations are in it where a record is one text; in a store they are entries.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    metadata: Cow<'a, Metadata>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    children_names: Cow<'a, [ChildrenName]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    grants: Cow<'a, [Grant]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    invitations: Cow<'a, [Invited]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reporter_user: Option<Cow<'a, Identity>>,
    status: RecordStatus,
    store: bool,
    domain_registration: bool,
    domain_routing: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    backup: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegation: Option<Cow<'a, Delegation>>,
    /// How often the history of the store was broken when the record was saved whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    breaks: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The row.
pub(super) fn encode(record: &ObjectRecord, breaks: u64) -> Vec<u8> {
    json::of(&Header { breaks, ..Header::of(record) })
}

/// The same for another place, with grants and invitations.
pub(super) fn encode_portable(record: &ObjectRecord) -> Vec<u8> {
    let (grants, invitations) = (Cow::Borrowed(&*record.grants), Cow::Borrowed(&*record.invitations));
    json::of(&Header { grants, invitations, delegation: None, ..Header::of(record) })
}

impl Header<'_> {
    fn of(record: &ObjectRecord) -> Header<'_> {
        Header {
            metadata: Cow::Borrowed(&record.metadata),
            children_names: Cow::Borrowed(&record.children_names),
            grants: Cow::default(),
            invitations: Cow::default(),
            reporter_user: record.reporter_user.as_ref().map(Cow::Borrowed),
            status: record.status,
            store: record.store,
            domain_registration: record.domain_registration,
            domain_routing: record.domain_routing,
            backup: record.backup,
            delegation: record.delegation.as_ref().map(Cow::Borrowed),
            breaks: 0,
        }
    }
}

/// The record of a row, with `position` and `data`, and without children, subscribers, pending operations and log; and how
/// often the history of the store was broken when it was saved.
pub(super) fn decode(
    role: Role,
    row: &[u8],
    position: Position,
    data: Option<Value>,
) -> Result<(ObjectRecord, u64), serde_json::Error> {
    let header: Header<'_> = serde_json::from_slice(row)?;
    let record = ObjectRecord {
        role,
        metadata: header.metadata.into_owned(),
        position,
        data,
        log: Vec::new(),
        broken: false,
        children: Children::default(),
        children_names: header.children_names.into_owned(),
        subscriptions: Vec::new(),
        grants: header.grants.into_owned(),
        invitations: header.invitations.into_owned(),
        reporter_user: header.reporter_user.map(Cow::into_owned),
        status: header.status,
        store: header.store,
        domain_registration: header.domain_registration,
        domain_routing: header.domain_routing,
        backup: header.backup,
        pending: BTreeMap::new(),
        delegation: header.delegation.map(Cow::into_owned),
    };
    Ok((record, header.breaks))
}
