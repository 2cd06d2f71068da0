//! The Reporter of a mixed run: writes all kinds of changes in bursts, does what belongs to a Reporter, and tells the
//! judge.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyperty_model::Position;
use hyperty_syncher::{
    Commit, DelegateError, Observer, Reporter, ReporterEvent, ReporterEvents, Requests, WriteError,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::children::Kids;
use super::judge::{Judge, Phase};
use super::party::{Party, Stand};
use super::procedures::Procedure;
use super::{action, delegate, invite, large, remove};
use crate::reference::{Invariant, Violation, children_of};

/// The mean time between two bursts of changes.
const BETWEEN_BURSTS: Duration = Duration::from_secs(2);

/// How often a party looks whether everything is settled.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// How long until something that failed for want of a connection is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

type Committing = BoxFuture<'static, Result<Position, WriteError>>;

/// A procedure that is under way, and tells the judge at its end.
pub(super) type Doing = BoxFuture<'static, Result<(), Violation>>;

/// The object being given to another.
pub(super) type Giving = BoxFuture<'static, (String, Result<Observer, DelegateError>)>;

pub(super) struct Reporting<'a> {
    pub(super) party: &'a Party,
    pub(super) judge: Arc<Judge>,
    pub(super) board: Reporter,
    commits: FuturesUnordered<Committing>,
    kids: Kids,
    requests: Requests,
    events: ReporterEvents,
    /// One at a time: what an answer says is true until the next.
    doing: FuturesUnordered<Doing>,
    pub(super) giving: FuturesUnordered<Giving>,
}

