//! When a change counts as durable, and how an end that lost some is found.

use std::time::Duration;

use redb::{Database, ReadableDatabase};

use super::format::META;
use super::rows;
use crate::StorageError;
use crate::object::breaks;
use crate::tables::Batch;

/// Set while a store is open that acknowledges before it is on disk.
const META_BUFFERED: &str = "buffered";

/// When a batch is reported durable, which is when changes are published and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on disk: nothing that was acknowledged is lost in a crash. Syncs are shared by all that is under way.
    #[default]
    Durable,
    /// At once. A crash of the process or the machine loses what was acknowledged since the last sync, at most about
    /// `sync_every` ago. That it did so is found when the store is opened again: every record is
    /// [broken](crate::ObjectRecord::broken) then, and its Reporter goes on in a new epoch, so that no copy is
    /// silently wrong (protocol M8).
    Buffered {
        /// How long a batch waits for others before all are put on disk together.
        sync_every: Duration,
    },
}

impl Durability {
    /// Whether batches are acknowledged before they are on disk.
    pub(crate) fn is_buffered(self) -> bool {
        matches!(self, Durability::Buffered { .. })
    }
}

/// Notes that the store is open, and whether the last end lost something.
pub(crate) fn begin(database: &Database, durability: Durability) -> Result<(), StorageError> {
    rows::guarded(|| {
        let was_left_open = is_marked(database)?;
        if was_left_open {
            tracing::warn!("the store was not closed in good order: acknowledged changes may be lost");
            let transaction = rows::snapshot(database)?;
            let row = rows::get(&transaction, breaks::STORE, breaks::BREAKS)?;
            let before = row.as_deref().and_then(breaks::decode).unwrap_or_default();
            drop(transaction);
            // First this, then the mark: a crash between the two counts one break too many, which harms nobody.
            rows::apply(database, &breaks::noted(Batch::new(), before + 1))?;
        }
        if was_left_open == durability.is_buffered() {
            Ok(())
        } else {
            mark(database, durability.is_buffered())
        }
    })
}

/// Notes that all that was acknowledged is on disk.
pub(crate) fn end(database: &Database, durability: Durability) -> Result<(), StorageError> {
    if durability.is_buffered() { rows::guarded(|| mark(database, false)) } else { Ok(()) }
}

/// Whether the store was not closed in good order by one who acknowledged before it was on disk.
pub(crate) fn is_marked(database: &Database) -> Result<bool, StorageError> {
    let transaction = database.begin_read().map_err(rows::failure)?;
    let meta = transaction.open_table(META).map_err(rows::failure)?;
    Ok(meta.get(META_BUFFERED).map_err(rows::failure)?.is_some())
}

fn mark(database: &Database, is_open: bool) -> Result<(), StorageError> {
    let transaction = database.begin_write().map_err(rows::failure)?;
    {
        let mut meta = transaction.open_table(META).map_err(rows::failure)?;
        match is_open {
            true => drop(meta.insert(META_BUFFERED, 1).map_err(rows::failure)?),
            false => drop(meta.remove(META_BUFFERED).map_err(rows::failure)?),
        }
    }
    transaction.commit().map_err(rows::failure)
}
