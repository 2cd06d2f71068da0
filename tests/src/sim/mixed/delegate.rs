//! The Reporter gives its object to an Observer, who takes it or not, and goes on as an Observer itself (5.11).

use futures_core::future::BoxFuture;
use hyperty_model::{HypertyUrl, ObjectUrl};
use hyperty_syncher::{DelegateError, Delegation, Observer, Reporter, TakeOverError};
use tokio::time::sleep;

use super::party::{Entry, Party, Stand};
use super::procedures::Procedure;
use super::reporter::{AGAIN, Reporting};
use crate::reference::{Invariant, Violation};

/// Offers the object to one of those who observe it, if there is one.
pub(super) fn give(reporting: &mut Reporting) -> Result<(), Violation> {
    let (board, party) = (reporting.board.clone(), reporting.party);
    if !party.is_owner(board.url()) {
        return Ok(()); // It has not heard yet that another device has it.
    }
    let entries = board.observers();
    let Some(to) = party.seat.rng.pick(&entries).map(|entry| entry.url.clone()) else { return Ok(()) };
    let (from, who) = (party.who.as_str(), to.to_string());
    party.seat.note(format!("{from} offers {} to {to}", board.url()));
    reporting.judge.check(board.url(), |judge| judge.offered(from, &who))?;
    reporting.judge.gives(from, true);
    reporting.giving.push(Box::pin(async move {
        let given = board.delegate(&to).await;
        (who, given)
    }));
    Ok(())
}

/// How that ended; what this party is from now on, if that changes.
pub(super) async fn given(
    reporting: &mut Reporting<'_>,
    to: &str,
    given: Result<Observer, DelegateError>,
) -> Result<Option<Stand>, Violation> {
    let (party, judge, board) = (reporting.party, &reporting.judge, &reporting.board);
    party.seat.note(format!("{} was offered to {to}: {given:?}", board.url()));
    judge.gives(&party.who, false);
    match given {
        Ok(observer) => {
            judge.unsettle();
            judge.of(board.url(), |judge| {
                judge.gave_away(&party.who);
                // What it had under way on its children is not followed any more.
                judge.children_uncertain(&party.who);
            });
            Ok(Some(Stand::Observes(Some((observer, Entry::New)))))
        }
        // Whose it is is known to the runtime, or will be.
        Err(DelegateError::Timeout) => find(party, board.url()).await.map(Some),
        Err(DelegateError::Malformed(text)) => {
            Err(party.odd(board.url(), Invariant::I7, format!("giving it away fails with {text}")))
        }
        Err(_) => {
            let (at, data) = (board.position(), board.data());
            judge.check(board.url(), |judge| {
                judge.offer_over(to);
                match at.epoch > judge.latest().epoch {
                    // It was the other's for a moment, who could not host it.
                    true => judge.resumed(&party.who, at, &data),
                    false => Ok(()),
                }
            })?;
            Ok(None)
        }
    }
}

/// What the runtime says this party is to an object that it may have given away.
async fn find(party: &Party, url: &ObjectUrl) -> Result<Stand, Violation> {
    loop {
        sleep(AGAIN).await;
        if let Err(error) = party.hyperty.resume().await {
            party.seat.note(format!("{} does not know whose {url} is: {error}", party.who));
            continue;
        }
        if let Some(board) = party.hyperty.reporters().into_iter().find(|board| board.url() == url) {
            return Ok(Stand::Reports(board));
        }
        let observer = party.hyperty.observers().into_iter().find(|observer| observer.url() == url);
        party.role.judge.of(url, |judge| {
            judge.gave_away(&party.who);
            judge.children_uncertain(&party.who);
        });
        return Ok(Stand::Observes(observer.map(|observer| (observer, Entry::New))));
    }
}

/// An offer that was accepted: whose the object was, and what comes of it.
pub(super) type Taking = BoxFuture<'static, (HypertyUrl, Result<Reporter, TakeOverError>)>;

/// Decides on an offer: accepts it, declines it, or keeps it undecided.
pub(super) fn decide(party: &Party, offer: Delegation, undecided: &mut Option<Delegation>) -> Option<Taking> {
    match party.seat.rng.below(10) {
        0..=6 => {
            let from = offer.reporter().clone();
            let accepting = offer.accept().observers(party.admission());
            return Some(Box::pin(async move { (from, accepting.await) }));
        }
        7 | 8 => offer.reject("no time"),
        // The one before is declined by that, this one by and by.
        _ => drop(undecided.replace(offer)),
    }
    None
}

/// What came of an offer that was accepted.
pub(super) fn taken(
    party: &Party,
    from: &HypertyUrl,
    taken: Result<Reporter, TakeOverError>,
) -> Result<Option<Reporter>, Violation> {
    match taken {
        Ok(board) => {
            owns(party, from.as_str(), &board)?;
            Ok(Some(board))
        }
        Err(error) => {
            party.seat.note(format!("{} has not got it from {from}: {error}", party.who));
            Ok(None)
        }
    }
}

/// Tells the judge that this one has the object, which its owner before had offered it.
pub(super) fn owns(party: &Party, from: &str, board: &Reporter) -> Result<(), Violation> {
    let (at, data, judge) = (board.position(), board.data(), &party.role.judge);
    party.seat.note(format!("{} has {} at {at}", party.who, board.url()));
    judge.did(Procedure::Delegate);
    judge.unsettle();
    judge.check(board.url(), |judge| {
        // What it was shown as an Observer is over.
        judge.unsubscribed(&party.who);
        match judge.is_owner(&party.who) {
            // It had given it away, to somebody who could not host it.
            true => judge.resumed(&party.who, at, &data),
            false => judge.delegated(from, &party.who, at, &data),
        }
    })
}
