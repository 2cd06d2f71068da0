//! The routes that this runtime wants at message nodes: "what is sent to this URL comes to our session too"
//! (protocol 5.14).
//!
//! Several parts of a runtime may want the same route; it ends with the last wish. What is wished survives the loss
//! of a session: a stub that has opened a new one sends [`Replay::replay`] first.

mod listeners;
mod replayed;
mod table;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::url::node;
use hyperty_model::{Message, MessageType, RuntimeUrl, StatusCode, Url, UrlError};
use parking_lot::Mutex;

use crate::{LIMIT, MessageBus, Replay, Request, ResponseWatch, Retry};
use replayed::halves;
use table::RouteTable;

/// Most URLs of one message: with the longest URLs (512 bytes) still less than what a node takes by default (256 KiB).
const URLS_PER_MESSAGE_MAX: usize = 400;

/// The wishes of one runtime, for all domains. Clones are the same.
#[derive(Clone)]
pub struct DomainRoutes {
    shared: Arc<Shared>,
    retry: Retry,
}

struct Shared {
    bus: MessageBus,
    runtime: RuntimeUrl,
    table: Mutex<RouteTable>,
    /// Held while a message is made from the table and queued, so that the order at the node is the order of the
    /// wishes. A handler that is called meanwhile may use the table, but must not poll an exchange.
    order: Mutex<()>,
    /// Over the answers to the last replay, to report what a node refused.
    replayed: Mutex<Vec<ResponseWatch>>,
    /// Domains whose nodes let anybody listen (protocol 10.4).
    lenient: Mutex<BTreeSet<String>>,
}

/// Why routes could not be set up or taken down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The domain is no valid authority.
    #[error("there is no message node of {domain:?}: {error}")]
    Domain {
        /// The domain.
        domain: String,
        /// What is wrong with it.
        error: UrlError,
    },
    /// The node refuses the routes, because somebody else owns them or may have them. Trying again is of no use.
    #[error("the message node of {domain} refuses the routes with {code}: {description}")]
    Refused {
        /// The domain.
        domain: String,
        /// 400, 403, 409, or 500 when this session has as many routes as it may.
        code: StatusCode,
        /// The node's own words.
        description: String,
    },
    /// No attempt was answered well. The wish stands: when a session is opened its routes are set up with the rest.
    #[error(
        "the message node of {domain} set up no routes in {attempts} attempts, last {code}: {description}"
    )]
    Unreachable {
        /// The domain.
        domain: String,
        /// How many attempts were made.
        attempts: u32,
        /// The last answer: 404 without a route, 408 without an answer.
        code: StatusCode,
        /// Its words.
        description: String,
    },
}

impl DomainRoutes {
    /// No wishes yet. Messages to nodes come from the Sync Manager of `runtime`.
    pub fn new(bus: MessageBus, runtime: RuntimeUrl) -> DomainRoutes {
        let shared = Shared {
            bus,
            runtime,
            table: Mutex::new(RouteTable::default()),
            order: Mutex::new(()),
            replayed: Mutex::new(Vec::new()),
            lenient: Mutex::default(),
        };
        DomainRoutes { shared: Arc::new(shared), retry: Retry::default() }
    }

