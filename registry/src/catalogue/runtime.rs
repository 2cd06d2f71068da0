use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{MessageBus, NO_ROUTE};
use hyperty_model::message::ResponseBody;
use hyperty_model::schema::{SchemaFacts, last_segment};
use hyperty_model::url::node;
use hyperty_model::{MessageType, RuntimeUrl, StatusCode, Url, UrlError};
use parking_lot::Mutex;
use serde_json::Value;

use super::{CatalogueError, SchemaBody, SchemaCatalogue};
use crate::{InvalidSchema, Schema};

/// Most schemas of a runtime's own; an application has a handful.
pub const LOCAL_SCHEMAS_MAX: usize = 1_024;

/// Most fetched schemas that are kept; the oldest is forgotten first, and fetched again when it is needed.
pub const FETCHED_SCHEMAS_MAX: usize = 256;

/// The schemas that a runtime can get at.
///
/// Looked through in this order: those added here, by URL; those added here, by the last segment of their URL; the
/// built-in ones, of which only scheme and children names are known; the catalogue of the URL's domain. What was
/// fetched is kept, and callers that want the same schema share one request.
#[derive(Clone)]
pub struct Catalogue {
    inner: Arc<Inner>,
}

struct Inner {
    bus: MessageBus,
    from: Url,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    local: BTreeMap<Url, Arc<Schema>>,
    /// The schema added last for each short name.
    by_name: HashMap<String, Arc<Schema>>,
    fetched: HashMap<Url, Arc<Schema>>,
    /// Of what was fetched, the oldest first.
    order: VecDeque<Url>,
    /// Known to be in the catalogue of its domain.
    published: HashSet<Url>,
    fetches: HashMap<Url, Arc<Fetch>>,
}

/// Whoever holds the lock and finds no outcome makes the request; the others find its outcome. A caller that is
/// cancelled in between leaves the request to the next.
type Fetch = tokio::sync::Mutex<Option<Result<Arc<Schema>, CatalogueError>>>;

impl Catalogue {
    /// A catalogue without schemas, which asks in the name of `runtime`.
    ///
    /// # Errors
    /// [`UrlError`] when the runtime's URL is too long to have components.
    pub fn new(bus: MessageBus, runtime: &RuntimeUrl) -> Result<Catalogue, UrlError> {
        let from = runtime.as_url().join("catalogue")?;
        Ok(Catalogue { inner: Arc::new(Inner { bus, from, state: Mutex::default() }) })
    }
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.state.lock();
        let (local, fetched) = (state.local.len(), state.fetched.len());
        f.debug_struct("Catalogue").field("local", &local).field("fetched", &fetched).finish_non_exhaustive()
    }
}

impl SchemaCatalogue for Catalogue {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Arc<Schema>, CatalogueError>> {
        Box::pin(self.inner.get(url))
    }

    fn add(&self, url: Url, document: Value) -> Result<Arc<Schema>, CatalogueError> {
        if let Some(known) = self.inner.state.lock().local.get(&url) {
            return if known.document == document {
                Ok(Arc::clone(known))
            } else {
                Err(CatalogueError::Conflict(url))
            };
        }
        let schema = Schema::compile(url.clone(), document).map_err(|reason| invalid(&url, reason))?;
        let schema = Arc::new(schema);
        let mut state = self.inner.state.lock();
        if state.local.len() >= LOCAL_SCHEMAS_MAX {
            return Err(CatalogueError::Full);
        }
        state.by_name.insert(last_segment(&url).to_owned(), Arc::clone(&schema));
        state.local.insert(url, Arc::clone(&schema));
        Ok(schema)
    }

    fn publish<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), CatalogueError>> {
        Box::pin(self.inner.publish(url))
    }
}

impl Inner {
    async fn get(&self, url: &Url) -> Result<Arc<Schema>, CatalogueError> {
        let fetch = {
            let mut state = self.state.lock();
            if let Some(known) = state.known(url) {
                return Ok(known);
            }
            if let Some(facts) = SchemaFacts::builtin(url) {
                let schema = Schema::of_facts(url.clone(), facts).map_err(|reason| invalid(url, reason))?;
                return Ok(state.keep(url, Arc::new(schema)));
            }
            if state.fetches.len() >= FETCHED_SCHEMAS_MAX {
                // What all callers gave up while it was under way.
                state.fetches.retain(|_, fetch| Arc::strong_count(fetch) > 1);
            }
            Arc::clone(state.fetches.entry(url.clone()).or_default())
        };
        let mut outcome = fetch.lock().await;
        if let Some(outcome) = &*outcome {
            return outcome.clone();
        }
        let fetched = self.fetch(url).await;
        let mut state = self.state.lock();
        state.fetches.remove(url);
        let fetched = fetched.map(|schema| state.keep(url, schema));
        *outcome = Some(fetched.clone());
        fetched
    }

