//! Reading a file that is not changed meanwhile.

use redb::{Database, ReadTransaction, TableHandle};

use crate::StorageError;
use crate::engine::rows::{self, failure};

/// The state of an open file.
pub(super) struct Snapshot {
    transaction: ReadTransaction,
    /// The tables of rows, in the order of their names.
    pub(super) tables: Vec<String>,
}

/// What is called with each row: key, value.
pub(super) type EachRow<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Snapshot, StorageError> {
        let transaction = rows::snapshot(database)?;
        let names = rows::guarded(|| {
            let listed = transaction.list_tables().map_err(failure)?;
            Ok(listed.map(|table| table.name().to_owned()).collect::<Vec<_>>())
        })?;
        // What the file knows of itself has other types of keys, and is no table of ours.
        let mut tables: Vec<String> =
            names.into_iter().filter(|name| !name.starts_with("hyperty/")).collect();
        tables.sort();
        Ok(Snapshot { transaction, tables })
    }

    /// Calls `each` with all rows of a table, in the order of their keys.
    pub(super) fn rows(&self, table: &str, each: EachRow<'_>) -> Result<(), StorageError> {
        rows::each(&self.transaction, table, each)
    }

    /// What is loaded from.
    pub(super) fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }
}
