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
            let may = self.may_listen(session, &routes, object);
            #[cfg(test)]
            tests::behind_the_look();
            if may {
                self.subscriptions.add(key, session, epoch);
            } else {
                routes.streams.wait(Arc::clone(&key));
                self.waiting.add(object, key, session);
            }
        }
        if let Some(object) = object {
            self.settle(session, object);
        }
    }

    /// Looks again behind an entry: the owner may have opened the object to all, or closed it, between the look and the
    /// entry, and then has not seen this session. It says so before it goes through who listens and who waits, so one of
    /// the two sees the other.
    fn settle(&self, session: &Arc<Session>, object: &str) {
        loop {
            let may = {
                let mut routes = session.routes.lock();
                let may = self.may_listen(session, &routes, object);
                match may {
                    true => self.let_in(session, &mut routes, object),
                    false => self.cut_off(session, &mut routes, object),
                }
                may
            };
            if self.may_listen(session, &session.routes.lock(), object) == may {
                return;
            }
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
        self.let_in(session, &mut session.routes.lock(), object);
    }

    fn let_in(&self, session: &Arc<Session>, routes: &mut Routes, object: &str) {
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
        self.cut_off(session, &mut routes, object);
    }

    /// What a session hears of an object waits again.
    fn cut_off(&self, session: &Arc<Session>, routes: &mut Routes, object: &str) {
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
                    self.settle(&listener.session, object.key());
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use bytes::Bytes;
    use hyperty_model::{SeededIds, SystemClock};
    use hyperty_storage::MemoryTables;
    use serde_json::{Value, json};

    use crate::{Link, MessageNode, NodeConfig};

    const OBJECT: &str = "comm://example.com/1";

    thread_local! {
        static BEHIND_THE_LOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    /// What another thread does just then.
    pub(super) fn behind_the_look() {
        let other = BEHIND_THE_LOOK.with(|other| other.borrow_mut().take());
        if let Some(other) = other {
            other();
        }
    }

    struct Party(Link, String);

    impl Party {
        fn open(node: &MessageNode, name: &str) -> Arc<Party> {
            let runtime = format!("hyperty-runtime://example.com/{name}");
            let party = Party(node.attach().unwrap(), format!("{runtime}/sm"));
            party.say("open", &runtime, "mn:/session", json!({}));
            assert_eq!(party.take().len(), 1);
            Arc::new(party)
        }

        fn say(&self, kind: &str, from: &str, to: &str, body: Value) {
            let message = json!({"id": 1, "type": kind, "from": from, "to": to, "body": body});
            self.0.receive(Bytes::from(message.to_string()));
        }

        fn ask(&self, kind: &str, body: Value) {
            self.say(kind, &self.1, "domain://msg-node.example.com/sm", body);
        }

        fn take(&self) -> Vec<Value> {
            let mut batch = Vec::new();
            let _ = pin!(self.0.next_batch(&mut batch)).poll(&mut Context::from_waker(Waker::noop()));
            batch.iter().map(|item| serde_json::from_slice(item.bytes()).unwrap()).collect()
        }

        fn is_public(&self, public: bool) {
            self.ask("subscribe", json!({"resources": [OBJECT], "public": public}));
            assert_eq!(self.take()[0]["body"]["code"], 200);
        }

        fn publish(&self) {
            self.say("update", OBJECT, &format!("{OBJECT}/changes"), json!({"version": 1}));
        }

        fn hears(&self) -> bool {
            self.take().iter().any(|message| message["type"] == "update")
        }
    }

    /// INV-LSN-1: the owner opens or closes the object while somebody begins to listen, who has looked already.
    #[test]
    fn what_the_owner_says_behind_the_look_counts_inv_lsn_1() {
        for public in [false, true] {
            let config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new("example.com") };
            let tables = Arc::new(MemoryTables::new());
            let node = MessageNode::new(config, tables, Arc::new(SystemClock), Arc::new(SeededIds::new(3)))
                .unwrap()
                .0;
            let (owner, listener) = (Party::open(&node, "owner"), Party::open(&node, "listener"));
            owner.is_public(!public);
            let other = Arc::clone(&owner);
            BEHIND_THE_LOOK.set(Some(Box::new(move || other.is_public(public))));
            listener.ask("subscribe", json!({"resources": [format!("{OBJECT}/changes")]}));
            assert!(BEHIND_THE_LOOK.take().is_none(), "it was looked");
            assert_eq!(listener.take()[0]["body"]["code"], 200);
            owner.publish();
            assert_eq!(listener.hears(), public);
            // And what it says later counts too.
            owner.is_public(!public);
            owner.publish();
            assert_eq!(listener.hears(), !public);
        }
    }
}
