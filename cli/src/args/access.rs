//! Options for nodes that ask who one is, or prove who they are.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Admission, Discovery};

/// What a client brings, and whom it believes.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// The token for a node that admits by token: a file, which may be exchanged for a newer one at any time; or - for
    /// the first line of stdin
    #[arg(long, env = "HYPERTY_TOKEN_FILE", value_name = "FILE|-")]
    pub token: Option<PathBuf>,
    /// Over wss, believe the authorities in this file (PEM) instead of those that the system knows
    #[arg(long, env = "HYPERTY_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Whom a node lets in, and how it proves who it is.
#[derive(Debug, Args)]
pub(crate) struct NodeAccessArgs {
    /// Who may open a session: whoever is on this machine (loopback), whoever reaches the node (open), or who has a
    /// token (token)
    #[arg(
        long,
        env = "HYPERTY_NODE_ADMISSION",
        value_name = "loopback|open|token",
        default_value = "loopback"
    )]
    pub admission: Admission,
    /// The same as --admission open
    #[arg(long, conflicts_with = "admission")]
    pub open: bool,
    /// The public keys of those whose tokens are believed: PEM, a JWK, or a set of JWKs
    #[arg(long, env = "HYPERTY_NODE_ISSUER_KEYS", value_name = "FILE")]
    pub issuer_keys: Option<PathBuf>,
    /// What searches at the registry find of other users: everything (open), nothing (same-user), or what the rules in
    /// FILE do not block at the point discover, as for --policy; the file is read again when it changes
    #[arg(long, env = "HYPERTY_NODE_DISCOVERY", value_name = "open|same-user|FILE", default_value = "open")]
    pub discovery: Discovery,
    /// Serve wss with this chain of certificates (PEM); SIGHUP has it read anew
    #[arg(long, env = "HYPERTY_NODE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// And this private key (PEM)
    #[arg(long, env = "HYPERTY_NODE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Serve wss with a certificate of an authority of its own, which is made in the directory of --data; for development
    #[arg(long, env = "HYPERTY_NODE_DEV_TLS")]
    pub dev_tls: bool,
}

/// `hyperty keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the key of an issuer: a private one to issue tokens with, and a public one for nodes
    Generate {
        /// Where to put issuer-key.pem and issuer-public.pem; what stands there already is not replaced
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

/// `hyperty token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token, and print it
    Issue(IssueArgs),
    /// Show what a token says, and whether it is valid or why not; leaves with 3 if it is not
    Inspect(InspectArgs),
}

/// `hyperty token issue`.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The private key of the issuer (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Whom it admits, such as user://example.com/alice
    #[arg(long, value_name = "URL")]
    pub user: String,
    /// The user's GUID, such as user-guid://4711, if there is one
    #[arg(long, value_name = "URL")]
    pub guid: Option<String>,
    /// The domain of the node; several are possible
    #[arg(long, value_name = "DOMAIN", required = true)]
    pub audience: Vec<String>,
    /// Which runtimes it is for, such as hyperty-runtime://example.com/alice-*; several are possible [default: any of
    /// the domain that no other user has]
    #[arg(long, value_name = "PATTERN")]
    pub runtime: Vec<String>,
    /// Which hyperties its sessions may speak as, such as hyperty://example.com/**; several are possible [default: any
    /// of the domain]
    #[arg(long, value_name = "PATTERN")]
    pub hyperty: Vec<String>,
    /// How many routes each of its sessions may have [default: as many as the node allows]
    #[arg(long, value_name = "N")]
    pub routes: Option<usize>,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub expires: std::time::Duration,
}

/// `hyperty token inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The file that holds the token, or - for stdin
    #[arg(value_name = "FILE|-")]
    pub token: PathBuf,
    /// The public keys to check it with, as for hyperty node --issuer-keys; without them the signature is not checked
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The domain that it has to be for
    #[arg(long, env = "HYPERTY_DOMAIN", default_value = "localhost")]
    pub audience: String,
}
