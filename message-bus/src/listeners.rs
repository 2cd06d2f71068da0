//! Who listens on which address. The bus has one such table, every MiniBus its own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use hyperty_model::{HypertyUrl, Url};

use crate::isolate::Handler;
use crate::{BusConfig, BusError};

/// The table. A delivery is one look-up in it; no handler is ever called, and none dropped, under one of its locks.
pub(crate) struct Routes {
    addresses: DashMap<Url, Address, RandomState>,
    address_count: AtomicUsize,
    next_id: AtomicU64,
    addresses_max: usize,
    per_address_max: usize,
}

/// Everything known of one address. Present only while it is not empty.
#[derive(Default)]
struct Address {
    sequencer: Option<(u64, Handler)>,
    /// In order of registration, which is the order of the ids.
    listeners: Vec<Seat>,
    /// Stubs with the number of routes that name them, in order of the first.
    publish: Vec<(Url, usize)>,
    /// What a delivery needs, made at the first one after a change: N registrations in a row copy nothing.
    targets: OnceLock<Arc<Targets>>,
}

/// One listener.
struct Seat {
    id: u64,
    handler: Handler,
    /// The hyperty to whose MiniBus it hands on.
    forwards_to: Option<HypertyUrl>,
}

/// The receivers of an address as they stood when a delivery began.
pub(crate) struct Targets {
    pub(crate) sequencer: Option<Handler>,
    pub(crate) listeners: Vec<Handler>,
    pub(crate) publish: Vec<Url>,
}

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Listener,
    Sequencer,
}

impl Routes {
    pub(crate) fn new(config: &BusConfig) -> Arc<Routes> {
        Arc::new(Routes {
            addresses: DashMap::with_hasher(RandomState::default()),
            address_count: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            addresses_max: config.addresses_max,
            per_address_max: config.listeners_per_address_max,
        })
    }

    /// Adds a listener or the sequencer of an address.
    pub(crate) fn add(
        self: &Arc<Routes>,
        url: &Url,
        role: Role,
        handler: Handler,
    ) -> Result<Listener, BusError> {
        self.insert(url, role, handler, None)
    }

    /// Adds a listener that hands on to a hyperty's MiniBus.
    pub(crate) fn forward(
        self: &Arc<Routes>,
        url: &Url,
        hyperty: &HypertyUrl,
        handler: Handler,
    ) -> Result<Listener, BusError> {
        self.insert(url, Role::Listener, handler, Some(hyperty.clone()))
    }

    fn insert(
        self: &Arc<Routes>,
        url: &Url,
        role: Role,
        handler: Handler,
        forwards_to: Option<HypertyUrl>,
    ) -> Result<Listener, BusError> {
        let stale; // dropped after the guard below: it may hold the last clone of a handler
        let id;
        {
            let mut address = match self.addresses.entry(url.clone()) {
                Entry::Occupied(entry) => entry.into_ref(),
                Entry::Vacant(entry) => {
                    if self.address_count.fetch_add(1, Ordering::Relaxed) >= self.addresses_max {
                        self.address_count.fetch_sub(1, Ordering::Relaxed);
                        return Err(BusError::TooManyAddresses(self.addresses_max));
                    }
                    entry.insert(Address::default())
                }
            };
            // Drawn under the guard, so that the ids of one address rise.
            id = self.next_id.fetch_add(1, Ordering::Relaxed);
            match role {
                Role::Sequencer if address.sequencer.is_some() => {
                    return Err(BusError::AlreadySequenced(url.clone()));
                }
                Role::Sequencer => address.sequencer = Some((id, handler)),
                Role::Listener if address.listeners.len() >= self.per_address_max => {
                    return Err(BusError::LimitReached { url: url.clone(), max: self.per_address_max });
                }
                Role::Listener => address.listeners.push(Seat { id, handler, forwards_to }),
            }
            stale = address.targets.take();
        }
        drop(stale);
        Ok(Listener { table: Arc::downgrade(self), url: url.clone(), role, id })
    }

