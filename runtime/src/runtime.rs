use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyperty_address_allocation::NodeAllocator;
use hyperty_message_bus::{DomainRoutes, Listener, MessageBus, Protostub, StubStatus, Wish};
use hyperty_model::{Clock, Ids, RuntimeUrl, StatusCode, Url};
use hyperty_protostub::{SessionError, SessionStub};
use hyperty_registry::{Registrations, RuntimeRegistry, SchemaCatalogue};
use hyperty_storage::{StorageError, Tables};
use hyperty_sync_manager::{SyncManager, SyncStats};
use parking_lot::Mutex;
use serde_json::Value;

use crate::builder::RuntimeBuilder;
use crate::error::SchemaError;
use crate::hyperty::{Deploy, Hyperty};
use crate::schemas::KeptCatalogue;
use crate::tasks::Tasks;

/// How long a node may take to answer when unused addresses are given back at the end. They are a convenience: a node
/// that has just gone away must not hold up the end.
const RELEASE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// A running runtime. Clones are handles of the same one; dropping the last one ends its tasks as
/// [`Runtime::abort`] does.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) url: RuntimeUrl,
    pub(crate) bus: MessageBus,
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) registry: RuntimeRegistry,
    pub(crate) registrations: Registrations,
    pub(crate) catalogue: Arc<KeptCatalogue>,
    pub(crate) node_allocator: Arc<NodeAllocator>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) stubs: Vec<Arc<SessionStub>>,
    pub(crate) manager: SyncManager,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tasks: Tasks,
    pub(crate) deployed: Mutex<BTreeMap<String, Hyperty>>,
    /// The names that are being deployed.
    pub(crate) deploying: Mutex<BTreeSet<String>>,
    /// Where messages to the hyperties themselves go, such as invitations: their nodes are told.
    pub(crate) reached: Mutex<Vec<Wish>>,
    pub(crate) routes: DomainRoutes,
}

impl Runtime {
    /// Starts to choose the parts of a runtime with this URL, `hyperty-runtime://<domain>/<id>`. The domain is the
    /// one that its hyperties and objects belong to; the id is unique in the domain, and the same after a restart.
    pub fn builder(url: &str) -> RuntimeBuilder {
        RuntimeBuilder::new(url)
    }

    pub(crate) fn from_inner(inner: Inner) -> Runtime {
        Runtime { inner: Arc::new(inner) }
    }

    /// Its URL.
    pub fn url(&self) -> &RuntimeUrl {
        &self.inner.url
    }

    /// Its message bus, for components of your own.
    pub fn bus(&self) -> &MessageBus {
        &self.inner.bus
    }

    /// Deploys a hyperty, a service instance that reports and observes objects. Its HypertyURL is kept with its
    /// name in the store, so that in a later session everything it had is resumed.
    pub fn deploy(&self, name: &str) -> Deploy {
        Deploy::new(self.clone(), name)
    }

    /// Makes a schema known: a JSON Schema as text. It gets the URL that its `$id` or `id` gives if that is an
    /// absolute one, else `hyperty-catalogue://catalogue.<domain>/.well-known/dataschema/<name>` with the last
    /// segment of its `$id` or `id`, or its `title`, as name.
    ///
    /// # Errors
    /// [`SchemaError`] for what is no usable schema, or for another content under the URL of a known one.
    pub fn schema(&self, document: &str) -> Result<Url, SchemaError> {
        let document: Value = serde_json::from_str(document)?;
        let url = schema_url(&document, self.inner.url.home())?;
        self.schema_at(&url, document)?;
        Ok(url)
    }

    /// Makes a schema known under a URL of your choice.
    ///
    /// # Errors
    /// [`SchemaError`] for what is no usable schema, or for another content under the URL of a known one.
    pub fn schema_at(&self, url: &Url, document: Value) -> Result<(), SchemaError> {
        self.inner.catalogue.add(url.clone(), document)?;
        Ok(())
    }

