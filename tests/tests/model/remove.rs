//! The Reporter sends observers away, and its list of them.

use std::collections::BTreeSet;

use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_syncher::RemoveError;

use crate::board::Board;
use crate::command::PARTIES;
use crate::system::{System, broken};

impl System {
    /// Removes an observer, or one who does not observe.
    pub(crate) async fn remove(&mut self, who: usize, number: usize) -> Result<(), Violation> {
        // Those who are on their way in are let in or turned away first, and what their Reporter was told is read.
        self.finish_pending().await?;
        let member = self.member(who);
        let (name, url) = (member.who(), member.hyperty.url().clone());
        let board = &mut self.boards[number];
        board.decide()?;
        let Some(reporter) = board.reporter.clone().filter(|_| !board.is_between()) else { return Ok(()) };
        if who != board.owner {
            board.reference.removing(&name);
            // From here on its operations are refused, if it is done.
            board.reference.children_uncertain(&name);
            board.undecided.retain(|request| request.hyperty() != &url);
        }
        let result = reporter.remove_observer(&url).await;
        board.was_removed(who, &name, result)
    }

    /// What was not kept by a disk is asked for again.
    pub(crate) async fn remove_again(&mut self) -> Result<(), Violation> {
        for number in 0..self.boards.len() {
            for who in 0..PARTIES {
                if self.boards[number].seats[who].leaving {
                    self.remove(who, number).await?;
                }
                let board = &self.boards[number];
                if board.seats[who].leaving && board.is_live() {
                    let detail = format!("cannot remove {} from {}", self.member(who).name, board.url);
                    return Err(broken(Invariant::I11, &board.owner_who, detail));
                }
            }
        }
        Ok(())
    }
}

impl Board {
    fn was_removed(
        &mut self,
        who: usize,
        name: &str,
        result: Result<(), RemoveError>,
    ) -> Result<(), Violation> {
        let seat = &mut self.seats[who];
        match result {
            Ok(()) if who == self.owner => {
                let detail = "removes itself, which does not observe".to_owned();
                return Err(broken(Invariant::I4, &self.owner_who, detail));
            }
            Ok(()) => {
                (seat.banned, seat.leaving, seat.by_invitation) = (true, false, false);
                self.reference.removed(name);
            }
            Err(RemoveError::NotObserving(_)) => seat.leaving = false,
            // It is done, but may be forgotten after a crash.
            Err(RemoveError::Refused { .. } | RemoveError::Timeout) => {
                (seat.banned, seat.leaving) = (true, true);
            }
            Err(RemoveError::Closed) if self.reference.is_deleting() => {}
            Err(error) => {
                let detail = format!("removing {name} fails with {error}");
                return Err(broken(Invariant::I7, &self.owner_who, detail));
            }
        }
        Ok(())
    }

    /// Once everything is mended, the Reporter's list of observers tells of those who observe, and of nobody else.
    pub(crate) fn settled_list(&self, whos: &[String]) -> Result<(), Violation> {
        let Some(reporter) = &self.reporter else { return Ok(()) };
        let list = reporter.observers();
        let away: BTreeSet<&str> =
            list.iter().filter(|entry| entry.away).map(|entry| entry.url.as_str()).collect();
        let listed: BTreeSet<&str> = list.iter().map(|entry| entry.url.as_str()).collect();
        let wrong = |who: &str, detail: &str| {
            Err(broken(Invariant::I11, who, format!("{detail} in the Reporter's list for {}", self.url)))
        };
        for (who, name) in whos.iter().enumerate() {
            let (listed, seat) = (listed.contains(name.as_str()), &self.seats[who]);
            match seat.watch.is_some() {
                true if self.reference.is_unheard(name) => {
                    return Err(broken(Invariant::I11, name, "has not heard that it was removed".to_owned()));
                }
                true if !listed => return wrong(name, "observes and is not"),
                true if away.contains(name.as_str()) => return wrong(name, "observes and is away"),
                // One that vanished keeps its place for a while.
                false if listed && !seat.unsure && !away.contains(name.as_str()) => {
                    return wrong(name, "does not observe and is");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
