use std::fmt;
use std::sync::Arc;

use hyperty_message_bus::{BusError, MiniBus};
use hyperty_model::discovery::Query;
use hyperty_model::resume::Criteria;
use hyperty_model::{HypertyUrl, ObjectUrl, Snapshot, Url};
use parking_lot::Mutex;

use crate::core::Core;
use crate::discovery::{self, DiscoverError, Discoveries, Found};
use crate::{
    Create, Delegations, Invitations, Observer, ReadError, Reporter, ResumeError, Resumed, Subscribe,
    SyncherConfig, SyncherDriver, resume,
};

/// What a hyperty reports and observes objects with. Clones are the same Syncher; there is one per hyperty.
#[derive(Clone)]
pub struct Syncher {
    core: Arc<Core>,
    /// What was resumed is kept until the hyperty goes, so that nobody has to be waiting for it.
    resumed: Arc<Mutex<Resumed>>,
}

impl Syncher {
    /// A Syncher for the hyperty that the MiniBus belongs to, and the part of it that waits, which the caller runs.
    ///
    /// # Errors
    /// Those of [`MiniBus::listen`].
    pub fn new(minibus: MiniBus, config: SyncherConfig) -> Result<(Syncher, SyncherDriver), BusError> {
        let (core, jobs) = Core::new(minibus, config)?;
        let driver = SyncherDriver::new(&core, jobs);
        let resumed = Arc::default();
        // The cell was made empty just now.
        let _ = core.kept.set(Arc::downgrade(&resumed));
        Ok((Syncher { core, resumed }, driver))
    }

    /// The hyperty.
    pub fn url(&self) -> &HypertyUrl {
        self.core.hyperty()
    }

    /// Creates an object that this hyperty reports; its options are set on what this returns, which is then awaited.
    pub fn create(&self, schema: Url) -> Create {
        Create::new(Arc::clone(&self.core), schema)
    }

    /// Subscribes to an object of somebody else; its options are set on what this returns, which is then awaited.
    pub fn subscribe(&self, object: &ObjectUrl) -> Subscribe {
        Subscribe::new(Arc::clone(&self.core), object.clone())
    }

    /// What this hyperty is invited to, also before this was called.
    pub fn invitations(&self) -> Invitations {
        Invitations { core: Arc::clone(&self.core) }
    }

    /// The objects that others offer to this hyperty, to be their Reporter from then on.
    pub fn delegations(&self) -> Delegations {
        Delegations { core: Arc::clone(&self.core) }
    }

    /// Reads an object as it is now.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, object: &ObjectUrl) -> Result<Snapshot, ReadError> {
        self.core.read_once(object).await
    }

    /// Takes up what this hyperty reported and observed before a restart, as far as it was created or subscribed with
    /// `store` or `resumable`. What it finds is kept, and found again by [`Syncher::reporters`] and
    /// [`Syncher::observers`]. Doing it twice gives the same objects.
    ///
    /// # Errors
    /// [`ResumeError`]; that there is nothing to resume is none.
    pub async fn resume(&self) -> Result<Resumed, ResumeError> {
        let (resumed, result) = resume::resume(&self.core).await;
        self.keep(&resumed);
        result.map(|()| resumed)
    }

    /// Finds hyperties and objects at the registry of a domain: that of the URL that is asked for, else the hyperty's
    /// own. Nothing found is an empty list; what is disconnected is in it, and says so.
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn discover(&self, query: Query) -> Result<Vec<Found>, DiscoverError> {
        discovery::discover(&self.core, None, &query).await
    }

    /// The same at the registry of another domain.
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn discover_at(&self, domain: &str, query: Query) -> Result<Vec<Found>, DiscoverError> {
        discovery::discover(&self.core, Some(domain), &query).await
    }

    /// A search that goes on: tells what it finds, and then what is live, disconnected, new and gone. The registry's
    /// events are used where there are some; without, a change is told within a minute.
    pub fn watch(&self, query: Query) -> Discoveries {
        discovery::watch(&self.core, None, query)
    }

    /// Takes up what the criteria cover (protocol 5.10): what is this hyperty's own, and what other hyperties of its
    /// user reported and observed, in this runtime or, with [`Criteria::identity`], on other devices. What another
    /// hyperty reported and that is not live any more is taken over: it goes on in a new epoch, and its former Reporter
    /// is told when it comes back. What could not be delivered is in [`Resumed::missing`].
    ///
    /// # Errors
    /// [`ResumeError`]; that there is nothing to resume is none.
    pub async fn resume_by(&self, criteria: Criteria) -> Result<Resumed, ResumeError> {
        let (resumed, result) = resume::resume_by(&self.core, &criteria).await;
        self.keep(&resumed);
        result.map(|()| resumed)
    }

    /// The same of what is observed: nothing that is reported is taken over.
    ///
    /// # Errors
    /// [`ResumeError`]; that there is nothing to go on with is none.
    pub async fn observe_by(&self, criteria: Criteria) -> Result<Resumed, ResumeError> {
        let (resumed, result) = resume::observe_by(&self.core, &criteria).await;
        self.keep(&resumed);
        result.map(|()| resumed)
    }

    /// Keeps handles of what was resumed, in the place of older ones of the same objects.
    fn keep(&self, resumed: &Resumed) {
        let former = {
            let mut kept = self.resumed.lock();
            let reporters = kept.reporters.iter().filter(|old| !is_among(&resumed.reporters, old));
            let observers =
                kept.observers.iter().filter(|old| !resumed.observers.iter().any(|o| o.url() == old.url()));
            let both = Resumed {
                reporters: reporters.cloned().chain(resumed.reporters.iter().cloned()).collect(),
                observers: observers.cloned().chain(resumed.observers.iter().cloned()).collect(),
                missing: Vec::new(),
            };
            std::mem::replace(&mut *kept, both)
        };
        drop(former);
    }

    /// The objects that this hyperty reports and that are held by somebody or were resumed, ordered by URL.
    pub fn reporters(&self) -> Vec<Reporter> {
        resume::live(&self.core).reporters
    }

    /// The objects that this hyperty observes and that are held by somebody or were resumed, ordered by URL. For one
    /// that was resumed, the events since then can be read.
    pub fn observers(&self) -> Vec<Observer> {
        let kept = self.resumed.lock();
        let from_kept = |live: &Observer| kept.observers.iter().find(|old| old.url() == live.url()).cloned();
        resume::live(&self.core).observers.into_iter().map(|live| from_kept(&live).unwrap_or(live)).collect()
    }
}

fn is_among(reporters: &[Reporter], one: &Reporter) -> bool {
    reporters.iter().any(|reporter| reporter.url() == one.url())
}

impl fmt::Debug for Syncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Syncher({})", self.url())
    }
}
