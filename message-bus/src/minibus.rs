//! The bus inside one hyperty's sandbox (protocol 4.1).

use std::sync::{Arc, OnceLock, Weak};

use hyperty_model::{Body, HypertyUrl, Message, MessageId, MessageType, Url, UrlKind};

use crate::answers;
use crate::isolate::{Level, call_each};
use crate::listeners::{Role, Routes};
use crate::requests::Requests;
use crate::voice::{self, NotItsName};
use crate::{BusError, Listener, MessageBus};

/// The bus of one hyperty. Clones are the same bus; dropping the last one detaches the hyperty.
///
/// What is posted here always leaves for the runtime's bus, even when somebody here listens for it. What the
/// runtime's bus hands in goes to the request it answers, else to the listeners of its address, and to the default
/// listeners if nobody listens there or the address is not a hyperty's.
///
/// A MiniBus lets out what its hyperty says in its own name: see [`MiniBus::post`].
#[derive(Clone)]
pub struct MiniBus {
    sandbox: Arc<Sandbox>,
}

pub(crate) struct Sandbox {
    url: HypertyUrl,
    outer: MessageBus,
    requests: Arc<Requests>,
    routes: Arc<Routes>,
    /// The default listeners; kept in a table of their own under the hyperty's URL.
    defaults: Arc<Routes>,
    /// The route of the hyperty's own URL; set once, right after construction.
    inbox: OnceLock<Listener>,
}

impl MiniBus {
    /// Attaches a hyperty to a runtime's bus: what comes for its URL is handed in from now on.
    ///
    /// # Errors
    /// [`BusError::AlreadyAttached`], and those of [`MessageBus::listen`].
    pub fn new(outer: &MessageBus, url: HypertyUrl) -> Result<MiniBus, BusError> {
        let sandbox = Arc::new(Sandbox {
            outer: outer.clone(),
            requests: Requests::new(outer.config().pending_max),
            routes: Routes::new(outer.config()),
            defaults: Routes::new(outer.config()),
            inbox: OnceLock::new(),
            url: url.clone(),
        });
        if !outer.attach(&url, Arc::downgrade(&sandbox)) {
            return Err(BusError::AlreadyAttached(url));
        }
        let target = Arc::downgrade(&sandbox);
        let inbox = outer.listen(&url, move |message| Sandbox::deliver(&target, message))?;
        // The cell was made empty a few lines above.
        let _ = sandbox.inbox.set(inbox);
        Ok(MiniBus { sandbox })
    }

    /// The hyperty.
    pub fn url(&self) -> &HypertyUrl {
        &self.sandbox.url
    }

    /// The runtime's bus.
    pub fn outer(&self) -> &MessageBus {
        &self.sandbox.outer
    }

    /// The next message id of the runtime's bus.
    pub fn next_id(&self) -> MessageId {
        self.outer().next_id()
    }

    /// A new message with the next id.
    pub fn new_message(&self, kind: MessageType, from: &Url, to: &Url, body: impl Into<Body>) -> Message {
        self.outer().new_message(kind, from, to, body)
    }

    /// Posts on the runtime's bus, marked as sent by this hyperty. What it says in a name that is not its own goes no
    /// further: `from` is the hyperty, or an object that it reports (protocol 4.1). What expects an answer is answered
    /// 403 `forbidden`, here and nowhere else: whose name it is has not asked.
    pub fn post(&self, message: Message) {
        if let Err(refusal) = self.check(&message) {
            if answers::expects_answer(&message) {
                self.sandbox.refuse(&self.outer().synthetic(&message, refusal.into()));
            }
            return;
        }
        self.outer().post(self.stamped(message));
    }

    /// Calls `f` with each message for `url` that is handed in, until the handle is dropped. What is handed in, beside
    /// the hyperty's own URL, is decided by [`MessageBus::forward`].
    ///
    /// # Errors
    /// [`BusError::LimitReached`] and [`BusError::TooManyAddresses`].
    pub fn listen(
        &self,
        url: &Url,
        f: impl Fn(&Message) + Send + Sync + 'static,
    ) -> Result<Listener, BusError> {
        self.sandbox.routes.add(url, Role::Listener, Arc::new(f))
    }

    /// Calls `f` with each message that is handed in and for whose address nobody listens, or whose address is not a
    /// hyperty's, until the handle is dropped.
    ///
    /// # Errors
    /// [`BusError::LimitReached`].
    pub fn listen_any(&self, f: impl Fn(&Message) + Send + Sync + 'static) -> Result<Listener, BusError> {
        self.sandbox.defaults.add(self.url(), Role::Listener, Arc::new(f))
    }

    /// Whether a request of this hyperty is not answered yet: what arrives now comes ahead of its answer.
    pub fn awaits(&self, id: &MessageId) -> bool {
        self.sandbox.requests.awaits(self.url().as_url(), id)
    }

    pub(crate) fn requests(&self) -> &Arc<Requests> {
        &self.sandbox.requests
    }

    /// Whether this hyperty may say that, in whose name it does; what it may not is counted.
    pub(crate) fn check(&self, message: &Message) -> Result<(), NotItsName> {
        voice::check(self.outer().routes(), self.url(), message).inspect_err(|refusal| {
            self.outer().tally().not_its_name.add(1);
            tracing::warn!(hyperty = %self.url(), ?message, %refusal, "not posted");
        })
    }

    pub(crate) fn stamped(&self, message: Message) -> Message {
        message.with_sender(self.url().as_url().clone())
    }
}

impl Sandbox {
    /// Takes in a message of the runtime's bus; one that is gone takes nothing.
    pub(crate) fn deliver(target: &Weak<Sandbox>, message: &Message) {
        if let Some(sandbox) = target.upgrade() {
            sandbox.take(message);
        }
    }

    /// Hands in the answer to what was not let out.
    fn refuse(&self, answer: &Message) {
        // A handler that posts such a thing again for each such answer ends here.
        match Level::enter(true) {
            Some(_level) => self.take(answer),
            None => self.outer.tally().too_deep.add(1),
        }
    }

    fn take(&self, message: &Message) {
        if self.requests.take(message) {
            return;
        }
        let called = self.call(&self.routes, message.to(), message);
        let by_default = message.to().kind() != UrlKind::Hyperty || !called;
        let called = (by_default && self.call(&self.defaults, &self.url, message)) || called;
        // Of the addresses that are forwarded here somebody else may be the one who answers.
        if !called && message.to() == self.url.as_url() {
            self.outer.answer(message, answers::unknown_address(message.to()));
        }
    }

    fn call(&self, table: &Routes, address: &Url, message: &Message) -> bool {
        let Some(targets) = table.targets(address) else { return false };
        self.outer.tally().panicked.add(call_each(&targets.listeners, message));
        true
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.outer.detach(&self.url, self);
    }
}

impl std::fmt::Debug for MiniBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MiniBus({})", self.url())
    }
}
