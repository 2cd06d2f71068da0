//! Changes by the Reporter, and their answers; its deletion.

use std::time::Duration;

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_model::Position;
use hyperty_syncher::{Commit, DeleteError, Reporter, WriteError};
use serde_json::{Value, json};
use tokio::task::unconstrained;
use tokio::time::timeout;

use crate::board::{Board, Made};
use crate::command::Write;
use crate::member::Member;
use crate::system::{System, broken};
use crate::written::written;

/// A change on a disk that goes on is answered within this.
const ANSWER: Duration = Duration::from_secs(60);

/// More bytes than go into one message.
const LARGE: usize = 300_000;

/// More events than are kept for an application that does not read.
const FLOOD: usize = 1_100;

impl System {
    pub(crate) async fn write(&mut self, board: usize, write: &Write, wait: bool) -> Result<(), Violation> {
        let keeps = self.member(self.boards[board].owner).keeps();
        let board = &mut self.boards[board];
        let Some(reporter) = board.reporter.clone() else { return Ok(()) };
        if board.reference.is_deleting() {
            return after_deletion(board, call(&reporter, write)).await;
        }
        board.hopeless.retain_mut(|commit| unconstrained(commit).now_or_never().is_none());
        if !board.hopeless.is_empty() {
            return Ok(()); // It waits for that answer, on which everything that it makes now hangs.
        }
        let before = reporter.position();
        let expected = reporter.with_data(|data| written(data, write));
        let mut commit = call(&reporter, write);
        let Some((data, versions)) = expected else {
            return refused(board, &reporter, before, commit, keeps).await;
        };
        // A flood uses up what tokio lets one task do at a time: then even an answer that is there would not be seen.
        let early = unconstrained(&mut commit).now_or_never();
        if let Some(Err(error)) = early {
            return not_made(board, &reporter, before, &error, keeps);
        }
        let after = reporter.position();
        if reporter.data() != data || versions.is_some_and(|count| after.version != before.version + count) {
            let detail = format!(
                "{write:?} at {before} gives {after} with {}, not {data}: {early:?}",
                reporter.data()
            );
            return Err(broken(Invariant::I1, &board.owner_who, detail));
        }
        let by = board.owner_who.clone();
        if after != before {
            board.reference.proposed(&by, after, &data)?;
        }
        match early {
            Some(result) => board.committed(&by, after, result),
            None if wait && keeps && !board.is_between() => match timeout(ANSWER, commit).await {
                Ok(result) => board.committed(&by, after, result),
                Err(_) => Err(broken(
                    Invariant::I7,
                    &board.owner_who,
                    format!("{write:?} at {after} has no answer"),
                )),
            },
            None => {
                board.commits.push(Made { by, at: after, commit });
                Ok(())
            }
        }
    }

    /// So many changes at once that who does not read them is told by a whole state.
    pub(crate) async fn flood(&mut self, board: usize) -> Result<(), Violation> {
        for number in 0..FLOOD {
            self.write(board, &Write::Set("a", json!(number)), false).await?;
        }
        Ok(())
    }

    /// Deletes an object that is there; one that is deleted stays so.
    pub(crate) async fn delete(&mut self, number: usize) -> Result<(), Violation> {
        // Those who are on their way in are let in or turned away first.
        self.finish_pending().await?;
        let whos: Vec<String> = self.members.iter().flatten().map(Member::who).collect();
        let board = &mut self.boards[number];
        let Some(reporter) = board.reporter.clone().filter(|_| !board.is_between()) else { return Ok(()) };
        let again = board.reference.is_deleting();
        board.reference.deleting();
        // From here on operations on children are refused, also if a crash brings the object back.
        whos.iter().for_each(|writer| board.reference.children_uncertain(writer));
        match reporter.delete().await {
            Ok(()) => {
                let owner = board.owner_who.clone();
                board.reference.deleted(&owner)
            }
            // What is being deleted is unknown in the end.
            Err(DeleteError::Refused { code, .. }) if again && code.0 == 404 => {
                let owner = board.owner_who.clone();
                board.reference.deleted(&owner)
            }
            Err(DeleteError::Refused { .. } | DeleteError::Timeout) => Ok(()),
            Err(error) => {
                Err(broken(Invariant::I7, &board.owner_who, format!("deleting fails with {error}")))
            }
        }
    }
}

