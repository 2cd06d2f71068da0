use std::collections::HashMap;
use std::sync::Arc;

use hyperty_message_bus::{Protostub, Route, RouteResolver};
use hyperty_model::{DerivedTail, HypertyUrl, Identity, ObjectUrl, RuntimeUrl, Url};
use parking_lot::RwLock;

/// Most hyperties of one runtime; beyond it something deploys without end.
pub const LOCAL_HYPERTIES_MAX: usize = 100_000;

/// Most objects reported in one runtime: as many as its node lets it allocate.
pub const LOCAL_OBJECTS_MAX: usize = 200_000;

/// Most domains that one runtime keeps a connection to.
pub const LOCAL_DOMAINS_MAX: usize = 1_000;

/// The runtime holds as many entries of this kind as it may. Remove some first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this runtime holds {max} {what} already, and no more are allowed")]
pub struct RegistryFull {
    /// Entries of what kind.
    pub what: &'static str,
    /// How many are allowed.
    pub max: usize,
}

/// What lives in this runtime, and which stub leads to which domain.
///
/// It is the bus's [`RouteResolver`]: what is local is never sent out, and everything else goes to the stub of its
/// domain (protocol 5.17, rows 1, 7 and 8).
///
/// ```
/// use hyperty_model::{ObjectUrl, RuntimeUrl, Url};
/// use hyperty_registry::RuntimeRegistry;
///
/// let registry = RuntimeRegistry::new(RuntimeUrl::parse("hyperty-runtime://example.com/r1").unwrap());
/// registry.add_object(&ObjectUrl::parse("comm://example.com/8a7b").unwrap()).unwrap();
/// let local = |text| registry.is_local(&Url::parse(text).unwrap());
/// assert!(local("hyperty-runtime://example.com/r1/sm"));
/// assert!(local("comm://example.com/8a7b/subscription"));
/// assert!(!local("hyperty-runtime://example.com/r12/sm"));
/// assert!(!local("comm://example.com/8a7b0/subscription"));
/// ```
#[derive(Clone)]
pub struct RuntimeRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: RuntimeUrl,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    hyperties: HashMap<HypertyUrl, Option<Identity>>,
    /// Objects whose Reporter lives here.
    objects: std::collections::HashSet<ObjectUrl>,
    /// By domain in lower case.
    stubs: HashMap<String, Arc<dyn Protostub>>,
}

impl RuntimeRegistry {
    /// The registry of `runtime`, still empty.
    pub fn new(runtime: RuntimeUrl) -> RuntimeRegistry {
        RuntimeRegistry { inner: Arc::new(Inner { runtime, state: RwLock::default() }) }
    }

    /// The runtime.
    pub fn runtime(&self) -> &RuntimeUrl {
        &self.inner.runtime
    }

    /// Adds a hyperty and the user behind it, or replaces the user.
    ///
    /// # Errors
    /// [`RegistryFull`] beyond [`LOCAL_HYPERTIES_MAX`].
    pub fn add_hyperty(&self, hyperty: &HypertyUrl, user: Option<Identity>) -> Result<(), RegistryFull> {
        let mut state = self.inner.state.write();
        let full = state.hyperties.len() >= LOCAL_HYPERTIES_MAX && !state.hyperties.contains_key(hyperty);
        if full {
            return Err(RegistryFull { what: "hyperties", max: LOCAL_HYPERTIES_MAX });
        }
        state.hyperties.insert(hyperty.clone(), user);
        Ok(())
    }

    /// Removes a hyperty; unknown ones are no error.
    pub fn remove_hyperty(&self, hyperty: &HypertyUrl) {
        self.inner.state.write().hyperties.remove(hyperty);
    }

    /// Whether the hyperty lives here.
    pub fn has_hyperty(&self, hyperty: &HypertyUrl) -> bool {
        self.inner.state.read().hyperties.contains_key(hyperty)
    }

    /// The user behind a local hyperty; `None` if it is not local or anonymous.
    pub fn user_of(&self, hyperty: &HypertyUrl) -> Option<Identity> {
        self.inner.state.read().hyperties.get(hyperty).cloned().flatten()
    }

