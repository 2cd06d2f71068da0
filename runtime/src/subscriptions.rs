//! The runtime's subscription manager (protocol 5.14): routes outside data objects, such as `<url>/registration`.
//!
//! A hyperty asks at `<RuntimeURL>/subscriptions` by `subscribe` and `unsubscribe` with `resources`, and by `read` for its
//! list. Each address is forwarded to it once, and wished for at the message node of its domain for as long as somebody
//! here wants it; a session that is opened anew is told of it. The answer is the real outcome.
//!
//! Streams of data objects are not to be had here: who observes is the Sync Manager's to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{BusError, DomainRoutes, Listener, MessageBus, Wish};
use hyperty_model::message::ResponseBody;
use hyperty_model::{HypertyUrl, Message, MessageType, RuntimeUrl, StatusCode, Url};
use hyperty_registry::RuntimeRegistry;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::addresses::{addresses_of, by_domain, check_allowed, domain_of};
use crate::refusal::Refusal;

/// How long a node may take to set up or take down a route: less than whoever asks waits (M9).
const NODE_WAIT: Duration = Duration::from_secs(12);

/// Addresses that one hyperty may listen to. Each is a route at a node, where a session has some hundreds.
pub const LISTENED_PER_HYPERTY_MAX: usize = 256;

/// Addresses that all hyperties of a runtime may listen to together.
pub const LISTENED_MAX: usize = 16_384;

/// Requests that wait to be taken up; more are refused at once.
const INBOX_MAX: usize = 1_024;

/// Requests that wait for a node at one time.
const WAITING_MAX: usize = 256;

/// The manager: what the driver and its tasks share.
pub(crate) struct Subscriptions {
    bus: MessageBus,
    registry: RuntimeRegistry,
    routes: DomainRoutes,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    listened: BTreeMap<(HypertyUrl, Url), Listened>,
    /// Of the last request that waited for a node.
    last: u64,
}

/// One address that is forwarded to one hyperty.
struct Listened {
    _forward: Listener,
    wish: Wish,
    /// The requests for it that wait for the node.
    waiting: BTreeSet<u64>,
    /// Whether one was answered 200.
    granted: bool,
}

/// Runs the manager.
pub(crate) struct SubscriptionsDriver {
    manager: Arc<Subscriptions>,
    inbox: mpsc::Receiver<Message>,
    _listener: Listener,
}

/// Where it is asked.
pub(crate) fn address(runtime: &RuntimeUrl) -> Result<Url, hyperty_model::UrlError> {
    runtime.as_url().join("subscriptions")
}

impl Subscriptions {
    pub(crate) fn start(
        at: &Url,
        bus: &MessageBus,
        registry: &RuntimeRegistry,
        routes: &DomainRoutes,
    ) -> Result<SubscriptionsDriver, BusError> {
        let manager = Arc::new(Subscriptions {
            bus: bus.clone(),
            registry: registry.clone(),
            routes: routes.clone(),
            table: Mutex::default(),
        });
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let out = bus.clone();
        let listener = bus.listen(at, move |message| {
            if message.kind().is_request() && sender.try_send(message.clone()).is_err() {
                let text = "the subscription manager is overloaded; try again later";
                let body = ResponseBody::failure(StatusCode::INTERNAL, text).with_reason("limit");
                out.post(message.reply(body));
            }
        })?;
        Ok(SubscriptionsDriver { manager, inbox, _listener: listener })
    }

    /// Takes a request up, in the order in which they came; what waits for a node is returned.
    fn take_up(self: &Arc<Self>, message: &Message) -> Result<Step, Refusal> {
        let hyperty = local_hyperty(message)?;
        match message.kind() {
            MessageType::Subscribe => self.begin(&hyperty, addresses_of(message)?),
            MessageType::Unsubscribe => self.end(&hyperty, addresses_of(message)?),
            MessageType::Read => self.list(&hyperty, message).map(|body| Step::Done(Box::new(body))),
            _ => Err(Refusal::new(StatusCode::BAD_REQUEST, "this address does not take this")),
        }
    }

