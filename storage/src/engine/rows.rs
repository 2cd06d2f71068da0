//! Reading and writing rows of the redb file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    TableError,
};

use super::format;
use super::merge::{self, Change};
use crate::StorageError;
use crate::tables::{Batch, Tables};

type Key = &'static [u8];
type Value = &'static [u8];

/// A table of the store is a table of redb of the same name.
fn definition(table: &str) -> TableDefinition<'_, Key, Value> {
    TableDefinition::new(table)
}

/// The state of the file as it is now.
pub(crate) fn snapshot(database: &Database) -> Result<ReadTransaction, StorageError> {
    guarded(|| database.begin_read().map_err(failure))
}

/// One row.
pub(crate) fn get(
    transaction: &ReadTransaction,
    table: &str,
    key: &[u8],
) -> Result<Option<Bytes>, StorageError> {
    guarded(|| {
        let Some(rows) = readable(transaction, table)? else { return Ok(None) };
        let value = rows.get(key).map_err(failure)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    })
}

/// The rows whose key starts with `prefix`.
pub(crate) fn below(
    transaction: &ReadTransaction,
    table: &str,
    prefix: &[u8],
) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
    guarded(|| {
        let Some(rows) = readable(transaction, table)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for row in rows.range(prefix..).map_err(failure)? {
            let (key, value) = row.map_err(failure)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())));
        }
        Ok(found)
    })
}

fn readable(
    transaction: &ReadTransaction,
    table: &str,
) -> Result<Option<ReadOnlyTable<Key, Value>>, StorageError> {
    match transaction.open_table(definition(table)) {
        Ok(rows) => Ok(Some(rows)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

/// Calls `each` with every row of a table.
pub(crate) fn each(
    transaction: &ReadTransaction,
    table: &str,
    each: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), StorageError> {
    guarded(|| {
        let Some(rows) = readable(transaction, table)? else { return Ok(()) };
        for row in rows.iter().map_err(failure)? {
            let (key, value) = row.map_err(failure)?;
            each(key.value(), value.value());
        }
        Ok(())
    })
}

/// Where records are read from: tables in use, or a file as it stands.
pub(crate) trait Reading {
    /// As [`Tables::get`](crate::Tables::get).
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError>;
    /// As [`Tables::scan`](crate::Tables::scan).
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError>;
}

impl Reading for ReadTransaction {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        get(self, table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        below(self, table, prefix)
    }
}

impl Reading for dyn Tables + '_ {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Tables::get(self, table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        Tables::scan(self, table, prefix)
    }
}

/// Applies `group` as one transaction that is on disk when this returns.
pub(crate) fn apply(database: &Database, group: &Batch) -> Result<(), StorageError> {
    if group.is_empty() {
        return Ok(());
    }
    guarded(|| {
        let transaction = database.begin_write().map_err(failure)?;
        for (table, changes) in merge::by_table(group) {
            let mut rows = transaction.open_table(definition(table)).map_err(failure)?;
            changes.into_iter().try_for_each(|change| step(&mut rows, change))?;
        }
        transaction.commit().map_err(failure)
    })
}

fn step(rows: &mut Table<'_, Key, Value>, change: Change<'_>) -> Result<(), StorageError> {
    match change {
        Change::Put(key, parts) => put(rows, key, &parts),
        Change::Append(key, mut parts) => {
            let row = rows.get(key).map_err(failure)?.map(|row| row.value().to_vec()).unwrap_or_default();
            parts.insert(0, &row);
            put(rows, key, &parts)
        }
        Change::Delete(key) => rows.remove(key).map(drop).map_err(failure),
        Change::DeleteRange(from, to) if from < to => rows.retain_in(from..to, |_, _| false).map_err(failure),
        Change::DeleteRange(..) => Ok(()),
    }
}

fn put(rows: &mut Table<'_, Key, Value>, key: &[u8], parts: &[&[u8]]) -> Result<(), StorageError> {
    let inserted = match parts {
        [value] => rows.insert(key, *value),
        parts => rows.insert(key, &*parts.concat()),
    };
    inserted.map(drop).map_err(failure)
}

/// Free space in a file that is worth the syncs it takes to give it back.
const WASTE_BYTES_MIN: u64 = 256 << 10;
/// A file up to this is about as small as a file of redb gets.
const SMALL_FILE_BYTES: u64 = 3 << 19;
/// A file beyond this takes longer to compact than anybody waits; it uses its free space again soon enough.
const LARGE_FILE_BYTES: u64 = 128 << 20;

/// Makes a file of this size as small as its content allows, if that is worth it.
pub(crate) fn compact(database: &mut Database, file_bytes: u64) -> Result<(), StorageError> {
    if !(SMALL_FILE_BYTES..=LARGE_FILE_BYTES).contains(&file_bytes) {
        return Ok(());
    }
    guarded(|| {
        let transaction = database.begin_write().map_err(failure)?;
        let stats = transaction.stats().map_err(failure)?;
        transaction.abort().map_err(failure)?;
        let used = stats.allocated_pages() * stats.page_size() as u64;
        if file_bytes.saturating_sub(used) > WASTE_BYTES_MIN.max(used / 4) {
            database.compact().map_err(failure)?;
        }
        Ok(())
    })
}

/// What redb says, in our words.
pub(crate) fn failure(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::DatabaseClosed => StorageError::Closed,
        redb::Error::Corrupted(detail) => StorageError::Damaged(detail),
        other => StorageError::Io(other.to_string()),
    }
}

/// Turns a panic within redb, which a file changed by others may cause, into an error.
pub(crate) fn guarded<R>(f: impl FnOnce() -> Result<R, StorageError>) -> Result<R, StorageError> {
    // Nothing of ours is left half changed: what redb holds is dropped with the store.
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|panic| Err(StorageError::Damaged(format::said(&*panic))))
}
