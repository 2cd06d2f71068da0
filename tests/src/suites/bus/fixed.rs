//! Cases without choice.

use std::sync::Arc;

use hyperty_message_bus::Protostub;
use hyperty_model::message::HOPS_MAX;
use hyperty_model::{Body, Message, MessageType};
use serde_json::{Value, json};

use super::recorder::{Log, RecordingStub, over_the_wire, url};
use super::{Bus, Connections, Fresh, Handle};
use crate::suites::{Checked, Suite, demand};

const NEWS: &str = "comm://example.com/news/changes";
const OTHER: &str = "comm://example.com/other";
const REPORTER: &str = "comm://example.com/news";

pub(super) fn run(suite: &mut Suite, fresh: Fresh<'_>) {
    suite.case("a listener that panics takes nothing from the others", "4.1", || panics(&*fresh()));
    suite.case("what is removed while a message is delivered misses the next", "4.1", || removed(&*fresh()));
    suite.case("a handler may post and listen", "4.1", || nested(&fresh()));
    type Connected = fn(&dyn Bus, &dyn Connections) -> Checked;
    let connected: [(&'static str, &'static str, Connected); 4] = [
        ("a relay keeps what it does not know", "INV-MSG-5", relayed),
        ("what came in has its way with it", "INV-MSG-4", way),
        ("a message that made all its hops goes no further", "INV-MSG-4", tired),
        ("what comes in is not authorised by itself", "2.2", unauthorised),
    ];
    for (name, invariant, check) in connected {
        if fresh().connections().is_none() {
            suite.skip(name, "the bus has no connections");
            continue;
        }
        suite.case(name, invariant, || {
            let bus = fresh();
            bus.connections().map_or(Ok(()), |connections| check(&*bus, connections))
        });
    }
}

fn message(id: u64, to: &str) -> Message {
    Message::new(id, MessageType::Update, url(REPORTER), url(to), Body::empty())
}

fn panics(bus: &dyn Bus) -> Checked {
    let (before, after) = (Log::new(), Log::new());
    let _handles: [Handle; 3] = [
        bus.listen(&url(NEWS), before.handler()),
        bus.listen(&url(NEWS), Box::new(|_| panic!("a listener of the suite panics"))),
        bus.listen(&url(NEWS), after.handler()),
    ];
    for id in 1..=2 {
        bus.post(message(id, NEWS));
    }
    let counts = (before.take().len(), after.take().len());
    demand!(
        "4.1",
        counts == (2, 2),
        "two messages, delivered {counts:?} times before and after who panicked"
    );
    Ok(())
}

fn removed(bus: &dyn Bus) -> Checked {
    let log = Log::new();
    let second = Arc::new(parking_lot::Mutex::new(None::<Handle>));
    let removing = Arc::clone(&second);
    let _first = bus.listen(
        &url(NEWS),
        Box::new(move |_| {
            let handle = removing.lock().take();
            drop(handle);
        }),
    );
    *second.lock() = Some(bus.listen(&url(NEWS), log.handler()));
    let _third = bus.listen(&url(NEWS), log.handler());
    bus.post(message(1, NEWS));
    let got = log.take().len();
    demand!("4.1", got == 2, "{got} of 2 listeners had the message during which one of them was removed");
    bus.post(message(2, NEWS));
    let got = log.take().len();
    demand!("4.1", got == 1, "{got} listeners had the next message, 1 is left");
    Ok(())
}

fn nested(bus: &Arc<dyn Bus>) -> Checked {
    let (log, kept) = (Log::new(), Log::new());
    let (posting, inner, keeping) = (Arc::downgrade(bus), log.clone(), kept.clone());
    let _outer = bus.listen(
        &url(NEWS),
        Box::new(move |received| {
            if let Some(bus) = posting.upgrade() {
                keeping.add(bus.listen(&url(OTHER), inner.handler()));
                bus.post(received.clone().with_to(url(OTHER)));
            }
        }),
    );
    bus.post(message(1, NEWS));
    let got = log.take();
    demand!("4.1", got.len() == 1 && *got[0].to() == url(OTHER), "posted from within a handler: {got:?}");
    drop(kept.take());
    Ok(())
}

