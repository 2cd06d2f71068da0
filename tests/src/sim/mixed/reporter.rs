//! The Reporter of a mixed run: writes all kinds of changes in bursts, has children of its own, and tells the judge.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyperty_model::{Position, Url};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{Accept, Commit, Reporter, WriteError};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::children::Kids;
use super::judge::{Judge, Phase};
use crate::party::SCHEMA;
use crate::reference::{Violation, children_of};
use crate::sim::Seat;

/// The mean time between two bursts of changes.
const BETWEEN_BURSTS: Duration = Duration::from_secs(2);

/// How often a party looks whether everything is settled.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// How long until something that failed for want of a connection is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What a Reporter is told beside its hyperty.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) judge: Arc<Judge>,
    pub(super) board: String,
    pub(super) allowed: Vec<Url>,
}

type Committing = BoxFuture<'static, Result<Position, WriteError>>;

struct Reporting {
    seat: Seat,
    judge: Arc<Judge>,
    who: String,
    board: Reporter,
    commits: FuturesUnordered<Committing>,
    kids: Kids,
}

/// The program.
pub(super) async fn report(hyperty: Hyperty, seat: Seat, role: Role) {
    role.judge.reached(Phase::Work).await;
    let who = hyperty.url().to_string();
    let Some(board) = open(&hyperty, &seat, &role, &who).await else { return };
    board.accept(Accept::List(role.allowed.clone()));
    let kids = Kids::new(&role.judge, board.url(), &who);
    let mut reporting =
        Reporting { judge: role.judge, who, board, commits: FuturesUnordered::new(), kids, seat };
    let seat = reporting.seat.clone();
    seat.check(reporting.work().await);
}

/// The object: the one that is stored, or a new one.
async fn open(hyperty: &Hyperty, seat: &Seat, role: &Role, who: &str) -> Option<Reporter> {
    let judge = &role.judge;
    let known = judge.board(&role.board);
    let resumed = hyperty.resumed().reporters.iter();
    let resumed = match &known {
        Some(url) => resumed.clone().find(|board| board.url() == url),
        None => resumed.clone().next(),
    };
    match (known, resumed) {
        (Some(url), Some(board)) => {
            judge
                .check(&url, |judge| {
                    judge.children_uncertain(who);
                    judge.resumed(who, board.position(), &board.data())
                })
                .unwrap_or_else(|violation| seat.sim.violated(violation));
            seat.note(format!("{} is back at {}", board.url(), board.position()));
            Some(board.clone())
        }
        (Some(url), None) => {
            seat.check(judge.check(&url, |judge| judge.vanished(who)));
            None
        }
        (None, resumed) => {
            let board = match resumed {
                // Created, but the crash came before its application heard of it.
                Some(board) => board.clone(),
                None => create(hyperty, seat, role).await?,
            };
            seat.note(format!("{who} reports {}", board.url()));
            judge.created(&role.board, board.url(), who, board.data());
            Some(board)
        }
    }
}

async fn create(hyperty: &Hyperty, seat: &Seat, role: &Role) -> Option<Reporter> {
    loop {
        let schema = seat.runtime.schema(SCHEMA).ok()?;
        let data = json!({"topic": "start", "list": []});
        let accept = Accept::List(role.allowed.clone());
        let create = hyperty.create(schema).name(&role.board).data(data).store(true).accept(accept);
        match create.await {
            Ok(board) => return Some(board),
            Err(error) => seat.note(format!("not created: {error}")),
        }
        sleep(AGAIN).await;
    }
}

impl Reporting {
    async fn work(&mut self) -> Result<(), Violation> {
        let judge = Arc::clone(&self.judge);
        while self.judge.phase() < Phase::Settle {
            let pause = sleep(self.seat.rng.around(BETWEEN_BURSTS));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    biased;
                    () = judge.reached(Phase::Settle) => break,
                    Some(committed) = self.commits.next() => self.committed(committed)?,
                    Some(outcome) = self.kids.under_way.next() => self.kids.done(outcome)?,
                    () = &mut pause => break,
                }
            }
            if self.judge.phase() < Phase::Settle {
                self.burst()?;
            }
        }
        while self.judge.phase() < Phase::Delete {
            tokio::select! {
                biased;
                () = judge.reached(Phase::Delete) => break,
                Some(committed) = self.commits.next() => self.committed(committed)?,
                Some(outcome) = self.kids.under_way.next() => self.kids.done(outcome)?,
                () = sleep(LOOK) => self.look()?,
            }
        }
        self.delete().await
    }

    /// Some changes without a pause, and perhaps a child.
    fn burst(&mut self) -> Result<(), Violation> {
        for _ in 0..1 + self.seat.rng.below(3) {
            self.settle_commits()?;
            self.write()?;
        }
        if self.seat.rng.chance(0.2) {
            let notes = self.board.children("notes");
            self.kids.act(&self.seat.rng, &notes.map_err(|error| self.odd(&error.to_string()))?)?;
        }
        self.holds()
    }

    /// A refused change is known before the next takes its version.
    fn settle_commits(&mut self) -> Result<(), Violation> {
        while let Some(Some(committed)) = self.commits.next().now_or_never() {
            self.committed(committed)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Violation> {
        let (board, before) = (&self.board, self.board.position());
        let commit = self.call();
        let after = board.position();
        if after != before {
            let (who, data) = (&self.who, board.data());
            self.judge.check(board.url(), |judge| judge.proposed(who, after, &data))?;
        }
        self.commits.push(Box::pin(commit));
        Ok(())
    }

    fn call(&self) -> Commit {
        let (board, rng) = (&self.board, &self.seat.rng);
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
        let (url, who) = (self.board.url(), &self.who);
        match committed {
            Ok(position) => self.judge.check(url, |judge| judge.acknowledged(who, position)),
            Err(WriteError::Refused { version, .. }) => {
                let epoch = self.board.position().epoch;
                self.judge.check(url, |judge| match judge.latest() {
                    latest if latest.version >= version => judge.undone(who, Position { epoch, version }),
                    _ => Ok(()),
                })
            }
            Err(_) => Ok(()),
        }
    }

    fn holds(&self) -> Result<(), Violation> {
        let held = children_of(&self.board.children("notes").map_err(|error| self.odd(&error.to_string()))?);
        let checked = self.judge.check(self.board.url(), |judge| judge.holds_children(&self.who, &held));
        self.judge.reporter_holds(self.board.url(), held);
        checked
    }

    fn look(&mut self) -> Result<(), Violation> {
        self.holds()?;
        let (url, who) = (self.board.url(), &self.who);
        let committed = self.board.committed();
        let settled = self.judge.check(url, |judge| judge.settled(who, committed, &self.board.data()));
        self.judge.settled(&format!("{} {url}", self.seat.name), settled);
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), Violation> {
        let url = self.board.url().clone();
        self.judge.of(&url, |judge| judge.deleting());
        while let Err(error) = self.board.delete().await {
            self.seat.note(format!("{url} is not deleted: {error}"));
            sleep(AGAIN).await;
        }
        self.judge.check(&url, |judge| judge.deleted(&self.who))?;
        self.judge.one_done();
        Ok(())
    }

    fn odd(&self, detail: &str) -> Violation {
        super::odd(self.board.url(), &self.who, detail)
    }
}
