use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use hyperty_message_bus::{MiniBus, StubStatus};
use hyperty_model::{HypertyUrl, Identity, Url};
use hyperty_registry::{RegisterError, RegistrationRecord};
use hyperty_storage::Names;
use hyperty_syncher::{Resumed, Syncher, SyncherConfig};
use tokio::sync::oneshot;

use crate::error::DeployError;
use crate::notices::{ListenError, Listening, Notices};
use crate::runtime::{Inner, Runtime};
use crate::subscriptions;

/// First and longest pause before a hyperty that could not be registered is registered again.
const REGISTER_PAUSE: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_secs(1), std::time::Duration::from_secs(60));

/// How long the tasks of a hyperty whose deployment failed may take to end: they wait for nothing.
const DETACH_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// A deployed hyperty: its Syncher, and what it resumed of its last session.
#[derive(Clone)]
pub struct Hyperty {
    syncher: Syncher,
    resumed: Arc<Resumed>,
    listening: Arc<Listening>,
}

impl Hyperty {
    /// What was resumed when the hyperty was deployed.
    pub fn resumed(&self) -> &Resumed {
        &self.resumed
    }

    /// Listens to an address outside data objects, for instance `<url>/registration`, where the domain registry tells
    /// how an object, a hyperty or a runtime is. Returns when the message node of the address's domain has set the route
    /// up; it is set up again with each new session, and ends when the stream is dropped.
    ///
    /// # Errors
    /// [`ListenError`].
    ///
    /// ```no_run
    /// # async fn watch(hyperty: hyperty_runtime::Hyperty) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut notices = hyperty.listen(&"comm://example.com/8a7b/registration".parse()?).await?;
    /// println!("{:?}", notices.next().await);
    /// # Ok(()) }
    /// ```
    pub async fn listen(&self, url: &Url) -> Result<Notices, ListenError> {
        self.listening.listen(url).await
    }

    /// Its Syncher, which it also derefs to.
    pub fn syncher(&self) -> &Syncher {
        &self.syncher
    }
}

impl Deref for Hyperty {
    type Target = Syncher;
    fn deref(&self) -> &Syncher {
        &self.syncher
    }
}

/// A deployment that is being chosen; await it. It waits for the store, which keeps the address, without a timer. Dropped
/// half way it leaves nothing.
#[must_use = "a deployment does nothing before it is awaited"]
pub struct Deploy {
    runtime: Runtime,
    name: String,
    user: Option<String>,
    identity: Option<Identity>,
    discoverable: Option<Vec<String>>,
}

impl Deploy {
    pub(crate) fn new(runtime: Runtime, name: &str) -> Deploy {
        Deploy { runtime, name: name.to_owned(), user: None, identity: None, discoverable: None }
    }

    /// The user behind the hyperty, `user://<domain>/<id>`.
    pub fn user(self, user: &str) -> Deploy {
        Deploy { user: Some(user.to_owned()), ..self }
    }

    /// The user behind the hyperty, in the structured form.
    pub fn identity(self, identity: Identity) -> Deploy {
        Deploy { identity: Some(identity), ..self }
    }

    /// Registers the hyperty at its domain, with these resource types such as `chat`, so that others find it by its user
    /// and can invite it. A hyperty without a user is not registered.
    pub fn discoverable(self, resources: impl IntoIterator<Item = impl Into<String>>) -> Deploy {
        Deploy { discoverable: Some(resources.into_iter().map(Into::into).collect()), ..self }
    }

    async fn run(self) -> Result<Hyperty, DeployError> {
        let Deploy { runtime, name, user, identity, discoverable } = self;
        let inner = &runtime.inner;
        let mut place = Place::take(&runtime, &name)?;
        if let Some(user) = &user {
            Url::parse(user).map_err(DeployError::User)?;
        }
        let identity = identity.or_else(|| user.as_deref().map(Identity::of_user));
        let url = runtime.hyperty_url(&name).await?;
        // What a deployment left that was given up is about to end.
        runtime.detached(&url).await;
        let minibus = MiniBus::new(&inner.bus, url.clone())?;
        place.set_up(&url, identity.clone())?;
        match attend(inner, minibus, identity.clone()).await {
            Ok(hyperty) => {
                if let (Some(resources), Some(user)) = (discoverable, &identity) {
                    runtime.be_found_as(&url, &name, user, resources);
                }
                place.keep(&hyperty);
                Ok(hyperty)
            }
            Err(error) => {
                drop(place);
                runtime.detached(&url).await;
                Err(error)
            }
        }
    }
}

/// The place of a hyperty that is being deployed: nobody else deploys the name meanwhile, and what was set up for it is
/// taken back unless it is kept, also when the deployment is given up half way.
struct Place<'a> {
    runtime: &'a Runtime,
    name: &'a str,
    url: Option<HypertyUrl>,
}

