//! Children in a mixed run: each party has some of its own, changes them, and tells the judge.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use futures_util::stream::FuturesUnordered;
use hyperty_model::ObjectUrl;
use hyperty_syncher::{Child, ChildError, ChildrenHandle};
use serde_json::json;

use super::judge::Judge;
use crate::reference::Violation;
use crate::sim::SimRng;

/// Most children that one party has at a time.
const OWN_MAX: usize = 4;

/// An operation that was answered, or will not be.
#[derive(Debug)]
pub(super) struct Outcome {
    id: String,
    /// `None` for a deletion.
    version: Option<u64>,
    result: Result<(), ChildError>,
}

/// The children of one party in one object, and what is under way on them.
pub(super) struct Kids {
    judge: Arc<Judge>,
    url: ObjectUrl,
    who: String,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

impl Kids {
    pub(super) fn new(judge: &Arc<Judge>, url: &ObjectUrl, who: &str) -> Kids {
        Kids {
            judge: Arc::clone(judge),
            url: url.clone(),
            who: who.to_owned(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Adds, changes or deletes one.
    pub(super) fn act(&mut self, rng: &SimRng, notes: &ChildrenHandle) -> Result<(), Violation> {
        let number = rng.number() % 1_000;
        let mine = notes.mine();
        match rng.pick(&mine) {
            Some(child) if mine.len() >= OWN_MAX || rng.chance(0.15) => self.delete(notes, child),
            Some(child) if rng.chance(0.6) => self.set(notes, child, number),
            _ => self.add(notes, number),
        }
    }

    fn add(&mut self, notes: &ChildrenHandle, number: u64) -> Result<(), Violation> {
        let before: Vec<String> = notes.mine().iter().map(|child| child.id().to_owned()).collect();
        let commit = notes.add(json!({"n": number}));
        let Some(child) = notes.mine().into_iter().find(|child| !before.iter().any(|id| id == child.id()))
        else {
            // Refused at once: nothing was made.
            return Ok(());
        };
        let (id, version, data) = (named(notes, &child), child.version(), child.data());
        self.judge.check(&self.url, |judge| judge.child_proposed(&self.who, &id, version, &data))?;
        let commit = std::future::IntoFuture::into_future(commit);
        self.wait(id, Some(version), Box::pin(commit.map(|result| result.map(drop))));
        Ok(())
    }

    fn set(&mut self, notes: &ChildrenHandle, child: &Child, number: u64) -> Result<(), Violation> {
        let before = child.version();
        let commit = child.set("v", number);
        let (id, version, data) = (named(notes, child), child.version(), child.data());
        if version != before {
            self.judge.check(&self.url, |judge| judge.child_proposed(&self.who, &id, version, &data))?;
        }
        let commit = std::future::IntoFuture::into_future(commit);
        self.wait(id, Some(version), Box::pin(commit.map(|result| result.map(drop))));
        Ok(())
    }

    fn delete(&mut self, notes: &ChildrenHandle, child: &Child) -> Result<(), Violation> {
        let commit = child.delete();
        let id = named(notes, child);
        self.judge.check(&self.url, |judge| judge.child_deleted(&self.who, &id))?;
        self.wait(id, None, Box::pin(std::future::IntoFuture::into_future(commit)));
        Ok(())
    }

    fn wait(&mut self, id: String, version: Option<u64>, commit: BoxFuture<'static, Result<(), ChildError>>) {
        self.under_way.push(Box::pin(commit.map(move |result| Outcome { id, version, result })));
    }

    /// Tells the judge how an operation ended.
    pub(super) fn done(&mut self, outcome: Outcome) -> Result<(), Violation> {
        let Outcome { id, version, result } = outcome;
        let who = &self.who;
        // Its invitation may allow no children, or it may be removed by then.
        let may_be_refused = self.judge.may_be_refused_children(who);
        self.judge.check(&self.url, |judge| match (result, version) {
            (Ok(()), Some(version)) => judge.child_acknowledged(who, &id, version),
            (Ok(()), None) => judge.child_deletion_acknowledged(who, &id),
            // It is sent again until it is answered.
            (Err(ChildError::Unanswered), _) if !may_be_refused => Ok(()),
            _ => {
                judge.child_uncertain(&id);
                Ok(())
            }
        })
    }
}

fn named(notes: &ChildrenHandle, child: &Child) -> String {
    format!("{}/{}", notes.name(), child.id())
}
