//! Files of an earlier format become files of this one, in one transaction.
//!
//! | format | what is different in it |
//! |---|---|
//! | 1 | subscribers are a member of the row of their object; rows of changes have numbers and go with each checkpoint |
//! | 2 | a row for each subscriber; rows of changes have versions and stay as the log; grants, invitations and waiting child operations are members of the row of their object |
//! | 3 | an entry for each of those |

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use serde_json::{Map, Value};

use super::format::{FORMAT, META, META_FORMAT};
use super::rows::{self, failure};
use crate::StorageError;
use crate::object::entries::{Row, grant_row, invited_row, pending_row};
use crate::object::{Grant, Invited, Subscriber};

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

const OBJECTS: Rows = TableDefinition::new("objects/v1");
const SUBSCRIBERS: Rows = TableDefinition::new("subscribers/v1");
const ENTRIES: Rows = TableDefinition::new("entries/v1");
const CHANGES_1: Rows = TableDefinition::new("changes/v1");
const CHANGES_2: Rows = TableDefinition::new("changes/v2");

/// Where subscribers are in the row of an object.
const SUBSCRIPTIONS: &str = "subscriptions";
/// Bytes of the number at the end of the key of a row of changes.
const NUMBER: usize = 4;
/// Where the version of its first change is in a row of changes.
const VERSION: std::ops::Range<usize> = 4..12;

/// Brings a file of an older format to this one. A crash leaves it as it was, or done.
pub(crate) fn migrate(database: &Database, from: u64) -> Result<(), StorageError> {
    rows::guarded(|| {
        let transaction = database.begin_write().map_err(failure)?;
        if from < 2 {
            subscribers(&transaction)?;
            changes(&transaction)?;
        }
        if from < 3 {
            entries(&transaction)?;
        }
        transaction.open_table(META).map_err(failure)?.insert(META_FORMAT, FORMAT).map_err(failure)?;
        transaction.commit().map_err(failure)
    })
}

/// Gives each subscriber a row of its own. A row of an object that cannot be read stays as it is, for whoever loads it
/// to be told.
fn subscribers(transaction: &WriteTransaction) -> Result<(), StorageError> {
    let mut objects = transaction.open_table(OBJECTS).map_err(failure)?;
    let mut subscribers = transaction.open_table(SUBSCRIBERS).map_err(failure)?;
    let mut changed: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for row in objects.iter().map_err(failure)? {
        let (key, value) = row.map_err(failure)?;
        let Ok(mut header) = serde_json::from_slice::<Map<String, Value>>(value.value()) else { continue };
        let Some(list) = header.remove(SUBSCRIPTIONS) else { continue };
        let Ok(list) = serde_json::from_value::<Vec<Subscriber>>(list) else { continue };
        for subscriber in list {
            let (at, row) = subscriber.row(key.value().to_vec());
            subscribers.insert(&*at, &*row).map_err(failure)?;
        }
        changed.push((key.value().to_vec(), Value::Object(header).to_string().into_bytes()));
    }
    for (key, value) in changed {
        objects.insert(&*key, &*value).map_err(failure)?;
    }
    Ok(())
}

/// Gives each grant, invitation and child operation that waits a row of its own. What cannot be read stays as it is.
fn entries(transaction: &WriteTransaction) -> Result<(), StorageError> {
    let mut objects = transaction.open_table(OBJECTS).map_err(failure)?;
    let mut entries = transaction.open_table(ENTRIES).map_err(failure)?;
    let mut changed: Vec<Row> = Vec::new();
    for row in objects.iter().map_err(failure)? {
        let (key, value) = row.map_err(failure)?;
        let Ok(header) = serde_json::from_slice::<Map<String, Value>>(value.value()) else { continue };
        let Some((header, rows)) = without_entries(key.value(), header) else { continue };
        for (at, row) in rows {
            entries.insert(&*at, &*row).map_err(failure)?;
        }
        changed.push((key.value().to_vec(), Value::Object(header).to_string().into_bytes()));
    }
    for (key, value) in changed {
        objects.insert(&*key, &*value).map_err(failure)?;
    }
    Ok(())
}

/// The row of an object without what has rows of its own from now on, and those; `None` if that cannot be read.
fn without_entries(object: &[u8], mut header: Map<String, Value>) -> Option<(Map<String, Value>, Vec<Row>)> {
    let mut list = |member: &str| header.remove(member).unwrap_or_else(|| Value::Array(Vec::new()));
    let grants: Vec<Grant> = serde_json::from_value(list("grants")).ok()?;
    let invitations: Vec<Invited> = serde_json::from_value(list("invitations")).ok()?;
    let pending: Vec<Value> = serde_json::from_value(list("pending")).ok()?;
    let grants = grants.iter().map(|grant| grant_row(object, grant));
    let invitations = invitations.iter().map(|invited| invited_row(object, invited));
    let pending = (0..).zip(&pending).map(|(number, message)| pending_row(object, number, message));
    let rows = grants.chain(invitations).chain(pending).collect();
    Some((header, rows))
}

/// Names each row of changes by the version of its first change.
fn changes(transaction: &WriteTransaction) -> Result<(), StorageError> {
    {
        let numbered = transaction.open_table(CHANGES_1).map_err(failure)?;
        let mut named = transaction.open_table(CHANGES_2).map_err(failure)?;
        for row in numbered.iter().map_err(failure)? {
            let (key, value) = row.map_err(failure)?;
            let object = &key.value()[..key.value().len().saturating_sub(NUMBER)];
            // A row that is cut off gets a version that follows nothing: whoever loads it is told.
            let version = value.value().get(VERSION).unwrap_or(&[u8::MAX; 8]);
            named.insert(&*[object, version].concat(), value.value()).map_err(failure)?;
        }
    }
    transaction.delete_table(CHANGES_1).map(drop).map_err(failure)
}