    /// Waits until every message node's session is live. Nothing needs this before it starts to work; it is for
    /// whoever wants to tell a person.
    pub async fn connected(&self) {
        for stub in &self.inner.stubs {
            // A stub that was closed is not waited for.
            let _ = stub.live().await;
        }
    }

    /// What keeps the sessions from being live, for each domain that has such a reason.
    pub fn connection_errors(&self) -> Vec<(String, String)> {
        let of = |stub: &Arc<SessionStub>| {
            let error = stub.last_error()?;
            Some((hyperty_message_bus::Protostub::domain(&**stub).to_owned(), error.to_string()))
        };
        self.inner.stubs.iter().filter_map(of).collect()
    }

    /// The code and the words with which a message node refused a session last, while it does: 401 and 403 for a token
    /// that does not admit.
    pub fn refusal(&self) -> Option<(StatusCode, String)> {
        self.inner.stubs.iter().find_map(|stub| match stub.last_error()? {
            SessionError::Refused { code, description } => Some((code, description)),
            _ => None,
        })
    }

    /// What its Sync Manager has done so far: repairs, divergences, changes released, and what it holds.
    pub fn stats(&self) -> SyncStats {
        self.inner.manager.stats()
    }

    /// Leaves cleanly: what waits for the message nodes is sent, the sessions are closed, the store is flushed and
    /// closed, the tasks end. Objects stay as they are, for a later session.
    ///
    /// # Errors
    /// [`StorageError`] when the store could not be flushed; the tasks have ended all the same.
    pub async fn shutdown(&self) -> Result<(), StorageError> {
        // A node that is away is not waited for: what it gave out and nobody used stays allocated.
        if self.inner.stubs.iter().any(|stub| stub.status() == StubStatus::Live) {
            let released = tokio::time::timeout(RELEASE_WAIT, self.inner.node_allocator.release_pool()).await;
            if !matches!(released, Ok(Ok(()))) {
                tracing::debug!("unused addresses were not given back");
            }
        }
        for stub in &self.inner.stubs {
            stub.close().await;
        }
        let flushed = hyperty_storage::flush_and_close(&*self.inner.tables).await;
        self.abort();
        flushed
    }

    /// Stops hard, like a crash of the process: tasks end at their next await, nothing is flushed, the store is
    /// closed even with handles alive. What was acknowledged as durable is there in the next session.
    pub fn abort(&self) {
        self.inner.tasks.abort();
        self.inner.tables.close();
        self.inner.deployed.lock().clear();
        self.inner.reached.lock().clear();
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

/// The URL that a schema document names itself by.
fn schema_url(document: &Value, domain: &str) -> Result<Url, SchemaError> {
    let text = |member: &str| document.get(member).and_then(Value::as_str);
    let id = text("$id").or_else(|| text("id")).filter(|id| !id.is_empty());
    if let Some(url) = id.filter(|id| id.contains("://")) {
        return Ok(Url::parse(url)?);
    }
    let name =
        id.and_then(|id| id.rsplit('/').next()).or_else(|| text("title")).ok_or(SchemaError::Unnamed)?;
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    Ok(Url::parse(&format!("hyperty-catalogue://catalogue.{domain}/.well-known/dataschema/{name}"))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_named_by_its_id_or_its_title() {
        let url = |document: Value| schema_url(&document, "example.com").map(|url| url.to_string());
        let here = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/";
        assert_eq!(url(json!({"$id": "https://a.example/s/Chat"})).unwrap(), "https://a.example/s/Chat");
        assert_eq!(url(json!({"id": "Chat", "title": "Other"})).unwrap(), format!("{here}Chat"));
        assert_eq!(url(json!({"title": "My chat"})).unwrap(), format!("{here}My-chat"));
        assert!(matches!(url(json!({})), Err(SchemaError::Unnamed)));
    }
}
