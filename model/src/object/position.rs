use serde::{Deserialize, Serialize};

/// Where an object's history stands: the epoch changes when ownership moves or history is broken, the version
/// rises by exactly one with each change (protocol 3.4, 10.1). Ordered by epoch, then version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The generation of ownership; absent means 0.
    #[serde(default)]
    pub epoch: u64,
    /// The number of changes since creation.
    pub version: u64,
}

impl Position {
    /// A position.
    pub fn new(epoch: u64, version: u64) -> Position {
        Position { epoch, version }
    }

    /// The position after one more change; the last there is has none after it, so that a hostile version cannot
    /// overflow.
    #[must_use]
    pub fn next(self) -> Position {
        Position { version: self.version.saturating_add(1), ..self }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.version)
    }
}
