//! The bounded log of changes that a reporter's Sync Manager answers repairs from (protocol 10.1).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Position;
use crate::message::UpdateBody;

/// Most changes kept per object. An observer that missed more is served better by a snapshot.
pub const LOG_CHANGES_MAX: usize = 1_000;

/// Most bytes kept per object, approximately. An answer that is made of them stays within one message.
pub const LOG_BYTES_MAX: usize = 1 << 20;

/// How much a [`ChangeLog`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Most changes.
    pub changes: usize,
    /// Most bytes, approximately.
    pub bytes: usize,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits { changes: LOG_CHANGES_MAX, bytes: LOG_BYTES_MAX }
    }
}

/// The latest changes of one object, without hole, up to its present position.
#[derive(Debug, Clone)]
pub struct ChangeLog {
    limits: LogLimits,
    /// The last change is the one that led to `end`; those before it precede it without hole.
    changes: VecDeque<Arc<UpdateBody>>,
    end: Position,
    bytes: usize,
    /// The last position of the epoch before, if this one began with the same state.
    continues: Option<Position>,
}

impl Default for ChangeLog {
    fn default() -> ChangeLog {
        ChangeLog::new(LogLimits::default())
    }
}

impl ChangeLog {
    /// The empty log of an object at 0.0.
    pub fn new(limits: LogLimits) -> ChangeLog {
        ChangeLog::starting_at(Position::default(), limits)
    }

    /// The empty log of an object that has this position already.
    pub fn starting_at(position: Position, limits: LogLimits) -> ChangeLog {
        ChangeLog { limits, changes: VecDeque::new(), end: position, bytes: 0, continues: None }
    }

    /// The empty log of an object that goes on in a new epoch where it stood in the one before, because it changed
    /// hands: whoever stands there can be told the changes (protocol 5.11).
    pub fn continuing(from: Position, epoch: u64, limits: LogLimits) -> ChangeLog {
        let log = ChangeLog::starting_at(Position { epoch, ..from }, limits);
        ChangeLog { continues: Some(from), ..log }
    }

    /// The same of a log that was restored: it helps as long as it reaches back to where the epoch began.
    #[must_use]
    pub fn continued_from(self, from: Option<Position>) -> ChangeLog {
        ChangeLog { continues: from, ..self }
    }

    /// The log of an object that stands at `end`, from changes that were kept: as many of them as lead there without
    /// a hole, and as the limits allow. Those that do not are left out with all before them.
    pub fn restored(end: Position, kept: &[Arc<UpdateBody>], limits: LogLimits) -> ChangeLog {
        let mut expected = end;
        let mut from = kept.len();
        for update in kept.iter().rev() {
            if update.version != Some(expected.version) || update.epoch.unwrap_or(0) != expected.epoch {
                break;
            }
            from -= 1;
            let Some(before) = expected.version.checked_sub(1) else { break };
            expected.version = before;
        }
        let mut log = ChangeLog::starting_at(
            Position { version: end.version - (kept.len() - from) as u64, ..end },
            limits,
        );
        for update in &kept[from..] {
            log.push(log.end.next(), Arc::clone(update));
        }
        log
    }

    /// The position after the last change.
    pub fn end(&self) -> Position {
        self.end
    }

    /// How many changes are kept.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no change is kept.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds the change that led to `position`. If that is not the position after the last one, history was broken:
    /// what was kept before is forgotten.
    pub fn push(&mut self, position: Position, update: Arc<UpdateBody>) {
        if position != self.end.next() {
            self.changes.clear();
            self.bytes = 0;
            self.continues = None;
        }
        self.end = position;
        self.bytes += update.approximate_size();
        self.changes.push_back(update);
        while self.changes.len() > self.limits.changes || self.bytes > self.limits.bytes {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= oldest.approximate_size();
        }
    }

    /// What came after `position`, oldest first; empty if nothing did. `None` if that cannot be told: part of it is
    /// no longer kept, or the position is of another epoch, or ahead of the log. Then a snapshot is the answer.
    pub fn since(&self, position: Position) -> Option<Vec<Arc<UpdateBody>>> {
        Some(self.changes.iter().skip(self.skipped(position)?).cloned().collect())
    }

    /// Whether [`ChangeLog::since`] can tell.
    pub fn covers(&self, position: Position) -> bool {
        self.skipped(position).is_some()
    }

