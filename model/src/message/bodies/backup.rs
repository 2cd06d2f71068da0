//! Records of objects that are kept at a domain for the devices of their users (protocol 5.19).

use serde::{Deserialize, Serialize};

use crate::message::WireBody;
use crate::{Identity, ObjectUrl, Position, RuntimeUrl};

/// On which side of its object a record stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupSide {
    /// The object as its Reporter has it: one record for each object.
    #[default]
    Reporter,
    /// An observation, without data: one record for each object, runtime and user.
    Observer,
}

/// Body of the requests to a domain's backup: `create` saves a record or a part of one, `delete` removes one, `read`
/// fetches a part of one, or lists them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupBody {
    /// The object; a `read` without it lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectUrl>,
    /// On which side.
    pub role: BackupSide,
    /// Whose. Where sessions are somebody's it is the session's user, and need not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Identity>,
    /// The runtime of an observation, if it is not the sender's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeUrl>,
    /// Where the object stands in the record: of two that are saved the later state stays.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Names a record that comes, or is fetched, in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// How many parts there are; with the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u64>,
    /// How many bytes the whole has; with the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The number of a part, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// A part of the record's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of a list, what follows this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A record in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupEntry {
    /// The object.
    pub resource: ObjectUrl,
    /// The runtime that saved it.
    pub runtime: RuntimeUrl,
    /// Where the object stands in it.
    #[serde(flatten)]
    pub position: Position,
    /// Its length.
    pub bytes: u64,
}

impl WireBody for BackupBody {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_position_stands_beside_the_other_members() {
        let object = ObjectUrl::parse("comm://example.com/1").unwrap();
        let body = BackupBody {
            resource: Some(object),
            position: Some(Position::new(2, 7)),
            ..BackupBody::default()
        };
        let wire = serde_json::to_value(&body).unwrap();
        assert_eq!(
            wire,
            json!({"resource": "comm://example.com/1", "role": "reporter", "epoch": 2, "version": 7})
        );
        assert_eq!(serde_json::from_value::<BackupBody>(wire).unwrap(), body);
        let list = serde_json::from_value::<BackupBody>(json!({"role": "observer"})).unwrap();
        assert_eq!((list.role, list.position), (BackupSide::Observer, None));
    }
}
