//! The command line.

mod access;
mod child;
mod discover;
mod objects;
mod operate;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hyperty_model::{ObjectUrl, Url};
use hyperty_runtime::syncher::Accept;
use hyperty_storage::Durability;

use crate::config::SessionSettings;
use crate::output::Format;

pub(crate) use access::{AccessArgs, InspectArgs, IssueArgs, KeysCommand, NodeAccessArgs, TokenCommand};
pub(crate) use child::{ChildArgs, ChildCommand};
pub(crate) use discover::DiscoverArgs;
pub(crate) use objects::{ObserveArgs, ReportArgs};
pub(crate) use operate::{AdminArgs, ConfigCommand, NodeArgs, NodeCommand};

/// Live data objects: one Reporter changes a JSON object, any number of Observers hold a copy of it.
///
/// stdout carries data only, logs go to stderr. Options stand over the environment, and that over a file of settings.
#[derive(Debug, Parser)]
#[command(name = "hyperty", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Form of the output: ndjson, one JSON object per line, or text for people [default: text on a terminal]
    #[arg(long, global = true, value_enum, env = "HYPERTY_OUTPUT", hide_possible_values = true)]
    pub output: Option<Format>,
    /// What to log to stderr: error, warn, info, debug, trace, or a filter such as hyperty_protostub=debug
    #[arg(long, global = true, env = "HYPERTY_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
    /// Settings [default: ./hyperty.toml, else ~/.config/hyperty/hyperty.toml, if there is one]
    #[arg(long, global = true, env = "HYPERTY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key of the settings for this run, over file and environment; `hyperty config show` lists them
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 error, 2 usage, 3 not authorised, 4 not found, 5 no answer in time, 130 interrupted.
node, report, observe, discover --watch and child watch run until SIGINT or SIGTERM, and then leave with 0.
Colours in logs are off when stderr is no terminal, or with NO_COLOR.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it all: a message node and three runtimes replay four years of weather, with restarts half way
    Demo(DemoArgs),
    /// Run a message node, which runtimes reach each other through
    Node(NodeArgs),
    /// Create an object, or resume a stored one, and change it as stdin says
    #[command(long_about = objects::REPORT, after_long_help = objects::REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Observe an object: its state, then every change
    #[command(long_about = objects::OBSERVE, after_long_help = objects::OBSERVE_EXAMPLES)]
    Observe(ObserveArgs),
    /// Read an object once, with its children
    Read(ReadArgs),
    /// Observe an object, ask its Reporter to do something, and print the answer
    #[command(after_long_help = REQUEST_EXAMPLES)]
    Request(RequestArgs),
    /// Find hyperties and objects that a domain's registry knows
    #[command(after_long_help = DISCOVER_EXAMPLES)]
    Discover(DiscoverArgs),
    /// Work with the children of an object, the parts that its observers write
    #[command(subcommand)]
    Child(ChildCommand),
    /// Delete an object that was reported with --store, for everybody
    Delete(DeleteArgs),
    #[cfg(feature = "kit")]
    #[command(flatten)]
    Kit(crate::kit::KitCommand),
    /// Check, back up, restore and compact what a runtime or a node keeps, while it does not run
    #[command(subcommand)]
    Store(crate::commands::store::StoreCommand),
    /// Check rules of who may do what, and see what they decide
    #[command(subcommand)]
    Policy(crate::commands::policy::PolicyCommand),
    /// Make the key of an issuer of tokens
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Issue tokens, for nodes that admit by token, and look into them
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show and check the settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

const REQUEST_EXAMPLES: &str = "\
Example, for a Reporter that was started with --requests and answers with a line {\"answer\":1,\"value\":…}:
  hyperty request context://localhost/4674 heat '{\"to\":21.5}'";

const DISCOVER_EXAMPLES: &str = "\
Examples:
  hyperty discover user://localhost/bob --hyperties
  hyperty discover kitchen
  hyperty discover --scheme context --status live --watch

Leaves with 4 if nothing is found.";

