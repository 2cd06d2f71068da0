//! One party of an object: a hyperty that reports it or observes it, and may change from one to the other.

use std::sync::Arc;

use hyperty_model::{HypertyUrl, ObjectUrl, Url};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{Accept, Observer, Reporter};
use serde_json::json;
use tokio::time::sleep;

use super::judge::{Judge, Phase};
use super::observer;
use super::other_device::{Twin, lost_with_it};
use super::procedures::Weights;
use super::reporter::{AGAIN, Reporting};
use super::take_over::{Taken, take_over};
use crate::party::SCHEMA;
use crate::reference::{Invariant, Violation};
use crate::sim::Seat;

/// What a party is told beside its hyperty.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) judge: Arc<Judge>,
    /// The name of the object.
    pub(super) board: String,
    /// Whether it creates the object.
    pub(super) creates: bool,
    /// Whether it observes only when it is invited.
    pub(super) guest: bool,
    /// The users who may observe without being invited.
    pub(super) allowed: Vec<Url>,
    pub(super) weights: Weights,
    /// The other device of its user, if there is one.
    pub(super) twin: Option<Twin>,
    /// The runtimes of users who have several: nobody sends those away, or has to invite them.
    pub(super) twins: Vec<String>,
}

/// A hyperty with its role.
#[derive(Clone)]
pub(super) struct Party {
    pub(super) hyperty: Hyperty,
    pub(super) seat: Seat,
    pub(super) role: Role,
    /// The URL of the hyperty.
    pub(super) who: String,
}

/// What a party is to its object.
pub(super) enum Stand {
    Reports(Reporter),
    /// It observes, or wants to.
    Observes(Option<(Observer, Entry)>),
    Left,
}

/// How an observation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// By a subscription, or in place of reporting.
    New,
    /// It came back after a stop of its runtime.
    Back,
}

/// The program.
pub(super) async fn take_part(hyperty: Hyperty, seat: Seat, role: Role) {
    role.judge.reached(Phase::Work).await;
    let who = hyperty.url().to_string();
    let party = Party { hyperty, seat, role, who };
    if let Err(violation) = party.run().await {
        party.seat.sim.violated(violation);
    }
}

impl Party {
    async fn run(&self) -> Result<(), Violation> {
        let (url, mut stand) = self.begin().await?;
        loop {
            stand = match stand {
                Stand::Reports(board) => Reporting::new(self, board).work().await?,
                Stand::Observes(begun) => observer::watch(self, &url, begun).await?,
                Stand::Left => break,
            };
        }
        self.role.judge.one_done();
        Ok(())
    }

    /// The object, and what this party is to it: what it was before, if its runtime was stopped.
    async fn begin(&self) -> Result<(ObjectUrl, Stand), Violation> {
        let (judge, role) = (&self.role.judge, &self.role);
        let resumed = self.hyperty.resumed();
        let url = match judge.board(&role.board) {
            Some(url) => url,
            None if role.creates => {
                let board = match resumed.reporters.first() {
                    // Created, but the crash came before its application heard of it.
                    Some(board) => board.clone(),
                    None => self.create().await,
                };
                let url = board.url().clone();
                self.seat.note(format!("{} reports {url}", self.who));
                judge.created(&role.board, &url, &self.who, board.data());
                judge.enrol(&url, &self.seat.name, self.hyperty.url(), false);
                return Ok((url, Stand::Reports(board)));
            }
            None => judge.found(&role.board).await,
        };
        // Another hyperty of its user has its place from now on.
        let inherits = judge.is_taking(&self.who)
            || judge.surely_owns(&role.board, &self.seat.name)
                && judge.of(&url, |judge| judge.is_owner(&self.who)) == Some(false);
        judge.enrol(&url, &self.seat.name, self.hyperty.url(), role.guest);
        judge.of(&url, |judge| judge.children_uncertain(&self.who));
        if let Some(board) = resumed.reporters.iter().find(|board| *board.url() == url) {
            self.reports_again(board)?;
            return Ok((url, Stand::Reports(board.clone())));
        }
        if inherits {
            let stand = match take_over(self, &url, true).await? {
                Taken::Here(board) => Stand::Reports(board),
                Taken::Refused => Stand::Observes(None),
            };
            return Ok((url, stand));
        }
        let observer = resumed.observers.iter().find(|observer| *observer.url() == url).cloned();
        judge.check(&url, |judge| {
            if judge.is_owner(&self.who) && !judge.has_heirs() {
                judge.vanished(&self.who)?;
            }
            Ok(())
        })?;
        if observer.is_some() {
            judge.found_given(&url, &self.who);
        }
        if observer.is_none()
            && self.seat.start > 1
            && judge.of(&url, |judge| judge.serves(&self.who)) == Some(true)
        {
            let detail = "its subscription did not come back".to_owned();
            let (invariant, object, who) = (Invariant::I6, url.to_string(), self.who.clone());
            return Err(Violation { invariant, object, who, detail });
        }
        Ok((url, Stand::Observes(observer.map(|observer| (observer, Entry::Back)))))
    }

    /// It found itself the Reporter when its runtime started.
    fn reports_again(&self, board: &Reporter) -> Result<(), Violation> {
        let (at, data, who) = (board.position(), board.data(), self.who.as_str());
        let takes = self.role.judge.is_taking(who);
        self.role.judge.takes(who, false);
        self.seat.note(format!("{} is back at {at}", board.url()));
        if takes && self.role.twin.is_some() {
            lost_with_it(&self.role.judge, board.url());
        }
        self.role.judge.check(board.url(), |judge| match judge.is_owner(who) {
            true => judge.resumed(who, at, &data),
            // Its runtime stopped before it heard that the object is its own.
            false if takes => judge.took_over(who, at, &data),
            // The other device of its user has it by now, and it has not heard.
            false if at.epoch < judge.latest().epoch && judge.owns(who, at.epoch).is_ok() => {
                judge.resumed(who, at, &data)
            }
            false => {
                let from = judge.owner().to_owned();
                judge.delegated(&from, who, at, &data)
            }
        })
    }

    async fn create(&self) -> Reporter {
        loop {
            if let Ok(schema) = self.seat.runtime.schema(SCHEMA) {
                let data = json!({"topic": "start", "list": []});
                let create = self.hyperty.create(schema).name(&self.role.board).data(data);
                match create.store(true).accept(self.admission()).await {
                    Ok(board) => return board,
                    Err(error) => self.seat.note(format!("not created: {error}")),
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// Whom the Reporter lets in by itself, whoever that is.
    pub(super) fn admission(&self) -> Accept {
        Accept::List(self.role.allowed.clone())
    }

    /// The name under which it is settled, or not.
    pub(super) fn name(&self, url: &ObjectUrl) -> String {
        format!("{} {url}", self.seat.name)
    }

    /// Whether a hyperty is of a user with several devices.
    pub(super) fn is_twin(&self, url: &ObjectUrl, who: &HypertyUrl) -> bool {
        self.role
            .judge
            .runtime_of(url, who.as_str())
            .is_some_and(|runtime| self.role.twins.contains(&runtime))
    }

    /// Whether the object is this party's own, or was not taken from it without its knowledge.
    pub(super) fn is_owner(&self, url: &ObjectUrl) -> bool {
        self.role.judge.of(url, |judge| judge.is_owner(&self.who)) == Some(true)
    }

    /// What a program found that no message can cause.
    pub(super) fn odd(&self, url: &ObjectUrl, invariant: Invariant, detail: impl Into<String>) -> Violation {
        let (object, who) = (url.to_string(), self.who.clone());
        Violation { invariant, object, who, detail: detail.into() }
    }
}
