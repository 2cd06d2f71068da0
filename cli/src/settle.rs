//! Options that were not given on the command line are taken from the settings.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::args::{ChildCommand, Cli, ClientArgs, Command, DurabilityArgs, NodeArgs};
use crate::config::{Admission, Config, NodeSettings};

/// Gives every option of `cli` its effective value. `matches` tells which were given.
pub(crate) fn settle(cli: &mut Cli, matches: &ArgMatches, config: &Config) {
    if !given(matches, "log") {
        cli.log.clone_from(&config.log);
    }
    if !given(matches, "output") {
        cli.output = config.output;
    }
    if let Some(durability) = durability_of(&mut cli.command)
        && !given(innermost(matches), "durability")
    {
        durability.durability = config.client.durability;
    }
    if let Some(client) = client_of(&mut cli.command) {
        settle_client(client, innermost(matches), config);
    }
}

/// The settings of a node, with the options over them.
pub(crate) fn of_node(args: NodeArgs, matches: &ArgMatches, config: &Config) -> NodeSettings {
    let mut settings = config.node.clone();
    let matches = innermost(matches);
    if given(matches, "listen") {
        settings.listen = args.listen;
    }
    if given(matches, "domain") {
        settings.config.domain = args.domain;
    }
    if given(matches, "data") {
        settings.data = args.data;
    }
    if given(matches, "durability") {
        settings.durability = args.durability.durability;
    }
    if given(matches, "admin") {
        settings.admin = args.admin;
    }
    let access = args.access;
    if given(matches, "admission") {
        settings.admission = access.admission;
    }
    if access.open {
        settings.admission = Admission::Open;
    }
    if given(matches, "issuer_keys") {
        settings.issuer_keys = access.issuer_keys;
    }
    if given(matches, "discovery") {
        settings.discovery = access.discovery;
    }
    if given(matches, "tls_cert") {
        settings.tls_cert = access.tls_cert;
    }
    if given(matches, "tls_key") {
        settings.tls_key = access.tls_key;
    }
    settings.dev_tls |= given(matches, "dev_tls");
    settings
}

fn settle_client(client: &mut ClientArgs, matches: &ArgMatches, config: &Config) {
    let settings = &config.client;
    if !given(matches, "node") {
        client.node.clone_from(&settings.node);
    }
    if !given(matches, "domain") {
        client.domain.clone_from(&settings.domain);
    }
    if !given(matches, "user") {
        client.user.clone_from(&settings.user);
    }
    if !given(matches, "timeout") {
        client.timeout = settings.timeout;
    }
    if !given(matches, "token") {
        client.access.token.clone_from(&settings.token);
    }
    if !given(matches, "policy") {
        client.policy.clone_from(&settings.policy);
    }
    if !given(matches, "ca") {
        client.access.ca.clone_from(&settings.ca);
    }
    client.session = config.session.clone();
}

/// Whether an option stands on the command line. What the environment says is in the settings already.
fn given(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option) == Some(ValueSource::CommandLine)
}

/// The options of the command itself.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

fn durability_of(command: &mut Command) -> Option<&mut DurabilityArgs> {
    match command {
        Command::Report(args) => Some(&mut args.living.durability),
        Command::Observe(args) => Some(&mut args.living.durability),
        _ => None,
    }
}

fn client_of(command: &mut Command) -> Option<&mut ClientArgs> {
    match command {
        Command::Report(args) => Some(&mut args.living.client),
        Command::Observe(args) => Some(&mut args.living.client),
        Command::Read(args) => Some(&mut args.client),
        Command::Request(args) => Some(&mut args.client),
        Command::Discover(args) => Some(&mut args.client),
        Command::Delete(args) => Some(&mut args.client),
        Command::Child(
            ChildCommand::Add { of, .. }
            | ChildCommand::Set { of, .. }
            | ChildCommand::Delete { of, .. }
            | ChildCommand::List { of, .. }
            | ChildCommand::Watch { of, .. },
        ) => Some(&mut of.client),
        _ => None,
    }
}
