//! A case in which the paused clock stands still while tasks wake each other for ever would never end: its time is
//! measured by the wall clock. Time tells nothing else here, so that a slow machine changes no verdict.

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

/// A case takes half a second; this much on no machine.
const CASE_MAX: Duration = Duration::from_secs(60);

/// A task that never lets another have its turn cannot be interrupted: then the process ends.
const GRACE: Duration = Duration::from_secs(20);

/// The time of one case; ends when dropped.
pub(crate) struct Watchdog {
    bark: oneshot::Receiver<()>,
    _ended: mpsc::Sender<()>,
}

/// The case does not end.
#[derive(Debug)]
pub(crate) struct Stuck;

impl Display for Stuck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a livelock: not done after {CASE_MAX:?} of the wall clock,")
    }
}

impl Watchdog {
    /// Begins to measure the case of a seed.
    pub(crate) fn start(seed: u64) -> Watchdog {
        let (ended, listen) = mpsc::channel::<()>();
        let (tell, bark) = oneshot::channel();
        std::thread::spawn(move || {
            if listen.recv_timeout(CASE_MAX) == Err(RecvTimeoutError::Timeout) {
                // Nobody listens any more if it ended just now.
                let _ = tell.send(());
                if listen.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("seed {seed}: one task spins without letting another have its turn");
                    std::process::exit(101);
                }
            }
        });
        Watchdog { bark, _ended: ended }
    }

    /// What `work` gives, if it ends in time.
    pub(crate) async fn guard<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stuck> {
        tokio::select! {
            biased;
            _ = &mut self.bark => Err(Stuck),
            done = work => Ok(done),
        }
    }
}
