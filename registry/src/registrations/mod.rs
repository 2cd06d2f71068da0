//! What a runtime keeps alive at the registries of its domains.

mod gates;
mod keep_alive;
mod lost;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{MessageBus, Replay};
use hyperty_model::url::node;
use hyperty_model::{Body, Message, MessageType, RuntimeUrl, StatusCode, Url};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use gates::{Gates, Turn};
use lost::Losses;

use crate::client::{RegisterError, UpdateError, register_body};
use crate::{DomainRegistry, LOCAL_OBJECTS_MAX, RegistrationRecord};

/// What this runtime has registered, kept alive until it is unregistered.
///
/// Whoever reports an object registers it here and not at the [`DomainRegistry`] itself. [`Registrations::drive`]
/// sends the keep-alives; as a [`Replay`] it registers everything anew in a fresh session.
#[derive(Clone)]
pub struct Registrations {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<dyn DomainRegistry>,
    bus: MessageBus,
    from: Url,
    state: Mutex<State>,
    gates: Gates,
    losses: Losses,
    /// Something is due before what the driver waits for.
    earlier: Notify,
}

#[derive(Default)]
struct State {
    held: BTreeMap<Url, Held>,
    /// When what is due next, by domain.
    due: BTreeMap<String, BTreeSet<(Instant, Url)>>,
}

struct Held {
    record: RegistrationRecord,
    due: Instant,
    /// When the registry last took a sign of life.
    alive: Instant,
}

impl Registrations {
    /// Registers at `registry`; replays on `bus` in the name of `runtime`.
    pub fn new(registry: Arc<dyn DomainRegistry>, bus: MessageBus, runtime: &RuntimeUrl) -> Registrations {
        let inner = Inner {
            registry,
            bus,
            from: runtime.registry(),
            state: Mutex::default(),
            gates: Gates::default(),
            losses: Losses::default(),
            earlier: Notify::new(),
        };
        Registrations { inner: Arc::new(inner) }
    }

    /// The registry behind it, for queries.
    pub fn registry(&self) -> &Arc<dyn DomainRegistry> {
        &self.inner.registry
    }

    /// Registers an entity and keeps it alive from now on.
    ///
    /// # Errors
    /// [`RegisterError`]; the entity is then not kept alive.
    pub async fn register(&self, record: RegistrationRecord) -> Result<(), RegisterError> {
        let _turn = self.inner.gates.turn(&record.url).await;
        self.inner.check_room(&record.url)?;
        self.inner.registry.register(&record).await?;
        self.inner.hold(record.clone());
        Ok(())
    }

    /// Says that an entity is live again, with the user, Reporter and epoch of the record, and keeps it alive from
    /// now on. One that the registry has forgotten is registered.
    ///
    /// # Errors
    /// [`RegisterError`]; the entity is then not kept alive.
    pub async fn resume(&self, record: RegistrationRecord) -> Result<(), RegisterError> {
        let _turn = self.inner.gates.turn(&record.url).await;
        self.inner.check_room(&record.url)?;
        self.inner.revive(&record).await?;
        self.inner.hold(record.clone());
        Ok(())
    }

    /// Stops keeping an entity alive, then says that it is disconnected. Unknown to the registry is well enough.
    ///
    /// # Errors
    /// [`UpdateError`]; the entity is not kept alive all the same, and expires.
    pub async fn unregister(&self, url: &Url) -> Result<(), UpdateError> {
        let _turn = self.inner.stop(url).await;
        known(self.inner.registry.unregister(url).await)
    }

