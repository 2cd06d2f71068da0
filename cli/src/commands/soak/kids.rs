//! Children: each observer has some of its own in each object, and changes them.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use hyperty_conformance::reference::{Reference, Violation};
use hyperty_model::{Ids, ObjectUrl};
use hyperty_runtime::syncher::{Child, ChildError, ChildrenHandle};
use serde_json::json;

use super::court::Court;

/// Most children that one observer has in one object.
const OWN_MAX: usize = 3;

/// How an operation ends.
type Ending = Pin<Box<dyn Future<Output = Result<(), ChildError>> + Send>>;

/// What one operation was about.
pub(super) struct UnderWay {
    court: Arc<Court>,
    url: ObjectUrl,
    who: String,
    id: String,
    /// `None` for a deletion.
    version: Option<u64>,
    ending: Ending,
}

/// Adds, changes or deletes a child; the answer is still to come. Nothing if it was refused at once.
pub(super) fn act(
    court: &Arc<Court>,
    url: &ObjectUrl,
    who: &str,
    notes: &ChildrenHandle,
    ids: &dyn Ids,
) -> Option<UnderWay> {
    let random = ids.random();
    let mine = notes.mine();
    let pick = usize::try_from(random % mine.len().max(1) as u128).ok().and_then(|at| mine.get(at));
    let case = court.case(url)?;
    // Told under the lock, so that nobody is shown it before.
    let mut case = case.lock();
    let begun = match pick {
        Some(child) if mine.len() >= OWN_MAX && random >> 64 & 3 == 0 => {
            delete(notes, child, who, &mut case.reference)
        }
        Some(child) if mine.len() >= OWN_MAX || random >> 64 & 1 == 0 => {
            set(notes, child, who, &mut case.reference)
        }
        _ => add(notes, who, &mut case.reference),
    };
    drop(case);
    let (id, version, ending) = match begun {
        Ok(begun) => {
            begun.inspect(|(id, version, _)| tracing::debug!(%url, who, id, version, "child written"))?
        }
        Err(violation) => {
            court.check(url, |_| Err(violation));
            return None;
        }
    };
    Some(UnderWay { court: Arc::clone(court), url: url.clone(), who: who.to_owned(), id, version, ending })
}

type Begun = Result<Option<(String, Option<u64>, Ending)>, Violation>;

fn add(notes: &ChildrenHandle, who: &str, judge: &mut Reference) -> Begun {
    let before: Vec<String> = notes.mine().iter().map(|child| child.id().to_owned()).collect();
    let commit = notes.add(json!({"n": 0}));
    let made = notes.mine().into_iter().find(|child| !before.iter().any(|id| id == child.id()));
    let Some(child) = made else { return Ok(None) };
    let (id, version) = (named(notes, &child), child.version());
    judge.child_proposed(who, &id, version, &child.data())?;
    let commit = commit.into_future();
    Ok(Some((id, Some(version), Box::pin(async move { commit.await.map(drop) }))))
}

fn set(notes: &ChildrenHandle, child: &Child, who: &str, judge: &mut Reference) -> Begun {
    let before = child.version();
    let commit = child.set("n", before + 1);
    let (id, version) = (named(notes, child), child.version());
    if version == before {
        return Ok(None);
    }
    judge.child_proposed(who, &id, version, &child.data())?;
    let commit = commit.into_future();
    Ok(Some((id, Some(version), Box::pin(async move { commit.await.map(drop) }))))
}

fn delete(notes: &ChildrenHandle, child: &Child, who: &str, judge: &mut Reference) -> Begun {
    let (commit, id) = (child.delete(), named(notes, child));
    judge.child_deleted(who, &id)?;
    Ok(Some((id, None, Box::pin(commit.into_future()))))
}

fn named(notes: &ChildrenHandle, child: &Child) -> String {
    format!("{}/{}", notes.name(), child.id())
}

impl UnderWay {
    /// Waits for the answer, and tells it.
    pub(super) async fn end(self) {
        let UnderWay { court, url, who, id, version, ending } = self;
        let result = ending.await;
        tracing::debug!(%url, who, id, version, ?result, "child answered");
        court.check(&url, |case| match (result, version) {
            (Ok(()), Some(version)) => case.reference.child_acknowledged(&who, &id, version),
            (Ok(()), None) => case.reference.child_deletion_acknowledged(&who, &id),
            // It is sent again until it is answered.
            (Err(ChildError::Unanswered), _) => Ok(()),
            _ => {
                case.reference.child_uncertain(&id);
                Ok(())
            }
        });
    }
}
