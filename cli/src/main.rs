//! The hyperty command: report, observe and serve live data objects.

mod access;
mod admin;
mod args;
mod commands;
mod config;
mod connect;
mod demo;
mod exit;
#[cfg(feature = "kit")]
mod kit;
mod output;
mod settle;
mod stop;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, NodeCommand};
use crate::config::{Config, Effective};
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::stop::Stop;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match start(cli, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("hyperty: {failure}");
            failure.exit.into()
        }
    }
}

fn start(mut cli: Cli, matches: &ArgMatches) -> Result<(), Failure> {
    if let Command::Config(command) = &cli.command {
        // Which shows and checks what the others would use.
        let output = Output::new(cli.output);
        return commands::config::run(command, cli.config.as_ref(), &cli.set, &output);
    }
    #[cfg(feature = "kit")]
    if let Command::Kit(kit::KitCommand::Simulate(args)) = &cli.command {
        // Connections are lost all the time there: only who asks for it is told. It has executors of its own.
        if matches.value_source("log") != Some(clap::parser::ValueSource::DefaultValue) {
            start_logs(&cli.log)?;
        }
        return commands::simulate::run(args, &Output::new(cli.output));
    }
    let config = Effective::load(cli.config.as_deref(), &cli.set)?.config;
    settle::settle(&mut cli, matches, &config);
    start_logs(&cli.log)?;
    run(cli, matches, &config)
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

fn run(cli: Cli, matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    // The demo is for people wherever it writes, unless told otherwise.
    let asked = cli.output.or_else(|| matches!(cli.command, Command::Demo(_)).then_some(Format::Text));
    let output = Output::new(asked);
    // A client's work is light, and on one thread nothing happens to its object between two of its steps; the node
    // and the demo use all processors.
    let mut builder = match &cli.command {
        Command::Node(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        #[cfg(feature = "kit")]
        Command::Kit(kit::KitCommand::Soak(_)) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let executor = builder.enable_all().build().map_err(Failure::error)?;
    executor.block_on(async {
        let stop = Stop::on_signals()?;
        match cli.command {
            Command::Demo(args) => demo::run(args, &output, &stop).await,
            Command::Node(args) => match args.command {
                Some(NodeCommand::Status { node }) => commands::status::run(&node, &output).await,
                None => {
                    let settings = settle::of_node(args, matches, config);
                    commands::node::run(settings, &output, &stop).await
                }
            },
            Command::Report(args) => commands::report::run(args, &output, &stop).await,
            Command::Observe(args) => commands::observe::run(args, &output, &stop).await,
            Command::Read(args) => commands::read::run(args, &output, &stop).await,
            Command::Request(args) => commands::request::run(args, &output, &stop).await,
            Command::Discover(args) => commands::discover::run(args, &output, &stop).await,
            Command::Child(command) => commands::child::run(command, &output, &stop).await,
            Command::Delete(args) => commands::delete::run(args, &output, &stop).await,
            Command::Store(command) => commands::store::run(command, &output).await,
            Command::Policy(command) => commands::policy::run(command, &output),
            #[cfg(feature = "kit")]
            Command::Kit(command) => kit::run(command, &output, &stop).await,
            Command::Keys(command) => commands::keys::run(&command, &output),
            Command::Token(command) => commands::token::run(&command, &output),
            // Done before anything was started.
            Command::Config(_) => Ok(()),
        }
    })
}
