//! Options of what operators do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DurabilityArgs, NodeAccessArgs};
use crate::config::Admin;

/// `hyperty node`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodeArgs {
    /// Ask one that runs
    #[command(subcommand)]
    pub command: Option<NodeCommand>,
    /// Where to listen; port 0 takes a free one, which the `listening` event tells
    #[arg(long, env = "HYPERTY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// The domain to serve
    #[arg(long, env = "HYPERTY_DOMAIN", default_value = "localhost")]
    pub domain: String,
    /// Keep allocations, registrations, schemas and backups in DIR; in memory if not given
    #[arg(long, env = "HYPERTY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What a crash may cost
    #[command(flatten)]
    pub durability: DurabilityArgs,
    /// Who is told /metrics and /status: callers on this machine (at the address of --listen), nobody (off), or whoever
    /// reaches an ADDRESS of their own
    #[arg(
        long,
        env = "HYPERTY_NODE_ADMIN",
        value_name = "this-machine|off|ADDRESS",
        default_value = "this-machine"
    )]
    pub admin: Admin,
    /// Whom it lets in
    #[command(flatten)]
    pub access: NodeAccessArgs,
}

/// `hyperty node` with a word behind it.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show how a node is: sessions, routes, who is slow, its store
    Status {
        /// The node, or the address of its --admin as http://host:port
        #[arg(long, env = "HYPERTY_NODE", value_name = "URL", default_value = "ws://127.0.0.1:9090/ws")]
        node: String,
    },
}

/// Where a command that runs for long is asked how it is.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// Serve /healthz, /readyz, /metrics and /status there; port 0 takes a free one, which the `admin` event
    /// tells
    #[arg(long, env = "HYPERTY_ADMIN", value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
}

/// `hyperty config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting at its effective value, in the form of a file
    Show {
        /// And where each comes from: file and line, variable, --set, or default
        #[arg(long)]
        origin: bool,
    },
    /// Check the settings, and say what is wrong with them and where
    Check {
        /// The file to check [default: the one that would be read]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}
