//! The hyperty command: report, observe and serve live data objects.

mod args;
mod commands;
mod connect;
mod demo;
mod exit;
mod output;
mod stop;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::stop::Stop;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = start_logs(&cli.log).and_then(|()| run(cli));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hyperty: {failure}");
            failure.exit.into()
        }
    }
}

fn start_logs(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(format_args!("--log {filter:?}: {error}")))?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !no_color;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .init();
    Ok(())
}

fn run(cli: Cli) -> Result<(), Failure> {
    // The demo is for people wherever it writes, unless told otherwise.
    let asked = cli.output.or_else(|| matches!(cli.command, Command::Demo(_)).then_some(Format::Text));
    let output = Output::new(asked);
    // A client's work is light, and on one thread nothing happens to its object between two of its steps; the node
    // and the demo use all processors.
    let mut builder = match &cli.command {
        Command::Node(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let executor = builder.enable_all().build().map_err(Failure::error)?;
    executor.block_on(async {
        let stop = Stop::on_signals()?;
        match cli.command {
            Command::Demo(args) => demo::run(args, &output, &stop).await,
            Command::Node(args) => commands::node::run(args, &output, &stop).await,
            Command::Report(args) => commands::report::run(args, &output, &stop).await,
            Command::Observe(args) => commands::observe::run(args, &output, &stop).await,
            Command::Read(args) => commands::read::run(args, &output, &stop).await,
            Command::Child(command) => commands::child::run(command, &output, &stop).await,
            Command::Delete(args) => commands::delete::run(args, &output, &stop).await,
            Command::Conformance(args) => commands::conformance::run(args, &output).await,
        }
    })
}