    /// Adds one reference of `stub` to the publish routes of `url`.
    pub(crate) fn publish(self: &Arc<Routes>, url: &Url, stub: &Url) -> PublishRoute {
        let stale;
        {
            let mut address = self.addresses.entry(url.clone()).or_insert_with(|| {
                self.address_count.fetch_add(1, Ordering::Relaxed);
                Address::default()
            });
            match address.publish.iter_mut().find(|(known, _)| known == stub) {
                Some((_, references)) => *references += 1,
                None => address.publish.push((stub.clone(), 1)),
            }
            stale = address.targets.take();
        }
        drop(stale);
        PublishRoute { table: Arc::downgrade(self), url: url.clone(), stub: stub.clone() }
    }

    /// The receivers of `url`; `None` if it has neither sequencer nor listener nor publish route.
    pub(crate) fn targets(&self, url: &Url) -> Option<Arc<Targets>> {
        let address = self.addresses.get(url)?;
        Some(Arc::clone(address.targets.get_or_init(|| Arc::new(address.as_targets()))))
    }

    /// Whether what comes for `url` is handed to this hyperty's MiniBus.
    pub(crate) fn is_forwarded(&self, url: &Url, hyperty: &HypertyUrl) -> bool {
        let Some(address) = self.addresses.get(url) else { return false };
        address.listeners.iter().any(|entry| entry.forwards_to.as_ref() == Some(hyperty))
    }

    fn remove(&self, url: &Url, role: Role, id: u64) {
        self.edit(url, |address| address.take(role, id));
    }

    fn unpublish(&self, url: &Url, stub: &Url) {
        self.edit(url, |address| {
            let at = address.publish.iter().position(|(known, _)| known == stub)?;
            address.publish[at].1 -= 1;
            if address.publish[at].1 == 0 {
                address.publish.remove(at);
            }
            None
        });
    }

    /// Changes what an address has; what was taken out is dropped when the guard is gone.
    fn edit(&self, url: &Url, change: impl FnOnce(&mut Address) -> Option<(u64, Handler)>) {
        let taken = {
            let Entry::Occupied(mut entry) = self.addresses.entry(url.clone()) else { return };
            let address = entry.get_mut();
            let taken = (change(address), address.targets.take());
            if address.is_empty() {
                entry.remove();
                self.address_count.fetch_sub(1, Ordering::Relaxed);
            }
            taken
        };
        drop(taken);
    }
}

impl Address {
    fn as_targets(&self) -> Targets {
        Targets {
            sequencer: self.sequencer.as_ref().map(|(_, handler)| Arc::clone(handler)),
            listeners: self.listeners.iter().map(|entry| Arc::clone(&entry.handler)).collect(),
            publish: self.publish.iter().map(|(stub, _)| stub.clone()).collect(),
        }
    }

    fn take(&mut self, role: Role, id: u64) -> Option<(u64, Handler)> {
        match role {
            Role::Sequencer => self.sequencer.take_if(|(known, _)| *known == id),
            Role::Listener => {
                let at = self.listeners.binary_search_by_key(&id, |entry| entry.id).ok()?;
                let entry = self.listeners.remove(at);
                Some((entry.id, entry.handler))
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.sequencer.is_none() && self.listeners.is_empty() && self.publish.is_empty()
    }
}

/// Something that listens on an address until this is dropped.
///
/// A delivery that has begun goes on with the listeners it began with: the handler may run once more after the drop.
#[derive(Debug)]
#[must_use = "a listener is removed when its handle is dropped"]
pub struct Listener {
    table: Weak<Routes>,
    url: Url,
    role: Role,
    id: u64,
}

impl Listener {
    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Stops listening before the handle is dropped. Doing so twice does nothing more.
    pub fn remove(&self) {
        if let Some(table) = self.table.upgrade() {
            table.remove(&self.url, self.role, self.id);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove();
    }
}

/// One reference to "what is published on this address also leaves through that stub", until this is dropped.
#[derive(Debug)]
#[must_use = "a publish route is removed when its handle is dropped"]
pub struct PublishRoute {
    table: Weak<Routes>,
    url: Url,
    stub: Url,
}

impl PublishRoute {
    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The stub.
    pub fn stub(&self) -> &Url {
        &self.stub
    }
}

impl Drop for PublishRoute {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.unpublish(&self.url, &self.stub);
        }
    }
}
