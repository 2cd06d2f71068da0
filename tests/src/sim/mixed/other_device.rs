//! Another device of the Reporter's user, whose store has nothing of the object, goes on with what the node keeps of it
//! while the first one is away or dead (5.10.1, 5.19). When the first one is back it hears of it.

use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_model::{Identity, ObjectUrl};
use hyperty_syncher::{Criteria, Reporter};
use tokio::time::sleep;

use super::judge::Judge;
use super::party::{Party, Role};
use super::take_over::{Taken, take_over};
use crate::reference::Violation;
use crate::sim::{Crash, Notice, Sim};

/// How long nodes wait for a lost session where users have several devices: then an object is nobody's soon enough.
pub(super) const GRACE: Duration = Duration::from_secs(8);

/// After this long without its runtime an object is free to be taken over.
const FREE_AFTER: Duration = Duration::from_secs(10);

/// The object, if it was taken over.
pub(super) type Inheriting = BoxFuture<'static, Result<Option<Reporter>, Violation>>;

/// The two runtimes of one user.
#[derive(Debug, Clone)]
pub(super) struct Twin {
    /// The user.
    pub(super) user: String,
    /// The other runtime, which has this domain's node.
    pub(super) runtime: String,
    pub(super) domain: String,
}

/// Begins to take the object over, if it is the other device's: that one is lost for as long as it takes.
pub(super) fn begin(party: &Party, url: &ObjectUrl) -> Option<Inheriting> {
    let Role { judge, board, twin, .. } = &party.role;
    let twin = twin.clone().filter(|twin| judge.surely_owns(board, &twin.runtime))?;
    let (sim, cut) = (party.seat.sim.clone(), party.seat.rng.chance(0.5));
    let (party, url) = (party.clone(), url.clone());
    Some(Box::pin(async move {
        lose(&sim, &twin, cut);
        sleep(FREE_AFTER).await;
        let taken = inherit(&party, &url).await;
        if cut {
            sim.restore(&twin.runtime, &twin.domain);
        } else {
            sim.start(&twin.runtime);
        }
        taken
    }))
}

fn lose(sim: &Sim, twin: &Twin, cut: bool) {
    sim.note(&twin.runtime, "is lost to its user");
    match cut {
        true => sim.cut(&twin.runtime, &twin.domain, Notice::Told),
        false => sim.crash(&twin.runtime, Crash::KILLED),
    }
}

/// Goes on with what the node keeps, if it is free.
async fn inherit(party: &Party, url: &ObjectUrl) -> Result<Option<Reporter>, Violation> {
    let Role { judge, board, twin, .. } = &party.role;
    // While it was waited for the other device may have come back, and given the object to somebody.
    if !twin.as_ref().is_some_and(|twin| judge.surely_owns(board, &twin.runtime)) {
        return Ok(None);
    }
    match take_over(party, url, false).await? {
        Taken::Here(board) => Ok(Some(board)),
        Taken::Refused => Ok(None),
    }
}

/// What was done in the last moments may not have been kept: children, and who was let in or sent away.
pub(super) fn lost_with_it(judge: &Judge, url: &ObjectUrl) {
    for who in judge.restricted(url) {
        judge.of(url, |judge| judge.maybe_granted(who.as_str()));
    }
    judge.of(url, |judge| judge.all_children_uncertain());
}

/// What is asked for: the object, wherever it is kept of the devices of this user.
pub(super) fn criteria(role: &Role, url: &ObjectUrl) -> Criteria {
    let criteria = Criteria::default().resources([url.clone()]);
    match &role.twin {
        Some(twin) => criteria.identity(Identity::of_user(&twin.user)),
        None => criteria,
    }
}
