//! The commands of the conformance kit, which a command built without the feature `kit` does not have.

use clap::Subcommand;

use crate::commands::{conformance, simulate, soak};
use crate::exit::Failure;
use crate::output::Output;
use crate::stop::Stop;

/// What proves an implementation, ours or anybody's.
#[derive(Debug, Subcommand)]
pub(crate) enum KitCommand {
    /// Test whether a message node, ours or anybody's, keeps the promises of the protocol
    #[command(long_about = CONFORMANCE, after_long_help = CONFORMANCE_EXAMPLES)]
    Conformance(conformance::ConformanceArgs),
    /// Keep a node and many runtimes busy for as long as you like, disturb them, and judge all they do
    Soak(soak::SoakArgs),
    /// Simulate whole systems in virtual time, with everything going wrong in them
    #[command(long_about = simulate::ABOUT, after_long_help = simulate::EXAMPLES)]
    Simulate(simulate::SimulateArgs),
}

const CONFORMANCE: &str = "\
Test whether a message node, ours or anybody's, keeps the promises of the protocol; with --suite runtime, whether the
runtime of this program does, attached to that node.

Speaks to it by messages alone and prints a line for each invariant, then what failed, with the messages that led to
it. Names are new in each run, so a node in use may be tested; what the tests leave there is disconnected registrations
and allocated addresses. What needs more than the node has is skipped: name what it has with --capability, or what it
lacks with --without. Leaves with 1 if a case failed, with 5 if the node cannot be reached.";

const CONFORMANCE_EXAMPLES: &str = "\
Example:
  hyperty conformance ws://127.0.0.1:9090/ws --junit report.xml --output text";

/// Runs one of them, but for the simulation, which has executors of its own.
pub(crate) async fn run(command: KitCommand, output: &Output, stop: &Stop) -> Result<(), Failure> {
    match command {
        KitCommand::Conformance(args) => conformance::run(args, output).await,
        KitCommand::Soak(args) => soak::run(args, output, stop).await,
        KitCommand::Simulate(_) => Ok(()),
    }
}
