//! The Reporter invites those who do not observe, and takes that back; the invited accept, decline or let it go (5.2).

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{HypertyUrl, ObjectUrl, StatusCode};
use hyperty_syncher::{Invitation, InviteAnswer, InviteError, Observer, RevokeError};

use super::observer::let_in_too_late;
use super::party::Party;
use super::procedures::Procedure;
use super::reporter::{Doing, Reporting};
use crate::reference::{Invariant, Violation};

/// The longest time that an invitation with an end holds.
const HOLDS_MAX: Duration = Duration::from_secs(60);

/// What an invitation allows.
enum Terms {
    Everything,
    /// No children of its own.
    NoChildren,
    Until(Duration),
    /// Nothing: it only tells of the object.
    Announcement,
}

/// Begins to invite one who does not observe; none if everybody does.
pub(super) fn invite(reporting: &Reporting) -> Option<Doing> {
    let (party, judge, board) = (reporting.party, Arc::clone(&reporting.judge), reporting.board.clone());
    let rng = &party.seat.rng;
    let there = board.observers();
    if !party.is_owner(board.url()) {
        return None; // It has not heard yet that another device has it.
    }
    let mut absent = judge.parties(board.url());
    absent.retain(|one| !party.is_twin(board.url(), one));
    absent.retain(|one| one.as_str() != party.who && !there.iter().any(|entry| entry.url == *one));
    let invitee = rng.pick(&absent)?.clone();
    let terms = match rng.below(10) {
        0..=5 => Terms::Everything,
        6 => Terms::NoChildren,
        7 | 8 => Terms::Until(rng.within(&(Duration::from_secs(1)..=HOLDS_MAX))),
        _ => Terms::Announcement,
    };
    let (seat, who, owner) = (party.seat.clone(), invitee.to_string(), party.clone());
    let odd = party.odd(board.url(), Invariant::I7, "");
    // One that has not heard yet that it was removed goes on as soon as this has arrived, to whatever end.
    let unheard = judge.of(board.url(), |judge| judge.is_unheard(&who)) == Some(true);
    let terms = if unheard { Terms::Everything } else { terms };
    judge.of(board.url(), |judge| match terms {
        Terms::Announcement => {}
        Terms::Everything if unheard => judge.granted(&who),
        _ => judge.maybe_granted(&who),
    });
    if matches!(terms, Terms::NoChildren) {
        judge.childless(&who);
    }
    Some(Box::pin(async move {
        let invite = board.invite([invitee]);
        // The answers are told as events, also after a crash.
        let invited = match terms {
            Terms::Everything => invite.await,
            Terms::NoChildren => invite.children(false).await,
            Terms::Until(end) => invite.until(end).await,
            Terms::Announcement => invite.announce().await,
        };
        seat.note(format!("invites {who}: {:?}", invited.as_ref().map(drop)));
        match invited {
            Ok(_) => {
                judge.did(Procedure::Invite);
                // One with an end may have ended by the time it is used, and that of a former owner holds for nobody.
                if owner.is_owner(board.url()) && matches!(terms, Terms::Everything | Terms::NoChildren) {
                    judge.of(board.url(), |judge| judge.granted(&who));
                }
                Ok(())
            }
            Err(InviteError::Refused { .. } | InviteError::Timeout | InviteError::Closed) => Ok(()),
            Err(error) => Err(Violation { detail: format!("inviting {who} fails with {error}"), ..odd }),
        }
    }))
}

/// Begins to take back what one who does not observe was granted.
pub(super) fn revoke(reporting: &Reporting) -> Option<Doing> {
    let (party, judge, board) = (reporting.party, Arc::clone(&reporting.judge), reporting.board.clone());
    let there = board.observers();
    if !party.is_owner(board.url()) {
        return None;
    }
    let mut absent = judge.restricted(board.url());
    absent.retain(|one| one.as_str() != party.who && !there.iter().any(|entry| entry.url == *one));
    let who = party.seat.rng.pick(&absent)?.clone();
    let odd = party.odd(board.url(), Invariant::I7, "");
    let (seat, owner) = (party.seat.clone(), party.clone());
    Some(Box::pin(async move {
        let revoked = board.revoke(who.as_url()).await;
        seat.note(format!("takes back what {who} was granted: {revoked:?}"));
        match revoked {
            Ok(()) => {
                judge.did(Procedure::Revoke);
                judge.ungranted(board.url(), who.as_str(), owner.is_owner(board.url()));
            }
            Err(RevokeError::Observing | RevokeError::NotGranted) => {}
            // It is gone for now, and may be back after a crash.
            Err(RevokeError::Refused { .. } | RevokeError::Timeout) => {
                judge.ungranted(board.url(), who.as_str(), false);
            }
            Err(error) => {
                let detail = format!("taking back what {who} was granted fails with {error}");
                return Err(Violation { detail, ..odd });
            }
        }
        Ok(())
    }))
}

/// The Reporter hears what an invited one has said.
pub(super) fn answered(party: &Party, url: &ObjectUrl, answer: &InviteAnswer) {
    let InviteAnswer { invitee, code, .. } = answer;
    party.seat.note(format!("{invitee} answers the invitation to {url}: {code}"));
    match *code {
        StatusCode::DECLINED => party.role.judge.ungranted(url, invitee.as_str(), false),
        code if code.is_success() => party.role.judge.let_in(invitee.as_str()),
        _ => {}
    }
}

/// Decides on an invitation: the observation, if it is accepted and comes about.
pub(super) async fn decide(party: &Party, invitation: Invitation) -> Option<Observer> {
    let url = invitation.object().clone();
    let me: &HypertyUrl = party.hyperty.url();
    match party.seat.rng.below(10) {
        0..=5 => {
            let may = || party.role.judge.of(&url, |judge| judge.may_be_let_in(&party.who)) == Some(true);
            party.role.judge.of(&url, |judge| judge.asks(&party.who));
            let could = may();
            match invitation.accept().store(true).await {
                Ok(observer) if could && !may() => let_in_too_late(party, &observer).await,
                Ok(observer) => return Some(observer),
                Err(error) => party.seat.note(format!("{me} cannot follow the invitation to {url}: {error}")),
            }
        }
        6 | 7 => {
            // Whether it still holds is for the Reporter's side to hear.
            party.role.judge.ungranted(&url, me.as_str(), false);
            invitation.decline("not now");
        }
        // Nobody has decided: what it grants stays.
        _ => drop(invitation),
    }
    None
}