fn relayed(_: &dyn Bus, connections: &dyn Connections) -> Checked {
    let [near, far] = [0, 1].map(RecordingStub::new);
    connections.attach(near.clone());
    connections.attach(far.clone());
    let _route = connections.publish_route(&url(NEWS), far.url());
    let sent = json!({
        "id": "17", "type": "update", "from": REPORTER, "to": NEWS, "priority": [1, {"deep": null}],
        "body": {"version": 1, "attribute": "a", "value": 1.5, "colour": {"of": "sky"}, "accessToken": "t"},
    });
    connections.receive(near.url(), over_the_wire(sent.to_string()));
    let out = far.sent.take();
    demand!("4.2", out.len() == 1, "{} copies through one publish route", out.len());
    let found: Value = serde_json::from_slice(out[0].wire()).unwrap_or_default();
    demand!("INV-MSG-2", found["id"] == json!("17"), "the id \"17\" left as {}", found["id"]);
    let (was, is) = (&sent["priority"], &found["priority"]);
    demand!("INV-MSG-5", was == is, "priority was {was} and left as {is}");
    for member in ["colour", "accessToken", "value"] {
        let (was, is) = (&sent["body"][member], &found["body"][member]);
        demand!("INV-MSG-5", was == is, "body.{member} was {was} and left as {is}");
    }
    Ok(())
}

fn way(bus: &dyn Bus, connections: &dyn Connections) -> Checked {
    let stub = RecordingStub::new(0);
    connections.attach(stub.clone());
    let log = Log::new();
    let _listener = bus.listen(&url(NEWS), log.handler());
    let earlier = url("hyperty-runtime://elsewhere.example/protostub/9");
    let frame =
        |via: Value| json!({"id": 1, "type": "update", "from": REPORTER, "to": NEWS, "body": {"via": via}});
    connections.receive(stub.url(), over_the_wire(frame(json!([earlier])).to_string()));
    let got = log.take();
    demand!("4.1", got.len() == 1, "{} of 1 messages came in", got.len());
    let expected = [earlier, stub.url().clone()];
    demand!("INV-MSG-4", got[0].hops() == expected, "its way is {:?}, not {expected:?}", got[0].hops());
    connections.receive(stub.url(), over_the_wire(frame(json!([stub.url()])).to_string()));
    let got = log.take();
    demand!("INV-MSG-4", got.is_empty(), "a message came in twice through {}", stub.url());
    Ok(())
}

fn tired(_: &dyn Bus, connections: &dyn Connections) -> Checked {
    let [near, far] = [0, 1].map(RecordingStub::new);
    connections.attach(near.clone());
    connections.attach(far.clone());
    let _route = connections.publish_route(&url(NEWS), far.url());
    for (hops, leaves) in [(HOPS_MAX - 2, 1), (HOPS_MAX, 0)] {
        let via: Vec<String> =
            (0..hops).map(|hop| format!("hyperty-runtime://d{hop}.example/protostub/1")).collect();
        let frame = json!({"id": 1, "type": "update", "from": REPORTER, "to": NEWS, "body": {"via": via}});
        connections.receive(near.url(), over_the_wire(frame.to_string()));
        let out = far.sent.take().len();
        demand!("INV-MSG-4", out == leaves, "{out} copies left after {hops} hops, {leaves} should");
    }
    Ok(())
}

fn unauthorised(bus: &dyn Bus, connections: &dyn Connections) -> Checked {
    let stub = RecordingStub::new(0);
    connections.attach(stub.clone());
    let log = Log::new();
    let _listener = bus.listen(&url(OTHER), log.handler());
    let frame = json!({
        "id": 1, "type": "read", "from": "hyperty://example.com/stranger", "to": OTHER,
        "body": {"auth": true, "kept": 1},
    });
    connections.receive(stub.url(), over_the_wire(frame.to_string()));
    let got = log.take();
    demand!("4.1", got.len() == 1, "{} of 1 messages came in", got.len());
    let body: Value = serde_json::from_slice(got[0].body().raw()).unwrap_or_default();
    demand!("2.2", body.get("auth").is_none(), "auth came in through a stub: {body}");
    demand!("INV-MSG-5", body["kept"] == json!(1), "what stood beside it is gone: {body}");
    Ok(())
}
