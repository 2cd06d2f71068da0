//! `hyperty soak`: a node over loopback sockets and many runtimes in one process, for as long as one likes.
//!
//! Runtimes report, observe, burst, add children, crash, leave and come back; groups remove, invite, and pass their
//! object on; clients hardly read; the node is restarted in order and by crash. What every observer is told is judged, change by change, by the
//! [reference model](hyperty_conformance::reference). A run has two parts, each ended by a pause in which all must come
//! to the same state and what is held is counted: what the second part leaves behind beyond the first is a leak.

mod churn;
mod court;
mod disk;
mod hands;
mod hold;
mod host;
mod kids;
mod observer;
mod raw;
mod reporter;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use hyperty_model::{Ids, SeededIds, SystemIds};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use self::court::{Court, Expected, Phase};
use self::hold::Held;
use self::host::Host;
use self::tally::Tally;
use crate::exit::Failure;
use crate::output::{Format, Output};
use crate::stop::Stop;

/// The domain of a soak.
const DOMAIN: &str = "localhost";

/// How often the figures are printed.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The first part is this share of the whole: enough to have everything happen once, and memory at its usual size.
const WARM_UP_SHARE: f64 = 0.3;

/// How long all may take to come to the same state once nothing disturbs them: the longest wait between two attempts
/// to connect, and a repair.
const SETTLE_MAX: Duration = Duration::from_secs(90);

/// How often is looked whether all are settled.
const LOOK: Duration = Duration::from_millis(100);

/// `hyperty soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// For how many minutes; parts of one are fine
    #[arg(long, value_name = "N", default_value_t = 10.0, conflicts_with = "seconds", value_parser = minutes)]
    pub minutes: f64,
    /// For how many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(5..))]
    pub seconds: Option<u64>,
    /// Decides what happens when; not what the threads make of it
    #[arg(long, env = "HYPERTY_SEED", default_value_t = 1)]
    pub seed: u64,
    /// How many runtimes of each kind, as a multiple
    #[arg(long, value_name = "X", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scale: u32,
    /// How many groups of three runtimes remove, invite, and pass an object on, by delegation and by takeover
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub groups: u32,
}

fn minutes(text: &str) -> Result<f64, String> {
    let expected = "a number of minutes from 0.1 to a million";
    text.parse().ok().filter(|number| (0.1..1e6).contains(number)).ok_or_else(|| expected.to_owned())
}

/// Everything that the parts of a soak share.
pub(super) struct Soak {
    court: Arc<Court>,
    tally: Arc<Tally>,
    host: Arc<Host>,
    /// Where stores are.
    folder: PathBuf,
}

impl Soak {
    /// A source of randomness of its own for one part.
    fn ids(&self, seed: u64, part: &str, number: u32) -> Arc<SeededIds> {
        let mixed = part.bytes().fold(seed, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte));
        Arc::new(SeededIds::new(mixed ^ (u64::from(number) << 32)))
    }
}

/// Runs it and prints the figures.
///
/// # Errors
/// When something was lost, doubled, out of order or wrong, or something is left over.
pub(crate) async fn run(args: SoakArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let whole = match args.seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_secs_f64(args.minutes * 60.0),
    };
    let folder = std::env::temp_dir().join(format!("hyperty-soak-{}", SystemIds.uuid()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::error(format_args!("{}: {error}", folder.display())))?;
    let outcome = within(&args, whole, folder.clone(), output, stop).await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!("{} is left: {error}", folder.display());
    }
    outcome
}

async fn within(
    args: &SoakArgs,
    whole: Duration,
    folder: PathBuf,
    output: &Output,
    stop: &Stop,
) -> Result<(), Failure> {
    let tally = Arc::new(Tally::new());
    let host = Arc::new(Host::start(&folder)?);
    let soak = Arc::new(Soak { court: Court::new(Arc::clone(&tally)), tally, host, folder });
    let begun = Instant::now();
    let mut parties = parties(&soak, args);
    let telling = tell(&soak, begun, output);
    let ended = tokio::select! {
        biased;
        () = stop.requested() => {
            tracing::warn!("stopped early: what was seen so far is told, and judged by no pause");
            Ok(())
        }
        ended = parts(&soak, whole, output) => ended,
        () = telling => Ok(()),
    };
    parties.shutdown().await;
    soak.host.stop();
    let verdict = soak.tally.verdict();
    say(output, &soak.tally, begun, "soaked");
    ended?;
    verdict
}

/// Starts everybody.
fn parties(soak: &Arc<Soak>, args: &SoakArgs) -> JoinSet<()> {
    let (seed, scale) = (args.seed, args.scale);
    let times = |number: u32| usize::try_from(number * scale).unwrap_or(usize::MAX);
    let groups = usize::try_from(args.groups).unwrap_or(usize::MAX);
    soak.court.expect(Expected { reporters: times(2), observers: times(4), groups });
    let mut parties = JoinSet::new();
    for number in 0..2 * scale {
        parties.spawn(reporter::report(Arc::clone(soak), number, soak.ids(seed, "reporter", number)));
    }
    for number in 0..4 * scale {
        parties.spawn(observer::observe(Arc::clone(soak), number, soak.ids(seed, "observer", number)));
    }
    for number in 0..3 * scale {
        parties.spawn(churn::come_and_go(Arc::clone(soak), number, soak.ids(seed, "churn", number)));
    }
    for number in 0..2 * scale {
        parties.spawn(raw::hardly_read(Arc::clone(soak), number, soak.ids(seed, "slow", number)));
    }
    for number in 0..args.groups {
        parties.spawn(hands::pass_on(Arc::clone(soak), number, soak.ids(seed, "group", number)));
    }
    parties.spawn(host::restart(Arc::clone(soak), soak.ids(seed, "node", 0)));
    parties
}

/// The warm-up, the pause, the rest, the last pause.
async fn parts(soak: &Arc<Soak>, whole: Duration, output: &Output) -> Result<(), Failure> {
    let first = whole.mul_f64(WARM_UP_SHARE);
    sleep(first).await;
    let before = settled(soak, output, "baseline").await?;
    soak.court.enter(Phase::Work);
    sleep(whole - first).await;
    let after = settled(soak, output, "held").await?;
    for leak in after.beyond(&before) {
        soak.tally.leak(leak);
    }
    Ok(())
}

/// Has everybody pause, waits until all have come to the same state, and counts what is held then.
async fn settled(soak: &Arc<Soak>, output: &Output, word: &str) -> Result<Held, Failure> {
    soak.court.enter(Phase::Pause);
    let settling = async {
        while !soak.court.is_settled() {
            sleep(LOOK).await;
        }
    };
    if timeout(SETTLE_MAX, settling).await.is_err() {
        for violation in soak.court.unsettled() {
            soak.tally.lost(&violation);
        }
    }
    let held = Held::settled(soak).await;
    match output.format() {
        Format::Ndjson => output.json(&json!({"event": word, "held": held.as_json()})),
        Format::Text => output.line(&format!("{word}: {held}")),
    };
    Ok(held)
}

async fn tell(soak: &Soak, begun: Instant, output: &Output) {
    let mut times = interval(TELL_EVERY);
    times.tick().await;
    loop {
        times.tick().await;
        say(output, &soak.tally, begun, "soaking");
    }
}

fn say(output: &Output, tally: &Tally, begun: Instant, word: &str) {
    let elapsed = begun.elapsed();
    match output.format() {
        Format::Ndjson => output.json(&tally.as_json(word, elapsed)),
        Format::Text => output.line(&tally.as_text(elapsed)),
    };
}
