//! How long a run waits, and how that follows what is measured.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

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

/// For how many round trips nothing may come before nothing more is waited for. What is waited for may go through a
/// runtime and its node twice, each of which may be as late as the slowest that was measured.
const QUIET_ROUND_TRIPS: u32 = 4;

/// The longest time of quiet that follows from what is measured: no longer than what the protocol lets pass before
/// something is done again (T_GAP, the first pause of a beat), which would be taken for what must not come.
const QUIET_MAX: Duration = Duration::from_millis(500);

/// How many round trips an answer may take: the longest procedure that a case waits for has a dozen, one after the
/// other.
const ANSWER_ROUND_TRIPS: u32 = 40;

/// The longest that an answer is waited for because of what is measured.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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

    /// The same where a message and its answer take so long: a far node or a loaded machine is waited for, and never
    /// less than without having measured. A whole case has the more time the longer an answer may take.
    #[must_use]
    pub fn following(self, round_trip: Duration) -> Patience {
        let quiet = (round_trip * QUIET_ROUND_TRIPS).min(QUIET_MAX).max(self.quiet);
        let answer = (round_trip * ANSWER_ROUND_TRIPS).min(ANSWER_MAX).max(self.answer);
        let slower = answer.as_secs_f64() / self.answer.as_secs_f64().max(f64::EPSILON);
        Patience { answer, quiet, case: self.case.mul_f64(slower.max(1.0)), ..self }
    }
}

/// How many round trips are remembered: those of the last few cases, so that a moment of load is not forgotten with the
/// case that it fell into, and does not slow down the rest of the run.
const REMEMBERED: usize = 32;

/// How long messages and their answers took lately in this run. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    took: Arc<Mutex<VecDeque<Duration>>>,
}

impl Pace {
    /// A message was sent to the implementation or its node, and answered after this time.
    pub fn measured(&self, took: Duration) {
        let mut all = self.took.lock();
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back(took);
    }

    /// The slowest of those that are remembered; nothing where none was measured.
    pub fn round_trip(&self) -> Duration {
        self.took.lock().iter().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_measured_makes_nothing_shorter_and_nothing_endless(millis in 0_u64..1_000_000) {
            let before = Patience::REMOTE;
            let after = before.following(Duration::from_millis(millis));
            prop_assert!(after.answer >= before.answer && after.answer <= ANSWER_MAX);
            prop_assert!(after.quiet >= before.quiet && after.quiet <= QUIET_MAX);
            prop_assert!(after.case >= before.case && after.case <= before.case * 12);
            prop_assert_eq!(after.longest_wait, before.longest_wait);
            prop_assert!(after.quiet < after.answer);
        }
    }

    #[test]
    fn a_fast_node_is_not_waited_for_any_longer() {
        assert_eq!(Patience::REMOTE.following(Duration::from_millis(5)), Patience::REMOTE);
        let slow = Patience::REMOTE.following(Duration::from_millis(50));
        assert_eq!((slow.quiet, slow.answer), (Duration::from_millis(200), Duration::from_secs(5)));
        let far = Patience::REMOTE.following(Duration::from_millis(300));
        assert_eq!((far.quiet, far.answer), (QUIET_MAX, Duration::from_secs(12)));
        assert_eq!(far.case, Duration::from_secs(288));
    }

    #[test]
    fn a_moment_of_load_is_remembered_for_a_while() {
        let pace = Pace::default();
        assert_eq!(pace.round_trip(), Duration::ZERO);
        pace.measured(Duration::from_millis(80));
        for _ in 1..REMEMBERED {
            pace.clone().measured(Duration::from_millis(1));
        }
        assert_eq!(pace.round_trip(), Duration::from_millis(80));
        pace.measured(Duration::from_millis(1));
        assert_eq!(pace.round_trip(), Duration::from_millis(1));
    }
}
