//! The Reporter gives its object away, and former Reporters.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_model::{HypertyUrl, Position};
use hyperty_syncher::{Commit, DelegateError, Observer, Reporter, ReporterEvent, TakeOverError};
use serde_json::{Value, json};

use crate::board::{Board, Watch};
use crate::command::{Heir, PARTIES, Reply};
use crate::machine::is_told;
use crate::subscribe::{Pending, Request};
use crate::system::{System, broken};

/// One who reported an object that was taken over, and has not heard.
pub(crate) struct Former {
    pub(crate) who: usize,
    pub(crate) name: String,
    pub(crate) reporter: Reporter,
    /// What it has written since, and whether that was acknowledged.
    writes: Vec<(String, Commit)>,
    acknowledged: BTreeSet<String>,
}

/// An offer that has an answer.
pub(crate) struct Given<'a> {
    pub(crate) to: &'a str,
    /// Whether it could come to something.
    pub(crate) can_be: bool,
    /// Whether those of the same object that were made before have an answer as well.
    pub(crate) is_first: bool,
}

impl System {
    pub(crate) async fn delegate(
        &mut self,
        number: usize,
        to: Heir,
        reply: Reply,
        wait: bool,
    ) -> Result<(), Violation> {
        let url = match to {
            Heir::Party(to) => {
                let member = self.members[to].as_mut().expect("there is a runtime between steps");
                member.gift = reply;
                member.hyperty.url().clone()
            }
            Heir::Nobody => HypertyUrl::parse("hyperty://example.com/nobody").expect("the URL of a hyperty"),
        };
        let board = &mut self.boards[number];
        let Some(reporter) = board.reporter.clone() else { return Ok(()) };
        let (who, was_there) = (board.owner, !board.reference.is_deleted());
        let to_itself = url.as_str() == board.owner_who;
        let can_be = !to_itself && board.reference.is_owner(&board.owner_who);
        if can_be {
            let owner = board.owner_who.clone();
            board.reference.offered(&owner, url.as_str())?;
            // Given away, it goes on as an observer; the new owner may hear of that first.
            board.reference.maybe_granted(&owner);
        }
        let name = url.to_string();
        let task = tokio::spawn(async move { reporter.delegate(&url).await });
        let request = Request::Give { to: name, can_be, task };
        self.pending.push(Pending { who, board: number, was_there, request });
        if wait { self.finish_pending().await } else { Ok(()) }
    }

    /// Whether this party has offered the object, and has no answer.
    pub(crate) fn is_given_by(&self, who: usize, number: usize) -> bool {
        let gives = |pending: &Pending| pending.who == who && matches!(pending.request, Request::Give { .. });
        self.pending.iter().any(|pending| pending.board == number && gives(pending))
    }

    /// The applications of those who are awake answer the offers that have come.
    pub(crate) fn read_offers(&mut self) {
        for who in 0..PARTIES {
            let Some(member) = self.members[who].as_mut().filter(|member| !member.dozes) else { continue };
            let mut offers = member.hyperty.delegations();
            while let Some(Some(offer)) = offers.next().now_or_never() {
                let board = self.boards.iter().position(|board| board.url == *offer.object());
                match (member.gift, board) {
                    (Reply::Accept, Some(board)) => {
                        let was_there = !self.boards[board].reference.is_deleted();
                        let accept = offer.accept().into_future();
                        let request = Request::Take(tokio::spawn(accept));
                        self.pending.push(Pending { who, board, was_there, request });
                    }
                    (Reply::Decline, _) => offer.reject("not now"),
                    _ => member.offers.push(offer),
                }
            }
        }
    }

