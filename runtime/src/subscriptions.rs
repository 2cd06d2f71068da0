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
use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{DerivedTail, HypertyUrl, Message, MessageType, RuntimeUrl, StatusCode, Url, UrlKind};
use hyperty_registry::RuntimeRegistry;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
    table: Mutex<BTreeMap<(HypertyUrl, Url), Listened>>,
}

/// One address that is forwarded to one hyperty.
struct Listened {
    _forward: Listener,
    wish: Wish,
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
        let new: Vec<&Url> =
            urls.iter().filter(|url| !table.contains_key(&(hyperty.clone(), (*url).clone()))).collect();
        let own = table.keys().filter(|(who, _)| who == hyperty).count();
        if own + new.len() > LISTENED_PER_HYPERTY_MAX || table.len() + new.len() > LISTENED_MAX {
            let text = format!("a hyperty listens to at most {LISTENED_PER_HYPERTY_MAX} addresses");
            return Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        let mut added = Vec::new();
        for url in new {
            let forward = self.bus.forward(url, hyperty);
            let forward = forward.map_err(|error| Refusal::new(StatusCode::INTERNAL, error.to_string()))?;
            let wish = self.routes.wish(domain_of(url)?, vec![url.clone()]);
            added.push((url.clone(), Listened { _forward: forward, wish }));
        }
        let new = added.iter().map(|(url, _)| url.clone()).collect();
        table.extend(added.into_iter().map(|(url, listened)| ((hyperty.clone(), url), listened)));
        Ok(Step::Establish { hyperty: hyperty.clone(), urls, new })
    }

    /// Waits for the nodes. What was new ends again if one of them refuses: their nodes are told of that behind the
    /// answer, which may have waited for long.
    async fn establish(&self, hyperty: HypertyUrl, urls: Vec<Url>, new: Vec<Url>) -> Finished {
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
        match outcome {
            Ok(()) => Finished::with(listing(&urls)),
            Err(refusal) => Finished { answer: refusal.into(), ended: self.take(&hyperty, &new) },
        }
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
        urls.iter().filter_map(|url| table.remove(&(hyperty.clone(), url.clone()))).collect()
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
        let own: Vec<Value> =
            table.keys().filter(|(who, _)| who == hyperty).map(|(_, url)| url.as_str().into()).collect();
        Ok(ResponseBody::ok().with_value(Value::Array(own)))
    }

    /// Forgets what hyperties wanted that are gone.
    fn sweep(&self) -> Vec<Listened> {
        let mut table = self.table.lock();
        let all: BTreeSet<HypertyUrl> = table.keys().map(|(hyperty, _)| hyperty.clone()).collect();
        let gone: BTreeSet<HypertyUrl> =
            all.into_iter().filter(|hyperty| !self.bus.is_attached(hyperty)).collect();
        let keys: Vec<_> = table.keys().filter(|(hyperty, _)| gone.contains(hyperty)).cloned().collect();
        keys.iter().filter_map(|key| table.remove(key)).collect()
    }
}

/// What is left to do of a request.
enum Step {
    Done(Box<ResponseBody>),
    Establish { hyperty: HypertyUrl, urls: Vec<Url>, new: Vec<Url> },
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
            Step::Establish { hyperty, urls, new } => self.establish(hyperty, urls, new).await,
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

fn addresses_of(message: &Message) -> Result<Vec<Url>, Refusal> {
    let body = message.decode::<RoutesBody>();
    let body = body.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let urls = body.all();
    match urls.is_empty() {
        true => Err(Refusal::new(StatusCode::BAD_REQUEST, "Bad Request: Missing <resources>")),
        false => Ok(urls),
    }
}

/// Only what tells how an entity is: everything else has a receiver, or a Sync Manager that decides.
fn check_allowed(url: &Url) -> Result<(), Refusal> {
    let allowed = match url.kind() {
        UrlKind::Object => {
            matches!(url.split_derived(), Some((_, Some(DerivedTail::Registration | DerivedTail::Status))))
        }
        UrlKind::Hyperty | UrlKind::Runtime => {
            let last = url.path().rsplit_once('/').map(|(_, last)| last);
            matches!(last, Some("registration" | "status"))
        }
        _ => false,
    };
    let text =
        || format!("{url} is not to be listened to here: only <url>/registration and <url>/status are");
    if allowed { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, text())) }
}

fn domain_of(url: &Url) -> Result<&str, Refusal> {
    url.domain().ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, format!("{url} has no domain")))
}

fn by_domain(urls: &[Url]) -> BTreeMap<String, Vec<Url>> {
    let mut domains: BTreeMap<String, Vec<Url>> = BTreeMap::new();
    for url in urls {
        if let Some(domain) = url.domain() {
            domains.entry(domain.to_ascii_lowercase()).or_default().push(url.clone());
        }
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_objects_are_not_to_be_had() {
        let allowed = |text: &str| check_allowed(&Url::parse(text).unwrap()).is_ok();
        assert!(allowed("comm://example.com/1/registration"));
        assert!(allowed("comm://example.com/1/status"));
        assert!(allowed("hyperty://example.com/bob/registration"));
        assert!(allowed("hyperty-runtime://example.com/phone/status"));
        let of_object = ["", "/changes", "/children/notes", "/subscription", "/observers"];
        for tail in of_object {
            assert!(!allowed(&format!("comm://example.com/1{tail}")), "{tail}");
        }
        for refused in [
            "hyperty://example.com/bob",
            "hyperty-runtime://example.com/phone/sm",
            "domain://registry.example.com/registration",
            "user://example.com/bob/status",
        ] {
            assert!(!allowed(refused), "{refused}");
        }
    }
}
