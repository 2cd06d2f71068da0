//! Operations on children, by the Reporter and by observers.

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_syncher::{Child, ChildCommit, ChildError, ChildrenHandle};
use serde_json::json;

use crate::board::{Board, Operation, What};
use crate::command::ChildWrite;
use crate::system::{System, broken};

/// The children that observers may write, and those they may not.
pub(crate) const NAMES: [&str; 2] = ["notes", "news"];

impl System {
    pub(crate) async fn child(
        &mut self,
        who: usize,
        board: usize,
        read_only: bool,
        write: &ChildWrite,
        wait: bool,
    ) -> Result<(), Violation> {
        let (name, broken_disk) = (self.member(who).who(), self.member(who).failing);
        let failing = self.member(self.boards[board].owner).failing;
        let board = &mut self.boards[board];
        if failing && who == board.owner {
            return Ok(()); // refused at once, without a trace to tell it by
        }
        let Some(children) = board.children(who, NAMES[usize::from(read_only)]) else { return Ok(()) };
        let forbidden = read_only && who != board.owner;
        let made = match write {
            ChildWrite::Add(value) => {
                let before = ids(&children);
                let data = json!({"by": who, "v": value});
                let commit = boxed(children.add(data.clone()));
                let added = ids(&children).into_iter().find(|id| !before.contains(id));
                added.map(|id| (id, 0, Some(data), commit))
            }
            ChildWrite::Set(which, value) => pick(&children, *which).map(|child| {
                let mut data = child.data();
                data["v"] = value.clone();
                let version = child.version() + 1;
                let commit = boxed(child.set("v", value.clone()));
                (child.id().to_owned(), version, Some(data), commit)
            }),
            ChildWrite::Delete(which) => pick(&children, *which).map(|child| {
                let version = child.version();
                let commit = boxed(child.delete());
                (child.id().to_owned(), version, None, commit)
            }),
        };
        let Some((id, version, data, mut commit)) = made else { return Ok(()) };
        let early = (&mut commit).now_or_never();
        if let Some(Err(error)) = &early
            && !matches!(error, ChildError::Unanswered)
        {
            return board.not_done(&name, &id, error, (forbidden, broken_disk));
        }
        let id = format!("{}/{id}", NAMES[usize::from(read_only)]);
        let what = match &data {
            Some(data) => {
                board.reference.child_proposed(&name, &id, version, data)?;
                What::Version(version)
            }
            None => {
                board.reference.child_deleted(&name, &id)?;
                What::Deletion
            }
        };
        if failing || board.reference.is_deleting() || !board.serves(&name) || board.is_being_taken() {
            board.reference.child_uncertain(&id); // refused, and undone wherever it was shown
        }
        let mut operation = Operation { who, id, what, read_only: forbidden, commit };
        let result = match early {
            None if wait => Some((&mut operation.commit).await),
            early => early,
        };
        match result {
            Some(result) => board.answered(&name, &operation, result),
            None => {
                board.operations.push(operation);
                Ok(())
            }
        }
    }
}

impl Board {
    /// The children of a name as a party has them, if it reports or observes the object.
    pub(crate) fn children(&self, who: usize, name: &str) -> Option<ChildrenHandle> {
        let handle = match self.reporter.as_ref().filter(|_| who == self.owner) {
            Some(reporter) => reporter.children(name),
            None => self.seats[who].watch.as_ref()?.observer.children(name),
        };
        Some(handle.expect("the schema has these children"))
    }

    /// What has become of the operations on children.
    pub(crate) fn take_operations(&mut self, whos: &[String]) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for mut operation in std::mem::take(&mut self.operations) {
            match (&mut operation.commit).now_or_never() {
                None => waiting.push(operation),
                Some(result) => self.answered(&whos[operation.who], &operation, result)?,
            }
        }
        self.operations.splice(0..0, waiting);
        Ok(())
    }

    /// What the writer of a child was told.
    fn answered(
        &mut self,
        name: &str,
        operation: &Operation,
        result: Result<(), ChildError>,
    ) -> Result<(), Violation> {
        let id = operation.id.as_str();
        match (result, operation.what) {
            // Who made it as an observer may have become the Reporter before it was decided. Who has been it may delete
            // what it wrote then (5.9.1).
            (Ok(()), What::Version(_)) if operation.read_only && operation.who != self.owner => {
                Err(broken(Invariant::I12, name, format!("{id} is taken, but observers may only read it")))
            }
            (Ok(()), What::Version(version)) => self.reference.child_acknowledged(name, id, version),
            (Ok(()), What::Deletion) => self.reference.child_deletion_acknowledged(name, id),
            // It is sent again until it is answered; what is refused in the end is undone without a word.
            (Err(ChildError::Unanswered), _) => {
                // By then its writer may not be the Reporter any more.
                if operation.read_only || id.starts_with(NAMES[1]) {
                    self.reference.child_uncertain(id);
                }
                Ok(())
            }
            (Err(ChildError::Refused { .. } | ChildError::Undone { .. }), what) => {
                let version = if let What::Version(version) = what { version } else { u64::MAX };
                self.reference.child_refused(name, id, version)
            }
            // The object, the observation or the runtime ended.
            (Err(_), _) => {
                self.reference.child_uncertain(id);
                Ok(())
            }
        }
    }

    /// An operation that was refused at once.
    fn not_done(
        &self,
        name: &str,
        id: &str,
        error: &ChildError,
        (forbidden, broken_disk): (bool, bool),
    ) -> Result<(), Violation> {
        let ended = self.reference.is_deleting() || !self.serves(name);
        match error {
            ChildError::Refused { .. } | ChildError::Undone { .. } if forbidden || ended => Ok(()),
            ChildError::Refused { code, .. } if code.0 == 500 => Ok(()), // by a disk that failed
            // What that disk refused before is undone for the application, not in the copy of its runtime.
            ChildError::Refused { code, .. } if broken_disk && matches!(code.0, 409 | 410) => Ok(()),
            ChildError::Closed | ChildError::Deleted if ended => Ok(()),
            other => Err(broken(Invariant::I11, name, format!("an operation on {id} is refused: {other}"))),
        }
    }
}

fn boxed<T: Send + 'static>(
    commit: ChildCommit<T>,
) -> futures_util::future::BoxFuture<'static, Result<(), ChildError>> {
    Box::pin(async move { commit.await.map(drop) })
}

fn pick(children: &ChildrenHandle, which: usize) -> Option<Child> {
    let mut mine = children.mine();
    (!mine.is_empty()).then(|| mine.swap_remove(which % mine.len()))
}

fn ids(children: &ChildrenHandle) -> Vec<String> {
    children.mine().iter().map(|child| child.id().to_owned()).collect()
}
