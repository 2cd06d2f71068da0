//! A mixed run from its first start to its end: what happens in which order, and what is left at last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::admission::Issuer;
use super::judge::{Judge, Phase};
use super::procedures::Procedure;
use super::{CONVERGED_WITHIN, FORGOTTEN_WITHIN, Mixed, Summary, hostile, reporter};
use crate::reference::{Baseline, Invariant, Violation};
use crate::sim::{Fault, Schedule, Sim};

/// How long machines have to find each other before anything goes wrong.
const BOOTED_WITHIN: Duration = Duration::from_secs(30);

/// How long everything stays quiet before resources are counted.
const QUIET: Duration = Duration::from_secs(5);

pub(super) struct Run {
    pub(super) judge: Arc<Judge>,
    pub(super) mixed: Mixed,
    pub(super) parties: usize,
    pub(super) boards: usize,
    pub(super) issuer: Option<Arc<Issuer>>,
}

impl Run {
    pub(super) async fn script(self, sim: Sim) -> Result<Summary, Violation> {
        let judge = &self.judge;
        if let Some(issuer) = &self.issuer {
            issuer.runs_in(&sim);
        }
        self.booted(&sim).await?;
        let before = holdings(&sim);
        judge.enter(Phase::Work);
        self.trouble(&sim).await;
        sim.heal();
        judge.enter(Phase::Settle);
        let settled = async {
            while judge.unsettled(self.parties).is_some() {
                sleep(reporter::LOOK).await;
            }
        };
        if timeout(CONVERGED_WITHIN, settled).await.is_err() {
            let missing = || self.late("some were never heard of");
            return Err(judge.unsettled(self.parties).flatten().unwrap_or_else(missing));
        }
        for (phase, parties) in [(Phase::Leave, self.parties - self.boards), (Phase::Delete, self.parties)] {
            judge.enter(phase);
            let left = async {
                while judge.done() < parties as u64 {
                    sleep(reporter::LOOK).await;
                }
            };
            timeout(FORGOTTEN_WITHIN, left).await.map_err(|_| self.late("not everybody could leave"))?;
        }
        sleep(FORGOTTEN_WITHIN).await;
        before.holds("all", &holdings(&sim))?;
        Ok(self.summary(&sim))
    }

    async fn booted(&self, sim: &Sim) -> Result<(), Violation> {
        let connected = async {
            for name in sim.runtimes() {
                while sim.runtime(&name).is_none() {
                    sleep(Duration::from_millis(10)).await;
                }
                if let Some(runtime) = sim.runtime(&name) {
                    runtime.connected().await;
                }
            }
        };
        timeout(BOOTED_WITHIN, connected).await.map_err(|_| self.late("not everybody was connected"))?;
        sleep(QUIET).await;
        Ok(())
    }

    async fn trouble(&self, sim: &Sim) {
        let schedule = Schedule::of(&self.mixed.faults);
        let over = sleep(self.mixed.troubled);
        let hostile = async {
            if self.mixed.faults.contains(&Fault::Hostile) {
                hostile::visit(sim, &self.judge, self.issuer.as_deref()).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = over => {}
            () = schedule.run(sim) => {}
            () = hostile => {}
        }
    }

    fn late(&self, detail: &str) -> Violation {
        Violation {
            invariant: Invariant::I11,
            object: "the system".to_owned(),
            who: "all".to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn summary(&self, sim: &Sim) -> Summary {
        let mut summary = Summary {
            simulated: sim.now(),
            hash: sim.trace().hash(),
            lines: sim.trace().lines(),
            deliveries: self.judge.deliveries(),
            crashes: sim.crashes(),
            invited: self.judge.deeds(Procedure::Invite),
            revoked: self.judge.deeds(Procedure::Revoke),
            removed: self.judge.deeds(Procedure::Remove),
            actions: self.judge.deeds(Procedure::Action),
            delegated: self.judge.deeds(Procedure::Delegate),
            taken_over: self.judge.deeds(Procedure::TakeOver),
            large: self.judge.deeds(Procedure::Large),
            other_devices: self.judge.deeds(Procedure::OtherDevice),
            tokens: self.issuer.as_ref().map_or(0, |issuer| issuer.issued()),
            ..Summary::default()
        };
        for domain in sim.domains() {
            let stats = sim.node_stats(&domain);
            summary.messages += stats.received;
            summary.conflations += stats.conflated;
        }
        for name in sim.runtimes() {
            let (by_changes, by_snapshot) = sim.repairs(&name);
            summary.repairs_by_changes += by_changes;
            summary.repairs_by_snapshot += by_snapshot;
        }
        summary
    }
}

/// What the system holds at this moment.
fn holdings(sim: &Sim) -> Baseline {
    let mut counts =
        vec![("tasks".to_owned(), tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64)];
    for domain in sim.domains() {
        let stats = sim.node_stats(&domain);
        counts.push((format!("sessions at {domain}"), stats.sessions as u64));
        counts.push((format!("routes at {domain}"), stats.routes as u64));
    }
    for name in sim.runtimes() {
        let stats = sim.runtime(&name).map(|runtime| runtime.stats()).unwrap_or_default();
        counts.push((format!("objects reported by {name}"), stats.reported as u64));
        counts.push((format!("objects observed by {name}"), stats.observed as u64));
    }
    Baseline::new(counts)
}
