use std::collections::HashMap;
use std::sync::Arc;

use hyperty_model::Url;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Gate = Arc<tokio::sync::Mutex<()>>;

/// Lets one procedure about an entity run at a time, in the order of their calls: an unregistration is sent only
/// after the keep-alive, or the registration that follows from one, that it overtook (INV-REG-3).
#[derive(Default)]
pub(super) struct Gates {
    /// Of what something is under way.
    gates: Mutex<HashMap<Url, Gate>>,
}

/// The right to go on, as long as it is held.
pub(super) struct Turn<'a> {
    gates: &'a Gates,
    url: &'a Url,
    gate: Gate,
    /// `None` while it still waits in the queue.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Gates {
    pub(super) async fn turn<'a>(&'a self, url: &'a Url) -> Turn<'a> {
        let gate = Arc::clone(self.gates.lock().entry(url.clone()).or_default());
        // Made before the wait: whoever gives up while it waits cleans up too.
        let mut turn = Turn { gates: self, url, gate, guard: None };
        turn.guard = Some(Arc::clone(&turn.gate).lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut gates = self.gates.gates.lock();
        // The map's own reference and ours: nobody else waits.
        if Arc::strong_count(&self.gate) == 2 {
            gates.remove(self.url);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_taken_in_order_and_leave_nothing_behind() {
        let (gates, url) = (Gates::default(), Url::parse("comm://a/o").unwrap());
        let order = Mutex::new(Vec::new());
        let procedure = async |name: u32| {
            let _turn = gates.turn(&url).await;
            order.lock().push(name);
            tokio::time::sleep(Duration::from_secs(1)).await;
            order.lock().push(name);
        };
        let impatient = tokio::time::timeout(Duration::from_millis(1), gates.turn(&url));
        let (_, gave_up, _) = tokio::join!(procedure(1), impatient, procedure(2));
        assert!(gave_up.is_err());
        assert_eq!(*order.lock(), [1, 1, 2, 2]);
        assert!(gates.gates.lock().is_empty());
    }
}
