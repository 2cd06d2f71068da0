//! Ctrl-C and the polite kill.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// Says when the command is asked to leave. Clones hear the same.
#[derive(Clone)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Listens to SIGINT and SIGTERM from now on. The second one ends the process at once.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(crate) fn on_signals() -> Result<Stop, Failure> {
        let failed = |error| Failure::error(format_args!("cannot listen to signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if ask.send_replace(true) {
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        });
        Ok(Stop { asked })
    }

    /// Waits until the command is asked to leave.
    pub(crate) async fn requested(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            // Nobody listens to signals any more: nobody will ask.
            std::future::pending::<()>().await;
        }
    }

    /// Does `work` unless asked to leave before it is done; what is under way is given up then.
    ///
    /// # Errors
    /// The failure of the work, or [`Exit::Interrupted`].
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.requested() => Err(Failure::new(Exit::Interrupted, "interrupted")),
            done = work => done,
        }
    }
}
