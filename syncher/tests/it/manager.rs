//! A Sync Manager whose every answer is given by the test, on a real bus.

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{BusConfig, Listener, MessageBus, MiniBus};
use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{ForwardBody, ForwardKind, ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::{
    Body, ChildrenName, HypertyUrl, Identity, Message, MessageType, ObjectUrl, Position, RuntimeUrl,
    SeededIds, Url,
};
use hyperty_syncher::{Observer, Reporter, Syncher, SyncherConfig, SyncherDriver};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

type Hook = Arc<dyn Fn(&Manager, &Message) -> bool + Send + Sync>;

pub(crate) struct Manager {
    pub(crate) bus: MessageBus,
    pub(crate) runtime: RuntimeUrl,
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Message>>,
    arrived: mpsc::UnboundedSender<Message>,
    routes: Mutex<Vec<Listener>>,
    hook: Mutex<Option<Hook>>,
}

/// A hyperty and the task that drives its Syncher.
pub(crate) struct Hyperty {
    pub(crate) syncher: Syncher,
    pub(crate) url: HypertyUrl,
    pub(crate) driver: JoinHandle<()>,
}

pub(crate) fn object() -> ObjectUrl {
    "comm://example.com/o1".parse().unwrap()
}

pub(crate) fn schema() -> Url {
    "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Communication".parse().unwrap()
}

pub(crate) fn name(text: &str) -> ChildrenName {
    ChildrenName::new(text).unwrap()
}

pub(crate) fn change(version: u64, path: &str, value: Value) -> UpdateBody {
    UpdateBody::change(Position::new(0, version), Change::new(path, ChangeOp::Set(value)))
}

pub(crate) fn snapshot(version: u64, data: Value) -> Value {
    json!({
        "url": object(), "reporter": "hyperty://example.com/alice", "schema": schema(), "name": "room",
        "runtime": "hyperty-runtime://example.com/laptop", "created": "2026-01-01T00:00:00.000Z",
        "lastModified": "2026-01-01T00:00:00.000Z", "version": version, "data": data,
    })
}

impl Manager {
    pub(crate) fn new() -> Arc<Manager> {
        Manager::on(BusConfig::default())
    }

    /// On a bus with limits of its own.
    pub(crate) fn on(config: BusConfig) -> Arc<Manager> {
        let runtime: RuntimeUrl = "hyperty-runtime://example.com/laptop".parse().unwrap();
        let config = BusConfig { runtime: Some(runtime.clone()), ..config };
        let (arrived, inbox) = mpsc::unbounded_channel();
        let manager = Arc::new(Manager {
            bus: MessageBus::new(config, &SeededIds::new(7)),
            runtime,
            inbox: tokio::sync::Mutex::new(inbox),
            arrived,
            routes: Mutex::default(),
            hook: Mutex::default(),
        });
        let (weak, url) = (Arc::downgrade(&manager), manager.url());
        let listener = manager.bus.listen(&url, move |message| weak.upgrade().unwrap().arrive(message));
        manager.routes.lock().push(listener.unwrap());
        manager
    }

    pub(crate) fn url(&self) -> Url {
        self.runtime.sync_manager()
    }

    fn arrive(&self, message: &Message) {
        let hook = self.hook.lock().clone();
        if !hook.is_some_and(|hook| hook(self, message)) {
            self.arrived.send(message.clone()).unwrap();
        }
    }

    /// Handles messages where they arrive, on the thread of whoever posts; those it returns false for wait for
    /// [`Manager::next`].
    pub(crate) fn on_arrival(&self, hook: impl Fn(&Manager, &Message) -> bool + Send + Sync + 'static) {
        *self.hook.lock() = Some(Arc::new(hook));
    }

    pub(crate) fn hyperty(&self, id: &str) -> Hyperty {
        self.hyperty_with(id, |_| {})
    }

    pub(crate) fn hyperty_with(&self, id: &str, edit: impl FnOnce(&mut SyncherConfig)) -> Hyperty {
        let (syncher, driver) = self.syncher(id, edit);
        Hyperty { url: syncher.url().clone(), syncher, driver: tokio::spawn(driver.run()) }
    }

    pub(crate) fn syncher(
        &self,
        id: &str,
        edit: impl FnOnce(&mut SyncherConfig),
    ) -> (Syncher, SyncherDriver) {
        let url: HypertyUrl = format!("hyperty://example.com/{id}").parse().unwrap();
        let mut config = SyncherConfig::new(self.runtime.clone());
        config.identity = Some(Identity::of_user(&format!("user://example.com/{id}")));
        edit(&mut config);
        Syncher::new(MiniBus::new(&self.bus, url).unwrap(), config).unwrap()
    }

    /// The next message for the Sync Manager, or for an address it sequences.
    pub(crate) async fn next(&self) -> Message {
        let mut inbox = self.inbox.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(120), inbox.recv());
        next.await.expect("a message arrives").unwrap()
    }

    pub(crate) async fn expect(&self, kind: MessageType) -> Message {
        let message = self.next().await;
        assert_eq!(message.kind(), kind, "{message:?}");
        message
    }

    /// What has arrived and was not taken.
    pub(crate) async fn rest(&self) -> Vec<Message> {
        let mut inbox = self.inbox.lock().await;
        std::iter::from_fn(|| inbox.try_recv().ok()).collect()
    }

    pub(crate) fn answer(&self, request: &Message, body: ResponseBody) {
        self.bus.post(request.reply(body));
    }

    /// Answers a change, or an operation on a child.
    pub(crate) fn settle(&self, message: &Message, body: ResponseBody) {
        let answer = message.reply(body.with_source(self.url()));
        let answer = if *message.to() == object().changes() {
            Message::new(
                answer.id().clone(),
                answer.kind(),
                self.url(),
                answer.to().clone(),
                answer.body().clone(),
            )
        } else {
            answer
        };
        self.bus.post(answer);
    }

    /// The routes of the Reporter's side (A1 to A5).
    pub(crate) fn open_reporter(self: &Arc<Manager>, reporter: &HypertyUrl, names: &[&str]) {
        let object = object();
        let mut routes = self.routes.lock();
        let channels: Vec<Url> = names.iter().map(|n| object.children(&name(n))).collect();
        for url in channels.iter().chain([&object.changes()]) {
            let weak = Arc::downgrade(self);
            let sequencer = self.bus.sequence(url, move |message| weak.upgrade().unwrap().arrive(message));
            routes.extend(sequencer.ok());
        }
        for url in channels.iter().chain([object.as_url()]) {
            routes.push(self.bus.forward(url, reporter).unwrap());
        }
    }

    /// The routes of one observer (B1 to B4).
    pub(crate) fn open_observer(self: &Arc<Manager>, observer: &HypertyUrl, names: &[&str]) {
        let object = object();
        let mut routes = self.routes.lock();
        let channels: Vec<Url> = names.iter().map(|n| object.children(&name(n))).collect();
        for url in channels.iter().chain([&object.changes()]) {
            let weak = Arc::downgrade(self);
            let sequencer = self.bus.sequence(url, move |message| weak.upgrade().unwrap().arrive(message));
            routes.extend(sequencer.ok());
        }
        for url in channels.iter().chain([&object.changes(), &object.status()]) {
            routes.push(self.bus.forward(url, observer).unwrap());
        }
    }

    pub(crate) fn release(&self, body: UpdateBody) {
        self.publish(&object().changes(), MessageType::Update, object().as_url(), body);
    }

    pub(crate) fn status(&self, word: &str) {
        let body = UpdateBody::new(UpdateKind::Status(json!(word)));
        self.publish(&object().status(), MessageType::Update, &self.url(), body);
    }

    pub(crate) fn publish(&self, to: &Url, kind: MessageType, from: &Url, body: impl Into<Body>) {
        self.bus.release(&self.bus.new_message(kind, from, to, body));
    }

    /// Hands something on to the Reporter, and gives its answer.
    pub(crate) async fn forward(
        &self,
        reporter: &HypertyUrl,
        kind: ForwardKind,
        from: &str,
        authorised: bool,
    ) -> ResponseBody {
        let body = ForwardBody {
            kind,
            from: from.parse().unwrap(),
            to: object(),
            identity: Some(Identity::of_user("user://example.com/bob")),
            authorised: Some(authorised),
            mutual: None,
        };
        let message = self.bus.new_message(MessageType::Forward, object().as_url(), reporter, body);
        let answer = self.bus.request(message).timeout(Duration::from_secs(9)).await;
        (*answer.decode::<ResponseBody>().unwrap()).clone()
    }

    /// Creates the object with this data.
    pub(crate) async fn reporter(
        self: &Arc<Manager>,
        alice: &Hyperty,
        data: Value,
        names: &[&str],
    ) -> Reporter {
        let creation = tokio::spawn(alice.syncher.create(schema()).name("room").data(data).into_future());
        let request = self.expect(MessageType::Create).await;
        self.open_reporter(&alice.url, names);
        self.answer(&request, created(names));
        creation.await.unwrap().unwrap()
    }

    /// Subscribes to the object with this snapshot.
    pub(crate) async fn observer(
        self: &Arc<Manager>,
        bob: &Hyperty,
        snapshot: Value,
        names: &[&str],
    ) -> Observer {
        let subscription = tokio::spawn(bob.syncher.subscribe(&object()).into_future());
        let request = self.expect(MessageType::Subscribe).await;
        self.open_observer(&bob.url, names);
        self.answer(&request, provisional(names));
        self.answer(&request, ResponseBody::ok().with_value(snapshot));
        subscription.await.unwrap().unwrap()
    }

    /// Commits every change where it arrives, and releases it.
    pub(crate) fn commit_at_once(&self) {
        self.on_arrival(|manager, message| {
            if message.kind() != MessageType::Update || *message.to() != object().changes() {
                return false;
            }
            let version = message.decode::<UpdateBody>().unwrap().version;
            manager.settle(message, ResponseBody { version, ..ResponseBody::ok() });
            manager.bus.release(message);
            true
        });
    }
}

pub(crate) fn created(names: &[&str]) -> ResponseBody {
    ResponseBody {
        resource: Some(object().to_string()),
        children_resources: Some(names.iter().map(ToString::to_string).collect()),
        ..ResponseBody::ok()
    }
}

pub(crate) fn provisional(names: &[&str]) -> ResponseBody {
    let children_resources = Some(names.iter().map(ToString::to_string).collect());
    ResponseBody { children_resources, ..ResponseBody::of(hyperty_model::StatusCode::PROVISIONAL) }
}

/// Lets every task run until all wait.
pub(crate) async fn quiet() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
