//! Key-value tables with atomic durable batches, and the data object storage above them.
