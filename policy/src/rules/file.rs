//! Rules in a file, which may be changed while they are in force.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{RULES_BYTES_MAX, RulePolicy, RuleSet, RulesError};

/// Why a file of rules was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RuleFileError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// What it says cannot be taken.
    #[error("{path}: {error}")]
    Rules {
        /// Which.
        path: String,
        /// What is wrong with it.
        error: RulesError,
    },
    /// Policies in Cedar that cannot be taken; the text tells where and why.
    #[error("{path}: {error}")]
    Cedar {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: String,
    },
    /// Policies in Cedar, for a program that does not have that: build it with its feature `cedar`, or write rules.
    #[error("{path}: this program is built without Cedar; build it with --features cedar")]
    NotBuilt {
        /// Which file.
        path: String,
    },
}

/// What a look at a file of rules brought.
#[derive(Debug)]
pub enum Reloaded {
    /// It is as it was.
    Unchanged,
    /// The new rules are in force.
    Replaced,
    /// It has changed and cannot be taken: the rules before stay in force. Told once for each change.
    Kept(RuleFileError),
}

/// A file of rules: JSON if its name ends with `.json`, else TOML.
///
/// ```
/// use std::sync::Arc;
/// use hyperty_model::SystemClock;
/// use hyperty_policy::rules::{Reloaded, RuleFile, RulePolicy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("hyperty-rule-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("rules.toml");
/// std::fs::write(&path, "[[rule]]\nname = \"closed\"\ndecision = false\n")?;
/// let (mut file, rules) = RuleFile::open(&path)?;
/// let policy = RulePolicy::new(rules, Arc::new(SystemClock));
/// std::fs::write(&path, "[[rule]]\nname = \"half a ru")?;
/// assert!(matches!(file.look(&policy), Reloaded::Kept(_)));
/// assert_eq!(policy.rules().rules()[0].name, "closed");
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RuleFile(Seen);

impl RuleFile {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// [`RuleFileError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<(RuleFile, RuleSet), RuleFileError> {
        let mut file = Seen::at(path);
        let rules = file.read(parse)?;
        Ok((RuleFile(file), rules))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts the rules in force that the file holds now, if it was changed and they are sound.
    pub fn look(&mut self, policy: &RulePolicy) -> Reloaded {
        self.0.look(|path, text| parse(path, text).map(|rules| policy.replace(rules)))
    }
}

/// A file, and what it held at the last look; files are small, and times of change lie.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    text: Option<String>,
}

impl Seen {
    /// One that nobody has looked at.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Seen {
        Seen { path: path.into(), text: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is made of its text now. What cannot be taken has not been seen.
    pub(crate) fn read<T>(
        &mut self,
        take: impl FnOnce(&Path, &str) -> Result<T, RuleFileError>,
    ) -> Result<T, RuleFileError> {
        let text = read(&self.path)?;
        let taken = take(&self.path, &text)?;
        self.text = Some(text);
        Ok(taken)
    }

    /// Takes its text, if that was changed.
    pub(crate) fn look(&mut self, take: impl FnOnce(&Path, &str) -> Result<(), RuleFileError>) -> Reloaded {
        let text = match read(&self.path) {
            Ok(text) => text,
            // Told once, until it can be read again.
            Err(error) => {
                return if self.text.take().is_some() { Reloaded::Kept(error) } else { Reloaded::Unchanged };
            }
        };
        if self.text.as_ref() == Some(&text) {
            return Reloaded::Unchanged;
        }
        let taken = take(&self.path, &text);
        self.text = Some(text);
        taken.map_or_else(Reloaded::Kept, |()| Reloaded::Replaced)
    }
}

/// The text of a file, as far as it may be long.
fn read(path: &Path) -> Result<String, RuleFileError> {
    let failed = |error| RuleFileError::Read { path: path.display().to_string(), error };
    let mut text = String::new();
    // A little more than is allowed: what is too long is told as such, and is not read whole.
    let most = RULES_BYTES_MAX as u64 + 1;
    File::open(path).map_err(failed)?.take(most).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<RuleSet, RuleFileError> {
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let rules = if is_json { RuleSet::from_json(text) } else { RuleSet::from_toml(text) };
    rules.map_err(|error| RuleFileError::Rules { path: path.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyperty_model::SystemClock;

    use super::*;

    #[test]
    fn a_file_is_taken_when_it_is_sound_and_complained_of_once_when_it_is_not() {
        let dir = std::env::temp_dir().join(format!("hyperty-rules-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("rules.json");
        let rule = |name: &str| format!(r#"{{"rule": [{{"name": "{name}", "decision": false}}]}}"#);
        std::fs::write(&path, rule("one")).unwrap();
        let (mut file, rules) = RuleFile::open(&path).unwrap();
        let policy = RulePolicy::new(rules, Arc::new(SystemClock));
        let name = || policy.rules().rules()[0].name.clone();
        assert!(matches!(file.look(&policy), Reloaded::Unchanged));
        // Of the same length and within the same tick of the file system's clock.
        std::fs::write(&path, rule("two")).unwrap();
        assert!(matches!(file.look(&policy), Reloaded::Replaced));
        assert_eq!(name(), "two");
        for broken in ["{", "", r#"{"rule": [{"name": "x"}]}"#] {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(file.look(&policy), Reloaded::Kept(RuleFileError::Rules { .. })), "{broken}");
            assert!(matches!(file.look(&policy), Reloaded::Unchanged));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.look(&policy), Reloaded::Kept(RuleFileError::Read { .. })));
        assert!(matches!(file.look(&policy), Reloaded::Unchanged));
        assert_eq!(name(), "two");
        std::fs::write(&path, "x".repeat(RULES_BYTES_MAX + 10)).unwrap();
        let too_long = file.look(&policy);
        assert!(matches!(
            too_long,
            Reloaded::Kept(RuleFileError::Rules { error: RulesError::TooLong { .. }, .. })
        ));
        std::fs::write(&path, rule("three")).unwrap();
        assert!(matches!(file.look(&policy), Reloaded::Replaced));
        assert_eq!(name(), "three");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
