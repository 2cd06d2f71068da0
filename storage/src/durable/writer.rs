//! The one thread that writes.

use redb::Database;

use super::{Shared, rows};
use crate::StorageError;

/// Writes group after group until the store is closed, fails, or is dropped and everything is written.
pub(super) fn run(shared: &Shared) {
    while shared.queue.wait() {
        // Held until the group is reported, so that what is on disk when the file is closed is also reported.
        let database = shared.database.read();
        let Some(database) = &*database else { return };
        if let Err(error) = write(shared, database) {
            tracing::error!(%error, "the store failed: nothing more is written");
            return shared.stop(error);
        }
    }
}

fn write(shared: &Shared, database: &Database) -> Result<(), StorageError> {
    let Some(group) = shared.queue.take(rows::snapshot(database)?) else { return Ok(()) };
    let last = group.last;
    rows::apply(database, &group.steps)?;
    shared.queue.done(group);
    shared.progress.send_modify(|progress| progress.durable = last);
    Ok(())
}