    /// Stops keeping an entity alive, then says that it is gone for good: disconnected first, for registries that
    /// know no deletion.
    ///
    /// # Errors
    /// [`UpdateError`]; the entity is not kept alive all the same, and expires.
    pub async fn delete(&self, url: &Url) -> Result<(), UpdateError> {
        let _turn = self.inner.stop(url).await;
        match self.inner.registry.unregister(url).await {
            Ok(()) => {}
            Err(UpdateError::Unknown | UpdateError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.inner.registry.delete(url).await {
            Err(error @ UpdateError::Unreachable(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Stops keeping an entity alive and says nothing to anybody: it is somebody else's now.
    pub fn forget(&self, url: &Url) {
        self.inner.state.lock().release(url);
    }

    /// Calls `f` whenever the domain says that a registration which was kept alive is not this runtime's any more, or
    /// that the entity is deleted. Whoever answers for the entity has to find out, and to stand down. Set once; `f`
    /// must return quickly.
    pub fn on_lost(&self, f: impl Fn(&Url) + Send + Sync + 'static) {
        self.inner.losses.tell(f);
    }

    /// Stops keeping an entity alive, and says nothing: it is another's, or never was this runtime's.
    pub async fn release(&self, url: &Url) {
        drop(self.inner.stop(url).await);
    }

    /// Stops keeping an entity alive, then says whose it is from the epoch of the record on: it is given to another
    /// runtime (protocol 5.11). Unknown to the registry is well enough.
    ///
    /// # Errors
    /// [`UpdateError`]; the entity is not kept alive all the same.
    pub async fn hand_over(&self, record: RegistrationRecord) -> Result<(), UpdateError> {
        let _turn = self.inner.stop(&record.url).await;
        known(self.inner.registry.set_live(&record).await)
    }

    /// Whether the entity is kept alive.
    pub fn holds(&self, url: &Url) -> bool {
        self.inner.state.lock().held.contains_key(url)
    }
}

impl Replay for Registrations {
    /// Registers everything of `domain` again: right in a session whose node has kept the entries, and in one whose
    /// node has lost them.
    fn replay(&self, domain: &str) -> Vec<Message> {
        let Ok(to) = node::registry(domain) else { return Vec::new() };
        let state = self.inner.state.lock();
        let of_domain = |held: &&Held| of_domain(&held.record.url, domain);
        let message = |held: &Held| {
            let body = Body::of(register_body(&held.record));
            let message = self.inner.bus.new_message(MessageType::Create, &self.inner.from, &to, body);
            self.inner.watch_replayed(&held.record.url, &message);
            message
        };
        state.held.values().filter(of_domain).map(message).collect()
    }
}

impl std::fmt::Debug for Registrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = self.inner.state.lock().held.len();
        f.debug_struct("Registrations").field("from", &self.inner.from).field("held", &held).finish()
    }
}

impl Inner {
    fn check_room(&self, url: &Url) -> Result<(), RegisterError> {
        let state = self.state.lock();
        if state.held.len() < LOCAL_OBJECTS_MAX || state.held.contains_key(url) {
            return Ok(());
        }
        let reason = format!("this runtime keeps {LOCAL_OBJECTS_MAX} registrations already");
        Err(RegisterError::Refused { code: StatusCode::FORBIDDEN, reason })
    }

    /// No keep-alive is sent from here on, and none is under way any more.
    async fn stop<'a>(&'a self, url: &'a Url) -> Turn<'a> {
        self.state.lock().release(url);
        let turn = self.gates.turn(url).await;
        // A registration may have been before us in the queue.
        self.state.lock().release(url);
        turn
    }

    /// Keeps an entry alive that the registry has just taken.
    fn hold(&self, record: RegistrationRecord) {
        let alive = Instant::now();
        let due = alive + period(&record);
        let mut state = self.state.lock();
        state.release(&record.url);
        let is_next = state.hold(Held { record, due, alive });
        drop(state);
        if is_next {
            self.earlier.notify_one();
        }
    }

    async fn revive(&self, record: &RegistrationRecord) -> Result<(), RegisterError> {
        match self.registry.set_live(record).await {
            Err(UpdateError::Unknown) => self.registry.register(record).await,
            outcome => outcome.map_err(RegisterError::from),
        }
    }
}

impl State {
    /// Whether it is the next of its domain.
    fn hold(&mut self, held: Held) -> bool {
        let (url, due) = (held.record.url.clone(), held.due);
        let of_domain = self.due.entry(domain_of(&url)).or_default();
        of_domain.insert((due, url.clone()));
        let is_next = of_domain.first().is_some_and(|(_, first)| *first == url);
        self.held.insert(url, held);
        is_next
    }

    fn release(&mut self, url: &Url) -> Option<Held> {
        let held = self.held.remove(url)?;
        let domain = domain_of(url);
        if let Some(due) = self.due.get_mut(&domain) {
            due.remove(&(held.due, url.clone()));
            if due.is_empty() {
                self.due.remove(&domain);
            }
        }
        Some(held)
    }
}

/// How often an entry is kept alive: a little more than twice in its lifetime (protocol 0.2, REG_KEEPALIVE).
fn period(record: &RegistrationRecord) -> Duration {
    Duration::from_secs(record.expires).div_f64(2.2)
}

fn domain_of(url: &Url) -> String {
    url.domain().unwrap_or_default().to_ascii_lowercase()
}

fn of_domain(url: &Url, domain: &str) -> bool {
    url.domain().is_some_and(|found| found.eq_ignore_ascii_case(domain))
}

/// What is to be removed may be gone already.
fn known(outcome: Result<(), UpdateError>) -> Result<(), UpdateError> {
    match outcome {
        Err(UpdateError::Unknown | UpdateError::Gone) => Ok(()),
        outcome => outcome,
    }
}
