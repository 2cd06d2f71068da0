use std::time::Duration;

use hyperty_model::Position;
use tokio::time::Instant;

/// How far behind a handle is, as far as it can know.
///
/// A connection that is lost without a sign shows first in [`Lag::silent`]: while an object has observers its position
/// is announced at least every 60 s (protocol 10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Versions between the two positions that are known: for an Observer from its copy to the latest position it
    /// heard of, for a Reporter from what is committed to what was written. 0 when nothing is known to be missing.
    pub versions: u64,
    /// For how long nothing was heard of the other side: for an Observer no change and no position, for a Reporter no
    /// answer to a change while some wait for one.
    pub silent: Duration,
}

impl Lag {
    pub(crate) fn between(behind: Position, ahead: Position, heard: Instant) -> Lag {
        Lag { versions: versions_between(behind, ahead), silent: heard.elapsed() }
    }
}

/// How many versions lead from one position to a later one. Where a new epoch began in between nobody can tell; it is
/// one at least.
pub(crate) fn versions_between(from: Position, to: Position) -> u64 {
    let versions = to.version.saturating_sub(from.version);
    if to.epoch > from.epoch { versions.max(1) } else { versions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_epoch_is_at_least_one_version_away() {
        let between = |from, to| versions_between(from, to);
        assert_eq!(between(Position::new(0, 3), Position::new(0, 7)), 4);
        assert_eq!(between(Position::new(0, 3), Position::new(0, 3)), 0);
        assert_eq!(between(Position::new(0, 7), Position::new(1, 4)), 1);
        assert_eq!(between(Position::new(0, 7), Position::new(1, 9)), 2);
    }
}
