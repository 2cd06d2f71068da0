//! What is remembered of a record, and where it stands in the tables.

use hyperty_model::message::BackupSide;
use hyperty_model::{Identity, ObjectUrl, Position, RuntimeUrl, Url};
use hyperty_storage::Ticket;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A record, but for its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) resource: ObjectUrl,
    pub(super) role: BackupSide,
    /// Whose it is.
    pub(super) user: Identity,
    /// The runtime that saved it.
    pub(super) runtime: RuntimeUrl,
    #[serde(flatten)]
    pub(super) position: Position,
    pub(super) bytes: u64,
    /// In how many parts it is kept.
    #[serde(default)]
    pub(super) parts: u64,
    /// Which save this was of all: tells one text from another.
    #[serde(default)]
    pub(super) save: u64,
    /// The commit that keeps it.
    #[serde(skip)]
    pub(super) ticket: Ticket,
}

impl Row {
    /// Its key in the tables. Of an object there is one record, whoever has it now; of observations one for each runtime
    /// and user.
    pub(super) fn key(&self) -> String {
        key(self.role, &self.resource, &self.runtime, &self.user)
    }

    /// What names this text, and no other.
    pub(super) fn transfer(&self) -> String {
        format!("{}-{}", self.save, self.position)
    }
}

/// See [`Row::key`].
pub(super) fn key(role: BackupSide, object: &ObjectUrl, runtime: &RuntimeUrl, user: &Identity) -> String {
    match role {
        BackupSide::Reporter => key_of_object(object),
        BackupSide::Observer => format!("o\0{}\0{}\0{}", object.key(), runtime.key(), account(user)),
    }
}

/// The key of the record of an object, whoever has it.
pub(super) fn key_of_object(object: &ObjectUrl) -> String {
    format!("r\0{}", object.key())
}

/// By what a user is told from others: the GUID, else the URL.
pub(super) fn account(user: &Identity) -> String {
    accounts(user).into_iter().next().unwrap_or_default()
}

/// By what a user may be found, the first is the account.
pub(super) fn accounts(user: &Identity) -> Vec<String> {
    let of_user = |user: &str| Url::parse(user).map_or_else(|_| user.to_owned(), |url| url.key().to_owned());
    let guid = user.guid().map(|guid| format!("g\0{guid}"));
    guid.into_iter().chain(user.user().map(|user| format!("u\0{}", of_user(user)))).collect()
}

/// An identity with nothing but what tells users apart.
pub(super) fn bare(user: &Identity) -> Option<Identity> {
    let present = user.user().is_some() || user.guid().is_some();
    let short = |text: Option<&str>| text.is_none_or(|text| text.len() <= 512 && !text.contains('\0'));
    if !present || !short(user.user()) || !short(user.guid()) {
        return None;
    }
    let profile = match (user.user(), user.guid()) {
        (Some(user), Some(guid)) => json!({ "userURL": user, "guid": guid }),
        (Some(user), None) => json!({ "userURL": user }),
        (None, guid) => json!({ "guid": guid }),
    };
    serde_json::from_value(json!({ "userProfile": profile })).ok()
}
