//! `hyperty conformance`: whether an implementation keeps the promises of the protocol.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyperty_conformance::protocol::node::{self, NodeUnderTest, UrlNode};
use hyperty_conformance::protocol::runtime::{self, HypertyRuntime, Subject};
use hyperty_conformance::protocol::{Capability, Case, CaseReport, Outcome, Patience, Report, Runner};
use hyperty_model::{Ids, SystemIds};
use hyperty_protostub::ConnectError;
use serde_json::json;

use crate::access::Access;
use crate::args::AccessArgs;
use crate::commands::token::{issuer_key, read};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

/// `hyperty conformance`.
#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    /// The message node, such as ws://127.0.0.1:9090/ws
    #[arg(value_name = "URL", required_unless_present = "list")]
    pub url: Option<String>,
    /// What is tested
    #[arg(long, value_enum, default_value = "node")]
    pub suite: Suite,
    /// The domain that the node serves
    #[arg(long, env = "HYPERTY_DOMAIN", default_value = "localhost")]
    pub domain: String,
    /// Where random cases begin
    #[arg(long, env = "HYPERTY_SEED", default_value_t = 1)]
    pub seed: u64,
    /// Run only cases whose name contains this
    #[arg(long, value_name = "FILTER")]
    pub case: Option<String>,
    /// Write the report as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the cases and what they need, and run nothing
    #[arg(long)]
    pub list: bool,
    /// What the node has; without it all that can be tested at a URL
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub capability: Vec<Capability>,
    /// What the node does not have
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub without: Vec<Capability>,
    /// Open every session with the token in this file
    #[arg(long, value_name = "FILE", conflicts_with = "issuer_key")]
    pub token: Option<PathBuf>,
    /// Issue tokens with this private key (PEM), whose tokens the node believes: each session is of a user of its own,
    /// and of a node admission is tested, too
    #[arg(long, value_name = "FILE")]
    pub issuer_key: Option<PathBuf>,
    /// Over wss, believe the authorities in this file (PEM)
    #[arg(long, env = "HYPERTY_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The longest message that the node takes; a longer one is sent, too
    #[arg(long, value_name = "BYTES")]
    pub message_limit: Option<usize>,
    /// For how many seconds the node keeps the routes of a lost session
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub grace: u64,
    /// Skip what would need more seconds of waiting for a time of the protocol to pass
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub longest_wait: u64,
    /// How many random sequences to try, of some 20 steps each
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub sequences: u32,
    /// For how many seconds to wait for an answer; longer where answers turn out to take long: what a round trip takes is
    /// measured as the suite goes, so that neither a far node nor a loaded machine fails a case
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub patience: u64,
}

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The message node, spoken to as runtimes would
    Node,
    /// A runtime of this program, attached to the node beside a peer that speaks by messages alone
    Runtime,
}

/// Runs the cases and prints the report.
///
/// # Errors
/// When the node cannot be reached, or a case failed.
pub(crate) async fn run(args: ConformanceArgs, output: &Output) -> Result<(), Failure> {
    if args.list {
        match args.suite {
            Suite::Node => list(&node::cases(), &args, output),
            Suite::Runtime => list(&runtime::cases(), &args, output),
        }
        return Ok(());
    }
    let report = match args.suite {
        Suite::Node => test_node(&args).await?,
        Suite::Runtime => test_runtime(&args).await?,
    };
    print(&report, output);
    if let Some(file) = &args.junit {
        std::fs::write(file, report.to_junit()).map_err(|error| Failure::error_at(file, error))?;
    }
    let (_, failed, _) = report.totals();
    if report.cases.is_empty() {
        return Err(Failure::usage("no case has that in its name; --list shows them"));
    }
    if failed > 0 { Err(Failure::error(format_args!("{failed} cases failed"))) } else { Ok(()) }
}

async fn test_node(args: &ConformanceArgs) -> Result<Report, Failure> {
    let url = args.url.as_deref().unwrap_or_default();
    let mut node = UrlNode::new(url, &args.domain).grace(Duration::from_secs(args.grace));
    node = reached(args, url, node.capabilities(declared(args, UrlNode::default_capabilities())))?;
    if let Some(bytes) = args.message_limit {
        node = node.message_bytes_max(bytes);
    }
    reach(&node, url).await?;
    let node: Arc<dyn NodeUnderTest> = Arc::new(node);
    Ok(runner(args, "node").run(&node, &node::cases()).await)
}

