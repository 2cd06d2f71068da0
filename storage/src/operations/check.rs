//! Checking a file: every page, every row, and whether rows fit together.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::reading::Snapshot;
use crate::engine::format::FORMAT;
use crate::engine::mode;
use crate::names;
use crate::object::check as objects;
use crate::{OpenError, StorageError};

/// Most problems that a report lists; more are counted. Who has so many restores a copy.
const PROBLEMS_MAX: usize = 100;

/// How the rows of a table are checked that is not one of objects. Whoever defines a table says so.
#[derive(Debug, Clone, Copy)]
pub struct TableCheck {
    /// The table.
    pub table: &'static str,
    /// What is wrong with a row, given key and value.
    pub row: fn(&[u8], &[u8]) -> Result<(), String>,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// Whether it was known how to check them.
    pub known: bool,
}

/// Something that does not hold what it must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In which table.
    pub table: String,
    /// Which row, readable.
    pub key: String,
    /// What is wrong.
    pub detail: String,
}

/// What was found in a file whose pages are all right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The file.
    pub path: PathBuf,
    /// Its format. One below the present format is brought to that one when the store is next opened; until then
    /// its objects are not looked into.
    pub format: u64,
    /// The size of the file in bytes.
    pub file_bytes: u64,
    /// It acknowledged before it was on disk and was not closed in good order: changes may be lost, and the next
    /// start tells observers so.
    pub left_open: bool,
    /// Its tables.
    pub tables: Vec<TableReport>,
    /// Reported objects that are whole.
    pub reported: usize,
    /// Observed objects that are whole.
    pub observed: usize,
    /// Those of both whose history may be broken: their Reporter goes on in a new epoch.
    pub broken: usize,
    /// What is damaged, at most 100 of them.
    pub problems: Vec<Problem>,
    /// How much is damaged.
    pub damage: usize,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage == 0
    }
}

/// Checks the file of a store. It is opened as a runtime or a node would, so that what a crash left is put in order, and
/// not changed otherwise. `known` are the tables beside those of objects.
///
/// # Errors
/// [`OpenError::Damaged`] when pages are damaged: such a file is not served. The other variants as they say.
pub fn check(path: &Path, known: &[TableCheck]) -> Result<CheckReport, OpenError> {
    let (database, format) = super::open(path)?;
    let failed = |error| OpenError::of(path, error);
    let left_open = mode::is_marked(&database).map_err(failed)?;
    let snapshot = Snapshot::of(&database).map_err(failed)?;
    let mut report = CheckReport {
        path: path.to_owned(),
        format,
        file_bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
        left_open,
        tables: Vec::new(),
        reported: 0,
        observed: 0,
        broken: 0,
        problems: Vec::new(),
        damage: 0,
    };
    for table in &snapshot.tables {
        report.read_table(&snapshot, table, known).map_err(failed)?;
    }
    if format == FORMAT {
        let objects = objects::check(snapshot.transaction()).map_err(failed)?;
        (report.reported, report.observed, report.broken) =
            (objects.reported, objects.observed, objects.broken);
        objects.problems.into_iter().for_each(|error| report.add(Problem::of(error)));
    }
    Ok(report)
}

impl CheckReport {
    fn read_table(
        &mut self,
        snapshot: &Snapshot,
        table: &str,
        known: &[TableCheck],
    ) -> Result<(), StorageError> {
        let check = known.iter().copied().chain([names::CHECK]).find(|check| check.table == table);
        let is_known = check.is_some() || objects::TABLES.contains(&table);
        let mut found = TableReport { name: table.to_owned(), rows: 0, bytes: 0, known: is_known };
        let mut problems = Vec::new();
        snapshot.rows(table, &mut |key, value| {
            found.rows += 1;
            found.bytes += (key.len() + value.len()) as u64;
            if let Some(Err(detail)) = check.map(|check| (check.row)(key, value)) {
                let key = String::from_utf8_lossy(key).into_owned();
                problems.push(Problem { table: table.to_owned(), key, detail });
            }
        })?;
        self.tables.push(found);
        problems.into_iter().for_each(|problem| self.add(problem));
        Ok(())
    }

    fn add(&mut self, problem: Problem) {
        self.damage += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

impl Problem {
    fn of(error: StorageError) -> Problem {
        match error {
            StorageError::Corrupt { table, key, detail } => Problem { table: table.to_owned(), key, detail },
            other => Problem { table: String::new(), key: String::new(), detail: other.to_string() },
        }
    }
}