    /// What became of an offer, as its Reporter was told.
    pub(crate) fn was_given(
        &mut self,
        who: usize,
        number: usize,
        Given { to, can_be, is_first }: Given<'_>,
        answer: Result<Observer, DelegateError>,
    ) -> Result<(), Violation> {
        let name = self.member(who).who();
        let board = &mut self.boards[number];
        if is_told() {
            eprintln!("  {name} is told of {}: {answer:?}", board.url);
        }
        let mut observer = match answer {
            Ok(observer) => observer,
            // Whose it is is seen by who has it; if it was given, this one observes when it is resumed.
            Err(DelegateError::Timeout | DelegateError::Stopped) => {
                board.seats[who].unsure |= board.seats[who].watch.is_none();
                return Ok(());
            }
            Err(error @ (DelegateError::Malformed(_) | DelegateError::Listen(_))) => {
                return Err(broken(Invariant::I7, &name, format!("giving to {to} fails with {error}")));
            }
            Err(_) if can_be => {
                board.reference.offer_over(to);
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        // One offer at a time (protocol 5.11): the one before may have had its end just before this one was made.
        if !can_be || !is_first {
            return Err(broken(Invariant::I5, &name, format!("gave {} to {to}, which cannot be", board.url)));
        }
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        board.reference.gave_away(&name);
        board.reference.joined(&name, at, &snapshot.data)?;
        board.reference.deposed(&name)?;
        if board.owner == who {
            board.reporter = None; // whoever has it finds that it has
        }
        board.seat(who, &name, observer);
        Ok(())
    }

    /// What became of an offer, as who accepted it was told.
    pub(crate) fn was_taken(
        &mut self,
        who: usize,
        number: usize,
        answer: Result<Reporter, TakeOverError>,
    ) -> Result<(), Violation> {
        let name = self.member(who).who();
        if is_told() {
            eprintln!("  {name} is told of {}: {answer:?}", self.boards[number].url);
        }
        match answer {
            Ok(reporter) => self.boards[number].hand_to(who, &name, reporter),
            // Its Reporter is told the same, or both find out.
            Err(TakeOverError::Refused { .. } | TakeOverError::Timeout | TakeOverError::Stopped) => Ok(()),
            Err(error) => Err(broken(Invariant::I7, &name, format!("taking an offer fails with {error}"))),
        }
    }

    /// Whoever may have become the Reporter of an object finds out by itself.
    pub(crate) fn find_owners(&mut self) -> Result<(), Violation> {
        for number in 0..self.boards.len() {
            if !self.boards[number].is_between() {
                continue;
            }
            for who in 0..PARTIES {
                let member = self.member(who);
                let reporters = member.hyperty.reporters().into_iter();
                let mut found =
                    reporters.filter(|it| *it.url() == self.boards[number].url && !it.is_closed());
                let (name, found) = (member.who(), found.next());
                let Some(reporter) = found else { continue };
                let board = &mut self.boards[number];
                if who == board.owner {
                    // Given away, it came back: the other could not have it.
                    if board.reporter.is_none() {
                        board.reference.resumed(&name, reporter.position(), &reporter.data())?;
                        board.adopt(who, &name, reporter)?;
                    }
                    continue;
                }
                if board.is_heir(who, &name, &reporter) {
                    self.boards[number].hand_to(who, &name, reporter)?;
                }
            }
        }
        Ok(())
    }

    /// Former Reporters go on, until they hear.
    pub(crate) fn former_writes(&mut self, number: usize) {
        let Board { reference, formers, .. } = &mut self.boards[number];
        for former in formers {
            self.forged += 1;
            let marker = format!("former-{}", self.forged);
            reference.overruled(&marker);
            former.writes.push((marker.clone(), former.reporter.set("a", json!(marker))));
        }
    }
}

impl Board {
    /// Whether it is not known, or not by everybody, whose the object is.
    pub(crate) fn is_between(&self) -> bool {
        self.reference.has_heirs() || !self.reference.is_owner(&self.owner_who) || self.reporter.is_none()
    }

    /// Whether a takeover was begun of which nobody knows what came of it. If it is finished later it goes on from the
    /// copy with which it was begun; what its owner does meanwhile it will be told to be lost.
    pub(crate) fn is_being_taken(&self) -> bool {
        self.taken_by.is_some() && self.reference.has_heirs()
    }

    /// Whether this party may report it, or have reported it a moment ago.
    pub(crate) fn may_report(&self, who: usize) -> bool {
        who == self.owner || self.is_between() || self.formers.iter().any(|former| former.who == who)
    }

    /// Whether who is back as a Reporter has become it, and is no former one.
    pub(crate) fn is_heir(&self, who: usize, name: &str, reporter: &Reporter) -> bool {
        let is_new = reporter.position().epoch > self.reference.latest().epoch;
        is_new && self.is_between() || self.reference.is_owner(name) && self.owner != who
    }

    /// The object is this party's from here on: by the way that the reference expects.
    pub(crate) fn hand_to(&mut self, who: usize, name: &str, reporter: Reporter) -> Result<(), Violation> {
        if who == self.owner && self.reporter.is_some() {
            return Ok(()); // found before it was told
        }
        let (at, data, former) = (reporter.position(), reporter.data(), self.owner_who.clone());
        if is_told() {
            eprintln!("  {} has {} at {at}, before {former}", name, self.url);
        }
        match self.taken_by == Some(who) {
            true => self.reference.took_over(name, at, &data)?,
            false => self.reference.delegated(&former, name, at, &data)?,
        }
        self.adopt(who, name, reporter)
    }

    /// From here on this party is the Reporter.
    pub(crate) fn adopt(&mut self, who: usize, name: &str, reporter: Reporter) -> Result<(), Violation> {
        let (former, former_who) = (self.owner, std::mem::replace(&mut self.owner_who, name.to_owned()));
        let given_up = self.reporter.replace(reporter);
        self.owner = who;
        self.formers.retain(|former| former.who != who);
        if let Some(reporter) = given_up.filter(|_| self.taken_by.take() == Some(who)) {
            self.formers.push(Former::new(former, former_who, reporter));
        }
        self.undecided.clear();
        self.undecided_reads.clear();
        self.admit();
        let seat = &mut self.seats[who];
        // Nobody is removed from its own object: it may be let in like anybody, when it has lost the object again.
        if seat.banned || seat.leaving {
            self.reference.revoked(name);
        }
        (seat.banned, seat.leaving, seat.by_invitation) = (false, false, false);
        // Its observation has ended, as it is told.
        if let Some(Watch { mut observer, mut follower }) = seat.clear(false) {
            while let Some(Some(event)) = observer.next_event().now_or_never() {
                follower.take(event, &mut self.reference)?;
            }
        }
        Ok(())
    }

    /// Former Reporters hear that they are none any more, and what of their changes the object does not have.
    pub(crate) fn look_at_formers(&mut self, awake: &[bool]) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for mut former in std::mem::take(&mut self.formers) {
            former.take_answers();
            // Looking takes what it is told.
            match awake[former.who].then(|| former.told()).flatten() {
                Some(unpublished) => {
                    self.reference.deposed(&former.name)?;
                    former.judge(unpublished)?;
                }
                None => waiting.push(former),
            }
        }
        self.formers = waiting;
        Ok(())
    }
}

impl Former {
    pub(crate) fn new(who: usize, name: String, reporter: Reporter) -> Former {
        Former { who, name, reporter, writes: Vec::new(), acknowledged: BTreeSet::new() }
    }

