//! The one thread that writes.

use redb::Database;

use super::Shared;
use crate::StorageError;
use crate::engine::rows;

/// Writes group after group until the store is closed, fails, or is dropped and everything is written.
pub(super) fn run(shared: &Shared) {
    while shared.queue.wait() {
        // Held until the group is reported, so that what is on disk when the file is closed is also reported.
        let database = shared.database.read();
        let Some(database) = &*database else { return };
        if let Err(error) = write(shared, database) {
            tracing::error!(%error, "the store failed: nothing more is written");
            shared.stop(error);
            return;
        }
    }
}

fn write(shared: &Shared, database: &Database) -> Result<(), StorageError> {
    let Some(group) = shared.queue.take(rows::snapshot(database)?) else { return Ok(()) };
    rows::apply(database, &group.steps)?;
    shared.queue.done(group, |durable| shared.acknowledge(durable));
    Ok(())
}
