//! The Reporter removes an Observer: nothing later reaches it, wherever it is, until it is invited again (5.7).

use std::sync::Arc;

use hyperty_syncher::RemoveError;

use super::procedures::Procedure;
use super::reporter::{AGAIN, Doing, Reporting};
use crate::reference::Invariant;

/// Begins to remove one of those who observe; none if there is none.
pub(super) fn remove(reporting: &Reporting) -> Option<Doing> {
    let rng = &reporting.party.seat.rng;
    let party = reporting.party.clone();
    if !party.is_owner(reporting.board.url()) {
        return None; // It has not heard yet that another device has it.
    }
    let mut entries = reporting.board.observers();
    entries.retain(|entry| !party.is_twin(reporting.board.url(), &entry.url));
    let target = rng.pick(&entries)?.url.clone();
    let (board, judge, seat) =
        (reporting.board.clone(), Arc::clone(&reporting.judge), reporting.party.seat.clone());
    let odd = reporting.party.odd(board.url(), Invariant::I7, "");
    let who = target.to_string();
    judge.removing(board.url(), &who);
    Some(Box::pin(async move {
        loop {
            let removed = board.remove_observer(&target).await;
            seat.note(format!("removes {who}: {removed:?}"));
            match removed {
                // Whoever has the object by now does not know.
                Ok(()) if !party.is_owner(board.url()) => {
                    judge.of(board.url(), |judge| judge.maybe_granted(&who));
                }
                Ok(()) => {
                    judge.did(Procedure::Remove);
                    judge.removed(board.url(), &who);
                }
                // It has left by itself.
                Err(RemoveError::NotObserving(_) | RemoveError::Closed) => {}
                // It is cut off, but a crash may forget it.
                Err(RemoveError::Refused { .. } | RemoveError::Timeout) => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) => {
                    let detail = format!("removing {who} fails with {error}");
                    return Err(crate::reference::Violation { detail, ..odd });
                }
            }
            judge.not_removing(&who);
            return Ok(());
        }
    }))
}
