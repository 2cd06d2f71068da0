//! The worked traces of the protocol (8.1 to 8.3) with a script in the Reporter's place, which answers in the older
//! forms that have to be understood.

use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, code};
use hyperty_conformance::world::World;
use hyperty_syncher::Observer;
use serde_json::{Value, json};
use tokio::time::timeout;

const MN: &str = "domain://msg-node.example.com/sm";
const HR: &str = "hyperty://example.com/scripted-reporter";

/// The script reports an object that it allocated and routed; ours observes it.
async fn reporting(world: &World, bob: &Party) -> (Peer, String, Observer) {
    let mut peer = Peer::open(&world.node().unwrap(), "a").await;
    let (sm, runtime) = (peer.sm(), peer.runtime.clone());
    let allocation = json!({"scheme": "comm", "value": {"number": 1}});
    let from = format!("{runtime}/address-allocation");
    let to = "domain://msg-node.example.com/address-allocation";
    let answer = peer.request("create", &from, to, allocation).await;
    let object = answer["body"]["value"]["allocated"][0].as_str().expect("an address").to_owned();
    let routes = [object.clone(), format!("{object}/subscription"), format!("{object}/children/notes")];
    let answer = peer.request("subscribe", &sm, MN, json!({"resources": routes, "source": runtime})).await;
    assert_eq!(code(&answer), 200, "{answer}");

    let url = object.parse().unwrap();
    let script = async {
        let to = format!("{object}/subscription");
        let request = peer.until(|message| message["to"] == to).await;
        let (body, observer) = (&request["body"], bob.hyperty.url().as_str());
        assert_eq!((&request["type"], &request["from"]), (&json!("subscribe"), &json!(bob_sm(bob))));
        assert_eq!((&body["source"], &body["subscriber"]), (&json!(observer), &json!(observer)), "{body}");
        assert_eq!(body["identity"]["userProfile"]["userURL"], "user://example.com/bob", "{body}");
        assert!(request["id"].is_u64() && body.get("auth").is_none(), "{request}");
        let answer = json!({
            "code": "200", "desc": "ok", "owner": HR, "value": snapshot(&object, 0, json!({"topic": "a"})),
            "childrenResources": ["notes"],
        });
        peer.answer(&request, answer).await;
    };
    let (observer, ()) = tokio::join!(async { bob.hyperty.subscribe(&url).store(true).await }, script);
    // The names of the children came with the 200 only, so what was said there before is asked for once (M21).
    // By the Sync Manager, as a whole: changes since its position would not tell of older children. The Syncher is
    // served from that copy.
    let is_read = |message: &Value| message["type"] == "read" && message["to"] == object;
    let read = peer.until(is_read).await;
    assert_eq!(read["body"]["criteria"], json!({}), "{read}");
    let whole = snapshot(&object, 0, json!({"topic": "a"}));
    peer.answer(&read, json!({"code": 200, "value": whole})).await;
    (peer, object, observer.expect("the subscription is accepted"))
}

async fn reaches(copy: &mut Observer, version: u64) {
    let reached = async {
        while copy.version() < version {
            assert!(copy.next_event().await.is_some());
        }
    };
    timeout(Duration::from_secs(60), reached).await.expect("in time");
}

fn bob_sm(bob: &Party) -> String {
    bob.runtime.url().sync_manager().to_string()
}

fn snapshot(object: &str, version: u64, data: Value) -> Value {
    json!({
        "url": object, "reporter": HR, "runtime": "hyperty-runtime://example.com/a", "name": "scripted", "version": version, "data": data,
        "schema": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Scripted",
        "created": "2023-11-14T22:13:20.000Z", "lastModified": "2023-11-14T22:13:20.000Z",
        "childrenObjects": {},
    })
}

