//! What an operator does with the file of a store while nobody else has it open: check, export, import, compact.
//!
//! All of them refuse a store that is in use, with [`OpenError::Locked`].

mod check;
mod compact;
mod export;
mod import;
mod line;
mod reading;

pub use check::{CheckReport, Problem, TableCheck, TableReport, check};
pub use compact::{CompactError, Compacted, compact};
pub use export::{ExportError, Exported, export};
pub use import::{ImportError, Imported, import};

use std::io;
use std::path::Path;

use redb::Database;

use crate::OpenError;
use crate::durable::as_it_is;
use crate::engine::format;

/// Opens a file that is there, in the format that it has, which is told.
fn open(path: &Path) -> Result<(Database, u64), OpenError> {
    format::guarded(path, || {
        if !path.is_file() {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no such file");
            return Err(OpenError::Io { path: path.to_owned(), source });
        }
        as_it_is(path)
    })
}
