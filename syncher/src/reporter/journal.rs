//! The Reporter's copy with the changes that are not committed yet, without any I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use hyperty_model::change::{ApplyError, Change, Inverse, apply_with_inverse};
use hyperty_model::{MessageId, Position};
use serde_json::Value;

/// The data as the application sees it: what is committed, and over it what is in flight.
///
/// `W` is whoever waits for a change.
#[derive(Debug)]
pub(super) struct Journal<W> {
    data: Arc<Value>,
    /// The version of `data`. What is in flight are its last versions, without a hole.
    position: Position,
    in_flight: VecDeque<InFlight<W>>,
    /// How often changes were undone: an edit whose copy is older must not be applied.
    undone: u64,
}

#[derive(Debug)]
struct InFlight<W> {
    id: MessageId,
    inverse: Inverse,
    /// The last version of the changes that were made together.
    group: u64,
    waiting: Vec<W>,
}

/// What a refusal undid.
#[derive(Debug, PartialEq)]
pub(super) struct Undone<W> {
    /// The version that was refused.
    pub(super) version: u64,
    /// Who waits for the refused change, or one that was made together with it.
    pub(super) refused: Vec<W>,
    /// Who waits for a later one.
    pub(super) later: Vec<W>,
}

impl<W> Journal<W> {
    pub(super) fn new(data: Value, position: Position) -> Journal<W> {
        Journal { data: Arc::new(data), position, in_flight: VecDeque::new(), undone: 0 }
    }

