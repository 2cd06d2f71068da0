//! Names that mean something in some language, and nothing here.

use hyperty_conformance::party::Party;
use hyperty_conformance::world::World;
use serde_json::{Value, json};

/// Keys that mean something elsewhere are plain keys: in data, in paths and in children, at both sides, kept and sent.
#[tokio::test(start_paused = true)]
async fn names_of_prototypes_are_plain_keys() {
    const NAMES: [&str; 6] =
        ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "__defineGetter__"];
    let world = World::new(960);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let data: serde_json::Map<_, _> =
        NAMES.iter().map(|&name| (name.to_owned(), json!({name: {"a": 1}}))).collect();
    let board = alice.create(Value::Object(data)).await;
    let mut copy = bob.observe(&board).await;
    assert_eq!(copy.data(), board.data());
    for name in NAMES {
        board.set(format!("{name}.{name}.polluted").as_str(), true).await.unwrap();
        board.set(format!("{name}.list").as_str(), json!([{name: 1}])).await.unwrap();
    }
    let child = copy.children("notes").unwrap().add(json!({"__proto__": {"polluted": true}})).await.unwrap();
    while copy.version() < board.version() {
        copy.next().await.unwrap();
    }
    assert_eq!(copy.data(), board.data());
    for name in NAMES {
        assert_eq!(copy.data()[name][name], json!({"a": 1, "polluted": true}));
        assert_eq!(copy.data()[name]["list"], json!([{name: 1}]));
    }
    assert_eq!(copy.data()["polluted"], Value::Null);
    let seen = board.children("notes").unwrap().list();
    assert_eq!(
        (seen.len(), &seen[0].id, &seen[0].data),
        (1, &child.id().to_owned(), &json!({"__proto__": {"polluted": true}}))
    );
    let (expected, child) = (board.data(), child.id().to_owned());
    drop((board, copy));
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    assert_eq!(alice.reporter().data(), expected);
    assert_eq!(bob.observer().data(), expected);
    assert_eq!(alice.reporter().children("notes").unwrap().list()[0].id, child);
}
