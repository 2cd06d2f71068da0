//! Who may speak as whom, and who may publish what (protocol 5.14, M16, M17).

use std::sync::Arc;

use hyperty_model::{Message, MessageType, RuntimeUrl, StatusCode, Url, UrlKind};

use crate::address::{is_children_channel, is_derived, is_published, object_of_changes};
use crate::directory::stub_root;
use crate::node::Core;
use crate::session::Session;
use crate::subscriptions::Listener;

/// Why a message is not accepted. The sender is answered with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// `from` belongs to another runtime, or is none that a runtime may use.
    #[error("this session may not send from {0}")]
    Sender(Url),
    /// Only who holds or allocated the object publishes its changes.
    #[error("this session may not publish on {0}")]
    Publisher(Url),
    /// The session waits for the owner to accept it. It is not answered: a runtime that comes back with a new session may
    /// be accepted at any moment, keeps its operations on children until their owner has answered, and sends them again
    /// (M18). A no of ours would undo them.
    #[error("this session is not accepted at {0} yet")]
    Waiting(Url),
    /// Too many addresses.
    #[error("this session has as many routes as it may")]
    Limit,
}

impl Refusal {
    pub(crate) fn code(&self) -> StatusCode {
        match self {
            Refusal::Sender(_) | Refusal::Publisher(_) | Refusal::Waiting(_) => StatusCode::FORBIDDEN,
            Refusal::Limit => StatusCode::INTERNAL,
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Refusal::Sender(_) | Refusal::Publisher(_) | Refusal::Waiting(_) => "forbidden",
            Refusal::Limit => "limit",
        }
    }
}

/// Whose an object is, as far as the node knows.
pub(crate) enum Holder {
    /// The session that holds its route.
    Session(Arc<Listener>),
    /// The runtime that allocated it; no session holds its route.
    Runtime(RuntimeUrl),
    /// Nobody's.
    Nobody,
}

impl Core {
    /// Whether a session may send this message. First use binds addresses of stubs and of hyperties that were not
    /// allocated to somebody else; nothing else is ever bound by use.
    pub(crate) fn authorise(&self, session: &Arc<Session>, message: &Message) -> Result<(), Refusal> {
        let from = message.from();
        match from.kind() {
            UrlKind::Runtime => self.authorise_runtime(session, from)?,
            UrlKind::Hyperty => self.authorise_hyperty(session, from)?,
            UrlKind::Object => self.authorise_object(session, message)?,
            _ => return Err(Refusal::Sender(from.clone())),
        }
        self.authorise_claims(session, message)?;
        self.authorise_publication(session, message)
    }

    fn authorise_runtime(&self, session: &Arc<Session>, from: &Url) -> Result<(), Refusal> {
        if from.is_at_or_below(&session.runtime) {
            return Ok(());
        }
        // Only stubs are named apart from their runtime; all else of another name is another runtime's.
        let root = stub_root(from).ok_or_else(|| Refusal::Sender(from.clone()))?;
        self.bind(session, from, root)
    }

    fn authorise_hyperty(&self, session: &Arc<Session>, from: &Url) -> Result<(), Refusal> {
        if let Some(bound) = self.directory.bound(from.key()) {
            return if bound == *session { Ok(()) } else { Err(Refusal::Sender(from.clone())) };
        }
        let elsewhere = self.allocations.owner(from).is_some_and(|owner| owner != session.runtime);
        if elsewhere || !session.may_be(from) {
            return Err(Refusal::Sender(from.clone()));
        }
        self.bind(session, from, from.key())
    }

    /// Binds `key`, which stands for `url`, to the session.
    pub(crate) fn bind(&self, session: &Arc<Session>, url: &Url, key: &str) -> Result<(), Refusal> {
        if let Some(bound) = self.directory.bound(key) {
            return if bound == *session { Ok(()) } else { Err(Refusal::Sender(url.clone())) };
        }
        let mut routes = session.routes.lock();
        if routes.ended {
            return Err(Refusal::Sender(url.clone()));
        }
        if routes.len() >= self.routes_max(session) {
            return Err(Refusal::Limit);
        }
        let key: Arc<str> = key.into();
        if self.directory.bind(&key, session) != *session {
            return Err(Refusal::Sender(url.clone()));
        }
        routes.bound.insert(key);
        Ok(())
    }

    /// Object URLs are never bound by use. Besides the holder, a session that listens to a channel answers from it,
    /// and children of an object may be written in its name on a channel that the session listens to.
    fn authorise_object(&self, session: &Arc<Session>, message: &Message) -> Result<(), Refusal> {
        if !self.config.enforce_publisher {
            return Ok(());
        }
        let (from, to) = (message.from(), message.to());
        // Operations on children are answered by the Reporter's side alone (M19): who listens to them may answer the object,
        // and nobody who wrote one.
        let to_object = || from.split_derived().is_some_and(|(object, _)| to.is_at_or_below(&object));
        let answers = message.kind() == MessageType::Response
            && (object_of_changes(from).is_some() || is_children_channel(from) && to_object())
            && listens(session, from.key());
        let child = is_children_channel(to) && to.is_at_or_below(from) && listens(session, to.key());
        if answers || child || self.may_act_for(session, from) {
            return Ok(());
        }
        Err(Refusal::Sender(from.clone()))
    }

    /// Changes of an object come from its holder, operations on children from who listens to them; status events of the registry from nobody but the registry.
    fn authorise_publication(&self, session: &Arc<Session>, message: &Message) -> Result<(), Refusal> {
        let to = message.to();
        if !self.config.enforce_publisher || message.kind() == MessageType::Response || !is_published(to) {
            return Ok(());
        }
        let refused = || Err(Refusal::Publisher(to.clone()));
        if to.key().ends_with("/registration") && !is_children_channel(to) {
            return refused();
        }
        // Who is an observer only the Reporter's side knows; who does not even listen is none (protocol 5.9.1).
        if is_children_channel(to) && !listens(session, to.key()) && !self.may_act_for(session, to) {
            let waits = session.routes.lock().streams.is_pending(to.key());
            return if waits { Err(Refusal::Waiting(to.clone())) } else { refused() };
        }
        // Whoever may send from O may publish for O; that was looked up already.
        let from_the_object = object_of_changes(to).is_none_or(|object| object == message.from().key());
        if from_the_object || self.may_act_for(session, to) {
            return Ok(());
        }
        refused()
    }

    /// Whether an object, or what is derived from it, is this session's, or nobody's.
    pub(crate) fn may_act_for(&self, session: &Session, url: &Url) -> bool {
        let holder = if is_derived(url) {
            let Some((object, _)) = url.split_derived() else { return false };
            self.holder(&object)
        } else {
            self.holder(url)
        };
        match holder {
            Holder::Session(holder) => *holder.session == *session,
            Holder::Runtime(owner) => owner == session.runtime,
            Holder::Nobody => true,
        }
    }

    /// Whose an object is.
    pub(crate) fn holder(&self, object: &Url) -> Holder {
        if let Some(holder) = self.subscriptions.first(object.key()) {
            return Holder::Session(holder);
        }
        // Who took the object over has it, although another runtime allocated its address.
        let heir = self.registry.owner(object).filter(|(_, epoch)| *epoch > 0).map(|(runtime, _)| runtime);
        match heir.or_else(|| self.allocations.owner(object)) {
            Some(runtime) => Holder::Runtime(runtime),
            None => Holder::Nobody,
        }
    }
}

fn listens(session: &Session, key: &str) -> bool {
    let routes = session.routes.lock();
    routes.listening.contains(key) && !routes.streams.is_pending(key)
}
