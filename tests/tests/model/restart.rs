//! Runtimes that stop, hard or in good order, and start again over what their disks kept.

use std::collections::BTreeSet;

use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_storage::MemoryTables;

use crate::command::PARTIES;
use crate::hands::Former;
use crate::member::Member;
use crate::subscribe::Request;
use crate::system::{System, broken};

impl System {
    /// These runtimes stop hard at once, and start again.
    pub(crate) async fn crash(&mut self, parties: &[usize]) -> Result<(), Violation> {
        for who in parties {
            self.leave(*who, self.member(*who).keeps());
        }
        let mut disks = Vec::new();
        for who in parties {
            let member = self.members[*who].take().expect("there is a runtime between steps");
            disks.push((*who, member.crash()));
        }
        for (who, (name, disk)) in disks {
            self.start(who, name, disk).await?;
        }
        Ok(())
    }

    /// This runtime stops in good order, and starts again.
    pub(crate) async fn restart(&mut self, who: usize) -> Result<(), Violation> {
        self.leave(who, !self.member(who).failing);
        let member = self.members[who].take().expect("there is a runtime between steps");
        let (name, disk) = member.shut_down().await;
        self.start(who, name, disk).await
    }

    /// What goes with a runtime; `kept` tells whether its disk has all that was done so far.
    pub(crate) fn leave(&mut self, who: usize, kept: bool) {
        let name = self.member(who).who();
        let pending = std::mem::take(&mut self.pending);
        for pending in pending {
            if pending.who != who {
                self.pending.push(pending);
                continue;
            }
            match pending.request {
                Request::Subscribe { task, .. } => {
                    task.abort();
                    self.boards[pending.board].seats[who].unsure = true;
                }
                Request::Read(task) => task.abort(),
                Request::Action(_, task) => task.abort(),
                Request::Give { task, .. } => {
                    task.abort();
                    // If it was given it goes on as an observer.
                    self.boards[pending.board].seats[who].unsure = true;
                }
                Request::Take(task) => task.abort(),
            }
        }
        for board in &mut self.boards {
            for operation in board.operations.extract_if(.., |operation| operation.who == who) {
                if operation.read_only {
                    board.reference.child_uncertain(&operation.id); // refused later, without a word
                }
            }
            board.commits.retain(|made| made.by != name);
            if board.owner == who {
                // What the Reporter had not been answered may be gone.
                board.reference.children_uncertain(&name);
                board.undecided.clear();
                board.undecided_reads.clear();
            } else if !kept {
                board.reference.children_uncertain(&name);
            }
        }
    }

    pub(crate) async fn start(
        &mut self,
        who: usize,
        name: &'static str,
        disk: MemoryTables,
    ) -> Result<(), Violation> {
        let mut was_reported = Vec::new();
        for board in &mut self.boards {
            board.formers.retain(|former| former.who != who);
            was_reported.push(board.owner == who && board.reporter.take().is_some());
        }
        let member = Member::start(&self.world, name, disk, &self.shelf).await;
        self.members[who] = Some(member);
        self.reporters_are_back(who, &was_reported)?;
        self.observers_are_back(who).await
    }

    fn reporters_are_back(&mut self, who: usize, was_reported: &[bool]) -> Result<(), Violation> {
        let resumed = self.member(who).hyperty.resumed().reporters.clone();
        let name = self.member(who).who();
        for (board, was_reported) in self.boards.iter_mut().zip(was_reported) {
            let back = resumed.iter().find(|reporter| *reporter.url() == board.url);
            match back {
                Some(reporter) if board.owner == who => {
                    board.reference.resumed(&name, reporter.position(), &reporter.data())?;
                    board.reporter = Some(reporter.clone());
                    board.admit();
                }
                Some(reporter) if board.is_heir(who, &name, reporter) => {
                    board.hand_to(who, &name, reporter.clone())?;
                }
                Some(reporter) => {
                    board.reference.resumed(&name, reporter.position(), &reporter.data())?;
                    board.formers.push(Former::new(who, name.clone(), reporter.clone()));
                }
                // It is given, or taken, and whoever has it finds that it has.
                None if *was_reported && board.is_between() && !board.reference.is_deleting() => {}
                None if *was_reported => board.reference.vanished(&name)?,
                None => {}
            }
        }
        Ok(())
    }

    async fn observers_are_back(&mut self, who: usize) -> Result<(), Violation> {
        let (name, resumed) = (self.member(who).who(), self.member(who).hyperty.resumed().observers.clone());
        let known: BTreeSet<_> = self.boards.iter().map(|board| board.url.clone()).collect();
        if let Some(unknown) = resumed.iter().find(|observer| !known.contains(observer.url())) {
            let detail = format!("{} is resumed, and was never observed", unknown.url());
            return Err(broken(Invariant::I8, &name, detail));
        }
        for board in &mut self.boards {
            let unsure = std::mem::take(&mut board.seats[who].unsure);
            let watched = board.seats[who].clear(false).is_some();
            let back = resumed.iter().find(|observer| *observer.url() == board.url);
            match (back, watched, unsure) {
                (None, false, _) => {}
                (Some(observer), true, _) => {
                    let at = observer.position();
                    board.reference.came_back(&name, at, &observer.data())?;
                    board.seat(who, &name, observer.clone());
                }
                // Nobody knows that it observes, or it wanted to end that: it is ended now.
                (Some(observer), false, true) => {
                    board.seats[who].unsure = observer.unsubscribe().await.is_err();
                }
                (Some(observer), false, false) => {
                    let at = observer.position();
                    board.reference.came_back(&name, at, &observer.data())?;
                    let detail = format!("{} is resumed, and was not observed", board.url);
                    return Err(broken(Invariant::I4, &name, detail));
                }
                (None, true, _) if board.reference.is_deleting() => {}
                // Told at once that it was removed.
                (None, true, _) if !board.reference.serves(&name) => {
                    board.reference.saw_removed(&name)?;
                }
                (None, true, _) => {
                    let detail = format!("the observation of {} is not resumed", board.url);
                    return Err(broken(Invariant::I6, &name, detail));
                }
            }
        }
        Ok(())
    }

    /// All parties whose disk has failed or hangs.
    pub(crate) fn with_bad_disks(&self) -> Vec<usize> {
        (0..PARTIES).filter(|who| self.member(*who).failing).collect()
    }
}
