//! Making a file as small as its content allows.

use std::io;
use std::path::Path;

use crate::engine::rows::{failure, guarded};
use crate::{OpenError, StorageError};

/// What compacting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// The size of the file in bytes before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Why a file was not compacted. Its content is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The file cannot be opened; the text says what to do.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be read or written: free the cause, a full disk for instance, and try again.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its size could not be read.
    #[error("cannot look at the file: {0}")]
    Io(#[from] io::Error),
}

/// Gives back the space that a file does not use, however long it takes. A crash leaves it as it was, or smaller.
///
/// # Errors
/// [`CompactError`].
pub fn compact(path: &Path) -> Result<Compacted, CompactError> {
    let (mut database, _) = super::open(path)?;
    let before = std::fs::metadata(path)?.len();
    guarded(|| {
        // Each pass moves pages to the front as far as it can; the next one may move more.
        while database.compact().map_err(failure)? {}
        database.close().map_err(failure)
    })?;
    Ok(Compacted { before, after: std::fs::metadata(path)?.len() })
}