    /// Tries as often as this says.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> DomainRoutes {
        DomainRoutes { retry, ..self }
    }

    /// Wishes for routes at the node of `domain`. Counts from now on, for a replay too; nothing is sent before
    /// [`Wish::establish`].
    pub fn wish(&self, domain: &str, mut urls: Vec<Url>) -> Wish {
        urls.sort();
        urls.dedup();
        let domain = domain.to_ascii_lowercase();
        self.shared.table.lock().add(&domain, &urls);
        Wish { routes: self.clone(), domain, urls }
    }

    /// Ends a wish, and takes down at the node what no other wish wants.
    ///
    /// # Errors
    /// [`RouteError`] when the node could not be told; it will be with the next withdrawal at its domain, and a new
    /// session starts without the routes anyway.
    pub async fn withdraw(&self, mut wish: Wish) -> Result<(), RouteError> {
        let urls = {
            let mut table = self.shared.table.lock();
            let mut urls = table.remove(&wish.domain, &std::mem::take(&mut wish.urls));
            let room = URLS_PER_MESSAGE_MAX.saturating_sub(urls.len());
            urls.extend(table.take_orphans(&wish.domain, room));
            urls
        };
        let batch = |urls: &[Url]| Ending { routes: self, domain: &wish.domain, urls: urls.to_vec() };
        let batches: Vec<_> = urls.chunks(URLS_PER_MESSAGE_MAX).map(batch).collect();
        for mut ending in batches {
            self.exchange(MessageType::Unsubscribe, &wish.domain, || ending.now()).await?;
            ending.urls.clear();
        }
        Ok(())
    }

    /// Asks for all that was wished for with [`Wish::begin_with_others`] and not asked for since, in as few messages as
    /// its number allows. They are queued when this returns; the future it returns makes sure that they arrive. Call it
    /// when a session is live: one that was opened anew has asked for everything, one that goes on has not.
    ///
    /// # Errors
    /// [`RouteError`]; what the node could not be told waits for the next call, or the next fresh session.
    pub fn begin_deferred(
        &self,
        domain: &str,
    ) -> impl Future<Output = Result<(), RouteError>> + Send + use<> {
        let domain = domain.to_ascii_lowercase();
        let taken = self.shared.table.lock().take_deferred(&domain);
        let mut batches: VecDeque<_> =
            self.batches(&domain, taken).iter().map(|urls| self.batch(&domain, urls)).collect();
        let routes = self.clone();
        async move {
            let mut result = Ok(());
            while let Some((urls, sent)) = batches.pop_front() {
                let wanted = || routes.still_wanted(&domain, &urls);
                let done = routes.exchange_from(sent, MessageType::Subscribe, &domain, wanted).await;
                match &done {
                    // One that is somebody else's must not keep the others from being routed.
                    Err(RouteError::Refused { .. }) if urls.len() > 1 => {
                        batches.extend(halves(&urls).map(|half| (half.to_vec(), None)));
                        continue;
                    }
                    Err(RouteError::Unreachable { .. }) => routes.shared.table.lock().defer(&domain, &urls),
                    _ => {}
                }
                result = result.and(done);
            }
            result
        }
    }

    /// As few lists as the number of URLs allows. One message says of all its objects whether they are public.
    fn batches(&self, domain: &str, urls: Vec<Url>) -> Vec<Vec<Url>> {
        let (public, others): (Vec<_>, Vec<_>) = {
            let table = self.shared.table.lock();
            urls.into_iter().partition(|url| table.is_public(domain, url))
        };
        let lists = others.chunks(URLS_PER_MESSAGE_MAX).chain(public.chunks(URLS_PER_MESSAGE_MAX));
        lists.map(<[Url]>::to_vec).collect()
    }

    fn batch(&self, domain: &str, urls: &[Url]) -> (Vec<Url>, Option<Request>) {
        let to = node::subscription_manager(domain).ok();
        let wanted = &mut || self.still_wanted(domain, urls);
        let sent = to.and_then(|to| self.send(MessageType::Subscribe, domain, &to, wanted));
        (urls.to_vec(), sent)
    }

    fn still_wanted(&self, domain: &str, urls: &[Url]) -> Vec<Url> {
        let table = self.shared.table.lock();
        urls.iter().filter(|url| table.is_wanted(domain, url)).cloned().collect()
    }

    /// The URLs that are wished for at `domain`, in order.
    pub fn wanted(&self, domain: &str) -> Vec<Url> {
        self.shared.table.lock().wanted(&domain.to_ascii_lowercase())
    }

    /// Asks the node until it says yes or finally no. `urls` is asked for at each attempt: wishes come and go between.
    async fn exchange(
        &self,
        kind: MessageType,
        domain: &str,
        urls: impl FnMut() -> Vec<Url>,
    ) -> Result<(), RouteError> {
        self.exchange_from(None, kind, domain, urls).await
    }

    /// The same with a first attempt that was sent already.
    async fn exchange_from(
        &self,
        mut sent: Option<Request>,
        kind: MessageType,
        domain: &str,
        mut urls: impl FnMut() -> Vec<Url>,
    ) -> Result<(), RouteError> {
        let to = node::subscription_manager(domain)
            .map_err(|error| RouteError::Domain { domain: domain.to_owned(), error })?;
        let mut attempts = 0;
        loop {
            let next = sent.take().or_else(|| self.send(kind, domain, &to, &mut urls));
            let Some(request) = next else { return Ok(()) };
            attempts += 1;
            let answer = request.await;
            let body = answer.decode::<ResponseBody>().unwrap_or_default();
            let code = body.code;
            if code.is_success() {
                self.note_enforcement(domain, kind, &body);
                return Ok(());
            }
            if let Some(error) = self.given_up(domain, attempts, &body) {
                return Err(error);
            }
            tracing::debug!(%kind, domain, attempts, %code, why = body.why(), "the message node is asked again");
            tokio::time::sleep(self.retry.wait(attempts, self.shared.bus.ids())).await;
        }
    }

    /// Why it is of no use to ask once more; `None` if it is.
    fn given_up(&self, domain: &str, attempts: u32, answer: &ResponseBody) -> Option<RouteError> {
        let (domain, code, description) = (domain.to_owned(), answer.code, answer.why().to_owned());
        // A node has said what its limit is: nothing changes that before routes are given up.
        let limit = answer.reason.as_deref() == Some(LIMIT) && answer.source.is_some();
        if limit || matches!(code, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::CONFLICT) {
            return Some(RouteError::Refused { domain, code, description });
        }
        let last = attempts >= self.retry.attempts;
        last.then_some(RouteError::Unreachable { domain, attempts, code, description })
    }

    /// Queues one attempt; `None` when there is nothing left to ask for.
    fn send(
        &self,
        kind: MessageType,
        domain: &str,
        to: &Url,
        urls: &mut impl FnMut() -> Vec<Url>,
    ) -> Option<Request> {
        let _order = self.shared.order.lock();
        let urls = urls();
        if urls.is_empty() {
            return None;
        }
        let from = self.shared.runtime.sync_manager();
        let body = match kind {
            MessageType::Subscribe => self.subscription(domain, urls),
            _ => RoutesBody::new(urls, self.shared.runtime.as_url().clone()),
        };
        let mut request = self.shared.bus.request(self.shared.bus.new_message(kind, &from, to, body));
        request.send();
        Some(request)
    }
}

