//! Another hyperty of the Reporter's user takes the object over, in an epoch of its own (5.10.1).

use hyperty_model::ObjectUrl;
use hyperty_syncher::{Criteria, Reporter};
use tokio::time::sleep;

use super::party::{Party, Role};
use super::procedures::Procedure;
use super::reporter::AGAIN;
use crate::reference::Violation;
use crate::sim::SimRng;

/// The name of the hyperty that a runtime takes part with when it starts: the one it had, or, when it has an object to
/// take over, a new one.
pub(super) fn name_at(seed: u64, start: u64, runtime: &str, role: &Role) -> String {
    let Role { judge, board, weights, .. } = role;
    let rng = SimRng::new(seed ^ start, &format!("heir of {board} in {runtime}"));
    let another =
        start > 1 && judge.surely_owns(board, runtime) && weights.happens(&rng, Procedure::TakeOver);
    judge.name_of(board, runtime, another.then_some(start))
}

/// Asks for the object until it is there: the domain's registry has to agree.
pub(super) async fn take_over(party: &Party, url: &ObjectUrl) -> Result<Reporter, Violation> {
    let judge = &party.role.judge;
    judge.takes(&party.who, true);
    judge.of(url, |judge| judge.taking_over(&party.who, false));
    loop {
        let criteria = Criteria::default().resources([url.clone()]);
        match party.hyperty.resume_by(criteria).await {
            Ok(resumed) => {
                if let Some(board) = resumed.reporters.into_iter().find(|board| board.url() == url) {
                    let (at, data) = (board.position(), board.data());
                    party.seat.note(format!("{} takes {url} over at {at}", party.who));
                    judge.did(Procedure::TakeOver);
                    judge.takes(&party.who, false);
                    judge.unsettle();
                    judge.check(url, |judge| judge.took_over(&party.who, at, &data))?;
                    return Ok(board);
                }
                party.seat.note(format!(
                    "{} takes nothing over: {} missing",
                    party.who,
                    resumed.missing.len()
                ));
            }
            Err(error) => party.seat.note(format!("{} is not taken over: {error}", url)),
        }
        sleep(AGAIN).await;
    }
}
