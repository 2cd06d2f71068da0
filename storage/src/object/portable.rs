//! A record as one text, to be kept somewhere else.

use std::borrow::Cow;

use hyperty_model::Position;
use hyperty_model::object::Children;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{ObjectRecord, Role, Subscriber, header};

/// The form of the text. What is of a later one is not read: it may mean something else.
const FORM: u64 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    form: u64,
    role: Role,
    header: &'a RawValue,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    children: &'a Children,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions: &'a [Subscriber],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct In<'a> {
    form: u64,
    role: Role,
    #[serde(borrow)]
    header: &'a RawValue,
    position: Position,
    #[serde(default)]
    data: Option<Cow<'a, RawValue>>,
    #[serde(default)]
    children: Children,
    #[serde(default)]
    subscriptions: Vec<Subscriber>,
}

/// Why a text is no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// It is not what [`ObjectRecord::to_portable`] writes.
    #[error("no record: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A later release wrote it: use that one or a later one.
    #[error("a record of form {0}, and forms up to {FORM} are known")]
    Newer(u64),
}

impl ObjectRecord {
    /// The record as JSON, without the log: whoever goes on from it elsewhere begins a new epoch, in which no copy
    /// stands yet; and without what waits to be answered, which belongs to this runtime.
    pub fn to_portable(&self) -> String {
        let header =
            String::from_utf8(header::encode_portable(self)).ok().and_then(|t| RawValue::from_string(t).ok());
        let out = Out {
            form: FORM,
            role: self.role,
            header: header.as_deref().unwrap_or(RawValue::NULL),
            position: self.position,
            data: self.data.as_ref(),
            children: &self.children,
            subscriptions: &self.subscriptions,
        };
        serde_json::to_string(&out)
            .unwrap_or_else(|error| unreachable!("the keys of all maps are text: {error}"))
    }

    /// Reads what [`ObjectRecord::to_portable`] wrote. The record is [broken](ObjectRecord::broken): what happened
    /// after it was written is not in it.
    ///
    /// # Errors
    /// [`PortableError`].
    pub fn from_portable(text: &str) -> Result<ObjectRecord, PortableError> {
        let read: In<'_> = serde_json::from_str(text)?;
        if read.form > FORM {
            return Err(PortableError::Newer(read.form));
        }
        let data = read.data.map(|data| serde_json::from_str(data.get())).transpose()?;
        let (record, _) = header::decode(read.role, read.header.get().as_bytes(), read.position, data)?;
        Ok(ObjectRecord {
            broken: true,
            children: read.children,
            subscriptions: read.subscriptions,
            ..record
        })
    }
}