impl Replay for DomainRoutes {
    /// All wishes for `domain`, in as few messages as their number allows. What was to be taken down is forgotten:
    /// a new session never had it.
    fn replay(&self, domain: &str) -> Vec<Message> {
        let domain = domain.to_ascii_lowercase();
        let urls = {
            let mut table = self.shared.table.lock();
            table.forget_orphans(&domain);
            table.take_deferred(&domain);
            table.wanted(&domain)
        };
        let Ok(to) = node::subscription_manager(&domain) else { return Vec::new() };
        let former = std::mem::take(&mut *self.shared.replayed.lock());
        drop(former);
        self.batches(&domain, urls).into_iter().map(|urls| self.replay_some(&to, &domain, urls)).collect()
    }
}

/// Routes wished for at one domain. Dropping it ends the wish without telling the node, which is told at the next
/// [`DomainRoutes::withdraw`] for its domain.
#[must_use = "a wish ends when it is dropped"]
pub struct Wish {
    routes: DomainRoutes,
    domain: String,
    urls: Vec<Url>,
}

impl Wish {
    /// The domain, in lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The URLs, each once.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Sets the routes up at the node. Returns when the node has confirmed them; may be called again.
    ///
    /// The future does not borrow the wish, so that who may be interrupted keeps it where it is found again: what was
    /// asked for is taken down by [`DomainRoutes::withdraw`], which follows it on its way, never by dropping the wish.
    ///
    /// # Errors
    /// [`RouteError`]. The wish stands all the same; withdraw it if it is of no use now.
    pub fn establish(&self) -> impl Future<Output = Result<(), RouteError>> + Send + use<> {
        let Wish { routes, domain, urls } = self;
        let (routes, domain, urls) = (routes.clone(), domain.clone(), urls.clone());
        async move {
            for urls in urls.chunks(URLS_PER_MESSAGE_MAX) {
                routes.exchange(MessageType::Subscribe, &domain, || urls.to_vec()).await?;
            }
            Ok(())
        }
    }

    /// Asks the node for the routes and does not wait: for whoever can go on without them. If they are refused or
    /// the request is lost, the next fresh session sets them up.
    pub fn begin(&self) {
        let Ok(to) = node::subscription_manager(&self.domain) else { return };
        for urls in self.urls.chunks(URLS_PER_MESSAGE_MAX) {
            drop(self.routes.send(MessageType::Subscribe, &self.domain, &to, &mut || urls.to_vec()));
        }
    }
}

impl Wish {
    /// Leaves it to the next replay, or to [`DomainRoutes::begin_deferred`], to ask the node for the routes: for
    /// whoever has many wishes, or wishes while there is no session.
    pub fn begin_with_others(&self) {
        self.routes.shared.table.lock().defer(&self.domain, &self.urls);
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut table = self.routes.shared.table.lock();
        let ended = table.remove(&self.domain, &self.urls);
        table.add_orphans(&self.domain, ended);
    }
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish").field("domain", &self.domain).field("urls", &self.urls).finish()
    }
}

/// To be taken down, unless somebody wishes for them anew. What is left when this is dropped, by an error or because
/// nobody waits for the withdrawal any more, is kept for the next one.
struct Ending<'a> {
    routes: &'a DomainRoutes,
    domain: &'a str,
    urls: Vec<Url>,
}

impl Ending<'_> {
    /// What is still to be taken down.
    fn now(&mut self) -> Vec<Url> {
        let table = self.routes.shared.table.lock();
        self.urls.retain(|url| !table.is_wanted(self.domain, url));
        self.urls.clone()
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let urls = std::mem::take(&mut self.urls);
        self.routes.shared.table.lock().add_orphans(self.domain, urls);
    }
}
