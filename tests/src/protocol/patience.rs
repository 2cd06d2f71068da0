//! How long a run waits.

use std::time::Duration;

/// How long to wait for what, in tokio's time: under paused time none of it costs anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a message that has to come. Longer than any correct implementation needs; only a failing case waits so
    /// long.
    pub answer: Duration,
    /// For a message that must not come, after all that is known to be under way has come.
    pub quiet: Duration,
    /// For a whole case.
    pub case: Duration,
    /// For a time of the protocol to pass, such as T_GRACE; cases that need more are skipped.
    pub longest_wait: Duration,
}

impl Patience {
    /// For paused time.
    pub const PAUSED: Patience = Patience {
        answer: Duration::from_secs(10),
        quiet: Duration::from_millis(20),
        case: Duration::from_secs(3_600),
        longest_wait: Duration::from_secs(1_800),
    };

    /// For an implementation at the other end of a connection.
    pub const REMOTE: Patience = Patience {
        answer: Duration::from_secs(5),
        quiet: Duration::from_millis(20),
        case: Duration::from_secs(120),
        longest_wait: Duration::from_secs(3),
    };
}
