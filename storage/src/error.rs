//! What can go wrong with a store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a read or a write failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The store was closed. Open it again to go on; what was not reported durable may be missing.
    #[error("the store is closed")]
    Closed,
    /// The file could not be read or written: a full disk, a failing device, a lost mount. Nothing after the
    /// last durable ticket was kept; free the cause and open the store again.
    #[error("the store's file could not be used: {0}")]
    Io(String),
    /// The file was damaged from outside while it was open. Restore it from a copy.
    #[error("the store's file is damaged: {0}")]
    Damaged(String),
    /// A row does not hold what it must. Only what that row belongs to is affected: remove it, or restore the
    /// file from a copy.
    #[error("table {table}, row {key}: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key, readable.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its directory could not be read, made or written.
    #[error("cannot open the store {}: {source}; check that the directory exists and may be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another handle in this one, has the store open. A store has one owner at a time.
    #[error("the store {} is in use; stop the other process, or choose another directory", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else. It was not touched.
    #[error("{} is not a store ({detail}); choose another path, or move the file away", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// The file was written by a newer version of this program. What it holds was not changed.
    #[error(
        "the store {} has format {found} and this version knows formats up to {known}; \
         use the version that wrote it or a later one", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format this version reads.
        known: u64,
    },
    /// The file was damaged from outside: bytes were changed or are missing. Nothing of it is served.
    #[error(
        "the store {} is damaged ({detail}); restore it from a copy, or move it away to start empty",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
}

impl OpenError {
    /// What went wrong with a file that is a store.
    pub(crate) fn of(path: &Path, error: StorageError) -> OpenError {
        let path = path.to_owned();
        match error {
            StorageError::Io(detail) => OpenError::Io { path, source: io::Error::other(detail) },
            other => OpenError::Damaged { path, detail: other.to_string() },
        }
    }
}
