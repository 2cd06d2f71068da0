//! Runs cases, one after the other.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use crate::level::{self, Work};

use super::{
    Case, CaseReport, Failure, Outcome, Pace, Patience, Report, Stage, Stop, Trace, UnderTest, Verdict,
};

/// Most lines of a trace in a report: what led to a failure is at its end.
const TRACE_LINES_SHOWN: usize = 100;

/// Runs cases against an implementation.
#[derive(Debug, Clone)]
pub struct Runner {
    suite: String,
    seed: u64,
    patience: Patience,
    sequences: u32,
    filter: Option<String>,
    invariant: Option<String>,
    nonce: String,
}

impl Runner {
    /// A run whose random parts follow from the seed, with the patience of paused time.
    pub fn new(seed: u64) -> Runner {
        Runner {
            suite: "conformance".to_owned(),
            seed,
            patience: Patience::PAUSED,
            sequences: level::of(Work::ModelCases) / 2,
            filter: None,
            invariant: None,
            nonce: format!("{seed:x}"),
        }
    }

    /// How the run is called in its report.
    #[must_use]
    pub fn suite(self, name: impl Into<String>) -> Runner {
        Runner { suite: name.into(), ..self }
    }

    /// Waits like this, and longer where messages and their answers turn out to be slow ([`Patience::following`]).
    #[must_use]
    pub fn patience(self, patience: Patience) -> Runner {
        Runner { patience, ..self }
    }

    /// Runs so many random sequences in each case that does such; half of [`Work::ModelCases`] if not set.
    #[must_use]
    pub fn sequences(self, sequences: u32) -> Runner {
        Runner { sequences, ..self }
    }

    /// Runs only cases whose id contains this.
    #[must_use]
    pub fn filter(self, part: impl Into<String>) -> Runner {
        Runner { filter: Some(part.into()), ..self }
    }

    /// Runs only cases that check this invariant.
    #[must_use]
    pub fn checking(self, invariant: impl Into<String>) -> Runner {
        Runner { invariant: Some(invariant.into()), ..self }
    }

    /// Makes this part of every name used. Against an implementation that remembers earlier runs it has to differ
    /// from theirs; it does not change what is done.
    #[must_use]
    pub fn nonce(self, nonce: impl Into<String>) -> Runner {
        Runner { nonce: nonce.into(), ..self }
    }

    /// Runs the cases.
    pub async fn run<S: UnderTest + ?Sized>(&self, subject: &Arc<S>, cases: &[Case<S>]) -> Report {
        let mut reports = Vec::with_capacity(cases.len());
        let pace = Pace::default();
        for (number, case) in cases.iter().enumerate() {
            let named = self.filter.as_ref().is_none_or(|part| case.id.contains(part.as_str()));
            let checks = |one: &String| case.invariants.contains(&one.as_str());
            if !named || !self.invariant.as_ref().is_none_or(checks) {
                continue;
            }
            reports.push(self.run_one(subject, case, number, &pace).await);
        }
        Report { suite: self.suite.clone(), seed: self.seed, cases: reports }
    }

    async fn run_one<S: UnderTest + ?Sized>(
        &self,
        subject: &Arc<S>,
        case: &Case<S>,
        number: usize,
        pace: &Pace,
    ) -> CaseReport {
        let began = Instant::now();
        let has = subject.capabilities();
        let missing: Vec<&str> =
            case.needs.iter().filter(|one| !has.contains(one)).map(|one| one.name()).collect();
        let outcome = if missing.is_empty() {
            // Of the id, so that the same seed does the same in a case whichever others are run.
            let seed = self.seed ^ fnv(case.id);
            let trace = Trace::new();
            let stage = Stage {
                subject: Arc::clone(subject),
                trace: trace.clone(),
                seed,
                nonce: format!("{}-{number}", self.nonce),
                patience: self.patience,
                pace: pace.clone(),
                sequences: self.sequences,
            };
            let most = stage.waits().case;
            let run = AssertUnwindSafe((case.run)(stage)).catch_unwind();
            let verdict = match timeout(most, run).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(panic)) => Err(Stop::Broken(format!("panicked: {}", panic_text(&*panic)))),
                Err(_) => Err(Stop::Broken(format!("not done after {most:?}"))),
            };
            outcome(case.invariants, seed, verdict, &trace)
        } else {
            Outcome::Skipped { why: format!("not declared: {}", missing.join(", ")) }
        };
        CaseReport { id: case.id, invariants: case.invariants, outcome, time: began.elapsed() }
    }
}

/// What was noticed beside the case goes first: what the case then stumbled over may follow from it.
fn outcome(invariants: &[&'static str], seed: u64, verdict: Verdict, trace: &Trace) -> Outcome {
    let main = invariants.first().copied().unwrap_or("?");
    let failure = match (trace.violation(), verdict) {
        (Some(violation), _) => violation,
        (None, Ok(())) => return Outcome::Passed,
        (None, Err(Stop::Skip(why))) => return Outcome::Skipped { why },
        (None, Err(Stop::Fail(failure))) => failure,
        (None, Err(Stop::Broken(detail))) => Failure::new(main, detail),
    };
    Outcome::Failed {
        invariant: failure.invariant.to_owned(),
        seed,
        detail: failure.detail,
        trace: last(trace.lines()),
    }
}

/// What a person reads: the end of a trace.
fn last(mut lines: Vec<String>) -> Vec<String> {
    let before = lines.len().saturating_sub(TRACE_LINES_SHOWN);
    if before > 0 {
        lines.drain(..before);
        lines.insert(0, format!("-- {before} lines before these"));
    }
    lines
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// FNV-1a: the same number for the same text, in every build.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
