//! Long runs of the proofs: `cargo xtask change` does what every change must pass of them, `cargo xtask nightly`
//! fifty times that. Each part is an ordinary test or command, run with a larger number; what failed prints how to
//! run it again alone.

mod step;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use hyperty_conformance::level::Level;

use crate::step::{STEPS, Step};

/// Run the long tests.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    /// How much: what every change must pass, or fifty times that
    #[arg(value_parser = ["change", "nightly"])]
    level: String,
    /// Where random cases begin; another one finds other things
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these parts, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = STEPS.map(|step| step.name))]
    only: Vec<String>,
}

/// What became of one part.
struct Outcome {
    step: &'static Step,
    passed: bool,
    took: Duration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = if cli.level == "nightly" { Level::Nightly } else { Level::Change };
    let chosen = |step: &&Step| cli.only.is_empty() || cli.only.iter().any(|name| name == step.name);
    let outcomes: Vec<Outcome> =
        STEPS.iter().filter(chosen).map(|step| carry_out(step, level, &cli.level, cli.seed)).collect();

    println!("\n{:12} {:10} {:>10}  what", "part", "outcome", "took");
    for Outcome { step, passed, took } in &outcomes {
        let took = humantime::format_duration(Duration::from_secs(took.as_secs()));
        let outcome = if *passed { "passed" } else { "FAILED" };
        println!("{:12} {outcome:10} {:>10}  {}", step.name, took.to_string(), step.amount(level));
    }
    if outcomes.iter().all(|outcome| outcome.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn carry_out(step: &'static Step, level: Level, name: &str, seed: u64) -> Outcome {
    println!("\n== {}: {}", step.name, step.amount(level));
    let begun = Instant::now();
    let status =
        step.command(level).env("HYPERTY_LEVEL", name).env("HYPERTY_SEED", seed.to_string()).status();
    let passed = match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: cannot be run: {error}", step.name);
            false
        }
    };
    Outcome { step, passed, took: begun.elapsed() }
}
