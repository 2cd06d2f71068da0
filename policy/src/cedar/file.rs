//! Cedar policies in a file, which may be changed while they are in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperty_model::{Clock, SystemClock};

use super::{CedarPolicy, SCHEMA};
use crate::rules::{Reloaded, RuleFileError, Seen};

/// A file of Cedar policies, checked against [`SCHEMA`](super::SCHEMA).
#[derive(Debug)]
pub struct CedarFile(Seen);

impl CedarFile {
    /// Reads a file, and looks whether it is sound.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken.
    pub fn open(path: impl Into<PathBuf>) -> Result<CedarFile, RuleFileError> {
        let mut file = CedarFile(Seen::at(path));
        file.policy(Arc::new(SystemClock))?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What it decides now, by this clock.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken.
    pub fn policy(&mut self, clock: Arc<dyn Clock>) -> Result<CedarPolicy, RuleFileError> {
        let parse = |text: &str| CedarPolicy::parse(text, Some(SCHEMA), clock);
        self.0.read(|path, text| parse(text).map_err(|error| wrong(path, &error)))
    }

    /// Puts the policies in force that the file holds now, if it was changed and they are sound.
    pub fn look(&mut self, policy: &CedarPolicy) -> Reloaded {
        let replace = |text: &str| policy.replace(text, Some(SCHEMA));
        self.0.look(|path, text| replace(text).map_err(|error| wrong(path, &error)))
    }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> RuleFileError {
    RuleFileError::Cedar { path: path.display().to_string(), error: error.to_string() }
}