/// How to reach a message node, and who one is there.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// The message node
    #[arg(long, env = "HYPERTY_NODE", value_name = "URL", default_value = "ws://127.0.0.1:9090/ws")]
    pub node: String,
    /// The domain that the message node serves [default: that of the object, else localhost]
    #[arg(long, env = "HYPERTY_DOMAIN")]
    pub domain: Option<String>,
    /// The user one acts for, such as user://localhost/alice
    #[arg(long, env = "HYPERTY_USER", value_name = "URL")]
    pub user: Option<String>,
    /// Give up after so many seconds
    #[arg(long, env = "HYPERTY_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Let the rules in FILE decide who may observe, read and so on, before --accept does: JSON if its name ends with
    /// .json, Cedar if with .cedar and the command is built with the feature cedar, else TOML; it is looked at again
    /// every two seconds
    #[arg(long, env = "HYPERTY_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What one brings
    #[command(flatten)]
    pub access: AccessArgs,
    /// Times and limits of the session, from the settings
    #[arg(skip)]
    pub session: SessionSettings,
}

/// Where one's identity and objects are kept.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Keep the addresses, the objects and the copies of this command in DIR, and go on with them in the next run
    #[arg(long, env = "HYPERTY_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// What a crash may cost.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DurabilityArgs {
    /// When a change counts as kept: durable, when it is on disk; or buffered:MS, at once, and a crash loses at most
    /// the last MS milliseconds, which is noticed at the next start and told to observers
    #[arg(long, env = "HYPERTY_DURABILITY", value_name = "durable|buffered:MS", default_value = "durable",
        value_parser = durability)]
    pub durability: Durability,
}

/// `hyperty demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Decides which observer is restarted, and on which days the restarts are
    #[arg(long, env = "HYPERTY_SEED", default_value_t = 1)]
    pub seed: u64,
    /// How many days to replay, at least 40 [default: all 1461]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..))]
    pub days: Option<u16>,
    /// Changes per second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub pace: u32,
}

/// `hyperty read`.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The object
    #[arg(value_name = "OBJECT_URL")]
    pub object: ObjectUrl,
    /// The store
    #[command(flatten)]
    pub store: StoreArgs,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `hyperty request`.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The object
    #[arg(value_name = "OBJECT_URL")]
    pub object: ObjectUrl,
    /// What to do: what there is, the Reporter's application says
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// With what: JSON, or the file that holds it
    #[arg(value_name = "JSON|@FILE")]
    pub params: Option<String>,
    /// The store
    #[command(flatten)]
    pub store: StoreArgs,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `hyperty delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The object
    #[arg(value_name = "OBJECT_URL")]
    pub object: ObjectUrl,
    /// The store it was reported with
    #[arg(long, env = "HYPERTY_STORE", value_name = "DIR")]
    pub store: PathBuf,
    /// The node
    #[command(flatten)]
    pub client: ClientArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 2.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A durability as it is written on the command line.
pub(crate) fn durability(text: &str) -> Result<Durability, String> {
    if text == "durable" {
        return Ok(Durability::Durable);
    }
    let milliseconds = text.strip_prefix("buffered:").and_then(|number| number.parse().ok());
    let sync_every = milliseconds.map(Duration::from_millis).filter(|&pause| pause <= SYNC_EVERY_MAX);
    match sync_every {
        Some(sync_every) => Ok(Durability::Buffered { sync_every }),
        None => Err("durable, or buffered: and a number of milliseconds up to 60000".to_owned()),
    }
}

fn accept(text: &str) -> Result<Accept, String> {
    match text {
        "all" => Ok(Accept::All),
        "none" => Ok(Accept::None),
        list => {
            let url = |text: &str| Url::parse(text.trim()).map_err(|error| format!("{text:?}: {error}"));
            list.split(',').map(url).collect::<Result<Vec<Url>, String>>().map(Accept::List)
        }
    }
}

/// Longest time between two syncs: what waits meanwhile is in memory.
const SYNC_EVERY_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_is_accepted() {
        assert_eq!(accept("all"), Ok(Accept::All));
        assert_eq!(accept("none"), Ok(Accept::None));
        let two = accept("user://a/bob, hyperty://a/1");
        assert!(matches!(two, Ok(Accept::List(list)) if list.len() == 2));
        assert!(accept("bob").is_err());
    }

    #[test]
    fn durabilities() {
        assert_eq!(durability("durable"), Ok(Durability::Durable));
        let sync_every = Duration::from_millis(250);
        assert_eq!(durability("buffered:250"), Ok(Durability::Buffered { sync_every }));
        for text in ["", "buffered", "buffered:", "buffered:-1", "buffered:60001", "fast"] {
            assert!(durability(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn seconds_are_numbers_from_zero() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err() && seconds("soon").is_err() && seconds("NaN").is_err());
    }
}
