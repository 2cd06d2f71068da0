//! `hyperty simulate`: whole systems in virtual time, with everything going wrong in them.

use std::io::Write;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyperty_conformance::sim::Fault;
use hyperty_conformance::sim::mixed::{Mixed, Summary, Sweep, Weights};
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Format, Output};

/// What the command does, at length.
pub(crate) const ABOUT: &str = "\
Simulate whole systems in virtual time, with everything going wrong in them.

Each system has runtimes and message nodes as they are, and a simulated network, disks and clocks. Reporters and
observers do all they can while links fail, machines crash and somebody sends what nobody should; every step is held
against what must be true. A system follows from its seed: the same seed is the same system, frame by frame. A violation
is printed with the last lines of its trace and the command that does the same again; then the command ends with 1.";

/// How to call it.
pub(crate) const EXAMPLES: &str = "\
Examples:
  hyperty simulate --seeds 100
  hyperty simulate --seed 42 --faults half-open,power-loss --trace
  hyperty simulate --seeds 20 --procedures invite,remove,delegate=200";

/// `hyperty simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// What everything random follows from; with --seeds the first one
    #[arg(long, env = "HYPERTY_SEED", default_value_t = 1)]
    pub seed: u64,
    /// How many systems, each with the next seed
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub seeds: u64,
    /// How many runtimes each system has
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub runtimes: u16,
    /// How many message nodes, each of a domain of its own
    #[arg(long, value_name = "DOMAINS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub nodes: u16,
    /// For how many minutes of virtual time things go wrong
    #[arg(long, default_value = "2", value_parser = minutes)]
    pub minutes: Duration,
    /// What goes wrong: all, none, or names separated by commas, such as cut,half-open,power-loss
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub faults: String,
    /// What is done beside changes: all, none, or names separated by commas, such as invite,delegate; a name may have
    /// its weight, in how many of a thousand occasions it is done, as in delegate=500
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = str::parse::<Weights>)]
    pub procedures: Weights,
    /// What the disks hold [default: files with every sixteenth seed, else memory]
    #[arg(long, value_enum)]
    pub disks: Option<Disks>,
    /// Whom the nodes admit [default: by short-lived tokens with every fifth seed, else anybody]
    #[arg(long, value_enum)]
    pub admission: Option<Admission>,
    /// Print the whole trace, as it happens; with one seed only
    #[arg(long, conflicts_with = "seeds")]
    pub trace: bool,
}

/// What the disks of a system hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Disks {
    /// Tables in memory: quick
    Memory,
    /// Files in the format of stores, page by page: they are torn by crashes
    Files,
}

/// Whom the nodes of a system admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Admission {
    /// Anybody
    Open,
    /// Who has a token, which has to be renewed in time
    Token,
}

/// Runs the systems and prints what they did.
///
/// # Errors
/// When the list of faults names none, or something was violated.
pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Result<(), Failure> {
    let faults = faults(&args.faults)?;
    let mixed = |seed| {
        let mixed = Mixed::new(seed);
        Mixed {
            runtimes: usize::from(args.runtimes),
            domains: usize::from(args.nodes),
            troubled: args.minutes,
            faults: faults.clone(),
            weights: args.procedures,
            files: args.disks.map_or(mixed.files, |disks| disks == Disks::Files),
            tokens: args.admission.map_or(mixed.tokens, |admission| admission == Admission::Token),
            ..mixed
        }
    };
    let sweep = if args.trace {
        traced(&mixed(args.seed))
    } else {
        let threads = available_parallelism().map_or(1, usize::from);
        Sweep::run(args.seed..args.seed.saturating_add(args.seeds), threads, mixed, |_, _| {})
    };
    for failure in &sweep.failures {
        // With --trace all of it was printed already.
        let text = if args.trace { failure.violation.to_string() } else { failure.to_string() };
        match output.format() {
            Format::Text => output.line(&text),
            Format::Ndjson => output.json(
                &json!({"event": "violation", "seed": failure.seed, "text": text, "again": failure.replay}),
            ),
        };
    }
    print(&sweep, output);
    match sweep.failures.len() {
        0 => Ok(()),
        failed => Err(Failure::error(format_args!("{failed} of {} systems failed", sweep.seeds))),
    }
}

fn traced(mixed: &Mixed) -> Sweep {
    let begun = std::time::Instant::now();
    // A reader that has seen enough ends nothing but the printing.
    let result = mixed.run_traced(|line| drop(writeln!(std::io::stdout(), "{line}")));
    let mut sweep = Sweep { seeds: 1, took: begun.elapsed(), ..Sweep::default() };
    match result {
        Ok(summary) => sweep.sum = summary,
        Err(failure) => sweep.failures.push(*failure),
    }
    sweep
}

fn print(sweep: &Sweep, output: &Output) {
    let sum = &sweep.sum;
    let hours = sum.simulated.as_secs_f64() / 3600.0;
    let pace = sum.simulated.as_secs_f64() / sweep.took.as_secs_f64().max(f64::EPSILON);
    let (seeds, violations) = (sweep.seeds, sweep.failures.len());
    let Summary { hash, messages, deliveries, repairs_by_changes, repairs_by_snapshot, .. } = sum;
    let Summary { conflations, crashes, .. } = sum;
    let Summary {
        invited,
        revoked,
        removed,
        actions,
        delegated,
        taken_over,
        large,
        other_devices,
        tokens,
        ..
    } = sum;
    match output.format() {
        Format::Text => output.line(&format!(
            "{seeds} seeds, {hours:.2} simulated hours, {messages} messages, {deliveries} deliveries, \
             {repairs_by_changes} repairs by changes, {repairs_by_snapshot} by a snapshot, \
             {conflations} conflations, {crashes} crashes, {invited} invited, {revoked} revoked, \
             {removed} removed, {actions} actions, {delegated} delegated, {taken_over} taken over, {large} large, \
             {other_devices} gone on with by another device, {tokens} tokens, \
             {violations} violations, \
             {pace:.0} simulated seconds per second, trace {hash:016x}"
        )),
        Format::Ndjson => output.json(&json!({
            "event": "simulated",
            "seeds": seeds,
            "hours": hours,
            "messages": messages,
            "deliveries": deliveries,
            "repairs_by_changes": repairs_by_changes,
            "repairs_by_snapshot": repairs_by_snapshot,
            "conflations": conflations,
            "crashes": crashes,
            "invited": invited,
            "revoked": revoked,
            "removed": removed,
            "actions": actions,
            "delegated": delegated,
            "taken_over": taken_over,
            "large": large,
            "other_devices": other_devices,
            "tokens": tokens,
            "violations": violations,
            "trace": format!("{hash:016x}"),
            "seconds_per_second": pace,
        })),
    };
}

fn faults(list: &str) -> Result<Vec<Fault>, Failure> {
    match list {
        "all" => Ok(Fault::ALL.to_vec()),
        "none" | "" => Ok(Vec::new()),
        list => list.split(',').map(|name| name.trim().parse().map_err(Failure::usage)).collect(),
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "a number of minutes, such as 2.5".to_owned())?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}
