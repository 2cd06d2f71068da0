//! What the runtime's policy says of searches by its hyperties (protocol 4.3.1, `discover`).
//!
//! A policy that decides at once lets a search pass, or refuses it, as it is posted. One that takes its time is asked by
//! a task, which posts the search again when it may go on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{Direction, Interceptor, MessageBus, Verdict};
use hyperty_model::message::ResponseBody;
use hyperty_model::{HypertyUrl, Message, MessageId, StatusCode, Url};
use hyperty_policy::{Decision, Point, Policy, PolicyRequest, denied};
use hyperty_registry::{RuntimeRegistry, is_search};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Searches that wait for the policy; more are refused at once.
const WAITING_MAX: usize = 1_024;

/// Looks at what hyperties of this runtime ask registries.
pub(crate) struct Searches {
    policy: Arc<dyn Policy>,
    registry: RuntimeRegistry,
    thinking: mpsc::Sender<(Message, PolicyRequest)>,
    allowed: Arc<Mutex<HashSet<(Url, MessageId)>>>,
}

/// Asks a policy that takes its time.
pub(crate) struct SearchesDriver {
    bus: MessageBus,
    policy: Arc<dyn Policy>,
    timeout: Duration,
    inbox: mpsc::Receiver<(Message, PolicyRequest)>,
    allowed: Arc<Mutex<HashSet<(Url, MessageId)>>>,
}

impl Searches {
    pub(crate) fn start(
        bus: &MessageBus,
        registry: &RuntimeRegistry,
        policy: &Arc<dyn Policy>,
        timeout: Duration,
    ) -> SearchesDriver {
        let (thinking, inbox) = mpsc::channel(WAITING_MAX);
        let allowed = Arc::default();
        bus.add_interceptor(Arc::new(Searches {
            policy: Arc::clone(policy),
            registry: registry.clone(),
            thinking,
            allowed: Arc::clone(&allowed),
        }));
        SearchesDriver { bus: bus.clone(), policy: Arc::clone(policy), timeout, inbox, allowed }
    }
}

impl Interceptor for Searches {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let hyperty = (direction == Direction::Outgoing && is_of_registry(message.to()))
            .then(|| HypertyUrl::try_from(message.sender()?.clone()).ok())
            .flatten();
        let Some(hyperty) = hyperty.filter(|_| is_search(&message)) else { return Verdict::Pass(message) };
        if self.allowed.lock().remove(&key(&message)) {
            return Verdict::Pass(message);
        }
        let request = PolicyRequest::new(Point::Discover, hyperty.as_url().clone())
            .identity(self.registry.user_of(&hyperty));
        match hyperty_policy::decide_now(&*self.policy, &request) {
            Some(Decision::Deny(why)) => Verdict::Reject(StatusCode::FORBIDDEN, why),
            Some(_) => Verdict::Pass(message),
            None => match self.thinking.try_send((message, request)) {
                Ok(()) => Verdict::Drop,
                Err(_) => Verdict::Reject(StatusCode::INTERNAL, "too many searches wait already".to_owned()),
            },
        }
    }
}

/// Whether this is the address of a domain's registry, in whatever spelling.
fn is_of_registry(url: &Url) -> bool {
    url.key().starts_with("domain://registry.")
}

fn key(message: &Message) -> (Url, MessageId) {
    (message.from().clone(), message.id().clone())
}

impl SearchesDriver {
    /// Serves until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = asking.join_next(), if !asking.is_empty() => {}
                Some((message, request)) = self.inbox.recv(), if asking.len() < WAITING_MAX => {
                    let (bus, policy) = (self.bus.clone(), Arc::clone(&self.policy));
                    let (allowed, timeout) = (Arc::clone(&self.allowed), self.timeout);
                    asking.spawn(async move {
                        let deciding = hyperty_policy::decide(&*policy, &request);
                        let decided = tokio::time::timeout(timeout, deciding).await;
                        match decided.unwrap_or_else(|_| denied(&request, "no decision in time")) {
                            Decision::Deny(why) => {
                                let body = ResponseBody::failure(StatusCode::FORBIDDEN, why);
                                bus.post(message.reply(body.with_reason("policy")));
                            }
                            Decision::Permit | Decision::NotApplicable => {
                                allowed.lock().insert(key(&message));
                                bus.post(message);
                            }
                        }
                    });
                }
                else => return,
            }
        }
    }
}
