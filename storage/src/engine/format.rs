//! The format of a file, and whether a file has it.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};

use crate::OpenError;

/// The format of the file: which tables there are and what their rows hold. Raised when an older version could
/// not read what this one writes.
pub(crate) const FORMAT: u64 = 3;
/// What is known of the file itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("hyperty/meta");
pub(super) const META_FORMAT: &str = "format";

/// Memory for pages of the file. Objects are read once, at the start, and kept by those who use them: the
/// cache only has to hold the pages that are written again and again.
const CACHE_BYTES: usize = 64 << 20;

/// How files are opened.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // Without it a file that was changed from outside may be believed.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Writes what an empty store holds.
pub(crate) fn initialise(database: &Database) -> Result<(), redb::Error> {
    set(database, FORMAT)
}

/// Says which format the rows have.
pub(crate) fn set(database: &Database, format: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(META_FORMAT, format)?;
    transaction.commit()?;
    Ok(())
}

/// The format of a database, if it is a store and not newer than what is known here.
///
/// # Errors
/// [`OpenError`] if it is none, or newer.
pub(crate) fn known(database: &Database, path: &Path) -> Result<u64, OpenError> {
    let path = path.to_owned();
    match number(database) {
        Ok(found) if (1..=FORMAT).contains(&found) => Ok(found),
        Ok(found) if found > FORMAT => Err(OpenError::Newer { path, found, known: FORMAT }),
        Ok(found) => Err(OpenError::Damaged { path, detail: format!("its format number is {found}") }),
        Err(redb::Error::TableDoesNotExist(_)) => {
            Err(OpenError::NotAStore { path, detail: "a redb database of another program".to_owned() })
        }
        Err(error) => Err(OpenError::Damaged { path, detail: error.to_string() }),
    }
}

/// The format number of a store; [`TableError::TableDoesNotExist`] if it is none.
fn number(database: &Database) -> Result<u64, redb::Error> {
    let rows = database.begin_read()?.open_table(META)?;
    match rows.get(META_FORMAT)? {
        Some(number) => Ok(number.value()),
        None => Err(TableError::TableDoesNotExist(META_FORMAT.to_owned()).into()),
    }
}

/// Opens in a way that turns a panic within redb, which a file changed by others may cause, into an error.
pub(crate) fn guarded<R>(path: &Path, open: impl FnOnce() -> Result<R, OpenError>) -> Result<R, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let detail = format!("its structure cannot be followed: {}", said(&*panic));
        Err(OpenError::Damaged { path: path.to_owned(), detail })
    })
}

/// The text of a panic.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unexpected content").to_owned()
}

/// What redb says when it does not open a file, in our words.
pub(crate) fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked { path }
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => match source.kind() {
            ErrorKind::InvalidData => {
                OpenError::NotAStore { path, detail: "its content is something else".to_owned() }
            }
            // The header names more than the file has.
            ErrorKind::UnexpectedEof => OpenError::Damaged { path, detail: "it is cut off".to_owned() },
            _ => OpenError::Io { path, source },
        },
        DatabaseError::UpgradeRequired(version) => {
            let detail = format!("a redb file of version {version}");
            OpenError::NotAStore { path, detail }
        }
        other => OpenError::Damaged { path, detail: other.to_string() },
    }
}
