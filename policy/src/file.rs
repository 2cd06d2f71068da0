//! A file that decides: rules, or Cedar policies where the program has them. It may change while it is in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperty_model::Clock;

use crate::Policy;
#[cfg(feature = "cedar")]
use crate::cedar::CedarFile;
use crate::rules::{Reloaded, RuleFile, RuleFileError, RulePolicy, RuleSet};

/// A file that was read and found sound: Cedar if its name ends with `.cedar`, rules in JSON if with `.json`, else rules
/// in TOML.
#[derive(Debug)]
pub struct PolicyFile(Read);

#[derive(Debug)]
enum Read {
    Rules(RuleFile, RuleSet),
    #[cfg(feature = "cedar")]
    Cedar(CedarFile),
}

/// The same while it is in force.
pub struct WatchedFile(Watched);

enum Watched {
    Rules(RuleFile, RulePolicy),
    #[cfg(feature = "cedar")]
    Cedar(CedarFile, crate::cedar::CedarPolicy),
}

impl PolicyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RuleFileError`] when it cannot be taken; [`RuleFileError::NotBuilt`] for Cedar in a program without.
    pub fn open(path: impl Into<PathBuf>) -> Result<PolicyFile, RuleFileError> {
        let path = path.into();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("cedar")) {
            return PolicyFile::cedar(path);
        }
        let (file, rules) = RuleFile::open(path)?;
        Ok(PolicyFile(Read::Rules(file, rules)))
    }

    #[cfg(feature = "cedar")]
    fn cedar(path: PathBuf) -> Result<PolicyFile, RuleFileError> {
        Ok(PolicyFile(Read::Cedar(CedarFile::open(path)?)))
    }

    #[cfg(not(feature = "cedar"))]
    fn cedar(path: PathBuf) -> Result<PolicyFile, RuleFileError> {
        Err(RuleFileError::NotBuilt { path: path.display().to_string() })
    }

    /// What it decides, and what looks whether that has changed. The time is told by this clock.
    ///
    /// # Errors
    /// [`RuleFileError`] when it was sound and is not any more.
    pub fn in_force(self, clock: Arc<dyn Clock>) -> Result<(Arc<dyn Policy>, WatchedFile), RuleFileError> {
        match self.0 {
            Read::Rules(file, rules) => {
                let policy = RulePolicy::new(rules, clock);
                Ok((Arc::new(policy.clone()), WatchedFile(Watched::Rules(file, policy))))
            }
            #[cfg(feature = "cedar")]
            Read::Cedar(mut file) => {
                let policy = file.policy(clock)?;
                Ok((Arc::new(policy.clone()), WatchedFile(Watched::Cedar(file, policy))))
            }
        }
    }
}

impl WatchedFile {
    /// Puts in force what the file holds now, if it was changed and is sound.
    pub fn look(&mut self) -> Reloaded {
        match &mut self.0 {
            Watched::Rules(file, policy) => file.look(policy),
            #[cfg(feature = "cedar")]
            Watched::Cedar(file, policy) => file.look(policy),
        }
    }

    /// How many rules or policies are in force.
    pub fn count(&self) -> usize {
        match &self.0 {
            Watched::Rules(_, policy) => policy.rules().rules().len(),
            #[cfg(feature = "cedar")]
            Watched::Cedar(_, policy) => policy.count(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match &self.0 {
            Watched::Rules(file, _) => file.path(),
            #[cfg(feature = "cedar")]
            Watched::Cedar(file, _) => file.path(),
        }
    }
}

impl std::fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::{SystemClock, Url};

    use super::*;
    use crate::{Point, PolicyRequest, decide_now};

    /// A file of this name, in a folder that ends with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("hyperty-policy-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            std::fs::write(self.0.join(name), text).unwrap();
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn refuses(policy: &dyn Policy) -> bool {
        let request = PolicyRequest::new(Point::Read, Url::parse("hyperty://example.com/6f1c").unwrap());
        decide_now(policy, &request).unwrap().refusal().is_some()
    }

    /// In force at once, replaced when changed and sound, and complained of once when not.
    fn lives(name: &str, closed: &str, open: &str, broken: &str) {
        let folder = Folder::new(name);
        let path = folder.write(name, closed);
        let file = PolicyFile::open(&path).unwrap();
        let (policy, mut watched) = file.in_force(Arc::new(SystemClock)).unwrap();
        assert_eq!((watched.count(), watched.path()), (1, &*path));
        assert!(refuses(&*policy));
        assert!(matches!(watched.look(), Reloaded::Unchanged));
        folder.write(name, broken);
        assert!(matches!(watched.look(), Reloaded::Kept(_)));
        assert!(matches!(watched.look(), Reloaded::Unchanged));
        assert!(refuses(&*policy));
        folder.write(name, open);
        assert!(matches!(watched.look(), Reloaded::Replaced));
        assert!(!refuses(&*policy));
        folder.write(name, broken);
        assert!(PolicyFile::open(&path).is_err());
    }

    #[test]
    fn rules_live_in_a_file() {
        lives(
            "rules.toml",
            "[[rule]]\nname = \"a\"\ndecision = false\n",
            "[[rule]]\nname = \"a\"\ndecision = true\n",
            "[[",
        );
    }

    #[cfg(feature = "cedar")]
    #[test]
    fn so_do_policies_in_cedar() {
        let all = |word: &str| format!("{word} (principal, action, resource);");
        lives(
            "policies.cedar",
            &all("forbid"),
            &all("permit"),
            "forbid (principal, action, resource)\nwhen { principal.nmae == \"x\" };",
        );
    }

    #[cfg(not(feature = "cedar"))]
    #[test]
    fn cedar_is_refused_where_it_is_not_built_in() {
        let folder = Folder::new("without-cedar");
        let path = folder.write("policies.cedar", "permit (principal, action, resource);");
        let error = PolicyFile::open(path).unwrap_err().to_string();
        assert!(error.contains("--features cedar"), "{error}");
    }
}
