//! The end of each case: everything is mended, and then all must agree (I11) and nothing be left over (I10).

use std::time::Duration;

use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_conformance::world::Link;
use tokio::time::Instant;

use crate::command::{Admission, PARTIES, Reply, Verdict};
use crate::look::all_children;
use crate::member::Member;
use crate::system::{NAMES, System, broken};

/// Within this time after everything is mended all copies are equal. A connection comes back within seconds; the
/// longest wait is that of a repair or a beat that failed at growing intervals.
const HEALED: Duration = Duration::from_secs(180);

/// Within this time after everything was given up the node holds nothing of it. What could not be told at the time
/// is tried again once a minute.
const CLEARED: Duration = Duration::from_secs(180);

impl System {
    pub(crate) async fn settle(&mut self) -> Result<(), Violation> {
        self.mend().await?;
        self.until(HEALED, Invariant::I11, System::difference).await?;
        self.all_observe().await?;
        self.create_again();
        self.until(HEALED, Invariant::I11, System::difference).await?;
        self.give_up().await?;
        self.until(CLEARED, Invariant::I10, System::left_over).await?;
        self.nothing_is_kept().await
    }

    /// Who starts once more finds nothing of what is deleted in its store.
    async fn nothing_is_kept(&mut self) -> Result<(), Violation> {
        for (who, name) in NAMES.into_iter().enumerate() {
            let unsure: Vec<bool> = self.boards.iter().map(|board| board.seats[who].unsure).collect();
            let (_, disk) = self.members[who].take().expect("there is a runtime between steps").crash();
            let member = Member::start(&self.world, name, disk, &self.shelf).await;
            let resumed = member.hyperty.resumed();
            let observed = resumed.observers.iter().map(|observer| observer.url().clone());
            let reported = resumed.reporters.iter().map(|reporter| reporter.url().clone());
            for url in observed.chain(reported) {
                // Where it did not hear that it has left, it may still be at it.
                let at = self.boards.iter().position(|board| board.url == url);
                if !at.is_some_and(|at| unsure[at]) {
                    return Err(broken(Invariant::I10, name, format!("still has {url}, which is deleted")));
                }
            }
            self.members[who] = Some(member);
        }
        Ok(())
    }

    async fn mend(&mut self) -> Result<(), Violation> {
        self.start_node();
        for (who, name) in NAMES.into_iter().enumerate() {
            self.world.set_link(name, Link::Up);
            let member = self.members[who].as_mut().expect("there is a runtime between steps");
            (member.held, member.dozes, member.reply) = (false, false, Reply::Ignore);
            member.gift = Reply::Decline;
            member.offers.clear();
            member.tables.thaw();
        }
        for who in self.with_bad_disks() {
            self.crash(&[who]).await?;
        }
        for board in &mut self.boards {
            board.undecided.clear();
            board.undecided_reads.clear();
        }
        // Those that lost their connection just now notice it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        for member in self.members.iter().flatten() {
            if tokio::time::timeout(HEALED, member.runtime.connected()).await.is_err() {
                let detail = "is not connected again".to_owned();
                return Err(broken(Invariant::I11, member.name, detail));
            }
        }
        self.finish_pending().await?;
        self.end_offers().await?;
        self.remove_again().await?;
        self.look()
    }

    /// Whatever was begun and not answered comes to its end: claims are made again until they are answered.
    async fn end_offers(&mut self) -> Result<(), Violation> {
        if self.boards.iter().any(|board| board.reference.has_heirs() || board.reporter.is_none()) {
            self.pause(HEALED).await?;
            self.inherit_again().await?;
            for board in self.boards.iter_mut().filter(|board| board.reporter.is_some()) {
                board.reference.no_heirs();
            }
        }
        Ok(())
    }

    /// Looks until there is nothing to find any more.
    async fn until(
        &mut self,
        limit: Duration,
        invariant: Invariant,
        find: fn(&mut System) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(10);
        loop {
            self.look()?;
            match find(self) {
                Ok(()) => return Ok(()),
                Err(violation) if violation.invariant != invariant || Instant::now() > deadline => {
                    return Err(violation);
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// What is not yet as it is to be.
    fn difference(&mut self) -> Result<(), Violation> {
        let whos: Vec<String> = (0..PARTIES).map(|who| self.member(who).who()).collect();
        for board in &mut self.boards {
            let Some(reporter) = board.reporter.clone().filter(|_| !board.reference.is_deleting()) else {
                if !board.reference.is_deleting() {
                    let detail = format!("nobody reports {}", board.url);
                    return Err(broken(Invariant::I11, &board.owner_who, detail));
                }
                let Some(who) = board.seats.iter().position(|seat| seat.watch.is_some()) else { continue };
                if board.reference.is_deleted() {
                    let detail = "has not heard of the deletion".to_owned();
                    return Err(broken(Invariant::I11, &whos[who], detail));
                }
                continue;
            };
            if let Some(made) = board.commits.first() {
                return Err(broken(Invariant::I11, &made.by, format!("{} is not committed", made.at)));
            }
            if let Some(former) = board.formers.first() {
                let detail = format!("has not heard that {} is another's", board.url);
                return Err(broken(Invariant::I11, &former.name, detail));
            }
            let reporters = all_children(|name| reporter.children(name).ok());
            board.reference.settled_children(&board.owner_who, &reporters, &reporters)?;
            board.settled_list(&whos)?;
            for (who, seat) in board.seats.iter().enumerate() {
                let Some(watch) = &seat.watch else { continue };
                let observer = &watch.observer;
                if observer.state() != hyperty_syncher::ObserverState::Live {
                    let detail = format!("is {:?} for {}", observer.state(), board.url);
                    return Err(broken(Invariant::I11, &whos[who], detail));
                }
                board.reference.settled(&whos[who], observer.position(), &observer.data())?;
                let list = all_children(|name| observer.children(name).ok());
                board.reference.settled_children(&whos[who], &list, &reporters)?;
            }
        }
        Ok(())
    }

    /// Who does not observe and may finds the same as who does; what is deleted is nowhere.
    async fn all_observe(&mut self) -> Result<(), Violation> {
        for number in 0..self.boards.len() {
            for (who, name) in NAMES.into_iter().enumerate() {
                if who == self.boards[number].owner {
                    continue;
                }
                if self.boards[number].is_live() {
                    self.boards[number].admission = Admission::All;
                    self.boards[number].admit();
                }
                if self.boards[number].seats[who].banned && self.boards[number].is_live() {
                    self.invite(who, number, false, Reply::Ignore).await?;
                }
                self.subscribe(who, number, Verdict::Accept, true).await?;
                let board = &self.boards[number];
                if board.is_live() && board.seats[who].watch.is_none() {
                    let detail = format!("cannot observe {}: {:?}", board.url, board.seats[who].refusal);
                    return Err(broken(Invariant::I11, name, detail));
                }
            }
        }
        Ok(())
    }

    /// Everybody ends what it has: some observe no more, then all objects are deleted.
    async fn give_up(&mut self) -> Result<(), Violation> {
        for number in 0..self.boards.len() {
            self.unsubscribe(number % PARTIES, number).await?;
            self.delete(number).await?;
            let board = &self.boards[number];
            if board.reporter.is_some() && !board.reference.is_deleted() {
                return Err(broken(Invariant::I11, &board.owner_who, format!("cannot delete {}", board.url)));
            }
        }
        self.until(HEALED, Invariant::I11, System::difference).await
    }

    fn left_over(&mut self) -> Result<(), Violation> {
        self.baseline.holds("the node", &self.held_at_the_node())
    }
}
