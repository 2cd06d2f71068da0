//! Opening and making the file of a store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError};

use crate::OpenError;
use crate::engine::format::{self, FORMAT, builder, refused};
use crate::engine::migrate::migrate;

/// Opens the store at `path`, or makes an empty one.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    format::guarded(path, || {
        if path.try_exists().map_err(|source| io_error(path, source))? { existing(path) } else { make(path) }
    })
}

fn existing(path: &Path) -> Result<Database, OpenError> {
    if path.is_dir() {
        let detail = "it is a directory".to_owned();
        return Err(OpenError::NotAStore { path: path.to_owned(), detail });
    }
    let (database, found) = as_it_is(path)?;
    if found == FORMAT {
        return Ok(database);
    }
    // Closed meanwhile: a file that is open may be locked against reading too.
    drop(database);
    let backup = back_up(path, found).map_err(|source| io_error(path, source))?;
    let (database, found) = as_it_is(path)?;
    if found < FORMAT {
        migrate(&database, found).map_err(|error| OpenError::of(path, error))?;
        tracing::info!(path = %path.display(), backup = %backup.display(), from = found, to = FORMAT, "the store was brought to a newer format");
    }
    Ok(database)
}

/// Opens the store at `path` in the format that it has, which is told.
pub(crate) fn as_it_is(path: &Path) -> Result<(Database, u64), OpenError> {
    let database = builder().open(path).map_err(|error| refused(path, error))?;
    let found = format::known(&database, path)?;
    Ok((database, found))
}

/// Copies the file before its format is changed; where the copy is.
fn back_up(path: &Path, format: u64) -> io::Result<PathBuf> {
    let backup = beside(path, &format!(".format-{format}"));
    let unfinished = beside(&backup, ".new");
    fs::copy(path, &unfinished)?;
    OpenOptions::new().write(true).open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, &backup)?;
    sync_directory(directory(path))?;
    Ok(backup)
}

/// Makes an empty store beside `path` and moves it there when it is complete and on disk, so that a crash at
/// any moment leaves a whole store or none.
fn make(path: &Path) -> Result<Database, OpenError> {
    let directory = directory(path);
    let failed = |source| io_error(path, source);
    fs::create_dir_all(directory).map_err(failed)?;
    let unfinished = beside(path, ".new");
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

/// The directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file of the same name with an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn empty(file: File) -> Result<Database, DatabaseError> {
    let database = builder().create_with_backend(FileBackend::new(file)?)?;
    format::initialise(&database).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(database)
}

/// A file is found again after a crash only if its directory is on disk too.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}
