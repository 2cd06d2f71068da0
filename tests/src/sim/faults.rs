//! Faults drawn from the seed: what goes wrong, where, when and for how long.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use super::hosts::Crash;
use super::network::{Affected, LinkProfile, Notice};
use super::rng::SimRng;
use super::trace::Direction;
use super::{Sim, Torn};

/// Farthest that a clock is set: an hour, as by a wrong time zone.
const JUMP_MILLIS_MAX: u64 = 3_600_000;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A link is slow, each frame by a time of its own.
    Latency,
    /// A link loses changes and beats.
    Loss,
    /// A link loses anything. No transport in use does that; it is not among [`Fault::ALL`].
    LossOfAll,
    /// A link carries changes and beats twice.
    Duplication,
    /// On a link frames overtake changes and beats.
    Reordering,
    /// A link works in one direction only.
    Partition,
    /// A runtime reads a few bytes a second, or one.
    SlowReader,
    /// A link is cut, and both ends know.
    Cut,
    /// A link is cut, and nobody knows: connections are half-open.
    HalfOpen,
    /// A runtime stops hard and starts again.
    RuntimeCrash,
    /// A node stops hard and starts again.
    NodeCrash,
    /// A machine loses its power in the middle of a write and starts again.
    PowerLoss,
    /// The clock of a machine is set, forwards or backwards.
    ClockJump,
    /// Somebody sends malformed, forged and oversized frames.
    Hostile,
}

impl Fault {
    /// Those that a system must live with, in the order of their names in a list.
    pub const ALL: [Fault; 13] = [
        Fault::Latency,
        Fault::Loss,
        Fault::Duplication,
        Fault::Reordering,
        Fault::Partition,
        Fault::SlowReader,
        Fault::Cut,
        Fault::HalfOpen,
        Fault::RuntimeCrash,
        Fault::NodeCrash,
        Fault::PowerLoss,
        Fault::ClockJump,
        Fault::Hostile,
    ];

    /// Its name in a list of faults.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Latency => "latency",
            Fault::Loss => "loss",
            Fault::LossOfAll => "loss-of-all",
            Fault::Duplication => "duplication",
            Fault::Reordering => "reordering",
            Fault::Partition => "partition",
            Fault::SlowReader => "slow-reader",
            Fault::Cut => "cut",
            Fault::HalfOpen => "half-open",
            Fault::RuntimeCrash => "runtime-crash",
            Fault::NodeCrash => "node-crash",
            Fault::PowerLoss => "power-loss",
            Fault::ClockJump => "clock-jump",
            Fault::Hostile => "hostile",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no fault has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no fault is named {0:?}; there are {names}", names = names())]
pub struct UnknownFault(pub String);

fn names() -> String {
    let mut names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    names.push(Fault::LossOfAll.name());
    names.join(", ")
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        let all = Fault::ALL.into_iter().chain([Fault::LossOfAll]);
        all.into_iter().find(|fault| fault.name() == text).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// A schedule that is drawn from the seed.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What may happen; with nothing here nothing does.
    pub kinds: Vec<Fault>,
    /// The mean time between two faults.
    pub every: Duration,
    /// How long one lasts. Long ones outlive graces, short ones end before anybody notices.
    pub lasting: RangeInclusive<Duration>,
}

impl Schedule {
    /// These kinds, one every ten seconds, for up to a minute and a half.
    pub fn of(kinds: &[Fault]) -> Schedule {
        Schedule {
            kinds: kinds.to_vec(),
            every: Duration::from_secs(10),
            lasting: Duration::from_millis(20)..=Duration::from_secs(90),
        }
    }

    /// Lets things go wrong for as long as this is polled. [`Fault::Hostile`] is not its business.
    pub async fn run(&self, sim: &Sim) {
        let kinds: Vec<Fault> = self.kinds.iter().copied().filter(|kind| *kind != Fault::Hostile).collect();
        let rng = sim.rng("faults");
        let mut under_way = FuturesUnordered::new();
        loop {
            let next = sleep(rng.around(self.every));
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    Some(()) = under_way.next() => {}
                    () = &mut next => break,
                }
            }
            let Some(kind) = rng.pick(&kinds) else { continue };
            // Most faults are short, a few are long.
            let lasting = match rng.below(3) {
                0 => rng.within(&self.lasting),
                _ => rng.within(&(*self.lasting.start()..=*self.lasting.end() / 10)),
            };
            under_way.push(happen(sim, *kind, &rng, lasting));
        }
    }
}

/// One fault, from its begin to its end. Where it happens is drawn at once.
fn happen<'a>(
    sim: &'a Sim,
    kind: Fault,
    rng: &SimRng,
    lasting: Duration,
) -> futures_core::future::BoxFuture<'a, ()> {
    let links = sim.links();
    let Some((runtime, domain)) = rng.pick(&links).cloned() else { return Box::pin(std::future::ready(())) };
    let mut machines = sim.runtimes();
    match kind {
        Fault::RuntimeCrash => {}
        Fault::NodeCrash => machines = sim.domains(),
        _ => machines.extend(sim.domains()),
    }
    let machine = rng.pick(&machines).cloned().unwrap_or_default();
    let number = rng.number();
    let troubled = |profile: LinkProfile| {
        sim.set_profile(&runtime, &domain, profile);
    };
    let profile = sim.profile(&runtime, &domain);
    let share = 0.05 + 0.5 * rng.unit();
    match kind {
        Fault::Latency => {
            let worst = Duration::from_millis(20 + number % 3_000);
            troubled(LinkProfile { latency: worst / 10..=worst, ..profile });
        }
        Fault::Loss => troubled(LinkProfile { loss: share, ..profile }),
        Fault::LossOfAll => troubled(LinkProfile { loss: share, affected: Affected::All, ..profile }),
        Fault::Duplication => troubled(LinkProfile { duplication: share, ..profile }),
        Fault::Reordering => troubled(LinkProfile { reordering: share, ..profile }),
        Fault::SlowReader => {
            let rate = [1, 20, 500, 20_000][(number % 4) as usize];
            troubled(LinkProfile { down: Some(rate), ..profile });
        }
        Fault::Partition => {
            let direction = if number.is_multiple_of(2) { Direction::Up } else { Direction::Down };
            sim.hold(&runtime, &domain, direction);
        }
        Fault::Cut => sim.cut(&runtime, &domain, Notice::Told),
        Fault::HalfOpen => sim.cut(&runtime, &domain, Notice::Silent),
        Fault::RuntimeCrash | Fault::NodeCrash => {
            let torn = if number.is_multiple_of(2) { Torn::Nothing } else { Torn::Tail };
            sim.crash(&machine, Crash { notice: Notice::Told, torn });
        }
        Fault::PowerLoss => sim.crash(&machine, Crash::POWER),
        Fault::ClockJump => {
            let millis = (number % (2 * JUMP_MILLIS_MAX)) as i64 - JUMP_MILLIS_MAX as i64;
            sim.jump_clock(&machine, millis);
        }
        Fault::Hostile => {}
    }
    Box::pin(async move {
        sleep(lasting).await;
        match kind {
            Fault::Partition | Fault::Cut | Fault::HalfOpen => sim.restore(&runtime, &domain),
            Fault::RuntimeCrash | Fault::NodeCrash | Fault::PowerLoss => sim.start(&machine),
            Fault::ClockJump | Fault::Hostile => {}
            _ => sim.set_profile(&runtime, &domain, LinkProfile::default()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_by_their_names() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let error = "rain".parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains("rain") && error.contains("slow-reader"), "{error}");
    }
}