impl Board {
    /// What the Reporter's application was told of a change.
    pub(crate) fn committed(
        &mut self,
        by: &str,
        at: Position,
        result: Result<Position, WriteError>,
    ) -> Result<(), Violation> {
        match result {
            Ok(told) if told == at => self.reference.acknowledged(by, at),
            Ok(told) => Err(broken(Invariant::I3, by, format!("{at} is acknowledged as {told}"))),
            Err(WriteError::Refused { version, .. } | WriteError::Undone { version, .. }) => {
                self.reference.undone(by, Position { version, ..at })
            }
            // It did not go with the object, which is the other's.
            Err(WriteError::Delegated) => self.reference.undone(by, at),
            Err(WriteError::Deposed { .. }) if self.is_between() || *by != self.owner_who => Ok(()),
            // Its handle was let go when the object was found to be another's.
            Err(WriteError::Stopped) if *by != self.owner_who => Ok(()),
            // What the disk has of it is seen when the object is resumed.
            Err(WriteError::StoreFailed { .. }) => Ok(()),
            Err(WriteError::Deleted) if self.reference.is_deleting() => Ok(()),
            Err(error) => Err(broken(Invariant::I7, by, format!("{at} ends with {error}"))),
        }
    }
}

/// What cannot be made is refused, and leaves nothing.
async fn refused(
    board: &mut Board,
    reporter: &Reporter,
    before: Position,
    mut commit: Commit,
    keeps: bool,
) -> Result<(), Violation> {
    let wrong = |invariant, detail| Err(broken(invariant, &board.owner_who, detail));
    match timeout(ANSWER, &mut commit).await {
        Err(_) if keeps => return wrong(Invariant::I7, "a change that cannot be has no answer".to_owned()),
        Err(_) => board.hopeless.push(commit),
        Ok(Ok(at)) if at != before => {
            return wrong(Invariant::I12, format!("a change that cannot be is taken as {at}"));
        }
        _ => {}
    }
    // It may have waited for those before it, which the disk may have failed.
    board.take_commits()?;
    if keeps && !board.is_between() && reporter.position() != board.reference.latest() {
        let detail = format!("a refused change moves {before} to {}", reporter.position());
        return Err(broken(Invariant::I12, &board.owner_who, detail));
    }
    Ok(())
}

/// A change that fits was not made.
fn not_made(
    board: &mut Board,
    reporter: &Reporter,
    before: Position,
    error: &WriteError,
    keeps: bool,
) -> Result<(), Violation> {
    let excused = match error {
        WriteError::StoreFailed { .. } => !keeps,
        WriteError::Delegated | WriteError::Deposed { .. } if board.is_between() => return Ok(()),
        // It was made over one that the disk failed meanwhile: both are undone.
        WriteError::Undone { code, .. } if !keeps && code.0 == 500 => return board.take_commits(),
        _ => false,
    };
    if !excused {
        let detail = format!("a change of {before} that fits is refused: {error}");
        return Err(broken(Invariant::I11, &board.owner_who, detail));
    }
    if reporter.position() < before {
        let detail = format!("a refused change moves {before} to {}", reporter.position());
        return Err(broken(Invariant::I12, &board.owner_who, detail));
    }
    Ok(())
}

/// Nothing is written any more once the deletion was acknowledged.
async fn after_deletion(board: &Board, mut commit: Commit) -> Result<(), Violation> {
    let early = unconstrained(&mut commit).now_or_never();
    match early {
        Some(Ok(at)) if board.reference.is_deleted() => {
            Err(broken(Invariant::I9, &board.owner_who, format!("{at} is taken after the deletion")))
        }
        None if board.reference.is_deleted() => Err(broken(
            Invariant::I9,
            &board.owner_who,
            "a change is under way after the deletion".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn call(board: &Reporter, write: &Write) -> Commit {
    match write {
        Write::Set(path, value) => board.set(*path, value.clone()),
        Write::Remove(path) => board.remove(*path),
        Write::Insert(at, values) => board.insert("list", *at, values.clone()),
        Write::RemoveElements(at, count) => board.remove_elements("list", *at, *count),
        Write::Edit(members) => board.update(|data| {
            for (member, value) in members {
                data[*member] = value.clone();
            }
        }),
        Write::Replace(data) => board.replace(data.clone()),
        Write::Large(kind) => board.set("a", large(*kind)),
        Write::Bad => board.set("topic", 5),
        Write::Homeless => board.set("nowhere.on.the.way", 1),
        Write::Huge => board.set("a", nested(400)),
    }
}

/// A text that is longer than a message.
pub(crate) fn large(kind: u8) -> Value {
    json!(format!("{kind:3}").repeat(LARGE / 3))
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}
