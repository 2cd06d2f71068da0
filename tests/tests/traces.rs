//! The worked traces of the protocol (8.1 to 8.3), message by message as far as a peer sees them: a script plays the
//! Observer's runtime, checks what ours sends, and speaks in the older forms that have to be understood.

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::world::World;
use serde_json::{Value, json};

const MN: &str = "domain://msg-node.example.com/sm";
const HO: &str = "hyperty://example.com/scripted-observer";

/// Our runtime reports, the script observes: subscribed with an id that is a text, a type in capitals and the older
/// `subscriber`.
async fn observing(world: &World, object: &str) -> (Peer, Value) {
    let mut peer = Peer::open(&world.node().unwrap(), "b").await;
    let routes = json!({"subscribe": [format!("{object}/changes"), format!("{object}/children/notes")]});
    let sm = peer.sm();
    assert_eq!(code(&peer.request("subscribe", &sm, MN, routes).await), 200);
    let subscribe = json!({
        "id": "13", "type": "SUBSCRIBE", "from": sm, "to": format!("{object}/subscription"),
        "body": {"subscriber": HO, "identity": {"userProfile": {"userURL": "user://example.com/bob"}}},
    });
    peer.send_text(subscribe.to_string()).await;
    let answer = peer.until(|message| message["id"] == "13" && code(message) >= 200).await;
    (peer, answer)
}

async fn update(peer: &mut Peer, object: &str) -> Value {
    let changes = format!("{object}/changes");
    let is_change = |body: &Value| body["attributeType"] != "position";
    let update = peer.until(|message| message["to"] == changes && is_change(&message["body"])).await;
    assert_eq!((&update["type"], &update["from"]), (&json!("update"), &json!(object)), "{update}");
    assert!(update["id"].is_u64() && update["body"]["lastModified"].is_string(), "{update}");
    assert!(update["body"].get("receipt").is_none(), "stays in the runtime: {update}");
    update["body"].clone()
}

#[tokio::test(start_paused = true)]
async fn trace_8_1_as_a_reporter() {
    let world = World::new(50);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(json!({"topic": "a"})).await;
    let (object, reporter) = (board.url().to_string(), alice.hyperty.url().to_string());
    let (mut peer, answer) = observing(&world, &object).await;
    let body = &answer["body"];
    assert_eq!(answer["type"], "response");
    assert_eq!(answer["from"], format!("{object}/subscription"));
    assert_eq!(answer["to"], peer.sm());
    assert_eq!((&body["code"], &body["owner"]), (&json!(200), &json!(reporter)), "{answer}");
    assert_eq!(body["schema"], board.metadata().schema.as_str());
    assert_eq!(body["childrenResources"], json!(["notes", "news"]));
    let value = &body["value"];
    assert_eq!((&value["version"], &value["data"]), (&json!(0), &json!({"topic": "a"})), "{answer}");
    assert_eq!((&value["url"], &value["reporter"]), (&json!(object), &json!(reporter)), "{answer}");
    assert!(value["childrenObjects"].is_object(), "{answer}");

    board.set("topic", "b").await.unwrap();
    let body = update(&mut peer, &object).await;
    assert_eq!((&body["version"], &body["source"]), (&json!(1), &json!(reporter)));
    assert_eq!((&body["attribute"], &body["value"]), (&json!("topic"), &json!("b")));
    board.set("members", json!([])).await.unwrap();
    assert_eq!(update(&mut peer, &object).await["version"], 2);
    board.insert("members", 0, vec![json!({"n": "bob"})]).await.unwrap();
    let body = update(&mut peer, &object).await;
    assert_eq!((&body["attribute"], &body["attributeType"]), (&json!("members.0"), &json!("array")));
    assert_eq!((&body["operation"], &body["value"]), (&json!("add"), &json!([{"n": "bob"}])));
    board.remove_elements("members", 0, 1).await.unwrap();
    let body = update(&mut peer, &object).await;
    assert_eq!((&body["operation"], &body["version"]), (&json!("remove"), &json!(4)));

    let from = HO;
    let answer = peer.request("READ", from, &object, json!({})).await;
    assert_eq!(code(&answer), 200, "{answer}");
    assert_eq!(answer["body"]["value"]["version"], 4);
    assert_eq!(answer["body"]["value"]["data"], json!({"topic": "b", "members": []}));
}

#[tokio::test(start_paused = true)]
async fn trace_8_2_as_a_reporter() {
    let world = World::new(51);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(json!({"topic": "a"})).await;
    let object = board.url().to_string();
    let (mut peer, _) = observing(&world, &object).await;
    let (notes, id) = (format!("{object}/children/notes"), format!("{HO}#1"));
    let value = json!({"url": id, "parent": object, "reporter": HO, "version": 0, "data": {"text": "hi"}});
    let answer = peer.request("create", HO, &notes, json!({"resource": id, "value": value})).await;
    assert_eq!((&answer["from"], &answer["to"]), (&json!(notes), &json!(HO)), "{answer}");
    let source = alice.runtime.url().sync_manager().to_string();
    assert_eq!((code(&answer), &answer["body"]["source"]), (200, &json!(source)), "{answer}");
    let found = board.children("notes").unwrap().get(&id).unwrap();
    assert_eq!((found.reporter.as_str(), found.data), (HO, json!({"text": "hi"})));

    let text = |version: u64, text: &str| json!({"resource": id, "version": version, "attribute": "text", "value": text});
    let answer = peer.request("update", HO, &notes, text(1, "hi!")).await;
    assert_eq!(code(&answer), 200, "{answer}");
    let stranger = "hyperty://example.com/stranger";
    let answer = peer.request("update", stranger, &notes, text(2, "ha")).await;
    assert_eq!(code(&answer), 403, "{answer}");
    assert_eq!(answer["body"]["desc"], answer["body"]["description"], "{answer}");
    let found = board.children("notes").unwrap().get(&id).unwrap();
    assert_eq!((found.version, found.data), (1, json!({"text": "hi!"})));
    // The older place of the id.
    let answer = peer.request("delete", HO, &notes, json!({"value": id})).await;
    assert_eq!(code(&answer), 200, "{answer}");
    assert!(board.children("notes").unwrap().list().is_empty());
    assert_eq!(board.version(), 0, "INV-CHD-5");
}

#[tokio::test(start_paused = true)]
async fn trace_8_3_as_a_reporter() {
    let world = World::new(52);
    let alice = Party::new(&world, "alice").await;
    let board = alice.create(json!({"topic": "a"})).await;
    let object = board.url().to_string();
    let (mut peer, _) = observing(&world, &object).await;
    board.set("topic", "b").await.unwrap();
    assert_eq!(update(&mut peer, &object).await["version"], 1);
    drop(board);
    let alice = alice.crash().await;
    let board = alice.reporter();
    // The observer does nothing of its own (INV-RES-1).
    board.set("topic", "c").await.unwrap();
    let mut versions = vec![update(&mut peer, &object).await["version"].clone()];
    assert_eq!(versions.pop(), Some(json!(2)));
    let since = json!({"criteria": {"since": {"epoch": 0, "version": 1}}});
    let sm = peer.sm();
    let answer = peer.request("read", &sm, &object, since).await;
    assert_eq!(code(&answer), 200, "{answer}");
}
