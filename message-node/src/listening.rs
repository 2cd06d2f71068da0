//! Who may listen to an object's stream (protocol 10.4): whoever the object's owner has accepted. The others may
//! subscribe, and wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use hyperty_model::{Message, MessageType, ObjectUrl, StatusCode, Url, UrlKind};
use serde::Deserialize;

use crate::address::object_of_stream;
use crate::authority::Holder;
use crate::node::Core;
use crate::session::{Routes, Session};

/// Addresses that wait, by session number and key.
type Waiters = BTreeMap<(u64, Arc<str>), Arc<Session>>;

/// Subscriptions that wait for their owner, by the object's key. As many as sessions may have routes.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_object: DashMap<Arc<str>, Waiters, RandomState>,
}

impl Waiting {
    fn add(&self, object: &str, key: Arc<str>, session: &Arc<Session>) {
        let mut waiters = self.by_object.entry(object.into()).or_default();
        waiters.insert((session.number, key), Arc::clone(session));
    }

    fn remove(&self, object: &str, key: &str, session: &Session) {
        self.by_object.remove_if_mut(object, |_, waiters| {
            waiters.remove(&(session.number, key.into()));
            waiters.is_empty()
        });
    }

    /// Takes all addresses of one session.
    fn take(&self, object: &str, session: &Session) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        self.by_object.remove_if_mut(object, |_, waiters| {
            let first = (session.number, Arc::from(""));
            let mut own = waiters.split_off(&first);
            let mut others = own.split_off(&(session.number + 1, Arc::from("")));
            waiters.append(&mut others);
            taken.extend(own.into_keys().map(|(_, key)| key));
            waiters.is_empty()
        });
        taken
    }

    /// Takes everybody's.
    fn take_all(&self, object: &str) -> Waiters {
        self.by_object.remove(object).map(|(_, waiters)| waiters).unwrap_or_default()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.by_object.clear();
    }
}

