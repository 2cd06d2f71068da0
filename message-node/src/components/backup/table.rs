//! The records, in the node's tables. What is looked for is in memory; the texts are read when they are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyperty_model::message::BackupSide;
use hyperty_model::parts::{Cut, READ_PART};
use hyperty_model::{Identity, ObjectUrl, RuntimeUrl};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables, Ticket};
use parking_lot::Mutex;

use super::limits::BackupLimits;
use super::refusal::Refusal;
use super::row::{Row, account, accounts, key, key_of_object};

const ROWS: &str = "backup/v1";
const PARTS: &str = "backup-parts/v1";

/// How an operator's check looks at what is kept of records.
pub const BACKUP_CHECK: TableCheck =
    TableCheck { table: ROWS, row: |key, value| read_row(key, value).map(drop) };

/// How an operator's check looks at their texts.
pub const BACKUP_PARTS_CHECK: TableCheck = TableCheck {
    table: PARTS,
    row: |_, value| std::str::from_utf8(value).map(drop).map_err(|error| error.to_string()),
};

/// The records of a domain.
pub(crate) struct BackupTable {
    tables: Arc<dyn Tables>,
    limits: BackupLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Row>,
    /// The keys of a user's records, by all that the user may be found by.
    by_user: BTreeMap<String, BTreeSet<String>>,
    /// How many records and bytes each account has.
    usage: BTreeMap<String, (usize, u64)>,
    bytes: u64,
    saves: u64,
}

/// What is removed.
pub(super) struct Removal<'a> {
    pub(super) role: BackupSide,
    pub(super) object: &'a ObjectUrl,
    pub(super) user: &'a Identity,
    /// Whose observation.
    pub(super) of: &'a RuntimeUrl,
    /// Who removes.
    pub(super) by: &'a RuntimeUrl,
    /// In which epoch that runtime has the object.
    pub(super) epoch: u64,
}

impl BackupTable {
    /// Reads what is remembered of the records.
    ///
    /// # Errors
    /// [`StorageError`] when the table cannot be read; [`StorageError::Corrupt`] names a row that is not one.
    pub(crate) fn open(tables: Arc<dyn Tables>, limits: BackupLimits) -> Result<BackupTable, StorageError> {
        let mut state = State::default();
        for (key, value) in tables.scan(ROWS, b"")? {
            let row = read_row(&key, &value).map_err(|detail| StorageError::Corrupt {
                table: ROWS,
                key: String::from_utf8_lossy(&key).into_owned(),
                detail,
            })?;
            state.saves = state.saves.max(row.save);
            state.insert(row);
        }
        Ok(BackupTable { tables, limits, state: Mutex::new(state) })
    }

    /// How many records there are, and how many bytes they have.
    pub(crate) fn size(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.rows.len(), state.bytes)
    }

    /// Whether a record may be saved: nothing later is kept, and there is room.
    pub(super) fn check(&self, row: &Row) -> Result<(), Refusal> {
        self.state.lock().check(row, &self.limits)
    }

    /// Keeps a record in the place of an earlier one. Whoever saved it may be told when the ticket is durable.
    pub(super) fn save(&self, row: Row, text: String) -> Result<Ticket, Refusal> {
        let cut = Cut::new(text.into(), READ_PART).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let mut state = self.state.lock();
        state.check(&row, &self.limits)?;
        state.saves += 1;
        let row = Row { parts: cut.len() as u64, save: state.saves, ..row };
        let key = row.key();
        let (first, last) = parts_of(&key);
        let head = serde_json::to_vec(&row).unwrap_or_else(|error| unreachable!("plain members: {error}"));
        let batch = Batch::new().delete_range(PARTS, first, last).put(ROWS, &key, head);
        let numbered = (1..=cut.len()).filter_map(|number| Some((number, cut.piece(number)?)));
        let batch = numbered
            .fold(batch, |batch, (number, piece)| batch.put(PARTS, part_key(&key, number as u64), piece));
        // Under the lock: the store sees records in the order in which they were saved.
        let ticket = self.tables.commit(batch);
        state.insert(Row { ticket, ..row });
        Ok(ticket)
    }

    /// Forgets a record, if there is one. What somebody else has gone on with stays.
    pub(super) fn remove(&self, removal: &Removal<'_>) -> Result<Ticket, Refusal> {
        let Removal { role, object, user, of, by, epoch } = removal;
        let key = key(*role, object, of, user);
        let mut state = self.state.lock();
        let Some(row) = state.rows.get(&key) else { return Ok(Ticket::default()) };
        if !row.user.same_user(user) {
            return Err(Refusal::Forbidden("another user's record"));
        }
        if *role == BackupSide::Reporter && row.runtime != **by && row.position.epoch >= *epoch {
            return Err(Refusal::Outdated(row.position));
        }
        Ok(self.forget(&mut state, &key))
    }

    /// Forgets the record of an object that is deleted.
    pub(super) fn forget_object(&self, object: &ObjectUrl) {
        let key = key_of_object(object);
        let mut state = self.state.lock();
        if state.rows.contains_key(&key) {
            self.forget(&mut state, &key);
        }
    }

    fn forget(&self, state: &mut State, key: &str) -> Ticket {
        state.forget(key);
        let (first, last) = parts_of(key);
        self.tables.commit(Batch::new().delete(ROWS, key).delete_range(PARTS, first, last))
    }

    /// What is remembered of a record, if it is the user's.
    pub(super) fn find(
        &self,
        role: BackupSide,
        object: &ObjectUrl,
        runtime: &RuntimeUrl,
        user: &Identity,
    ) -> Result<Row, Refusal> {
        let state = self.state.lock();
        let row = state.rows.get(&key(role, object, runtime, user)).ok_or(Refusal::Unknown)?;
        if !row.user.same_user(user) {
            return Err(Refusal::Forbidden("another user's record"));
        }
        Ok(row.clone())
    }

    /// A part of the text of a record, by its number.
    pub(super) fn part(&self, row: &Row, number: u64) -> Result<String, Refusal> {
        if number == 0 || number > row.parts {
            return Err(Refusal::Malformed(format!("there is no part {number}")));
        }
        let part = self.tables.get(PARTS, &part_key(&row.key(), number))?;
        let text = part.and_then(|part| String::from_utf8(part.to_vec()).ok());
        // Whoever replaced it meanwhile has told so by another name of the transfer.
        text.ok_or(Refusal::Transfer)
    }

    /// A user's records of one side in the order of their keys, behind `after`.
    pub(super) fn list(
        &self,
        role: BackupSide,
        user: &Identity,
        after: Option<&str>,
        max: usize,
    ) -> Vec<(String, Row)> {
        let state = self.state.lock();
        let keys: BTreeSet<&String> =
            accounts(user).iter().filter_map(|account| state.by_user.get(account)).flatten().collect();
        let behind = keys.into_iter().filter(|key| after.is_none_or(|after| key.as_str() > after));
        let rows = behind.filter_map(|key| Some((key.clone(), state.rows.get(key)?.clone())));
        rows.filter(|(_, row)| row.role == role && row.user.same_user(user)).take(max).collect()
    }

    /// Whether a user may go on with an object whose address a runtime has: it is what that runtime saved for the user.
    pub(crate) fn belongs_to(&self, object: &ObjectUrl, runtime: &RuntimeUrl, user: &Identity) -> bool {
        let found = self.find(BackupSide::Reporter, object, runtime, user);
        found.is_ok_and(|row| row.runtime == *runtime)
    }
}

