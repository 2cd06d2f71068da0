//! Bad input at every door that takes messages: each gets the protocol's code, and a stream beside it goes on
//! (INV-MSG-1, INV-MN-5, INV-UPD-2, INV-CHD-2).

use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::peer::{Peer, SESSION, code};
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_model::message::MESSAGE_BYTES_MAX;
use hyperty_syncher::{Accept, CreateError, Observer, Reporter, WriteError};
use serde_json::{Value, json};
use tokio::time::timeout;

const MN: &str = "domain://msg-node.example.com/sm";

/// A stream from Alice to Bob with a child of Bob's, and Eve, who has a session and nothing else.
struct Scene {
    alice: Party,
    bob: Party,
    board: Reporter,
    copy: Observer,
    child: String,
    eve: Peer,
    world: World,
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let world = World::new(seed);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let board = alice.create(json!({"topic": "start"})).await;
        let copy = bob.observe(&board).await;
        let child = copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap().id().to_owned();
        let eve = Peer::open(&world.node().unwrap(), "eve").await;
        Scene { alice, bob, board, copy, child, eve, world }
    }

    fn object(&self) -> String {
        self.board.url().to_string()
    }

    /// The stream has gone on, and nothing else has changed it.
    async fn undisturbed(&mut self, after: &str) {
        let version = self.board.version() + 1;
        self.board.set("n", version).await.unwrap();
        let change = timeout(Duration::from_secs(30), self.copy.next()).await;
        let change = change.unwrap_or_else(|_| panic!("the stream stands still after {after}")).unwrap();
        assert_eq!((change.version, change.value()), (version, Some(&json!(version))), "after {after}");
        assert_eq!(self.copy.data(), self.board.data(), "after {after}");
        for list in
            [self.board.children("notes").unwrap().list(), self.copy.children("notes").unwrap().list()]
        {
            assert_eq!(list.len(), 1, "after {after}");
            assert_eq!((&list[0].id, &list[0].data), (&self.child, &json!({"n": 1})), "after {after}");
        }
        assert_eq!(self.eve.drain().await, Vec::<Value>::new(), "after {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_messages() {
    let mut scene = Scene::new(40).await;
    let head = format!(r#""id":"7","from":"{}","to":"{}""#, scene.eve.sm(), scene.object());
    let frames = [
        ("an unknown type", format!(r#"{{{head},"type":"invent"}}"#)),
        ("no type", format!("{{{head}}}")),
        ("a body that is none", format!(r#"{{{head},"type":"read","body":7}}"#)),
        ("broken JSON in the body", format!(r#"{{{head},"type":"read","body":{{"a":}}}}"#)),
        (
            "a deep body",
            format!(r#"{{{head},"type":"read","body":{{"a":{}{}}}}}"#, "[".repeat(500), "]".repeat(500)),
        ),
        (
            "a large body",
            format!(r#"{{{head},"type":"read","body":{{"a":"{}"}}}}"#, "x".repeat(MESSAGE_BYTES_MAX)),
        ),
        ("two identities", format!(r#"{{{head},"type":"read","body":{{"identity":1,"identity":2}}}}"#)),
        ("two types", format!(r#"{{{head},"type":"read","type":"update"}}"#)),
    ];
    for (what, frame) in frames {
        scene.eve.send_text(frame).await;
        let answer = scene.eve.next().await;
        assert_eq!((code(&answer), &answer["id"]), (400, &json!("7")), "{what}: {answer}");
        assert_eq!(answer["body"]["desc"], answer["body"]["description"], "{what}: {answer}");
        scene.undisturbed(what).await;
    }
    for nobody in ["{", "null", "hello", "{\"id\":1}", "\u{0}"] {
        scene.eve.send_text(nobody).await;
        scene.undisturbed(nobody).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_not_ones_own() {
    let mut scene = Scene::new(41).await;
    let node = scene.world.node().unwrap();
    let mut early = Peer::connect(&node, "mallory");
    let from = early.sm();
    let answer = early.request("read", &from, &scene.object(), json!({})).await;
    assert_eq!(code(&answer), 403, "a frame before open: {answer}");

    let mut second = Peer::connect(&node, "alice");
    let from = second.runtime.clone();
    let answer = second.request("open", &from, SESSION, json!({})).await;
    assert_eq!(code(&answer), 409, "a second session of a live runtime: {answer}");

    // Bob's hyperty has spoken, so its address is his (5.14).
    let forged = scene.bob.hyperty.url().to_string();
    for from in ["hyperty-runtime://example.com/bob/sm", forged.as_str()] {
        let answer = scene.eve.request("read", from, &scene.object(), json!({})).await;
        assert_eq!(code(&answer), 403, "a forged from, {from}: {answer}");
    }
    scene.undisturbed("all of them").await;
}

#[tokio::test(start_paused = true)]
async fn what_only_the_reporter_may_do() {
    let mut scene = Scene::new(42).await;
    let (object, me) = (scene.object(), "hyperty://example.com/eve".to_owned());
    let changes = format!("{object}/changes");
    let next = scene.board.version() + 1;
    let change = json!({"version": next, "attribute": "topic", "value": "eve's"});
    // An update is never answered when it is taken; refused by the node it is (5.14).
    for from in [object.as_str(), me.as_str()] {
        scene.eve.send("update", from, &changes, change.clone()).await;
        let answers = scene.eve.drain().await;
        assert!(answers.iter().all(|answer| code(answer) == 403), "an update from {from}: {answers:?}");
        scene.undisturbed("an update of a stranger").await;
    }
    scene.eve.send("delete", &object, &changes, json!({"resource": object})).await;
    let answers = scene.eve.drain().await;
    assert!(answers.iter().all(|answer| code(answer) == 403), "{answers:?}");
    scene.undisturbed("a deletion by a stranger").await;
    let sm = scene.alice.runtime.url().sync_manager().to_string();
    let answer = scene.eve.request("delete", &me, &sm, json!({"resource": object})).await;
    assert!((400..500).contains(&code(&answer)), "{answer}");
    let create = json!({"resume": true});
    let answer = scene.eve.request("create", &me, &sm, create).await;
    assert!((400..500).contains(&code(&answer)), "{answer}");
    scene.undisturbed("requests for somebody else's Sync Manager").await;
}

#[tokio::test(start_paused = true)]
async fn what_only_observers_and_a_childs_reporter_may_do() {
    let mut scene = Scene::new(43).await;
    let (object, me) = (scene.object(), "hyperty://example.com/eve".to_owned());
    let notes = format!("{object}/children/notes");
    let child = scene.child.clone();
    let id = format!("{me}#1");
    let value = json!({"url": id, "parent": object, "reporter": me, "version": 0, "data": {}});
    let bodies = [
        ("update", json!({"resource": child, "version": 1, "attribute": "n", "value": 2})),
        ("delete", json!({"resource": child})),
    ];
    for (kind, body) in bodies {
        let answer = scene.eve.request(kind, &me, &notes, body).await;
        assert_eq!(code(&answer), 403, "{kind}: {answer}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        scene.undisturbed(kind).await;
    }
    // The node lets nobody write who does not even listen; the list of observers is at the Reporter's side (3.6).
    let answer = scene.eve.request("create", &me, &notes, json!({"resource": id, "value": value})).await;
    assert_eq!(code(&answer), 403, "{answer}");
    assert_eq!(scene.board.children("notes").unwrap().list().len(), 1);
    assert_eq!(scene.copy.children("notes").unwrap().list().len(), 1, "nor does it reach an observer");
}

/// INV-SUB-7: an observer's Sync Manager asks for it, nobody else's.
#[tokio::test(start_paused = true)]
async fn what_is_asked_on_behalf_of_somebody_else() {
    let mut scene = Scene::new(46).await;
    let (object, sm) = (scene.object(), scene.eve.sm());
    let bob = scene.bob.hyperty.url().to_string();
    let named = json!({"source": bob, "subscriber": bob, "resumable": true});
    let since = json!({"source": bob, "criteria": {"since": {"epoch": 0, "version": 0}}});
    for (kind, to, body) in [
        ("read", object.clone(), named.clone()),
        ("read", object.clone(), since),
        ("subscribe", format!("{object}/subscription"), named.clone()),
        ("unsubscribe", format!("{object}/subscription"), named),
    ] {
        let answer = scene.eve.request(kind, &sm, &to, body).await;
        assert_eq!(code(&answer), 403, "{kind}: {answer}");
        assert!(!answer.to_string().contains("start"), "{kind} tells of the object: {answer}");
        scene.undisturbed(kind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_lead_nowhere() {
    let mut scene = Scene::new(44).await;
    let (object, sm) = (scene.object(), scene.eve.sm());
    let subscription = format!("{object}/subscription");
    let requests = [
        ("read", "comm://example.com/none", json!({}), 404),
        (
            "subscribe",
            "comm://example.com/none/subscription",
            json!({"source": "hyperty://example.com/e"}),
            404,
        ),
        ("read", "hyperty-runtime://example.com/nobody/sm", json!({"resource": object}), 404),
        ("subscribe", MN, json!({}), 400),
        ("subscribe", MN, json!({"resources": "none"}), 400),
        ("subscribe", subscription.as_str(), json!({"source": 5}), 400),
        ("execute", subscription.as_str(), json!({"method": "none", "params": []}), 400),
        ("read", object.as_str(), json!({"criteria": {"since": "yesterday"}}), 400),
    ];
    for (kind, to, body, expected) in requests {
        let answer = scene.eve.request(kind, &sm, to, body.clone()).await;
        assert_eq!(code(&answer), expected, "{kind} to {to} with {body}: {answer}");
        scene.undisturbed(kind).await;
    }
    scene.board.accept(Accept::None);
    let answer = scene.eve.request("read", &sm, &object, json!({})).await;
    assert_eq!(code(&answer), 401, "{answer}");
    assert!(!answer.to_string().contains("start"), "INV-READ-1: {answer}");
    scene.undisturbed("a read that is not allowed").await;
}

#[tokio::test(start_paused = true)]
async fn data_and_schemas_that_do_not_fit() {
    let mut scene = Scene::new(45).await;
    let schema = scene.alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let refused = scene.alice.hyperty.create(schema).data(json!({"topic": 5})).await;
    let Err(CreateError::Refused { code, reason }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, StatusCode::BAD_REQUEST, "{reason}");
    assert!(reason.contains("topic"), "where in the data: {reason}");
    let unknown = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/None".parse().unwrap();
    let refused = scene.alice.hyperty.create(unknown).await;
    let unknown = matches!(refused, Err(CreateError::Refused { code: StatusCode::NOT_FOUND, .. }));
    assert!(unknown, "{refused:?}");
    assert!(scene.alice.runtime.schema("{").is_err());
    scene.undisturbed("creations").await;

    let refused = scene.board.set("topic", 5).await;
    let violation = matches!(refused, Err(WriteError::Refused { code: StatusCode::BAD_REQUEST, .. }));
    assert!(violation, "{refused:?}");
    let refused = scene.board.set("n", 1u64 << 60).await;
    assert!(matches!(refused, Err(WriteError::Data(_))), "beyond what every reader keeps: {refused:?}");
    let refused = scene.board.set("none.on.the.way", 1).await;
    assert!(matches!(refused, Err(WriteError::Apply(_))), "{refused:?}");
    scene.undisturbed("writes").await;
}
