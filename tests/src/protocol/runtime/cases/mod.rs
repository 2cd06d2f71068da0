//! The cases for a runtime, one file for each procedure.

mod actions;
mod children;
mod children_answers;
mod children_received;
mod creation;
mod delegation;
mod delegation_taker;
mod deletion;
mod finding;
mod gift;
mod input;
mod invitation;
mod large;
mod leaving;
mod left;
mod listening;
mod observing;
mod ordering;
mod random;
mod reading;
mod removal;
mod resume;
mod resume_observers;
mod resume_unfinished;
mod speaking;
mod subscription;
mod takeover;
mod updates;

use super::scene::Subject;
use crate::protocol::Case;

/// One case: its id, the invariants that it checks (the main one first), what it needs, and the function that does
/// it.
macro_rules! case {
    ($id:literal, [$($invariant:literal),+], [$($need:ident),*], $run:path) => {
        Case {
            id: $id,
            invariants: &[$($invariant),+],
            needs: &[$($crate::protocol::Capability::$need),*],
            run: |stage| {
                Box::pin(async move {
                    let mut scene = $crate::protocol::runtime::Scene::set(stage).await?;
                    let verdict = $run(&mut scene).await;
                    scene.finish(verdict).await
                })
            },
        }
    };
}
use case;

/// The cases for a runtime.
pub fn cases() -> Vec<Case<Subject>> {
    [
        creation::cases(),
        invitation::cases(),
        subscription::cases(),
        observing::cases(),
        updates::cases(),
        ordering::cases(),
        reading::cases(),
        large::cases(),
        leaving::cases(),
        left::cases(),
        removal::cases(),
        actions::cases(),
        deletion::cases(),
        children::cases(),
        children_answers::cases(),
        delegation::cases(),
        delegation_taker::cases(),
        resume::cases(),
        takeover::cases(),
        listening::cases(),
        finding::cases(),
        input::cases(),
        speaking::cases(),
        random::cases(),
    ]
    .concat()
}