impl<'a> Place<'a> {
    fn take(runtime: &'a Runtime, name: &'a str) -> Result<Place<'a>, DeployError> {
        let taken = || DeployError::Deployed(name.to_owned());
        if !runtime.inner.deploying.lock().insert(name.to_owned()) {
            return Err(taken());
        }
        let place = Place { runtime, name, url: None };
        // Looked at in this order: who has just been deployed is in one of the two.
        match runtime.inner.deployed.lock().contains_key(name) {
            true => Err(taken()),
            false => Ok(place),
        }
    }

    /// Makes the hyperty known in its runtime and at its domain's node.
    fn set_up(&mut self, url: &HypertyUrl, identity: Option<Identity>) -> Result<(), DeployError> {
        self.runtime.inner.registry.add_hyperty(url, identity)?;
        self.url = Some(url.clone());
        self.runtime.be_reached_as(url);
        Ok(())
    }

    fn keep(mut self, hyperty: &Hyperty) {
        self.url = None;
        self.runtime.inner.deployed.lock().insert(self.name.to_owned(), hyperty.clone());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let inner = &self.runtime.inner;
        if let Some(url) = &self.url {
            inner.reached.lock().retain(|wish| !wish.urls().contains(url.as_url()));
            inner.registry.remove_hyperty(url);
        }
        inner.deploying.lock().remove(self.name);
    }
}

/// Gives the hyperty its Syncher, and resumes what it had. After a failure nothing of it runs any more, or is about to
/// end.
async fn attend(inner: &Inner, minibus: MiniBus, identity: Option<Identity>) -> Result<Hyperty, DeployError> {
    let config =
        SyncherConfig { identity, clock: Arc::clone(&inner.clock), ..SyncherConfig::new(inner.url.clone()) };
    let at = subscriptions::address(&inner.url).map_err(DeployError::Address)?;
    let listening = Listening::new(minibus.clone(), at);
    let (syncher, driver) = Syncher::new(minibus, config)?;
    // Dropped with the error, it ends the driver.
    let (deployed, failed) = oneshot::channel::<()>();
    let attending = async move {
        let ended = async {
            if failed.await.is_ok() {
                std::future::pending().await
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            () = driver.run() => {}
        }
    };
    if !inner.tasks.spawn(attending) {
        return Err(DeployError::Closed);
    }
    let resumed = Arc::new(syncher.resume().await?);
    let _ = deployed.send(());
    Ok(Hyperty { syncher, resumed, listening })
}

impl IntoFuture for Deploy {
    type Output = Result<Hyperty, DeployError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Runtime {
    /// Registers a hyperty at its domain, and keeps that alive. Not waited for: what cannot reach the node now is tried
    /// again, and told to each fresh session after that.
    fn be_found_as(&self, url: &HypertyUrl, name: &str, user: &Identity, resources: Vec<String>) {
        let inner = &self.inner;
        if inner.registry.stub_for_domain(url.home()).is_none() {
            return;
        }
        let descriptor = format!("hyperty-catalogue://catalogue.{}/.well-known/hyperty/{name}", url.home());
        let record =
            RegistrationRecord::of_hyperty(url, inner.url.clone(), &descriptor).with_user(Some(user));
        let record = RegistrationRecord { resources, ..record };
        let registrations = inner.registrations.clone();
        inner.tasks.spawn(async move {
            let mut pause = REGISTER_PAUSE.0;
            while let Err(RegisterError::Unreachable(reason)) = registrations.register(record.clone()).await {
                tracing::debug!(hyperty = %record.url, reason, "cannot register now");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(REGISTER_PAUSE.1);
            }
        });
    }

    /// Waits until an address is free at which a deployment failed or was given up.
    async fn detached(&self, url: &HypertyUrl) {
        let inner = &self.inner;
        let mut detachments = inner.bus.detachments();
        let detached = async { while inner.bus.is_attached(url) && detachments.changed().await.is_ok() {} };
        if tokio::time::timeout(DETACH_WAIT, detached).await.is_err() {
            tracing::warn!(hyperty = %url, "what a failed deployment left is still there");
        }
    }

    /// Has the node of a hyperty's domain send here what is for the hyperty itself. Not waited for: without a session
    /// the next one is told.
    fn be_reached_as(&self, url: &HypertyUrl) {
        let inner = &self.inner;
        let Some(stub) = inner.registry.stub_for_domain(url.home()) else { return };
        let wish = inner.routes.wish(url.home(), vec![url.as_url().clone()]);
        if stub.status() == StubStatus::Live {
            wish.begin();
        } else {
            wish.begin_with_others();
        }
        inner.reached.lock().push(wish);
    }

    /// The address of the hyperty of this name: the one of the last session, or a new one that is kept before it
    /// is used.
    async fn hyperty_url(&self, name: &str) -> Result<HypertyUrl, DeployError> {
        let names = Names::new(Arc::clone(&self.inner.tables));
        let key = format!("hyperty/{name}");
        if let Some(url) = names.get(&key)? {
            return HypertyUrl::parse(&url).map_err(DeployError::Address);
        }
        let url = format!("hyperty://{}/{}", self.inner.url.home(), self.inner.ids.uuid());
        let url = HypertyUrl::parse(&url).map_err(DeployError::Address)?;
        let ticket = names.put(&key, url.as_str());
        hyperty_storage::durable(&*self.inner.tables, ticket).await?;
        Ok(url)
    }
}