    fn begin(&self, hyperty: &HypertyUrl, urls: Vec<Url>) -> Result<Step, Refusal> {
        for url in &urls {
            check_allowed(url)?;
            let domain = domain_of(url)?;
            if self.registry.stub_for_domain(domain).is_none() {
                let text = format!("there is no message node for {domain}");
                return Err(Refusal::new(StatusCode::NOT_FOUND, text).because("no-route"));
            }
        }
        let mut table = self.table.lock();
        let Table { listened, last } = &mut *table;
        let key = |url: &Url| (hyperty.clone(), url.clone());
        let new: Vec<&Url> = urls.iter().filter(|url| !listened.contains_key(&key(url))).collect();
        let own = listened.keys().filter(|(who, _)| who == hyperty).count();
        if own + new.len() > LISTENED_PER_HYPERTY_MAX || listened.len() + new.len() > LISTENED_MAX {
            let text = format!("a hyperty listens to at most {LISTENED_PER_HYPERTY_MAX} addresses");
            return Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        let mut added = Vec::new();
        for url in new {
            let forward = self.bus.forward(url, hyperty);
            let forward = forward.map_err(|error| Refusal::new(StatusCode::INTERNAL, error.to_string()))?;
            let wish = self.routes.wish(domain_of(url)?, vec![url.clone()]);
            let waiting = BTreeSet::new();
            added.push((key(url), Listened { _forward: forward, wish, waiting, granted: false }));
        }
        listened.extend(added);
        *last += 1;
        for url in &urls {
            if let Some(listened) = listened.get_mut(&key(url)) {
                listened.waiting.insert(*last);
            }
        }
        Ok(Step::Establish { hyperty: hyperty.clone(), urls, number: *last })
    }

    /// Waits for the nodes. If one of them refuses, what nobody else was granted, or waits for, ends again: their nodes
    /// are told of that behind the answer, which may have waited for long.
    async fn establish(&self, hyperty: HypertyUrl, urls: Vec<Url>, number: u64) -> Finished {
        let mut outcome = Ok(());
        for (domain, urls) in by_domain(&urls) {
            let wish = self.routes.wish(&domain, urls);
            let established = tokio::time::timeout(NODE_WAIT, wish.establish()).await;
            outcome = match established {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Refusal::of(&error)),
                Err(_) => Err(Refusal::late(&domain)),
            };
            // The lasting wishes are those in the table.
            drop(wish);
            if outcome.is_err() {
                break;
            }
        }
        let ended = self.conclude(&hyperty, &urls, number, outcome.is_ok());
        match outcome {
            Ok(()) => Finished::with(listing(&urls)),
            Err(refusal) => Finished { answer: refusal.into(), ended },
        }
    }

    /// A request for these addresses waits no longer. Returns what nobody has any more.
    fn conclude(&self, hyperty: &HypertyUrl, urls: &[Url], number: u64, granted: bool) -> Vec<Listened> {
        let mut table = self.table.lock();
        let mut ended = Vec::new();
        for url in urls {
            let key = (hyperty.clone(), url.clone());
            let Some(listened) = table.listened.get_mut(&key) else { continue };
            // What was ended meanwhile, and begun anew, is another's.
            if !listened.waiting.remove(&number) {
                continue;
            }
            listened.granted |= granted;
            if !listened.granted && listened.waiting.is_empty() {
                ended.extend(table.listened.remove(&key));
            }
        }
        ended
    }