async fn test_runtime(args: &ConformanceArgs) -> Result<Report, Failure> {
    let url = args.url.as_deref().unwrap_or_default();
    let node = reached(args, url, UrlNode::new(url, &args.domain))?;
    reach(&node, url).await?;
    let mut subject = Subject::at_node(HypertyRuntime, &args.domain, node.connector());
    if args.token.is_some() || args.issuer_key.is_some() {
        subject = subject.admitted_by(move |user| node.token(user));
    }
    subject.capabilities = declared(args, std::mem::take(&mut subject.capabilities));
    Ok(runner(args, "runtime").run(&Arc::new(subject), &runtime::cases()).await)
}

/// The node, with the way to it and what opens sessions there.
fn reached(args: &ConformanceArgs, url: &str, node: UrlNode) -> Result<UrlNode, Failure> {
    let access = Access::of(&AccessArgs { token: None, ca: args.ca.clone() })?;
    let mut node = node.reached_by(access.connector(url));
    if let Some(path) = &args.token {
        node = node.admits(read(path)?.trim().to_owned());
    }
    if let Some(path) = &args.issuer_key {
        node = node.believes(issuer_key(path)?);
    }
    Ok(node)
}

/// One connection first: who is not there is not judged.
async fn reach(node: &UrlNode, url: &str) -> Result<(), Failure> {
    let connection = node.connect().await;
    let unreachable = |error| match error {
        ConnectError::Address { .. } => Failure::usage(format_args!("{url}: {error}")),
        error => Failure::new(Exit::Timeout, format_args!("{url}: {error}")),
    };
    connection.map(drop).map_err(unreachable)
}

fn declared(args: &ConformanceArgs, default: BTreeSet<Capability>) -> BTreeSet<Capability> {
    let mut all =
        if args.capability.is_empty() { default } else { args.capability.iter().copied().collect() };
    all.retain(|one| !args.without.contains(one));
    all
}

/// Names that no earlier run at the same node used, so that nothing it remembers disturbs this one.
fn runner(args: &ConformanceArgs, suite: &str) -> Runner {
    let patience = Patience {
        answer: Duration::from_secs(args.patience),
        longest_wait: Duration::from_secs(args.longest_wait),
        case: Patience::REMOTE.case + Duration::from_secs(2 * args.longest_wait),
        ..Patience::REMOTE
    };
    let nonce = format!("{:08x}", SystemIds.random() & 0xffff_ffff);
    let runner =
        Runner::new(args.seed).suite(suite).patience(patience).sequences(args.sequences).nonce(nonce);
    match &args.case {
        Some(filter) => runner.filter(filter),
        None => runner,
    }
}

fn list<S: ?Sized>(cases: &[Case<S>], args: &ConformanceArgs, output: &Output) {
    for case in cases.iter().filter(|case| args.case.as_ref().is_none_or(|part| case.id.contains(part))) {
        let needs: Vec<&str> = case.needs.iter().map(|one| one.name()).collect();
        match output.format() {
            Format::Text => {
                let needs =
                    if needs.is_empty() { String::new() } else { format!(" (needs {})", needs.join(", ")) };
                output.line(&format!("{}{needs}", case.id));
            }
            Format::Ndjson => {
                output.json(&json!({"case": case.id, "invariants": case.invariants, "needs": needs}));
            }
        }
    }
}

fn print(report: &Report, output: &Output) {
    match output.format() {
        Format::Text => {
            output.line(&report.to_string());
        }
        Format::Ndjson => {
            for case in &report.cases {
                output.json(&line(case));
            }
            let (passed, failed, skipped) = report.totals();
            let totals = json!({
                "event": "conformance", "suite": report.suite, "seed": report.seed,
                "passed": passed, "failed": failed, "skipped": skipped,
            });
            output.json(&totals);
        }
    }
}

fn line(case: &CaseReport) -> serde_json::Value {
    let mut line = json!({
        "event": "case", "case": case.id, "invariants": case.invariants, "seconds": case.time.as_secs_f64(),
    });
    match &case.outcome {
        Outcome::Passed => line["outcome"] = json!("passed"),
        Outcome::Skipped { why } => {
            line["outcome"] = json!("skipped");
            line["why"] = json!(why);
        }
        Outcome::Failed { invariant, seed, detail, trace } => {
            line["outcome"] = json!("failed");
            line["invariant"] = json!(invariant);
            line["seed"] = json!(seed);
            line["detail"] = json!(detail);
            line["trace"] = json!(trace);
        }
    }
    line
}
