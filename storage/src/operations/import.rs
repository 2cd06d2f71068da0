//! Making a store of exported lines.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::check::{CheckReport, TableCheck, check};
use super::line::{End, Header, Row, hex};
use super::reading::Snapshot;
use crate::durable::{self, DurableTables};
use crate::engine::format::{self, FORMAT};
use crate::engine::rows::{self, failure, guarded};
use crate::object::breaks;
use crate::{Batch, OpenError, StorageError};

/// Rows that are written in one transaction: few enough to be held in memory.
const ROWS_AT_ONCE: usize = 10_000;
/// Bytes of rows that are written in one transaction, for the same reason.
const BYTES_AT_ONCE: usize = 8 << 20;

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How many rows.
    pub rows: u64,
    /// What a check of the new store found.
    pub report: CheckReport,
}

/// Why nothing was imported. The place is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is a store that holds something. Choose another path, or move it away.
    #[error("the store {} is not empty; choose another path, or move it away", path.display())]
    NotEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The place cannot be used; the text says why.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A line is not what an export writes. Export anew, or take an earlier copy.
    #[error("line {line} is no line of an exported store: {detail}")]
    Malformed {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        detail: String,
    },
    /// The lines end early, or are not those that were exported. Take another copy.
    #[error("the exported store is not whole: {0}")]
    NotWhole(String),
    /// It was exported by a newer version of this program. Use that one or a later one.
    #[error("the exported store has format {found} and this version knows formats up to {known}")]
    Newer {
        /// The format it has.
        found: u64,
        /// The newest format this version reads.
        known: u64,
    },
    /// What was exported is damaged in itself: it was damaged when it was exported.
    #[error("the exported store is damaged in {} places; the first: {}", .0.damage, first(.0))]
    Damaged(Box<CheckReport>),
    /// The lines cannot be read, or the new file cannot be written.
    #[error("cannot import: {0}")]
    Io(#[from] io::Error),
    /// The new file cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn first(report: &CheckReport) -> String {
    let problem = report.problems.first();
    problem.map(|p| format!("table {}, row {}: {}", p.table, p.key, p.detail)).unwrap_or_default()
}

/// Makes a store at `path` of exported lines. It is checked whole before it is put there. What happened after the
/// export is not in it: every history counts as [broken](crate::ObjectRecord::broken), and Reporters go on in a new
/// epoch.
///
/// # Errors
/// [`ImportError`]; then nothing has changed at `path`.
pub fn import(path: &Path, lines: &mut dyn BufRead, known: &[TableCheck]) -> Result<Imported, ImportError> {
    if path.try_exists()? {
        refuse_unless_empty(path)?;
    }
    let new = durable::beside(path, ".import");
    // What an import that was interrupted left.
    remove(&new)?;
    let imported = fill(&new, lines, known);
    let put = imported.and_then(|imported| {
        fs::rename(&new, path)?;
        durable::sync_directory(durable::directory(path))?;
        Ok(imported)
    });
    if put.is_err() {
        remove(&new)?;
        remove(&durable::beside(&new, ".format-1"))?;
    }
    put
}

