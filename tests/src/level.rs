//! How much the long tests do: in a quick run, for each change, and at night.
//!
//! `HYPERTY_LEVEL` chooses the level; a variable of its own sets one kind of work. [`seed`] is where random cases
//! begin.
//!
//! ```
//! use hyperty_conformance::level::{self, Level, Work};
//! assert_eq!(Work::SimulatedSeeds.at(Level::Change), 2_000);
//! assert!(level::of(Work::ModelCases) > 0);
//! ```

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Of `cargo test`: whoever changes something gets an answer in minutes.
    Quick,
    /// Of every change before it is accepted.
    Change,
    /// Fifty times that.
    Nightly,
}

/// A kind of work of which more proves more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Cases of whole runtimes against the reference model, 100 steps each.
    ModelCases,
    /// Simulated systems, each with a seed of its own.
    SimulatedSeeds,
    /// Processes killed at a random moment and started again.
    KillCycles,
    /// Inputs for each fuzz target.
    FuzzCases,
    /// Random sequences for each case of a suite that has some.
    SuiteCases,
}

impl Level {
    /// The level of this run: `HYPERTY_LEVEL`, one of `quick`, `change` and `nightly`; quick if it is not set.
    ///
    /// # Panics
    /// When the variable has another value: a misspelt level must not pass as a thorough one.
    pub fn of_run() -> Level {
        match std::env::var("HYPERTY_LEVEL").as_deref() {
            Err(_) | Ok("" | "quick") => Level::Quick,
            Ok("change") => Level::Change,
            Ok("nightly") => Level::Nightly,
            Ok(other) => panic!("HYPERTY_LEVEL is quick, change or nightly, not {other:?}"),
        }
    }
}

impl Work {
    /// The variable that sets the amount by itself.
    pub fn variable(self) -> &'static str {
        match self {
            Work::ModelCases => "HYPERTY_CASES",
            Work::SimulatedSeeds => "HYPERTY_SIMULATIONS",
            Work::KillCycles => "HYPERTY_KILL_CYCLES",
            Work::FuzzCases => "HYPERTY_FUZZ_CASES",
            Work::SuiteCases => "HYPERTY_SUITE_CASES",
        }
    }

    /// The amount at a level.
    pub fn at(self, level: Level) -> u32 {
        let (quick, change) = match self {
            Work::ModelCases => (64, 1_024),
            Work::SimulatedSeeds => (100, 2_000),
            Work::KillCycles => (8, 200),
            Work::FuzzCases => (256, 10_000),
            Work::SuiteCases => (64, 512),
        };
        match level {
            Level::Quick => quick,
            Level::Change => change,
            Level::Nightly => 50 * change,
        }
    }
}

/// How much to do of this in this run.
///
/// # Panics
/// When a variable that decides it cannot be read.
pub fn of(work: Work) -> u32 {
    number(work.variable()).unwrap_or_else(|| work.at(Level::of_run()))
}

/// Where random cases begin: `HYPERTY_SEED`, 1 if it is not set, so that every run does the same.
///
/// # Panics
/// When the variable is no number.
pub fn seed() -> u64 {
    number("HYPERTY_SEED").unwrap_or(1)
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}