impl Core {
    /// The object whose stream an address belongs to, if it matters who listens there.
    fn guarded<'a>(&self, key: &'a str) -> Option<&'a str> {
        object_of_stream(key).filter(|_| self.config.enforces_subscriber())
    }

    /// Lets a session listen to an address, at once or when the owner has accepted it.
    pub(crate) fn listen_since(&self, session: &Arc<Session>, url: &Url, epoch: u64) {
        let key: Arc<str> = url.key().into();
        let object = self.guarded(url.key());
        {
            let mut routes = session.routes.lock();
            if routes.ended || !routes.listening.insert(Arc::clone(&key)) {
                return;
            }
            let Some(object) = object else { return self.subscriptions.add(key, session, epoch) };
            routes.streams.subscribed(object);
            if self.may_listen(session, &routes, object) {
                return self.subscriptions.add(key, session, epoch);
            }
            routes.streams.wait(Arc::clone(&key));
            self.waiting.add(object, key, session);
        }
        // The owner may have opened it to all between the look and the entry.
        if let Some(object) = object.filter(|object| self.is_public(object)) {
            self.activate(session, object);
        }
    }

    /// Ends that a session listens to an address.
    pub(crate) fn stop_listening(&self, session: &Arc<Session>, routes: &mut Routes, key: &str) {
        if !routes.listening.remove(key) {
            return;
        }
        let waited = routes.streams.wait_no_longer(key);
        if let Some(object) = object_of_stream(key) {
            routes.streams.unsubscribed(object);
            if waited {
                return self.waiting.remove(object, key, session);
            }
        }
        self.subscriptions.remove(key, session);
    }

    /// Takes away what a session that ends waits for.
    pub(crate) fn retire_waiting(&self, session: &Session, routes: &Routes) {
        for key in routes.streams.pending() {
            if let Some(object) = object_of_stream(key) {
                self.waiting.remove(object, key, session);
            }
        }
    }

    fn may_listen(&self, session: &Session, routes: &Routes, object: &str) -> bool {
        routes.streams.is_accepted(object)
            || self.is_public(object)
            || Url::parse(object).is_ok_and(|object| self.owns(session, &object))
    }

    /// Whether this session speaks for the object: it holds its route, or nobody does and its runtime allocated it.
    pub(crate) fn owns(&self, session: &Session, object: &Url) -> bool {
        match self.holder(object) {
            Holder::Session(holder) => *holder.session == *session,
            Holder::Runtime(owner) => owner == session.runtime,
            Holder::Nobody => false,
        }
    }

    /// Whether the holder of an object said that everybody may listen.
    fn is_public(&self, object: &str) -> bool {
        self.subscriptions.first(object).is_some_and(|holder| holder.public.load(Ordering::SeqCst))
    }

    /// Whatever a session waits for of an object is delivered to it from now on.
    pub(crate) fn activate(&self, session: &Arc<Session>, object: &str) {
        if !self.config.enforces_subscriber() {
            return;
        }
        let mut routes = session.routes.lock();
        for key in self.waiting.take(object, session) {
            if routes.streams.wait_no_longer(&key) {
                self.subscriptions.add(key, session, 0);
            }
        }
    }

    /// The owner has accepted a session's runtime.
    pub(crate) fn accept_listener(&self, session: &Arc<Session>, object: &str) {
        if !self.config.enforces_subscriber() {
            return;
        }
        let accepted = {
            let mut routes = session.routes.lock();
            !routes.ended && routes.streams.accept(object, self.routes_max(session))
        };
        if accepted {
            self.activate(session, object);
        }
    }

    /// Cuts a session off a stream: what it subscribed of the object waits again. Nothing is delivered to it when this
    /// returns.
    pub(crate) fn revoke_listener(&self, session: &Arc<Session>, object: &str) {
        if !self.config.enforces_subscriber() {
            return;
        }
        let mut routes = session.routes.lock();
        routes.streams.revoke(object);
        let heard = |key: &&Arc<str>| object_of_stream(key) == Some(object);
        let keys: Vec<Arc<str>> = routes.listening.iter().filter(heard).cloned().collect();
        for key in keys {
            if !routes.streams.is_pending(&key) {
                self.subscriptions.remove(&key, session);
                routes.streams.wait(Arc::clone(&key));
                self.waiting.add(object, key, session);
            }
        }
    }

    /// The holder of an object says whether everybody may listen. What it takes back cuts off whoever was not accepted.
    pub(crate) fn set_public(
        &self,
        session: &Arc<Session>,
        object: &ObjectUrl,
        stream: &[Url],
        public: bool,
    ) {
        let Some(holder) = self.subscriptions.first(object.key()) else { return };
        if *holder.session != **session || !self.config.enforces_subscriber() {
            return;
        }
        let was = holder.public.swap(public, Ordering::SeqCst);
        if public {
            for ((_, key), session) in self.waiting.take_all(object.key()) {
                let mut routes = session.routes.lock();
                if routes.streams.wait_no_longer(&key) {
                    self.subscriptions.add(key, &session, 0);
                }
            }
        } else if was {
            let changes = object.changes();
            let listed = stream.iter().filter(|url| object_of_stream(url.key()) == Some(object.key()));
            for url in listed.chain([&changes]) {
                for listener in
                    self.subscriptions.get(url.key()).iter().flat_map(|listeners| listeners.iter())
                {
                    let stays = listener.session.routes.lock().streams.is_accepted(object.key());
                    if !stays && *listener.session != **session {
                        self.revoke_listener(&listener.session, object.key());
                    }
                }
            }
        }
    }

    /// Notes that a session asks an owner to be let in; `false` if too many of its wishes are unanswered.
    pub(crate) fn note_asked(&self, session: &Session, message: &Message) -> bool {
        match self.asked_object(MessageType::Subscribe, message, message.to()) {
            Some(object) => session.routes.lock().streams.ask(object, message),
            None => true,
        }
    }

    /// An answer has passed. If it is the owner's final yes to a subscription, who asked may listen from now on.
    pub(crate) fn note_answer(&self, session: &Session, message: &Message) {
        let Some(object) = self.asked_object(MessageType::Response, message, message.from()) else { return };
        let Some(asker) = self.session_of(message.to()) else { return };
        if !asker.routes.lock().streams.has_asked(object, message) {
            return;
        }
        let code = code_of(message);
        if code.is_provisional() {
            return;
        }
        asker.routes.lock().streams.answered(object, message);
        let owned = Url::parse(object).is_ok_and(|object| self.owns(session, &object));
        if code.is_success() && owned {
            self.accept_listener(&asker, object);
        }
    }

    /// The object of `O/subscription`, for a message of this kind where it matters.
    fn asked_object<'a>(&self, kind: MessageType, message: &Message, url: &'a Url) -> Option<&'a str> {
        let matters =
            message.kind() == kind && url.kind() == UrlKind::Object && self.config.enforces_subscriber();
        url.key().strip_suffix("/subscription").filter(|_| matters)
    }

    /// The session that a runtime, a component or a hyperty belongs to.
    pub(crate) fn session_of(&self, url: &Url) -> Option<Arc<Session>> {
        match url.kind() {
            UrlKind::Runtime => self.directory.of_runtime(url),
            UrlKind::Hyperty => self.of_hyperty(url),
            _ => None,
        }
    }
}

/// The code of an answer, whose other members, which may be large, are passed over.
fn code_of(answer: &Message) -> StatusCode {
    #[derive(Deserialize)]
    struct Code {
        code: StatusCode,
    }
    serde_json::from_slice::<Code>(answer.body().raw()).map_or(StatusCode::INTERNAL, |body| body.code)
}
