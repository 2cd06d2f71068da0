//! Cedar policies in a file, which may be changed while they are in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperty_model::{Clock, SystemClock};

use super::{CedarPolicy, SCHEMA};
use crate::rules::{Reloaded, RuleFileError, read};

/// A file of Cedar policies, checked against [`SCHEMA`](super::SCHEMA).
#[derive(Debug)]
pub struct CedarFile {
    path: PathBuf,
    /// What it held at the last look.
    seen: Option<String>,
}

impl CedarFile {
    /// Reads a file, and looks whether it is sound.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken.
    pub fn open(path: impl Into<PathBuf>) -> Result<CedarFile, RuleFileError> {
        let mut file = CedarFile { path: path.into(), seen: None };
        file.policy(Arc::new(SystemClock))?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it decides now, by this clock.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken.
    pub fn policy(&mut self, clock: Arc<dyn Clock>) -> Result<CedarPolicy, RuleFileError> {
        let text = read(&self.path)?;
        let policy = CedarPolicy::parse(&text, Some(SCHEMA), clock).map_err(|error| self.wrong(&error))?;
        self.seen = Some(text);
        Ok(policy)
    }

    /// Puts the policies in force that the file holds now, if it was changed and they are sound.
    pub fn look(&mut self, policy: &CedarPolicy) -> Reloaded {
        let text = match read(&self.path) {
            Ok(text) => text,
            // Told once, until it can be read again.
            Err(error) => {
                return if self.seen.take().is_some() { Reloaded::Kept(error) } else { Reloaded::Unchanged };
            }
        };
        if self.seen.as_ref() == Some(&text) {
            return Reloaded::Unchanged;
        }
        let replaced = policy.replace(&text, Some(SCHEMA));
        self.seen = Some(text);
        match replaced {
            Ok(()) => Reloaded::Replaced,
            Err(error) => Reloaded::Kept(self.wrong(&error)),
        }
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> RuleFileError {
        RuleFileError::Cedar { path: self.path.display().to_string(), error: error.to_string() }
    }
}
