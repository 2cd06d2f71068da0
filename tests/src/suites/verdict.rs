//! What a suite says of an implementation: which cases it passed, and for one it did not pass the invariant, the
//! seed, and the shortest sequence that shows it.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::level::{self, Work};

/// What an implementation did that it must not have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The invariant, or the section of the protocol where a rule has no name of its own.
    pub invariant: &'static str,
    /// What was seen, and what would have been right.
    pub detail: String,
}

impl Broken {
    /// The invariant does not hold.
    pub fn new(invariant: &'static str, detail: impl Into<String>) -> Broken {
        Broken { invariant, detail: detail.into() }
    }
}

/// What a case says.
pub type Checked = Result<(), Broken>;

/// Leaves the case with [`Broken`] unless the condition holds.
macro_rules! demand {
    ($invariant:expr, $holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::suites::Broken::new($invariant, format!($($text)+)));
        }
    };
}
pub(crate) use demand;

/// One failure.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was broken.
    pub broken: Broken,
    /// Where the random cases began: `HYPERTY_SEED` of this number repeats them.
    pub seed: u64,
    /// The shortest sequence of steps that shows it; `None` for a case that has no choice.
    pub sequence: Option<String>,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// The implementation does not claim to do this.
    Skipped(&'static str),
    /// It does not hold.
    Failed(Failure),
}

/// What a suite says of an implementation.
#[derive(Debug, Clone)]
#[must_use = "a verdict that nobody asks may be a failure: call `assert_passed`"]
pub struct Verdict {
    /// The suite.
    pub suite: &'static str,
    /// Its cases by name, in their order.
    pub cases: Vec<(&'static str, Outcome)>,
}

impl Verdict {
    /// The cases that do not hold.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.cases.iter().filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(failure) => Some((*name, failure)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }

    /// The invariants that do not hold.
    pub fn broken(&self) -> BTreeSet<&'static str> {
        self.failures().map(|(_, failure)| failure.broken.invariant).collect()
    }