    fn end(&self, hyperty: &HypertyUrl, urls: Vec<Url>) -> Result<Step, Refusal> {
        let ended = self.take(hyperty, &urls);
        if ended.is_empty() {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "not listened to"));
        }
        Ok(Step::Withdraw { ended, urls })
    }

    fn take(&self, hyperty: &HypertyUrl, urls: &[Url]) -> Vec<Listened> {
        let mut table = self.table.lock();
        urls.iter().filter_map(|url| table.listened.remove(&(hyperty.clone(), url.clone()))).collect()
    }

    /// Tells the nodes, as far as nobody else here wants the routes. One that is away is told later.
    async fn withdraw(&self, ended: Vec<Listened>) {
        let withdrawn = async {
            for listened in ended {
                // What a node cannot be told now is told with what ends next.
                let _ = self.routes.withdraw(listened.wish).await;
            }
        };
        let _ = tokio::time::timeout(NODE_WAIT, withdrawn).await;
    }

    fn list(&self, hyperty: &HypertyUrl, message: &Message) -> Result<ResponseBody, Refusal> {
        let asked = message.decode::<Value>().ok();
        let of = asked.as_ref().and_then(|body| body.get("resource")).and_then(Value::as_str);
        if of.is_some_and(|of| of != hyperty.as_str()) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "a hyperty sees its own list only"));
        }
        let table = self.table.lock();
        let own: Vec<Value> = table
            .listened
            .keys()
            .filter(|(who, _)| who == hyperty)
            .map(|(_, url)| url.as_str().into())
            .collect();
        Ok(ResponseBody::ok().with_value(Value::Array(own)))
    }

    /// Forgets what hyperties wanted that are gone.
    fn sweep(&self) -> Vec<Listened> {
        let mut table = self.table.lock();
        let all: BTreeSet<HypertyUrl> = table.listened.keys().map(|(hyperty, _)| hyperty.clone()).collect();
        let gone: BTreeSet<HypertyUrl> =
            all.into_iter().filter(|hyperty| !self.bus.is_attached(hyperty)).collect();
        let keys: Vec<_> =
            table.listened.keys().filter(|(hyperty, _)| gone.contains(hyperty)).cloned().collect();
        keys.iter().filter_map(|key| table.listened.remove(key)).collect()
    }
}

/// What is left to do of a request.
enum Step {
    Done(Box<ResponseBody>),
    Establish { hyperty: HypertyUrl, urls: Vec<Url>, number: u64 },
    Withdraw { ended: Vec<Listened>, urls: Vec<Url> },
}

/// What is said to a request, and what is to be taken down after that.
struct Finished {
    answer: ResponseBody,
    ended: Vec<Listened>,
}

impl Finished {
    fn with(answer: ResponseBody) -> Finished {
        Finished { answer, ended: Vec::new() }
    }
}

impl SubscriptionsDriver {
    /// Serves until it is dropped; what waits then is answered.
    pub(crate) async fn run(mut self) {
        let mut detachments = self.manager.bus.detachments();
        let mut waiting = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = waiting.join_next(), if !waiting.is_empty() => {}
                Some(message) = self.inbox.recv(), if waiting.len() < WAITING_MAX => {
                    let question = Question { bus: self.manager.bus.clone(), message: Some(message.clone()) };
                    match self.manager.take_up(&message) {
                        Err(refusal) => question.answer(refusal.into()),
                        Ok(Step::Done(body)) => question.answer(*body),
                        Ok(step) => {
                            let manager = Arc::clone(&self.manager);
                            waiting.spawn(async move {
                                let Finished { answer, ended } = manager.finish(step).await;
                                question.answer(answer);
                                manager.withdraw(ended).await;
                            });
                        }
                    }
                }
                Ok(()) = detachments.changed() => {
                    let ended = self.manager.sweep();
                    if !ended.is_empty() {
                        let manager = Arc::clone(&self.manager);
                        waiting.spawn(async move { manager.withdraw(ended).await });
                    }
                }
            }
        }
    }
}

impl Subscriptions {
    async fn finish(&self, step: Step) -> Finished {
        match step {
            Step::Done(body) => Finished::with(*body),
            Step::Establish { hyperty, urls, number } => self.establish(hyperty, urls, number).await,
            Step::Withdraw { ended, urls } => {
                self.withdraw(ended).await;
                Finished::with(listing(&urls))
            }
        }
    }
}

/// A request that gets one answer, however its task ends (INV-MSG-1).
struct Question {
    bus: MessageBus,
    message: Option<Message>,
}

impl Question {
    fn answer(mut self, body: ResponseBody) {
        if let Some(message) = self.message.take() {
            self.bus.post(message.reply(body));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let body = ResponseBody::failure(StatusCode::INTERNAL, "the request ended early");
            self.bus.post(message.reply(body));
        }
    }
}

fn listing(urls: &[Url]) -> ResponseBody {
    ResponseBody::ok().with_value(urls.iter().map(|url| Value::from(url.as_str())).collect())
}

fn local_hyperty(message: &Message) -> Result<HypertyUrl, Refusal> {
    let own = message.sender() == Some(message.from());
    let hyperty = HypertyUrl::try_from(message.from().clone()).ok().filter(|_| own);
    let text = "only a hyperty of this runtime may ask, in its own name";
    hyperty.ok_or_else(|| Refusal::new(StatusCode::FORBIDDEN, text))
}