fn refuse_unless_empty(path: &Path) -> Result<(), ImportError> {
    let (database, _) = super::open(path)?;
    let snapshot = Snapshot::of(&database)?;
    let mut rows = 0;
    for table in &snapshot.tables {
        snapshot.rows(table, &mut |_, _| rows += 1)?;
    }
    if rows > 0 { Err(ImportError::NotEmpty { path: path.to_owned() }) } else { Ok(()) }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes and checks the new file.
fn fill(new: &Path, lines: &mut dyn BufRead, known: &[TableCheck]) -> Result<Imported, ImportError> {
    let mut lines = Lines { from: lines, number: 0, sum: Sha256::new() };
    let format = lines.header()?;
    drop(DurableTables::open(new)?);
    let rows = {
        let (database, _) = super::open(new)?;
        let rows = lines.rows(&database)?;
        let broken = breaks::count(&rows::snapshot(&database)?)? + 1;
        rows::apply(&database, &breaks::noted(Batch::new(), broken))?;
        guarded(|| format::set(&database, format).map_err(failure))?;
        rows
    };
    // Brings an older format to the present one.
    drop(DurableTables::open(new)?);
    remove(&durable::beside(new, &format!(".format-{format}")))?;
    let report = CheckReport { path: PathBuf::new(), ..check(new, known)? };
    if report.is_sound() { Ok(Imported { rows, report }) } else { Err(ImportError::Damaged(report.into())) }
}

struct Lines<'a> {
    from: &'a mut dyn BufRead,
    number: u64,
    /// Of the lines before the present one.
    sum: Sha256,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Vec<u8>, ImportError> {
        let mut line = Vec::new();
        self.from.read_until(b'\n', &mut line)?;
        self.number += 1;
        if line.is_empty() {
            return Err(ImportError::NotWhole(format!("it ends after line {}", self.number - 1)));
        }
        Ok(line)
    }

    fn parse<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, ImportError> {
        serde_json::from_slice(line)
            .map_err(|error| ImportError::Malformed { line: self.number, detail: error.to_string() })
    }

    fn header(&mut self) -> Result<u64, ImportError> {
        let line = self.next()?;
        let Header { format } = self.parse(&line)?;
        self.sum.update(&line);
        match format {
            0 => Err(ImportError::Malformed { line: 1, detail: "there is no format 0".to_owned() }),
            found if found > FORMAT => Err(ImportError::Newer { found, known: FORMAT }),
            known => Ok(known),
        }
    }

    /// Writes all rows up to the end; how many there were.
    fn rows(&mut self, database: &Database) -> Result<u64, ImportError> {
        let (mut rows, mut pending, mut bytes) = (0, Vec::new(), 0);
        loop {
            let line = self.next()?;
            if let Ok(end) = serde_json::from_slice::<End>(&line) {
                write(database, &mut pending)?;
                self.check_end(rows, &end)?;
                return Ok(rows);
            }
            let Row { table, key, value } = self.parse(&line)?;
            self.sum.update(&line);
            let malformed =
                |detail: &str| ImportError::Malformed { line: self.number, detail: detail.to_owned() };
            if table.starts_with("hyperty/") {
                return Err(malformed("no table of a store has this name"));
            }
            let (Some(key), Some(value)) = (key.bytes(), value.bytes()) else {
                return Err(malformed("odd hexadecimal digits"));
            };
            rows += 1;
            bytes += key.len() + value.len();
            pending.push((table, key, value));
            if pending.len() >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                bytes = 0;
                write(database, &mut pending)?;
            }
        }
    }

    fn check_end(&mut self, rows: u64, end: &End) -> Result<(), ImportError> {
        let mut rest = Vec::new();
        self.from.read_until(b'\n', &mut rest)?;
        let not_whole = |detail: String| Err(ImportError::NotWhole(detail));
        if !rest.is_empty() {
            return not_whole(format!("something follows its last line, {}", self.number));
        }
        if end.rows != rows {
            return not_whole(format!("{} rows were exported, {rows} are here", end.rows));
        }
        if end.sha256 != hex(&self.sum.clone().finalize()) {
            return not_whole("a line was changed".to_owned());
        }
        Ok(())
    }
}

fn write(database: &Database, pending: &mut Vec<(String, Vec<u8>, Vec<u8>)>) -> Result<(), StorageError> {
    guarded(|| {
        let transaction = database.begin_write().map_err(failure)?;
        for (table, key, value) in pending.drain(..) {
            let rows = TableDefinition::<&[u8], &[u8]>::new(&table);
            let mut rows = transaction.open_table(rows).map_err(failure)?;
            rows.insert(&*key, &*value).map_err(failure)?;
        }
        transaction.commit().map_err(failure)
    })
}
