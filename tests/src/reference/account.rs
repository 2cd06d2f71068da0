//! Accounts that are not of one object: requests with their answers, and what a system holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Violation};

/// Requests that were made, and what became of them (I7): each has one final answer, and nothing after it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    open: BTreeSet<String>,
    /// How each was answered.
    answered: BTreeMap<String, String>,
}

impl Answers {
    /// None so far.
    pub fn new() -> Answers {
        Answers::default()
    }

    /// A request was made. Its name is unique.
    ///
    /// # Errors
    /// I7 when the name was used before: its answers could not be told apart.
    pub fn asked(&mut self, request: &str) -> Result<(), Violation> {
        if self.answered.contains_key(request) || !self.open.insert(request.to_owned()) {
            return Err(violation(Invariant::I7, request, "asked twice under one name"));
        }
        Ok(())
    }

    /// It got an answer that others follow.
    ///
    /// # Errors
    /// I7 when nobody asked, or a final answer was there before.
    pub fn provisional(&mut self, request: &str) -> Result<(), Violation> {
        match self.answered.get(request) {
            Some(earlier) => {
                Err(violation(Invariant::I7, request, &format!("a provisional answer after {earlier}")))
            }
            None if self.open.contains(request) => Ok(()),
            None => Err(violation(Invariant::I7, request, "an answer to what nobody asked")),
        }
    }

    /// It got its final answer, said in a word or two.
    ///
    /// # Errors
    /// I7 when nobody asked, or it had one.
    pub fn answered(&mut self, request: &str, how: &str) -> Result<(), Violation> {
        if let Some(earlier) = self.answered.get(request) {
            return Err(violation(Invariant::I7, request, &format!("answered {how} after {earlier}")));
        }
        if !self.open.remove(request) {
            return Err(violation(Invariant::I7, request, &format!("answered {how}, nobody asked")));
        }
        self.answered.insert(request.to_owned(), how.to_owned());
        Ok(())
    }

    /// All that could be waited for is over.
    ///
    /// # Errors
    /// I7 when a request has no final answer.
    pub fn finished(&self) -> Result<(), Violation> {
        match self.open.first() {
            Some(request) => Err(violation(Invariant::I7, request, "no final answer")),
            None => Ok(()),
        }
    }

    /// How many wait for their final answer.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }
}

/// What a system holds when nothing goes on, by name (I10): it comes back to that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    counts: BTreeMap<String, u64>,
}

impl Baseline {
    /// These counts, such as routes, listeners, tasks.
    pub fn new(counts: impl IntoIterator<Item = (impl Into<String>, u64)>) -> Baseline {
        Baseline { counts: counts.into_iter().map(|(name, count)| (name.into(), count)).collect() }
    }

    /// Compares with what is held now.
    ///
    /// # Errors
    /// I10 for the first count that is higher than it was.
    pub fn holds(&self, who: &str, now: &Baseline) -> Result<(), Violation> {
        for (name, count) in &now.counts {
            let before = self.counts.get(name).copied().unwrap_or_default();
            if *count > before {
                let detail = format!("{count} {name} are left, {before} were there before");
                return Err(Violation {
                    who: who.to_owned(),
                    ..violation(Invariant::I10, "resources", &detail)
                });
            }
        }
        Ok(())
    }
}

fn violation(invariant: Invariant, object: &str, detail: &str) -> Violation {
    let who = "the system".to_owned();
    Violation { invariant, object: object.to_owned(), who, detail: detail.to_owned() }
}