    fn take_answers(&mut self) {
        for (marker, mut commit) in std::mem::take(&mut self.writes) {
            match (&mut commit).now_or_never() {
                None => self.writes.push((marker, commit)),
                Some(Ok(_)) => drop(self.acknowledged.insert(marker)),
                Some(Err(_)) => {}
            }
        }
    }

    /// What it is told when it is deposed: its changes that the object does not have, if that is known.
    fn told(&self) -> Option<Option<Vec<Value>>> {
        let mut events = self.reporter.events();
        while let Some(Some(event)) = events.next().now_or_never() {
            if let ReporterEvent::Deposed { unpublished, .. } = event {
                let values = |changes: Vec<hyperty_syncher::ChangeEvent>| {
                    changes.iter().filter_map(|change| change.value().cloned()).collect()
                };
                return Some(unpublished.map(values));
            }
        }
        None
    }

    /// What was acknowledged to it is in the object, or it is told that it is not.
    fn judge(&self, unpublished: Option<Vec<Value>>) -> Result<(), Violation> {
        let Some(told) = unpublished else { return Ok(()) };
        match self.acknowledged.iter().find(|marker| !told.contains(&json!(marker))) {
            Some(lost) => {
                let detail = format!("{lost} was acknowledged, and is not told to be lost");
                Err(broken(Invariant::I6, &self.name, detail))
            }
            None => Ok(()),
        }
    }
}
