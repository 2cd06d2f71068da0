//! The clock of one machine: virtual time, and how far the machine is off.

use std::sync::atomic::{AtomicI64, Ordering};

use hyperty_model::{Clock, Timestamp};
use tokio::time::Instant;

/// What the clocks show when a simulation begins.
const BEGINNING_MILLIS: u64 = 1_700_000_000_000;

/// Shows virtual time, off by what [`MachineClock::jump`] made of it: people and time servers set clocks, also back.
#[derive(Debug)]
pub struct MachineClock {
    begun: Instant,
    offset_millis: AtomicI64,
}

impl MachineClock {
    /// A clock that is right now at the beginning of a simulation.
    pub(crate) fn new(begun: Instant) -> MachineClock {
        MachineClock { begun, offset_millis: AtomicI64::new(0) }
    }

    /// Sets the clock forwards, or backwards by a negative number.
    pub fn jump(&self, millis: i64) {
        self.offset_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let right = BEGINNING_MILLIS.saturating_add(elapsed);
        Timestamp::from_millis(right.saturating_add_signed(self.offset_millis.load(Ordering::Relaxed)))
    }
}