impl State {
    fn check(&self, row: &Row, limits: &BackupLimits) -> Result<(), Refusal> {
        let before = self.rows.get(&row.key());
        if let Some(kept) = before {
            // An epoch is one owner's: a second one in it has not heard of the first.
            let others = kept.position.epoch == row.position.epoch && kept.runtime != row.runtime;
            if kept.position > row.position || others {
                return Err(Refusal::Outdated(kept.position));
            }
        }
        if row.bytes > limits.record_bytes as u64 {
            let text = format!("a record has at most {} bytes, this one {}", limits.record_bytes, row.bytes);
            return Err(Refusal::Limit(text));
        }
        let own = before.filter(|kept| account(&kept.user) == account(&row.user));
        let (records, bytes) = self.usage.get(&account(&row.user)).copied().unwrap_or_default();
        if own.is_none() && records >= limits.records_per_user {
            return Err(Refusal::Limit(format!(
                "a user has at most {} records here",
                limits.records_per_user
            )));
        }
        if bytes - own.map_or(0, |kept| kept.bytes) + row.bytes > limits.bytes_per_user as u64 {
            return Err(Refusal::Limit(format!(
                "a user's records have at most {} bytes here",
                limits.bytes_per_user
            )));
        }
        if before.is_none() && self.rows.len() >= limits.records {
            return Err(Refusal::Limit("no more records are kept here".to_owned()));
        }
        Ok(())
    }

    fn insert(&mut self, row: Row) {
        let key = row.key();
        self.forget(&key);
        for account in accounts(&row.user) {
            self.by_user.entry(account).or_default().insert(key.clone());
        }
        let (records, bytes) = self.usage.entry(account(&row.user)).or_default();
        (*records, *bytes) = (*records + 1, *bytes + row.bytes);
        self.bytes += row.bytes;
        self.rows.insert(key, row);
    }

    fn forget(&mut self, key: &str) {
        let Some(row) = self.rows.remove(key) else { return };
        for account in accounts(&row.user) {
            if let Some(keys) = self.by_user.get_mut(&account) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_user.remove(&account);
                }
            }
        }
        let account = account(&row.user);
        if let Some((records, bytes)) = self.usage.get_mut(&account) {
            (*records, *bytes) = (*records - 1, *bytes - row.bytes);
            if *records == 0 {
                self.usage.remove(&account);
            }
        }
        self.bytes -= row.bytes;
    }
}

/// Where the parts of a record begin, and what comes after them.
fn parts_of(key: &str) -> (Vec<u8>, Vec<u8>) {
    (part_key(key, 0), part_key(key, u64::MAX))
}

fn part_key(key: &str, number: u64) -> Vec<u8> {
    [key.as_bytes(), b"\0", &number.to_be_bytes()].concat()
}

fn read_row(key: &[u8], value: &[u8]) -> Result<Row, String> {
    let row: Row = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if row.key().as_bytes() != key {
        return Err(format!("it holds {}", row.resource));
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
