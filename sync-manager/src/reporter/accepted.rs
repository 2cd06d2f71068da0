//! The accepted observers of one object, by hyperty and by runtime: thousands of runtimes may come back, or go, at once,
//! and each of them is about its own observers only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use hyperty_model::{HypertyUrl, RuntimeUrl};

use super::object::ObserverEntry;

/// Who observes, in the order of the URLs.
#[derive(Default)]
pub(crate) struct Accepted {
    entries: BTreeMap<HypertyUrl, ObserverEntry>,
    /// Whose runtime is known.
    of: BTreeMap<RuntimeUrl, BTreeSet<HypertyUrl>>,
}

impl Accepted {
    /// Adds one, in the place of what is there of it.
    pub(crate) fn insert(&mut self, hyperty: HypertyUrl, entry: ObserverEntry) {
        self.remove(&hyperty);
        if let Some(runtime) = &entry.runtime {
            self.of.entry(runtime.clone()).or_default().insert(hyperty.clone());
        }
        self.entries.insert(hyperty, entry);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, hyperty: &HypertyUrl) -> Option<ObserverEntry> {
        let entry = self.entries.remove(hyperty)?;
        if let Some(runtime) = &entry.runtime
            && let Some(listed) = self.of.get_mut(runtime)
        {
            listed.remove(hyperty);
            if listed.is_empty() {
                self.of.remove(runtime);
            }
        }
        Some(entry)
    }

    /// One, to be changed; but not its runtime, which takes an [`Accepted::insert`].
    pub(crate) fn get_mut(&mut self, hyperty: &HypertyUrl) -> Option<&mut ObserverEntry> {
        self.entries.get_mut(hyperty)
    }

    /// Nobody observes any more.
    pub(crate) fn clear(&mut self) {
        *self = Accepted::default();
    }

    /// Whether a runtime hosts one of them.
    pub(crate) fn hosts(&self, runtime: &RuntimeUrl) -> bool {
        self.of.contains_key(runtime)
    }

    /// Those of a runtime.
    pub(crate) fn of_runtime(&self, runtime: &RuntimeUrl) -> Vec<HypertyUrl> {
        self.of.get(runtime).into_iter().flatten().cloned().collect()
    }
}

impl Deref for Accepted {
    type Target = BTreeMap<HypertyUrl, ObserverEntry>;

    fn deref(&self) -> &BTreeMap<HypertyUrl, ObserverEntry> {
        &self.entries
    }
}

impl IntoIterator for Accepted {
    type Item = (HypertyUrl, ObserverEntry);
    type IntoIter = std::collections::btree_map::IntoIter<HypertyUrl, ObserverEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(runtime: Option<RuntimeUrl>) -> ObserverEntry {
        ObserverEntry {
            runtime,
            identity: None,
            resumable: false,
            children: true,
            since: None,
            away: None,
            routes: Default::default(),
        }
    }

    proptest! {
        /// Whatever comes and goes, and from wherever it comes the next time, a runtime has those that say so.
        #[test]
        fn a_runtime_has_those_that_say_so(steps in prop::collection::vec((0_u8..6, 0_u8..4), 0..60)) {
            let mut accepted = Accepted::default();
            let runtimes: Vec<RuntimeUrl> =
                (0..3).map(|n| RuntimeUrl::parse(&format!("hyperty-runtime://e.com/{n}")).unwrap()).collect();
            for (who, step) in steps {
                let hyperty: HypertyUrl = format!("hyperty://e.com/{who}").parse().unwrap();
                match usize::from(step) {
                    3 => drop(accepted.remove(&hyperty)),
                    n if who == 5 => accepted.insert(hyperty, entry(runtimes.get(n).cloned().filter(|_| n > 0))),
                    n => accepted.insert(hyperty, entry(Some(runtimes[n].clone()))),
                }
                for runtime in &runtimes {
                    let said: Vec<_> = accepted
                        .iter()
                        .filter(|(_, entry)| entry.runtime.as_ref() == Some(runtime))
                        .map(|(hyperty, _)| hyperty.clone())
                        .collect();
                    prop_assert_eq!(accepted.hosts(runtime), !said.is_empty());
                    prop_assert_eq!(accepted.of_runtime(runtime), said);
                }
            }
        }
    }
}