    /// How many of the changes kept were made before a position.
    fn skipped(&self, position: Position) -> Option<usize> {
        if position.epoch != self.end.epoch {
            let first = self.end.version.checked_sub(self.changes.len() as u64)?;
            return (self.continues == Some(position) && first == position.version).then_some(0);
        }
        let missing = usize::try_from(self.end.version.checked_sub(position.version)?).ok()?;
        self.changes.len().checked_sub(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, ChangeOp};
    use serde_json::json;

    fn update(position: Position, text: &str) -> Arc<UpdateBody> {
        Arc::new(UpdateBody::change(position, Change::new("topic", ChangeOp::Set(json!(text)))))
    }

    fn log_of(versions: std::ops::RangeInclusive<u64>, limits: LogLimits) -> ChangeLog {
        let mut log = ChangeLog::starting_at(Position::new(0, versions.start() - 1), limits);
        for version in versions {
            let position = Position::new(0, version);
            log.push(position, update(position, "x"));
        }
        log
    }

    fn versions(log: &ChangeLog, since: Position) -> Option<Vec<u64>> {
        Some(log.since(since)?.iter().map(|update| update.version.unwrap()).collect())
    }

    #[test]
    fn it_tells_exactly_what_came_after_a_position() {
        let log = log_of(6..=9, LogLimits::default());
        assert_eq!(versions(&log, Position::new(0, 7)), Some(vec![8, 9]));
        assert_eq!(versions(&log, Position::new(0, 5)), Some(vec![6, 7, 8, 9]));
        assert_eq!(versions(&log, Position::new(0, 9)), Some(vec![]));
        assert_eq!(versions(&log, Position::new(0, 4)), None, "no longer kept");
        assert_eq!(versions(&log, Position::new(0, 10)), None, "ahead");
        assert_eq!(versions(&log, Position::new(1, 7)), None, "another epoch");
    }

    #[test]
    fn an_object_without_changes_has_nothing_to_add() {
        let log = ChangeLog::starting_at(Position::new(2, 40), LogLimits::default());
        assert_eq!(versions(&log, Position::new(2, 40)), Some(vec![]));
        assert_eq!(versions(&log, Position::new(2, 39)), None);
        assert_eq!(versions(&ChangeLog::new(LogLimits::default()), Position::default()), Some(vec![]));
    }

    #[test]
    fn it_is_bounded_by_count_and_by_bytes() {
        let log = log_of(1..=20, LogLimits { changes: 5, bytes: usize::MAX });
        assert_eq!((log.len(), log.end()), (5, Position::new(0, 20)));
        assert_eq!(versions(&log, Position::new(0, 15)), Some(vec![16, 17, 18, 19, 20]));
        assert_eq!(versions(&log, Position::new(0, 14)), None);

        let mut log = log_of(1..=3, LogLimits { changes: 100, bytes: 1_000 });
        let position = Position::new(0, 4);
        log.push(position, update(position, &"y".repeat(2_000)));
        assert!(log.is_empty(), "a change larger than the log is not kept");
        assert_eq!(versions(&log, position), Some(vec![]));
        log.push(Position::new(0, 5), update(Position::new(0, 5), "z"));
        assert_eq!(versions(&log, position), Some(vec![5]));
        assert_eq!(log.bytes, log.changes[0].approximate_size());
    }

    #[test]
    fn what_is_restored_leads_to_the_end_without_a_hole() {
        let kept: Vec<_> = [3, 5, 6, 7].map(|version| update(Position::new(0, version), "x")).to_vec();
        let restored = |end, kept: &[_]| ChangeLog::restored(end, kept, LogLimits::default());
        let log = restored(Position::new(0, 7), &kept);
        assert_eq!((log.len(), log.end()), (3, Position::new(0, 7)));
        assert_eq!(versions(&log, Position::new(0, 4)), Some(vec![5, 6, 7]));
        assert_eq!(versions(&log, Position::new(0, 3)), None, "4 is missing");
        for end in [Position::new(0, 8), Position::new(0, 6), Position::new(1, 7)] {
            let log = restored(end, &kept);
            assert_eq!((log.len(), log.end()), (0, end), "what leads elsewhere is no history of {end}");
        }
        assert_eq!(restored(Position::new(2, 0), &[]).end(), Position::new(2, 0));
        let few =
            ChangeLog::restored(Position::new(0, 7), &kept, LogLimits { changes: 2, bytes: usize::MAX });
        assert_eq!(versions(&few, Position::new(0, 5)), Some(vec![6, 7]));
    }

    #[test]
    fn an_epoch_that_continues_another_is_told_to_who_stood_at_its_end_inv_dlg_3() {
        let (from, first) = (Position::new(0, 7), Position::new(1, 8));
        let mut log = ChangeLog::continuing(from, 1, LogLimits { changes: 2, bytes: usize::MAX });
        assert_eq!(versions(&log, from), Some(vec![]));
        log.push(first, update(first, "x"));
        assert_eq!(versions(&log, from), Some(vec![8]));
        assert_eq!(versions(&log, Position::new(1, 7)), Some(vec![8]));
        assert_eq!(versions(&log, Position::new(0, 6)), None, "it is not known what came before");
        assert_eq!(versions(&log, Position::new(0, 8)), None, "that never was");
        for version in 9..=10 {
            log.push(Position::new(1, version), update(Position::new(1, version), "x"));
        }
        assert_eq!(versions(&log, from), None, "8 is not kept any longer");
        let log = ChangeLog::restored(first, &[update(first, "x")], LogLimits::default());
        assert_eq!(versions(&log.continued_from(Some(from)), from), Some(vec![8]));
    }

    #[test]
    fn a_broken_history_forgets_what_was_before() {
        let mut log = log_of(1..=3, LogLimits::default());
        let position = Position::new(1, 4);
        log.push(position, update(position, "x"));
        assert_eq!(versions(&log, Position::new(1, 3)), Some(vec![4]));
        assert_eq!(versions(&log, Position::new(1, 2)), None);
        assert_eq!(versions(&log, Position::new(0, 3)), None);
    }
}
