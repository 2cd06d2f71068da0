//! Another hyperty of the Reporter's user takes the object over, in an epoch of its own (5.10.1).

use hyperty_model::{ObjectUrl, StatusCode};
use hyperty_syncher::{Reporter, ResumeError};
use tokio::time::sleep;

use super::other_device::{self, lost_with_it};
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

/// How it ended.
pub(super) enum Taken {
    /// The object is reported here.
    Here(Reporter),
    /// It is somebody else's, and was all the time.
    Refused,
}

/// Asks for the object until it is there, or surely is not to be had: the domain's registry has to agree. `begun` tells
/// whether it was asked for before, to an end that nobody heard of.
pub(super) async fn take_over(party: &Party, url: &ObjectUrl, begun: bool) -> Result<Taken, Violation> {
    let judge = &party.role.judge;
    let former = judge.of(url, |judge| judge.owner().to_owned()).unwrap_or_default();
    let owner = judge.runtime_of(url, &former);
    // Of the other device's object the node has what it was told a moment ago; of its own this one has all.
    let of_twin = party.role.twin.as_ref().is_some_and(|twin| Some(&twin.runtime) == owner.as_ref());
    // It went to somebody else while this one was away: what it was taking is there for it, or never will be.
    let of_stranger = !of_twin && owner.as_ref().is_some_and(|owner| *owner != party.seat.name);
    judge.takes(&party.who, true);
    judge.of(url, |judge| judge.taking_over(&party.who, of_twin));
    if of_twin {
        lost_with_it(judge, url);
    }
    let mut unheard = begun;
    loop {
        match party.hyperty.resume_by(other_device::criteria(&party.role, url)).await {
            Ok(resumed) => {
                if let Some(board) = resumed.reporters.into_iter().find(|board| board.url() == url) {
                    has(party, url, &board, of_twin)?;
                    return Ok(Taken::Here(board));
                }
                party.seat.note(format!(
                    "{} takes nothing over: {} missing",
                    party.who,
                    resumed.missing.len()
                ));
                // What nobody answered before may have been done, unless the object went elsewhere by now.
                if of_stranger
                    || of_twin && (!unheard || judge.of(url, |judge| judge.is_owner(&former)) == Some(false))
                {
                    break;
                }
            }
            Err(error) => {
                party.seat.note(format!("{} is not taken over: {error}", url));
                let refused = matches!(&error, ResumeError::Refused { code, .. }
                    if matches!(*code, StatusCode::CONFLICT | StatusCode::FORBIDDEN | StatusCode::GONE));
                if of_twin && refused {
                    break;
                }
                unheard = true;
            }
        }
        sleep(AGAIN).await;
    }
    judge.takes(&party.who, false);
    judge.of(url, |judge| judge.take_over_failed(&party.who));
    Ok(Taken::Refused)
}

/// Tells the judge that it is this party's.
fn has(party: &Party, url: &ObjectUrl, board: &Reporter, of_twin: bool) -> Result<(), Violation> {
    let (judge, at, data) = (&party.role.judge, board.position(), board.data());
    party.seat.note(format!("{} takes {url} over at {at}", party.who));
    judge.did(if of_twin { Procedure::OtherDevice } else { Procedure::TakeOver });
    judge.takes(&party.who, false);
    judge.unsettle();
    if of_twin {
        lost_with_it(judge, url);
    }
    judge.check(url, |judge| {
        // What it was shown as an Observer is over.
        judge.unsubscribed(&party.who);
        judge.took_over(&party.who, at, &data)
    })
}
