//! Opening and making the file of a store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};

use crate::OpenError;

/// The format of the file: which tables there are and what their rows hold. Raised when an older version could
/// not read what this one writes.
const FORMAT: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("hyperty/meta");
const META_FORMAT: &str = "format";

/// Memory for pages of the file. Objects are read once, at the start, and kept by those who use them: the
/// cache only has to hold the pages that are written again and again.
const CACHE_BYTES: usize = 64 << 20;

/// Opens the store at `path`, or makes an empty one.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        if path.try_exists().map_err(|source| io_error(path, source))? { existing(path) } else { make(path) }
    }));
    opened.unwrap_or_else(|_| {
        let detail = "its structure cannot be followed".to_owned();
        Err(OpenError::Damaged { path: path.to_owned(), detail })
    })
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // Without it a file that was changed from outside may be believed.
    builder.set_check_integrity_on_open(true);
    builder
}

fn existing(path: &Path) -> Result<Database, OpenError> {
    let path = path.to_owned();
    if path.is_dir() {
        return Err(OpenError::NotAStore { path, detail: "it is a directory".to_owned() });
    }
    let database = builder().open(&path).map_err(|error| refused(&path, error))?;
    match format(&database) {
        Ok(FORMAT) => Ok(database),
        Ok(found) if found > FORMAT => Err(OpenError::Newer { path, found, known: FORMAT }),
        Ok(found) => Err(OpenError::Damaged { path, detail: format!("its format number is {found}") }),
        Err(redb::Error::TableDoesNotExist(_)) => {
            Err(OpenError::NotAStore { path, detail: "a redb database of another program".to_owned() })
        }
        Err(error) => Err(OpenError::Damaged { path, detail: error.to_string() }),
    }
}

/// The format number of a store; [`TableError::TableDoesNotExist`] if it is none.
fn format(database: &Database) -> Result<u64, redb::Error> {
    let rows = database.begin_read()?.open_table(META)?;
    match rows.get(META_FORMAT)? {
        Some(number) => Ok(number.value()),
        None => Err(TableError::TableDoesNotExist(META_FORMAT.to_owned()).into()),
    }
}

/// Makes an empty store beside `path` and moves it there when it is complete and on disk, so that a crash at
/// any moment leaves a whole store or none.
fn make(path: &Path) -> Result<Database, OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |source| io_error(path, source);
    fs::create_dir_all(directory).map_err(failed)?;
    let unfinished = unfinished(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&unfinished)
        .map_err(failed)?;
    // Two may begin at once; the lock goes with the file when it is moved, and then it guards the store.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    if path.try_exists().map_err(failed)? {
        // The other one was done before this one had the lock.
        fs::remove_file(&unfinished).map_err(failed)?;
        return existing(path);
    }
    // What a crash may have left there.
    file.set_len(0).map_err(failed)?;
    let database = empty(file).map_err(|error| refused(path, error))?;
    fs::rename(&unfinished, path).map_err(failed)?;
    sync_directory(directory).map_err(failed)?;
    Ok(database)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn empty(file: File) -> Result<Database, DatabaseError> {
    let database = builder().create_with_backend(FileBackend::new(file)?)?;
    let write = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert(META_FORMAT, FORMAT)?;
        transaction.commit()?;
        Ok(())
    };
    write().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(database)
}

/// A file is found again after a crash only if its directory is on disk too.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
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
