//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::junit;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All as it should be.
    Passed,
    /// A rule is broken.
    Failed {
        /// The rule.
        invariant: String,
        /// With this seed the case does the same again.
        seed: u64,
        /// What was expected, and what came.
        detail: String,
        /// The messages that led to it, one a line.
        trace: Vec<String>,
    },
    /// It was not run.
    Skipped {
        /// What it would have needed.
        why: String,
    },
}

/// One case of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// The case.
    pub id: &'static str,
    /// The rules that it checks.
    pub invariants: &'static [&'static str],
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in tokio's time.
    pub time: Duration,
}

/// A whole run. [`Display`](fmt::Display) gives a line for each invariant, then the failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was run.
    pub suite: String,
    /// Where random things began.
    pub seed: u64,
    /// The cases, in the order in which they were run.
    pub cases: Vec<CaseReport>,
}

/// How many cases of an invariant ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Why the first was skipped.
    why: Option<String>,
}

impl Count {
    fn add(&mut self, invariant: &str, case: &CaseReport) {
        match &case.outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed { invariant: broken, .. } if broken == invariant => self.failed += 1,
            // A case that failed by another of its rules says nothing of this one.
            Outcome::Failed { .. } => {
                self.skipped += 1;
                self.why.get_or_insert_with(|| format!("{} ended early", case.id));
            }
            Outcome::Skipped { why } => {
                self.skipped += 1;
                self.why.get_or_insert_with(|| why.clone());
            }
        }
    }
}

impl Report {
    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed { .. }))
    }

    /// The rules that were found broken, sorted, each once.
    pub fn broken(&self) -> Vec<&str> {
        let mut broken: Vec<&str> = self
            .cases
            .iter()
            .filter_map(|case| match &case.outcome {
                Outcome::Failed { invariant, .. } => Some(invariant.as_str()),
                _ => None,
            })
            .collect();
        broken.sort_unstable();
        broken.dedup();
        broken
    }

    /// How many cases passed, failed and were skipped.
    pub fn totals(&self) -> (usize, usize, usize) {
        let skipped =
            self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped { .. })).count();
        let failed = self.failures().count();
        (self.cases.len() - failed - skipped, failed, skipped)
    }

    /// The run as JUnit XML, for CI servers: one test case for each case, classed by its first invariant.
    pub fn to_junit(&self) -> String {
        junit::write(self)
    }

    fn by_invariant(&self) -> BTreeMap<String, Count> {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for case in &self.cases {
            for invariant in case.invariants {
                counts.entry((*invariant).to_owned()).or_default().add(invariant, case);
            }
            // What was found broken beside what the case is about stands on a line of its own.
            if let Outcome::Failed { invariant, .. } = &case.outcome
                && !case.invariants.contains(&invariant.as_str())
            {
                counts.entry(invariant.clone()).or_default().failed += 1;
            }
        }
        counts
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (invariant, Count { passed, failed, skipped, why }) in self.by_invariant() {
            let word = match (failed, passed) {
                (1.., _) => "FAILED",
                (0, 1..) => "passed",
                (0, 0) => "skipped",
            };
            write!(
                f,
                "{invariant:<12} {word:<8} {passed:>3} passed {failed:>3} failed {skipped:>3} skipped"
            )?;
            match why.filter(|_| skipped > 0) {
                Some(why) => writeln!(f, "  ({why})")?,
                None => writeln!(f)?,
            }
        }
        for case in self.failures() {
            let Outcome::Failed { invariant, seed, detail, trace } = &case.outcome else { continue };
            writeln!(f, "\nFAILED {}: {invariant}", case.id)?;
            writeln!(f, "  {}", detail.replace('\n', "\n  "))?;
            writeln!(f, "  seed {seed}; again: --seed {} --case {}", self.seed, case.id)?;
            for line in trace {
                writeln!(f, "    {line}")?;
            }
        }
        let (passed, failed, skipped) = self.totals();
        let verdict = if failed == 0 { "passed" } else { "FAILED" };
        let suite = &self.suite;
        write!(f, "\n{suite}: {verdict}, {passed} cases passed, {failed} failed, {skipped} skipped")?;
        write!(f, ", seed {}", self.seed)
    }
}
