//! What passes the bus of a runtime, and what its domain's node knows: for tests that count.

use std::sync::Arc;

use hyperty_conformance::world::{DOMAIN, World};
use hyperty_message_bus::{Direction, Interceptor, MessageBus, Verdict};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Message, MessageType, ObjectUrl, StatusCode, Url};
use hyperty_storage::{ObjectRecord, ObjectStore, Role};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::Party;

/// The services of the node.
pub(crate) const NODE: &str = "domain://msg-node.example.com/sm";
pub(crate) const REGISTRY: &str = "domain://registry.example.com";

/// Sees every message once, as it enters the bus, and may refuse it.
struct Gate<F>(F);

impl<F: Fn(Direction, &Message) -> bool + Send + Sync> Interceptor for Gate<F> {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        if self.0(direction, &message) {
            Verdict::Pass(message)
        } else {
            Verdict::Reject(StatusCode::FORBIDDEN, "refused by the test".to_owned())
        }
    }
}

/// Lets pass what `f` says; a request that does not pass is answered 403.
pub(crate) fn gate(bus: &MessageBus, f: impl Fn(Direction, &Message) -> bool + Send + Sync + 'static) {
    bus.add_interceptor(Arc::new(Gate(f)));
}

/// Remembers what enters a bus.
pub(crate) struct Spy(Arc<Mutex<Vec<(Direction, Message)>>>);

impl Spy {
    pub(crate) fn on(bus: &MessageBus) -> Spy {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&seen);
        gate(bus, move |direction, message| {
            target.lock().push((direction, message.clone()));
            true
        });
        Spy(seen)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// What came in through a stub.
    pub(crate) fn incoming(&self, f: impl Fn(&Message) -> bool) -> Vec<Message> {
        self.all(Direction::Incoming, f)
    }

    /// What was posted here.
    pub(crate) fn outgoing(&self, f: impl Fn(&Message) -> bool) -> Vec<Message> {
        self.all(Direction::Outgoing, f)
    }

    fn all(&self, wanted: Direction, f: impl Fn(&Message) -> bool) -> Vec<Message> {
        let seen = self.0.lock();
        let matching = seen.iter().filter(|(direction, message)| *direction == wanted && f(message));
        matching.map(|(_, message)| message.clone()).collect()
    }
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.body().raw()).into_owned()
}

pub(crate) fn json_body(message: &Message) -> Value {
    serde_json::from_slice(message.body().raw()).expect("a body is JSON")
}

/// Sends a request through the bus of a party, in any name, and gives the answer.
pub(crate) async fn ask(
    party: &Party,
    kind: MessageType,
    from: &Url,
    to: &str,
    body: Value,
) -> Arc<ResponseBody> {
    let bus = party.runtime.bus();
    let message = bus.new_message(kind, from, &to.parse().expect("a URL"), Body::of(body));
    bus.request(message).await.decode().expect("an answer")
}

/// An address in the runtime of a party that nothing else uses.
pub(crate) fn desk(party: &Party) -> Url {
    format!("{}/desk", party.runtime.url()).parse().expect("a URL")
}

/// What the registry says of an object: the code, and the status it is found with.
pub(crate) async fn registered(asker: &Party, object: &ObjectUrl) -> (u16, Option<String>) {
    let body = json!({ "resource": object });
    let answer = ask(asker, MessageType::Read, &desk(asker), REGISTRY, body).await;
    let value = answer.value.clone().unwrap_or_default();
    let record = value.get(object.as_str()).unwrap_or(&value);
    (answer.code.0, record.get("status").and_then(Value::as_str).map(str::to_owned))
}

/// Whether the node takes an object for somebody else's than the asker's: held, or allocated and not released.
pub(crate) async fn is_taken(asker: &Party, object: &str) -> bool {
    let nobody = format!("hyperty-runtime://{DOMAIN}/nobody");
    let from = object.parse().expect("a URL");
    let answer = ask(asker, MessageType::Read, &from, &nobody, json!({})).await;
    match answer.code {
        StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND => false,
        code => panic!("{code}"),
    }
}

/// How many addresses somebody listens to at the node.
pub(crate) fn routes(world: &World) -> usize {
    world.node().expect("the node runs").stats().routes
}

/// How many frames the node took in.
pub(crate) fn received(world: &World) -> u64 {
    world.node().expect("the node runs").stats().received
}

/// What a party has stored.
pub(crate) fn stored(party: &Party, role: Role) -> Vec<ObjectRecord> {
    use hyperty_storage::DataObjectStorage;
    ObjectStore::new(Arc::new(party.tables.snapshot())).load(role).expect("it can be read")
}
