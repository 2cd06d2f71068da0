//! The suite every storage backend must pass: one line per backend in `storage/tests/suite.rs`.
//!
//! A [`Place`] is where a store is: each `open` of the same place finds what was durable there. Cases get a
//! fresh place each and are chosen by what the backend says it can do. A storage of objects is put through
//! [`objects::run`], and its [`Claims`](objects::Claims) choose.

mod changes;
pub mod model;
mod newer;
pub mod objects;
pub mod objects_model;
pub mod sample;
pub mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperty_storage::Tables;

/// What a backend can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// What was reported durable is there when the place is opened again.
    pub durable: bool,
}

/// Where one store is.
pub trait Place {
    /// Opens the store; never while another handle of this place is open.
    fn open(&self) -> Arc<dyn Tables>;
}

impl<F: Fn() -> Arc<dyn Tables>> Place for F {
    fn open(&self) -> Arc<dyn Tables> {
        self()
    }
}

/// Makes a fresh, empty place with each call.
pub type Fresh<'a> = &'a dyn Fn() -> Box<dyn Place>;

/// A new directory that is removed with the value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one.
    ///
    /// # Panics
    /// When the system's directory for temporary files cannot be written.
    pub fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hyperty-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // A process of the same number may have died here.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        TempDir(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempDir {
    fn default() -> TempDir {
        TempDir::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