impl<'a> Reporting<'a> {
    pub(super) fn new(party: &'a Party, board: Reporter) -> Reporting<'a> {
        board.accept(party.admission());
        Reporting {
            party,
            judge: Arc::clone(&party.role.judge),
            commits: FuturesUnordered::new(),
            kids: Kids::new(&party.role.judge, board.url(), &party.who),
            requests: board.requests(),
            events: board.events(),
            doing: FuturesUnordered::new(),
            giving: FuturesUnordered::new(),
            board,
        }
    }

    /// Reports until the object is another's, or is deleted.
    pub(super) async fn work(mut self) -> Result<Stand, Violation> {
        let judge = Arc::clone(&self.judge);
        loop {
            let phase = judge.phase();
            if phase >= Phase::Delete {
                return self.delete().await;
            }
            let wait = if phase < Phase::Settle { self.party.seat.rng.around(BETWEEN_BURSTS) } else { LOOK };
            let pause = sleep(wait);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    biased;
                    Some(committed) = self.commits.next() => self.committed(committed)?,
                    Some(outcome) = self.kids.under_way.next() => self.kids.done(outcome)?,
                    Some(done) = self.doing.next() => done?,
                    Some((to, given)) = self.giving.next() => {
                        if let Some(stand) = delegate::given(&mut self, &to, given).await? {
                            return Ok(stand);
                        }
                    }
                    Some(request) = self.requests.next() => action::perform(self.party, &self.board, request)?,
                    Some(event) = self.events.next() => {
                        if let Some(stand) = self.told(event)? {
                            return Ok(stand);
                        }
                    }
                    () = judge.reached(Phase::Settle), if phase < Phase::Settle => break,
                    () = judge.reached(Phase::Delete), if phase >= Phase::Settle => break,
                    () = &mut pause => break,
                }
            }
            match judge.phase() {
                Phase::Delete => {}
                now if now >= Phase::Settle => self.look()?,
                _ => self.burst()?,
            }
        }
    }

    /// Some changes without a pause, and perhaps something else.
    fn burst(&mut self) -> Result<(), Violation> {
        let rng = &self.party.seat.rng;
        for _ in 0..1 + rng.below(3) {
            self.write(|board| Reporting::some_change(board, rng))?;
        }
        if rng.chance(0.5) {
            large::shrink(self)?;
        }
        let weights = &self.party.role.weights;
        match weights.draw(rng, &Procedure::REPORTERS) {
            // Those of one that has not heard that another device has the object are lost.
            Some(Procedure::Child) if !self.party.is_owner(self.board.url()) => {}
            Some(Procedure::Child) => {
                let notes = self.board.children("notes").map_err(|error| self.odd(&error.to_string()))?;
                self.kids.act(rng, &notes)?;
            }
            Some(Procedure::Large) => large::write(self)?,
            // One at a time.
            Some(_) if !(self.doing.is_empty() && self.giving.is_empty()) => {}
            Some(Procedure::Invite) => self.doing.extend(invite::invite(self)),
            Some(Procedure::Revoke) => self.doing.extend(invite::revoke(self)),
            Some(Procedure::Remove) => self.doing.extend(remove::remove(self)),
            Some(Procedure::Delegate) => delegate::give(self)?,
            _ => {}
        }
        self.holds()
    }

    /// One call of the application.
    pub(super) fn write(&mut self, call: impl FnOnce(&Reporter) -> Commit) -> Result<(), Violation> {
        // Before the next change takes the version of one that was undone.
        self.undone()?;
        let (board, before) = (&self.board, self.board.position());
        let commit = call(board);
        let after = board.position();
        if after != before {
            let (who, data) = (&self.party.who, board.data());
            self.judge.check(board.url(), |judge| judge.proposed(who, after, &data))?;
        }
        self.commits.push(Box::pin(std::future::IntoFuture::into_future(commit)));
        Ok(())
    }

    fn some_change(board: &Reporter, rng: &crate::sim::SimRng) -> Commit {
        let number = rng.number() % 1_000;
        let length = |data: &Value| data["list"].as_array().map_or(0, Vec::len);
        match rng.below(20) {
            0..=6 => board.set("topic", format!("topic {number}")),
            7..=9 => board.set("a", json!({"n": number, "deep": [number, {"é": null}]})),
            10 => board.set("a.n", number),
            11 => board.remove("a"),
            12..=14 => board.insert("list", board.with_data(length).min(3), [json!(number), json!("x")]),
            15 => {
                let over = board.with_data(length).saturating_sub(6).max(1);
                board.remove_elements("list", 0, over)
            }
            16 | 17 => board.update(|data| {
                data["topic"] = json!(format!("edit {number}"));
                data["list"] = json!([number]);
                data["b"] = json!({"x.y": number});
            }),
            18 => board.replace(json!({"topic": "whole", "list": [], "n": number})),
            // Violates the schema.
            _ => board.set("topic", 5),
        }
    }

    fn committed(&mut self, committed: Result<Position, WriteError>) -> Result<(), Violation> {
        let (url, who) = (self.board.url(), &self.party.who);
        match committed {
            Ok(position) => self.judge.check(url, |judge| judge.acknowledged(who, position)),
            Err(_) => self.undone(),
        }
    }

    /// Tells the judge of changes that were undone. The copy says so before their answers are read.
    fn undone(&self) -> Result<(), Violation> {
        let (last, who) = (self.board.position(), &self.party.who);
        self.judge.check(self.board.url(), |judge| match judge.latest() {
            latest if latest.epoch == last.epoch && latest > last => judge.undone(who, last.next()),
            _ => Ok(()),
        })
    }

    /// The runtime tells something; what this party is from now on, if that changes.
    fn told(&mut self, event: ReporterEvent) -> Result<Option<Stand>, Violation> {
        let (url, who) = (self.board.url().clone(), &self.party.who);
        match event {
            ReporterEvent::Deposed { epoch, .. } => {
                self.party.seat.note(format!("{who} is deposed in epoch {epoch}"));
                self.judge.unsettle();
                self.judge.of(&url, |judge| judge.children_uncertain(who));
                self.judge.check(&url, |judge| judge.deposed(who))?;
                Ok(Some(Stand::Observes(None)))
            }
            ReporterEvent::InviteAnswer(answer) => {
                invite::answered(self.party, &url, &answer);
                Ok(None)
            }
            // Delegated: the end of what is being given tells more.
            _ => Ok(None),
        }
    }

    fn holds(&self) -> Result<(), Violation> {
        let held = children_of(&self.board.children("notes").map_err(|error| self.odd(&error.to_string()))?);
        let who = &self.party.who;
        let checked = self.judge.check(self.board.url(), |judge| match judge.is_owner(who) {
            true => judge.holds_children(who, &held),
            // It has not heard yet that the object is another's.
            false => Ok(()),
        });
        self.judge.reporter_holds(self.board.url(), held);
        checked
    }

    fn look(&mut self) -> Result<(), Violation> {
        self.holds()?;
        let (url, who) = (self.board.url(), &self.party.who);
        let committed = self.board.committed();
        let mut settled = self.judge.check(url, |judge| judge.settled(who, committed, &self.board.data()));
        if !(self.doing.is_empty() && self.giving.is_empty()) {
            settled = Err(self.party.odd(url, Invariant::I7, "something that it asked for has no end"));
        }
        self.judge.settled(&self.party.name(url), settled);
        Ok(())
    }

    async fn delete(&mut self) -> Result<Stand, Violation> {
        let url = self.board.url().clone();
        self.judge.of(&url, |judge| judge.deleting());
        while let Err(error) = self.board.delete().await {
            self.party.seat.note(format!("{url} is not deleted: {error}"));
            sleep(AGAIN).await;
        }
        self.judge.check(&url, |judge| judge.deleted(&self.party.who))?;
        Ok(Stand::Left)
    }

    pub(super) fn odd(&self, detail: &str) -> Violation {
        self.party.odd(self.board.url(), Invariant::I1, detail)
    }
}