    /// Adds an object whose Reporter lives here.
    ///
    /// # Errors
    /// [`RegistryFull`] beyond [`LOCAL_OBJECTS_MAX`].
    pub fn add_object(&self, object: &ObjectUrl) -> Result<(), RegistryFull> {
        let mut state = self.inner.state.write();
        if state.objects.len() >= LOCAL_OBJECTS_MAX && !state.objects.contains(object) {
            return Err(RegistryFull { what: "objects", max: LOCAL_OBJECTS_MAX });
        }
        state.objects.insert(object.clone());
        Ok(())
    }

    /// Removes an object; unknown ones are no error.
    pub fn remove_object(&self, object: &ObjectUrl) {
        self.inner.state.write().objects.remove(object);
    }

    /// Whether the Reporter of the object lives here.
    pub fn reports(&self, object: &ObjectUrl) -> bool {
        self.inner.state.read().objects.contains(object)
    }

    /// Whether `url` is in this runtime (protocol 1.6): the runtime itself and what is below it, its hyperties, the
    /// objects reported here and what is derived from those. Whole segments count, and observing an object does not
    /// make it local.
    pub fn is_local(&self, url: &Url) -> bool {
        if url.is_at_or_below(self.inner.runtime.as_url()) {
            return true;
        }
        if let Ok(hyperty) = HypertyUrl::try_from(url.clone()) {
            return self.has_hyperty(&hyperty);
        }
        url.split_derived().is_some_and(|(object, _)| self.reports(&object))
    }

    /// Sends what belongs to `domain` through this stub from now on.
    ///
    /// # Errors
    /// [`RegistryFull`] beyond [`LOCAL_DOMAINS_MAX`].
    pub fn add_stub_for_domain(&self, domain: &str, stub: Arc<dyn Protostub>) -> Result<(), RegistryFull> {
        let domain = domain.to_ascii_lowercase();
        let mut state = self.inner.state.write();
        if state.stubs.len() >= LOCAL_DOMAINS_MAX && !state.stubs.contains_key(&domain) {
            return Err(RegistryFull { what: "domains", max: LOCAL_DOMAINS_MAX });
        }
        state.stubs.insert(domain, stub);
        Ok(())
    }

    /// Nothing leads to `domain` any more.
    pub fn remove_stub_for_domain(&self, domain: &str) {
        self.inner.state.write().stubs.remove(&domain.to_ascii_lowercase());
    }

    /// The domains that a stub leads to, in the order of their names.
    pub fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = self.inner.state.read().stubs.keys().cloned().collect();
        domains.sort_unstable();
        domains
    }

    /// The stub that leads to `domain`.
    pub fn stub_for_domain(&self, domain: &str) -> Option<Arc<dyn Protostub>> {
        let state = self.inner.state.read();
        // Domains are nearly always written in lower case already.
        let found = match domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => state.stubs.get(&domain.to_ascii_lowercase()),
            false => state.stubs.get(domain),
        };
        found.cloned()
    }
}

impl RouteResolver for RuntimeRegistry {
    fn resolve(&self, to: &Url) -> Route {
        if self.is_local(to) {
            return Route::Local;
        }
        // What is published leaves by the routes that a Sync Manager has set, never because somebody asks for the
        // way: else any hyperty could speak on the stream of an object that nobody here answers for (3.5).
        let tail = to.split_derived().and_then(|(_, tail)| tail);
        if matches!(tail, Some(DerivedTail::Changes | DerivedTail::Children(_) | DerivedTail::FlatChildren)) {
            return Route::Unroutable;
        }
        to.domain().and_then(|domain| self.stub_for_domain(domain)).map_or(Route::Unroutable, Route::Stub)
    }
}

impl std::fmt::Debug for RuntimeRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.state.read();
        f.debug_struct("RuntimeRegistry")
            .field("runtime", &self.inner.runtime)
            .field("hyperties", &state.hyperties.len())
            .field("objects", &state.objects.len())
            .field("domains", &state.stubs.len())
            .finish()
    }
}
