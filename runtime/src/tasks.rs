//! The long-lived tasks of a runtime.

use std::future::Future;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Tasks that end together. Dropping it ends them.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Option<Vec<AbortHandle>>>);

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks(Mutex::new(Some(Vec::new())))
    }

    /// Runs a task until all are ended; `false` if they are already.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = self.0.lock();
        let Some(running) = tasks.as_mut() else { return false };
        running.retain(|task| !task.is_finished());
        running.push(tokio::spawn(task).abort_handle());
        true
    }

    /// Ends every task at its next await.
    pub(crate) fn abort(&self) {
        for task in self.0.lock().take().unwrap_or_default() {
            task.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}
