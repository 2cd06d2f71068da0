//! After each step all that anybody was told and holds is held against the reference.

use futures_util::FutureExt;
use hyperty_conformance::reference::{ChildSeen, Followed, Invariant, Violation, children_of};
use hyperty_syncher::ChildrenHandle;
use tokio::task::unconstrained;

use crate::board::{Board, Watch};
use crate::children;
use crate::command::PARTIES;
use crate::system::{System, broken};

impl System {
    pub(crate) fn look(&mut self) -> Result<(), Violation> {
        self.read_invitations();
        self.read_offers();
        self.decide()?;
        self.take_answers()?;
        self.find_owners()?;
        let whos: Vec<String> = (0..PARTIES).map(|who| self.member(who).who()).collect();
        let awake: Vec<bool> = (0..PARTIES).map(|who| !self.member(who).dozes).collect();
        let keeps: Vec<bool> = (0..PARTIES).map(|who| self.member(who).keeps()).collect();
        for board in &mut self.boards {
            board.take_commits()?;
            board.take_operations(&whos)?;
            board.look_at_formers(&awake)?;
            board.look_at_the_reporter(keeps[board.owner])?;
            for who in 0..PARTIES {
                board.look_at(who, &whos[who], awake[who], keeps[who])?;
            }
        }
        Ok(())
    }
}

impl Board {
    fn look_at_the_reporter(&mut self, keeps: bool) -> Result<(), Violation> {
        self.hopeless.retain_mut(|commit| unconstrained(commit).now_or_never().is_none());
        if !self.hopeless.is_empty() {
            return Ok(());
        }
        let Some(reporter) = &self.reporter else { return Ok(()) };
        if reporter.is_closed() && self.is_between() {
            return Ok(()); // It was given away after nobody waited for that any more.
        }
        // What is shown while a disk fails is undone or not, which is seen when the object is resumed.
        if self.reference.is_deleting() || !keeps || !self.reference.is_owner(&self.owner_who) {
            return Ok(());
        }
        let (owner, at) = (&self.owner_who, reporter.position());
        reporter.with_data(|data| self.reference.owner_holds(owner, at, data))?;
        let list = all_children(|name| reporter.children(name).ok());
        self.reference.holds_children(owner, &list)
    }

    fn look_at(&mut self, who: usize, name: &str, awake: bool, keeps: bool) -> Result<(), Violation> {
        let Some(watch) = &mut self.seats[who].watch else { return Ok(()) };
        let Watch { observer, follower } = watch;
        let mut ended = false;
        while awake && !ended {
            match observer.next_event().now_or_never() {
                None => break,
                Some(None) => {
                    return Err(broken(
                        Invariant::I7,
                        name,
                        "an observation ended without a word".to_owned(),
                    ));
                }
                Some(Some(event)) => {
                    ended = matches!(follower.take(event, &mut self.reference)?, Followed::Ended(_));
                }
            }
        }
        if ended {
            self.reference.children_uncertain(name);
            // A disk that hangs or fails does not keep that it ended.
            self.seats[who].clear(!keeps);
            return Ok(());
        }
        let at = observer.position();
        if awake {
            let equal = observer.with_data(|data| data == follower.data());
            if at.version != follower.position().version || !equal {
                let detail = format!(
                    "the copy is {} at {at}, the events make {} at {}",
                    observer.data(),
                    follower.data(),
                    follower.position()
                );
                return Err(broken(Invariant::I2, name, detail));
            }
        }
        observer.with_data(|data| self.reference.holds(name, at, data))?;
        let list = all_children(|children| observer.children(children).ok());
        self.reference.holds_children(name, &list)
    }
}

/// The children of all names.
pub(crate) fn all_children(handle: impl Fn(&str) -> Option<ChildrenHandle>) -> Vec<ChildSeen> {
    children::NAMES.iter().filter_map(|name| handle(name)).flat_map(|handle| children_of(&handle)).collect()
}
