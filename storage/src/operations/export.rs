//! Writing a store as lines of JSON.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::line::{Bytes, End, Header, Row, hex};
use super::reading::Snapshot;
use crate::{OpenError, StorageError};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The format of the store.
    pub format: u64,
    /// How many rows.
    pub rows: u64,
}

/// Why a store was not exported as a whole: what was written then has no last line, and is not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The file cannot be opened; the text says what to do.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read: restore it from a copy.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The lines could not be written: check where to.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Writes every row of a store, table by table, as lines of JSON: a header with the format, the rows, and a last line
/// with their number and a checksum.
///
/// # Errors
/// [`ExportError`].
pub fn export(path: &Path, to: &mut dyn Write) -> Result<Exported, ExportError> {
    let (database, format) = super::open(path)?;
    let snapshot = Snapshot::of(&database)?;
    let mut lines = Lines { to, sum: Sha256::new(), failed: None };
    let mut rows = 0;
    lines.write(&Header { format });
    for table in &snapshot.tables {
        snapshot.rows(table, &mut |key, value| {
            rows += 1;
            lines.write(&Row { table: table.clone(), key: Bytes::of(key), value: Bytes::of(value) });
        })?;
    }
    let sha256 = hex(&lines.sum.clone().finalize());
    lines.write(&End { rows, sha256 });
    match lines.failed {
        Some(error) => Err(error.into()),
        None => {
            to.flush()?;
            Ok(Exported { format, rows })
        }
    }
}

struct Lines<'a> {
    to: &'a mut dyn Write,
    sum: Sha256,
    /// The first failure; nothing is written after it.
    failed: Option<io::Error>,
}

impl Lines<'_> {
    fn write(&mut self, line: &impl Serialize) {
        if self.failed.is_some() {
            return;
        }
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.sum.update(&line);
            self.to.write_all(&line)
        });
        self.failed = written.err();
    }
}