    pub(super) fn data(&self) -> &Arc<Value> {
        &self.data
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The last position that is committed.
    pub(super) fn committed(&self) -> Position {
        Position { version: self.position.version - self.in_flight.len() as u64, ..self.position }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn undone(&self) -> u64 {
        self.undone
    }

    /// Makes changes together: all of them, or none. `id` draws the id of each message.
    pub(super) fn write(
        &mut self,
        changes: &[Change],
        waiting: W,
        mut id: impl FnMut() -> MessageId,
    ) -> Result<Vec<(MessageId, Position)>, ApplyError> {
        let data = Arc::make_mut(&mut self.data);
        let mut inverses = Vec::with_capacity(changes.len());
        for change in changes {
            match apply_with_inverse(data, change) {
                Ok(inverse) => inverses.push(inverse),
                Err(error) => {
                    inverses.into_iter().rev().for_each(|inverse| inverse.undo(data));
                    return Err(error);
                }
            }
        }
        let group = self.position.version + changes.len() as u64;
        let mut written = Vec::with_capacity(changes.len());
        for inverse in inverses {
            let id = id();
            self.position = self.position.next();
            self.in_flight.push_back(InFlight { id: id.clone(), inverse, group, waiting: Vec::new() });
            written.push((id, self.position));
        }
        self.wait(waiting);
        Ok(written)
    }

    /// Adds somebody who waits for everything so far; gives them back if nothing is in flight.
    pub(super) fn wait(&mut self, waiting: W) -> Option<W> {
        match self.in_flight.back_mut() {
            Some(last) => {
                last.waiting.push(waiting);
                None
            }
            None => Some(waiting),
        }
    }

    /// A change is committed, and with it all before it. Returns who waited, each with the position reached.
    pub(super) fn commit(&mut self, id: &MessageId) -> Vec<(Position, W)> {
        let Some(at) = self.find(id) else { return Vec::new() };
        let mut position = self.committed();
        let mut reached = Vec::new();
        for change in self.in_flight.drain(..=at) {
            position = position.next();
            reached.extend(change.waiting.into_iter().map(|waiting| (position, waiting)));
        }
        reached
    }

    /// A change is refused: it is undone with all that were made after it, the last first. The next change takes the
    /// refused version again.
    pub(super) fn refuse(&mut self, id: &MessageId) -> Option<Undone<W>> {
        let at = self.find(id)?;
        Some(self.undo_from(at))
    }

    /// What is not committed never will be: it is undone. Returns who waits.
    pub(super) fn withdraw(&mut self) -> Vec<W> {
        if self.in_flight.is_empty() {
            return Vec::new();
        }
        let Undone { mut refused, later, .. } = self.undo_from(0);
        refused.extend(later);
        refused
    }

    /// Nobody will answer any more: returns who waits, and leaves the data as it is.
    pub(super) fn give_up(&mut self) -> Vec<W> {
        self.in_flight.drain(..).flat_map(|change| change.waiting).collect()
    }

    /// Replaces the copy, unless changes are in flight that count on it.
    pub(super) fn rebase(&mut self, data: Value, position: Position) -> bool {
        let free = self.in_flight.is_empty();
        if free && position != self.position {
            self.data = Arc::new(data);
            self.position = position;
            self.undone += 1;
        }
        free
    }

    fn undo_from(&mut self, at: usize) -> Undone<W> {
        let version = self.committed().version + at as u64 + 1;
        let group = self.in_flight.get(at).map_or(version, |change| change.group);
        let mut undone = Undone { version, refused: Vec::new(), later: Vec::new() };
        let data = Arc::make_mut(&mut self.data);
        for change in self.in_flight.drain(at..).rev() {
            change.inverse.undo(data);
            let side = if change.group == group { &mut undone.refused } else { &mut undone.later };
            side.extend(change.waiting);
        }
        self.position.version = version - 1;
        self.undone += 1;
        undone
    }

    /// Answers come in order: the first is the one, nearly always.
    fn find(&self, id: &MessageId) -> Option<usize> {
        self.in_flight.iter().position(|change| change.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::{ChangeOp, apply};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(Vec<Change>),
        Commit(usize),
        Refuse(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let path =
            prop_oneof![Just("a"), Just("b"), Just("list.0"), Just("list.1"), Just("a.x"), Just("b.y.z")];
        let value = prop_oneof![
            Just(json!(null)),
            Just(json!(1)),
            Just(json!({})),
            Just(json!({"x": 1, "y": {}})),
            Just(json!([1, 2])),
        ];
        let op = prop_oneof![
            4 => value.clone().prop_map(ChangeOp::Set),
            1 => Just(ChangeOp::Delete),
            1 => proptest::collection::vec(value, 0..3).prop_map(ChangeOp::Insert),
            1 => (1_u64..3).prop_map(ChangeOp::Remove),
        ];
        (path, op).prop_map(|(path, op)| Change::new(path, op))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => proptest::collection::vec(change(), 1..4).prop_map(Step::Write),
            2 => (0_usize..4).prop_map(Step::Commit),
            2 => (0_usize..4).prop_map(Step::Refuse),
        ]
    }

    proptest! {
        /// Against a model that keeps the whole document of every version: whatever is written, committed, refused
        /// and undone, the data is the document of the position, committed versions are never taken back, and
        /// everybody who waits hears exactly once (M2, INV-DOM-7 of the Reporter's side).
        #[test]
        fn the_copy_is_always_the_document_of_its_version(steps in proptest::collection::vec(step(), 0..60)) {
            let start = json!({"list": []});
            let mut journal: Journal<u64> = Journal::new(start.clone(), Position::default());
            let mut documents = vec![start];
            let mut flying: Vec<MessageId> = Vec::new();
            let (mut next, mut heard, mut waits) = (0_u64, Vec::new(), 0_u64);
            for step in steps {
                match step {
                    Step::Write(changes) => {
                        let mut copy = documents.last().unwrap().clone();
                        let mut after = Vec::new();
                        let fits = changes.iter().all(|change| {
                            let fits = apply(&mut copy, change).is_ok();
                            after.push(copy.clone());
                            fits
                        });
                        let written = journal.write(&changes, waits, || { next += 1; MessageId::from(next) });
                        prop_assert_eq!(written.is_ok(), fits);
                        if let Ok(written) = written {
                            waits += 1;
                            documents.extend(after);
                            flying.extend(written.into_iter().map(|(id, _)| id));
                        }
                    }
                    Step::Commit(at) if at < flying.len() => {
                        let id = flying[at].clone();
                        heard.extend(journal.commit(&id).into_iter().map(|(_, wait)| wait));
                        flying.drain(..=at);
                    }
                    Step::Refuse(at) if at < flying.len() => {
                        let undone = journal.refuse(&flying[at]).unwrap();
                        let kept = documents.len() - (flying.len() - at);
                        documents.truncate(kept);
                        flying.truncate(at);
                        prop_assert_eq!(undone.version, kept as u64);
                        heard.extend(undone.refused);
                        heard.extend(undone.later);
                    }
                    Step::Commit(_) | Step::Refuse(_) => {
                        prop_assert!(journal.refuse(&MessageId::from(u64::MAX)).is_none());
                    }
                }
                prop_assert_eq!(&**journal.data(), documents.last().unwrap());
                prop_assert_eq!(journal.position().version, documents.len() as u64 - 1);
                prop_assert_eq!(journal.in_flight(), flying.len());
                prop_assert_eq!(journal.committed().version as usize, documents.len() - 1 - flying.len());
            }
            heard.extend(journal.give_up());
            heard.sort_unstable();
            prop_assert_eq!(heard, (0..waits).collect::<Vec<_>>());
        }
    }
}