    /// Ends the test unless every case holds that was not skipped.
    ///
    /// # Panics
    /// With the whole verdict when one does not.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none(), "{self}");
        let passed = self.cases.iter().any(|(_, outcome)| matches!(outcome, Outcome::Passed));
        assert!(passed, "{self}nothing was tried");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "suite {}:", self.suite)?;
        for (name, outcome) in &self.cases {
            match outcome {
                Outcome::Passed => writeln!(f, "  passed   {name}")?,
                Outcome::Skipped(why) => writeln!(f, "  skipped  {name}: {why}")?,
                Outcome::Failed(Failure { broken, seed, sequence }) => {
                    writeln!(f, "  FAILED   {name}: {}: {}", broken.invariant, broken.detail)?;
                    writeln!(f, "           seed: HYPERTY_SEED={seed}")?;
                    if let Some(sequence) = sequence {
                        writeln!(f, "           shortest sequence: {sequence}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A suite that is being worked through.
pub(crate) struct Suite {
    verdict: Verdict,
    seed: u64,
}

impl Suite {
    pub(crate) fn new(name: &'static str) -> Suite {
        Suite { verdict: Verdict { suite: name, cases: Vec::new() }, seed: level::seed() }
    }

    /// A case without choice. A panic breaks `invariant`.
    pub(crate) fn case(
        &mut self,
        name: &'static str,
        invariant: &'static str,
        check: impl FnOnce() -> Checked,
    ) {
        let outcome = match guarded(invariant, check) {
            Ok(()) => Outcome::Passed,
            Err(broken) => self.failed(broken, None),
        };
        self.verdict.cases.push((name, outcome));
    }

    /// A case that the implementation does not claim to pass.
    pub(crate) fn skip(&mut self, name: &'static str, why: &'static str) {
        self.verdict.cases.push((name, Outcome::Skipped(why)));
    }

    /// A case with choice: `play` is run on random values, and on ever smaller ones once it failed. A panic breaks
    /// `invariant`.
    pub(crate) fn sequences<S: Strategy>(
        &mut self,
        name: &'static str,
        invariant: &'static str,
        values: S,
        play: impl Fn(&S::Value) -> Checked,
    ) {
        self.sequences_of(name, invariant, level::of(Work::SuiteCases), values, play);
    }

    /// The same with a number of cases of its own, for implementations that are slow.
    pub(crate) fn sequences_of<S: Strategy>(
        &mut self,
        name: &'static str,
        invariant: &'static str,
        cases: u32,
        values: S,
        play: impl Fn(&S::Value) -> Checked,
    ) {
        let config =
            Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, rng(self.seed));
        let tried = runner.run(&values, |value| {
            guarded(invariant, || play(&value)).map_err(|broken| TestCaseError::fail(broken.detail))
        });
        let outcome = match tried {
            Ok(()) => Outcome::Passed,
            Err(TestError::Abort(reason)) => {
                self.failed(Broken::new(invariant, format!("no cases: {reason}")), None)
            }
            Err(TestError::Fail(reason, value)) => {
                let again = guarded(invariant, || play(&value));
                let broken = again.err().unwrap_or_else(|| {
                    Broken::new(invariant, format!("not each time with the same steps: {reason}"))
                });
                self.failed(broken, Some(format!("{value:?}")))
            }
        };
        self.verdict.cases.push((name, outcome));
    }

    fn failed(&self, broken: Broken, sequence: Option<String>) -> Outcome {
        Outcome::Failed(Failure { broken, seed: self.seed, sequence })
    }

    pub(crate) fn finish(self) -> Verdict {
        self.verdict
    }
}

/// Random numbers that follow from a seed.
pub(crate) fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn guarded(invariant: &'static str, check: impl FnOnce() -> Checked) -> Checked {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        Err(Broken::new(invariant, format!("a panic: {text}")))
    })
}

/// How time passes in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// It jumps to the next timer whenever nothing else is left to do.
    Paused,
    /// As on the wall, for implementations with sockets.
    Real,
}

/// The longest that a case may take in real time: an operation that never ends is a failure, not a standstill.
const REAL_MAX: Duration = Duration::from_secs(30);
/// And in paused time, which costs nothing.
const PAUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs a case in a tokio runtime of its own. One that does not end breaks `invariant`.
pub(crate) fn block_on(time: Time, invariant: &'static str, case: impl Future<Output = Checked>) -> Checked {
    let paused = time == Time::Paused;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build();
    let runtime = runtime.expect("the system gives an event queue");
    let most = if paused { PAUSED_MAX } else { REAL_MAX };
    let ended = runtime.block_on(async { tokio::time::timeout(most, case).await });
    // Tasks that block must not keep the verdict waiting.
    runtime.shutdown_background();
    ended.unwrap_or_else(|_| Err(Broken::new(invariant, "the case does not come to its end")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(check: impl Fn(&Vec<u8>) -> Checked) -> Verdict {
        let mut suite = Suite::new("itself");
        suite.sequences("bytes", "INV-X", proptest::collection::vec(proptest::num::u8::ANY, 0..50), check);
        suite.finish()
    }

    #[test]
    fn a_failure_names_the_invariant_the_seed_and_the_shortest_sequence() {
        let verdict = verdict(|bytes| {
            demand!("INV-Y", bytes.iter().all(|byte| *byte < 7), "too large in {bytes:?}");
            Ok(())
        });
        let (_, failure) = verdict.failures().next().expect("some byte is too large");
        assert_eq!(failure.broken, Broken::new("INV-Y", "too large in [7]"));
        assert_eq!((failure.sequence.as_deref(), failure.seed), (Some("[7]"), level::seed()));
        assert!(verdict.to_string().contains("HYPERTY_SEED="), "{verdict}");
    }

    #[test]
    fn a_panic_is_a_failure() {
        let verdict = verdict(|bytes| {
            assert!(bytes.len() < 3, "three");
            Ok(())
        });
        assert_eq!(verdict.broken().into_iter().collect::<Vec<_>>(), ["INV-X"]);
        assert_eq!(
            verdict.failures().next().and_then(|(_, failure)| failure.sequence.clone()).as_deref(),
            Some("[0, 0, 0]")
        );
    }

    #[test]
    fn what_never_ends_is_a_failure() {
        let checked = block_on(Time::Paused, "INV-X", std::future::pending());
        assert_eq!(checked.map_err(|broken| broken.invariant), Err("INV-X"));
    }

    #[test]
    #[should_panic(expected = "nothing was tried")]
    fn a_suite_that_skips_everything_does_not_pass() {
        let mut suite = Suite::new("itself");
        suite.skip("all", "nothing is declared");
        suite.finish().assert_passed();
    }
}
