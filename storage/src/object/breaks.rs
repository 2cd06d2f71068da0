//! How often the history of the store was broken: once for each time that acknowledged changes may have been lost.

use crate::engine::rows::Reading;
use crate::{Batch, StorageError};

pub(crate) const STORE: &str = "store/v1";
pub(crate) const BREAKS: &[u8] = b"breaks";

/// The number of breaks; 0 where none was ever noted.
pub(crate) fn count<R: Reading + ?Sized>(tables: &R) -> Result<u64, StorageError> {
    let Some(row) = tables.get(STORE, BREAKS)? else { return Ok(0) };
    decode(&row).ok_or_else(|| StorageError::Corrupt {
        table: STORE,
        key: String::from_utf8_lossy(BREAKS).into_owned(),
        detail: "not a number".to_owned(),
    })
}

/// The number in a row.
pub(crate) fn decode(row: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(row.try_into().ok()?))
}

/// Notes this number of breaks.
pub(crate) fn noted(batch: Batch, number: u64) -> Batch {
    batch.put(STORE, BREAKS, number.to_be_bytes())
}