    async fn fetch(&self, url: &Url) -> Result<Arc<Schema>, CatalogueError> {
        let body = SchemaBody { resource: Some(url.as_str().to_owned()), value: None };
        let answer = self.request(MessageType::Read, url, body).await?;
        let document = answer.value.clone().ok_or_else(|| {
            let reason = InvalidSchema("the catalogue's answer holds no document".to_owned());
            invalid(url, reason)
        })?;
        let schema = Schema::compile(url.clone(), document).map_err(|reason| invalid(url, reason))?;
        tracing::debug!(%url, "fetched a schema");
        Ok(Arc::new(schema))
    }

    async fn publish(&self, url: &Url) -> Result<(), CatalogueError> {
        let document = {
            let state = self.state.lock();
            match state.own(url) {
                // What came from a catalogue, or is built in, needs no upload.
                None if state.known(url).is_some() || SchemaFacts::builtin(url).is_some() => return Ok(()),
                None => return Err(CatalogueError::NotFound(url.clone())),
                Some(_) if state.published.contains(url) => return Ok(()),
                Some(schema) => schema.document.clone(),
            }
        };
        let body = SchemaBody { resource: Some(url.as_str().to_owned()), value: Some(document) };
        self.request(MessageType::Create, url, body).await?;
        let mut state = self.state.lock();
        // A name shared by many URLs could make this grow: forgetting costs one idempotent upload.
        if state.published.len() >= LOCAL_SCHEMAS_MAX {
            state.published.clear();
        }
        state.published.insert(url.clone());
        Ok(())
    }

    /// Asks the catalogue of the URL's domain.
    async fn request(
        &self,
        kind: MessageType,
        url: &Url,
        body: SchemaBody,
    ) -> Result<Arc<ResponseBody>, CatalogueError> {
        let unreachable =
            |reason: &str| CatalogueError::Unreachable { url: url.clone(), reason: reason.to_owned() };
        let to = url.domain().and_then(|domain| node::catalogue(domain).ok());
        let to = to.ok_or_else(|| unreachable("the URL belongs to no domain that has a catalogue"))?;
        let answer = self.bus.request(self.bus.new_message(kind, &self.from, &to, body)).await;
        let answer = answer.decode::<ResponseBody>().map_err(|error| unreachable(&error.to_string()))?;
        match answer.code {
            code if code.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => {
                let no_route = answer.reason.as_deref() == Some(NO_ROUTE)
                    || answer.why().eq_ignore_ascii_case("no route");
                Err(if no_route { unreachable(answer.why()) } else { CatalogueError::NotFound(url.clone()) })
            }
            StatusCode::CONFLICT => Err(CatalogueError::Conflict(url.clone())),
            StatusCode::TIMEOUT | StatusCode::INTERNAL | StatusCode::BACKEND_UNREACHABLE => {
                Err(unreachable(answer.why()))
            }
            code => Err(CatalogueError::Refused { url: url.clone(), code, reason: answer.why().to_owned() }),
        }
    }
}

impl State {
    /// What this runtime itself has for a URL.
    fn own(&self, url: &Url) -> Option<&Arc<Schema>> {
        self.local.get(url).or_else(|| self.by_name.get(last_segment(url)))
    }

    fn known(&self, url: &Url) -> Option<Arc<Schema>> {
        self.own(url).or_else(|| self.fetched.get(url)).cloned()
    }

    fn keep(&mut self, url: &Url, schema: Arc<Schema>) -> Arc<Schema> {
        if self.fetched.insert(url.clone(), Arc::clone(&schema)).is_none() {
            self.order.push_back(url.clone());
        }
        while self.order.len() > FETCHED_SCHEMAS_MAX {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.fetched.remove(&oldest));
        }
        schema
    }
}

fn invalid(url: &Url, reason: InvalidSchema) -> CatalogueError {
    CatalogueError::Invalid { url: url.clone(), reason }
}
