//! I7, INV-MSG-1: one final answer for each request, in its time, whatever fails meanwhile. Every kind of request meets
//! every failure, on either side, at several moments; each of them has a world of its own, which goes on afterwards.
//!
//! A quick run tries two moments for each kind of request and failure. The level of a change tries all where a side
//! fails and the message is short, the nightly one all of them.

mod ask;
mod failures;
mod raw;
mod scene;
mod wire;

use std::time::Duration;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::reference::{Answers, Violation};
use tokio::time::{sleep, timeout};

use ask::Ask;
use failures::{Failure, Moment, Who, failures};
use scene::Scene;
use wire::Wire;

/// Longer than anything that was sent may still be under way once all is well again.
const AFTERMATH: Duration = Duration::from_secs(90);

/// One request that meets one failure; how it was answered.
async fn play(ask: Ask, failure: Failure, moment: Moment) -> Result<String, Violation> {
    let scene = Scene::new(ask, level::seed()).await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let wires = [Wire::of(alice, bob), Wire::of(bob, alice)];
    scene.decide(failure);
    let request = format!("{ask:?}, {failure:?} at {moment:?}");
    let mut answers = Answers::new();
    if moment == Moment::Before {
        scene.fail(ask, failure);
    }
    answers.asked(&request)?;
    let mut waiting = tokio::spawn(scene.ask(ask));
    match moment {
        Moment::Before => {}
        Moment::Turns(turns) => {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
        Moment::Millis(millis) => sleep(Duration::from_millis(millis)).await,
    }
    if moment != Moment::Before {
        scene.fail(ask, failure);
    }
    if failure == Failure::Cancelled {
        waiting.abort();
    }
    let mut how = timeout(ask.deadline(), &mut waiting).await;
    scene.mend(failure);
    if how.is_err() && failure == Failure::DiskFreezes(Who::Asker) && ask.waits_for_the_disk() {
        how = timeout(ask.deadline(), &mut waiting).await;
    }
    let how = match how {
        Ok(Err(error)) if error.is_cancelled() => "cancelled".to_owned(),
        Ok(how) => how.expect("no request panics"),
        Err(_) => String::new(),
    };
    if !how.is_empty() {
        answers.answered(&request, &how)?;
    }
    sleep(AFTERMATH).await;
    for wire in &wires {
        if let Some(violation) = wire.counted.lock().broken.take() {
            return Err(Violation { detail: format!("{request}: {}", violation.detail), ..violation });
        }
    }
    if failure == Failure::Nothing && ask.is_counted() {
        let counted = wires[usize::from(ask.is_of_observer())].counted.lock();
        assert!(counted.times.values().any(|times| times.sent > 0), "{request}: nothing was counted");
        counted.answers.finished()?;
    }
    answers.finished()?;
    assert!(
        scene.goes_on(ask, failure).await,
        "HYPERTY_SEED={} {request}: the stream beside it stands still",
        level::seed()
    );
    Ok(how)
}

/// A row of the table: a request meets every failure.
async fn row(ask: Ask) {
    let mut broken = Vec::new();
    let mut cells = 0;
    for (number, (failure, moments)) in failures().into_iter().enumerate() {
        let picked = 1 + (number + ask as usize) % (moments.len() - 1);
        let is_brief = match Level::of_run() {
            Level::Quick => true,
            Level::Change => !failure.is_of_a_side() || ask.is_large(),
            Level::Nightly => false,
        };
        for (index, moment) in moments.iter().copied().enumerate() {
            if is_brief && index != 0 && index != picked {
                continue;
            }
            cells += 1;
            match play(ask, failure, moment).await {
                Ok(how) if failure == Failure::Nothing => assert_eq!(how, "yes", "{ask:?}"),
                Ok(how) => println!("{ask:?}, {failure:?} at {moment:?}: {how}"),
                Err(violation) => broken.push(violation.to_string()),
            }
        }
    }
    println!("{ask:?}: {cells} cells");
    assert!(broken.is_empty(), "HYPERTY_SEED={}\n{}", level::seed(), broken.join("\n"));
}

macro_rules! rows {
    ($($name:ident: $ask:ident,)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            row(Ask::$ask).await;
        }
    )*};
}

rows! {
    a_deployment_is_answered_once_i7: Deploy,
    a_creation_is_answered_once_i7: Create,
    a_creation_without_a_store_is_answered_once_i7: CreateUnstored,
    a_change_is_answered_once_i7: Change,
    a_deletion_is_answered_once_i7: Delete,
    a_child_of_the_reporters_own_is_answered_once_i7: AddOwnChild,
    an_invitation_is_answered_once_i7: Invite,
    an_invited_hyperty_has_a_last_word_i7: InviteAnswer,
    a_revocation_is_answered_once_i7: Revoke,
    a_removal_is_answered_once_i7: RemoveObserver,
    a_delegation_is_answered_once_i7: Delegate,
    a_resume_is_answered_once_i7: Resume,
    a_resume_by_criteria_is_answered_once_i7: ResumeBy,
    a_subscription_is_answered_once_i7: Subscribe,
    a_read_is_answered_once_i7: Read,
    a_large_read_is_answered_once_i7: ReadLarge,
    a_large_subscription_is_answered_once_i7: SubscribeLarge,
    an_unsubscription_is_answered_once_i7: Unsubscribe,
    a_new_child_is_answered_once_i7: AddChild,
    a_change_of_a_child_is_answered_once_i7: ChangeChild,
    a_deletion_of_a_child_is_answered_once_i7: DeleteChild,
    an_accepted_invitation_is_answered_once_i7: AcceptInvitation,
    an_accepted_delegation_is_answered_once_i7: AcceptDelegation,
    an_action_is_answered_once_i7: Request,
    a_search_is_answered_once_i7: Discover,
}