#[tokio::test(start_paused = true)]
async fn traces_8_1_and_8_2_as_an_observer() {
    let world = World::new(53);
    let bob = Party::new(&world, "bob").await;
    let (mut peer, object, mut copy) = reporting(&world, &bob).await;
    assert_eq!((copy.version(), copy.data()), (0, json!({"topic": "a"})));
    let changes = format!("{object}/changes");
    let change = json!({
        "id": "18", "type": "UPDATE", "from": object, "to": changes,
        "body": {"version": 1, "source": HR, "attribute": "topic", "value": "b", "lastModified": "2023-11-14T22:13:21Z"},
    });
    peer.send_text(change.to_string()).await;
    let told = copy.next().await.unwrap();
    assert_eq!((told.version, told.path.as_str(), told.value()), (1, "topic", Some(&json!("b"))));

    // A gap: one is lost, and made up for by a read.
    peer.send("update", &object, &changes, json!({"version": 3, "source": HR, "attribute": "n", "value": 3}))
        .await;
    let read = peer.until(|message| message["type"] == "read").await;
    assert_eq!((&read["to"], &read["from"]), (&json!(object), &json!(bob_sm(&bob))), "{read}");
    assert_eq!(read["body"]["criteria"]["since"]["version"], 1, "{read}");
    // Answered as by those who know only snapshots.
    let whole = snapshot(&object, 3, json!({"topic": "b", "two": 2, "n": 3}));
    peer.answer(&read, json!({"code": "200", "value": whole})).await;
    reaches(&mut copy, 3).await;
    assert_eq!(copy.data(), json!({"topic": "b", "two": 2, "n": 3}));

    let (notes, writer) = (format!("{object}/children/notes"), bob.hyperty.url().to_string());
    let (added, ()) = tokio::join!(copy.children("notes").unwrap().add(json!({"text": "hi"})), async {
        let create = peer.until(|message| message["to"] == notes).await;
        let (body, id) = (&create["body"], json!(format!("{writer}#1")));
        assert_eq!((&create["type"], &create["from"]), (&json!("create"), &json!(writer)), "{create}");
        assert_eq!((&body["resource"], &body["value"]["url"]), (&id, &id), "{create}");
        assert_eq!(body["value"]["reporter"], writer, "{create}");
        assert_eq!(body["value"]["parent"], object, "{create}");
        assert_eq!((&body["value"]["version"], &body["value"]["data"]["text"]), (&json!(0), &json!("hi")));
        peer.answer(&create, json!({"code": "200", "source": peer.sm()})).await;
    });
    assert_eq!(added.unwrap().id(), format!("{writer}#1"));
}

#[tokio::test(start_paused = true)]
async fn trace_8_3_as_an_observer() {
    let world = World::new(54);
    let bob = Party::new(&world, "bob").await;
    let (mut peer, object, copy) = reporting(&world, &bob).await;
    drop(copy);
    let bob = bob.crash().await;
    let mut copy = bob.observer();
    assert_eq!(copy.version(), 0, "what was stored");
    let read = peer.until(|message| message["type"] == "read" && message["to"] == object).await;
    assert_eq!(read["from"], bob_sm(&bob), "{read}");
    assert_eq!(read["body"]["criteria"]["since"], json!({"epoch": 0, "version": 0}), "{read}");
    // Its session is a new one: the owner tells the node that it may listen, ahead of the answer (10.4).
    let sm = peer.sm();
    let stream = [format!("{object}/changes"), format!("{object}/children/notes")];
    let grant = json!({"resources": stream, "source": bob.runtime.url(), "grant": true});
    let granted = peer.request("subscribe", &sm, MN, grant).await;
    assert_eq!(code(&granted), 200, "{granted}");
    peer.answer(&read, json!({"code": 200, "value": snapshot(&object, 3, json!({"topic": "c"}))})).await;
    reaches(&mut copy, 3).await;
    assert_eq!(copy.data(), json!({"topic": "c"}));
    let change = json!({"version": 4, "source": HR, "attribute": "topic", "value": "d"});
    peer.send("update", &object, &format!("{object}/changes"), change).await;
    reaches(&mut copy, 4).await;
    assert_eq!(copy.data(), json!({"topic": "d"}));
}
