//! Whose an entry is, and to whom it goes (INV-REG-5).

use hyperty_model::{MessageType, StatusCode, Url};
use hyperty_registry::RegistrationStatus;
use serde_json::{Value, json};

use crate::node::{ALICE, Node, STANDUP, object, runtime};
use crate::table::status;

#[test]
fn another_runtime_takes_over_only_with_a_higher_epoch_inv_reg_5() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"epoch": 2})));
    let again =
        |epoch: u64| json!({"value": object(STANDUP, json!({ "epoch": epoch, "user": "user://b/bob" }))});
    // Whoever asks.
    for epoch in [0, 1, 2] {
        assert_eq!(node.send("b", MessageType::Create, again(epoch)).code, StatusCode::CONFLICT);
    }
    // Not even its owner goes back.
    assert_eq!(node.send("a", MessageType::Create, again(1)).code, StatusCode::CONFLICT);
    let live = |epoch: Value| json!({"resource": STANDUP, "value": {"status": "live", "epoch": epoch}});
    assert_eq!(node.send("b", MessageType::Update, live(json!(2))).code, StatusCode::CONFLICT);
    assert_eq!(node.send("b", MessageType::Update, live(json!(null))).code, StatusCode::CONFLICT);
    assert_eq!(node.send("a", MessageType::Update, live(json!(null))).code, StatusCode::OK);

    let taken = json!({"resource": STANDUP, "value": {
        "status": "live", "epoch": 3, "reporter": "hyperty://example.com/new", "user": ALICE,
        "runtime": "hyperty-runtime://example.com/b",
    }});
    assert_eq!(node.send("b", MessageType::Update, taken).code, StatusCode::OK);
    assert_eq!(node.table.owner(&Url::parse(STANDUP).unwrap()), Some((runtime("b"), 3)));
    assert_eq!(node.read(ALICE, json!(null)).code, StatusCode::OK);

    // The former owner learns it, and can undo nothing.
    assert_eq!(node.send("a", MessageType::Update, json!({"resource": STANDUP})).code, StatusCode::CONFLICT);
    assert_eq!(node.send("a", MessageType::Update, live(json!(2))).code, StatusCode::CONFLICT);
    let gone = json!({"resource": STANDUP, "value": "disconnected", "attribute": "status"});
    assert_eq!(node.send("a", MessageType::Update, gone).code, StatusCode::FORBIDDEN);
    assert_eq!(node.send("a", MessageType::Delete, json!({"resource": STANDUP})).code, StatusCode::FORBIDDEN);
    assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Live));
}

fn epoch_of(node: &Node) -> Option<(hyperty_model::RuntimeUrl, u64)> {
    node.table.owner(&Url::parse(STANDUP).unwrap())
}

/// Whoever takes over found the entry disconnected a moment ago; by now its owner may be back.
#[test]
fn what_is_live_is_not_taken_over_inv_reg_5() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"epoch": 1})));
    let take = json!({"resource": STANDUP, "value": {
        "status": "live", "epoch": 2, "user": ALICE, "takenFrom": {"epoch": 1, "version": 7},
    }});
    assert_eq!(node.send("b", MessageType::Update, take.clone()).code, StatusCode::CONFLICT);
    assert_eq!(epoch_of(&node), Some((runtime("a"), 1)));
    node.end_session("a");
    for _told_again in 0..2 {
        assert_eq!(node.send("b", MessageType::Update, take.clone()).code, StatusCode::OK);
        assert_eq!(epoch_of(&node), Some((runtime("b"), 2)));
    }
}

/// Live or disconnected, by registering or by setting live, however high the epoch: another user gets nothing.
#[test]
fn a_higher_epoch_of_another_user_takes_nothing_inv_reg_5() {
    for ended in [false, true] {
        let mut node = Node::new();
        node.create("a", object(STANDUP, json!({"epoch": 1, "guid": "user-guid://1"})));
        if ended {
            node.end_session("a");
        }
        for claim in [
            json!({"user": "user://example.com/bob"}),
            json!({"user": null}),
            json!({"user": "user://example.com/bob", "guid": "user-guid://2"}),
            // The GUID decides where both have one.
            json!({"user": ALICE, "guid": "user-guid://2"}),
        ] {
            let mut over = claim.clone();
            over["epoch"] = json!(9);
            let create = json!({ "value": object(STANDUP, over.clone()) });
            assert_eq!(node.send("b", MessageType::Create, create).code, StatusCode::FORBIDDEN, "{claim}");
            over["status"] = json!("live");
            let update = json!({ "resource": STANDUP, "value": over });
            assert_eq!(node.send("b", MessageType::Update, update).code, StatusCode::FORBIDDEN, "{claim}");
            assert_eq!(epoch_of(&node), Some((runtime("a"), 1)), "{claim}");
        }
        let same = json!({"value": object(STANDUP, json!({"epoch": 2, "user": "user://b/alice", "guid": "user-guid://1"}))});
        assert_eq!(node.send("b", MessageType::Create, same).code, StatusCode::OK);
        assert_eq!(epoch_of(&node), Some((runtime("b"), 2)));
    }
}

#[test]
fn what_is_nobodys_is_not_taken_over_from_elsewhere_inv_reg_5() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"user": null})));
    node.end_session("a");
    for over in [json!({"epoch": 9, "user": null}), json!({"epoch": 9})] {
        let create = json!({ "value": object(STANDUP, over) });
        assert_eq!(node.send("b", MessageType::Create, create).code, StatusCode::FORBIDDEN);
    }
    // Its own runtime has it, at any epoch that is not over.
    node.create("a", object(STANDUP, json!({"epoch": 4, "user": null})));
    assert_eq!(epoch_of(&node), Some((runtime("a"), 4)));
}

/// With sessions that are somebody's, it does not matter whom the message names.
#[test]
fn the_sessions_user_counts_inv_reg_5() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({})));
    let create = json!({ "value": object(STANDUP, json!({"epoch": 1})) });
    let bob = hyperty_model::Identity::of_user("user://example.com/bob");
    let alice = hyperty_model::Identity::of_user(ALICE);
    assert_eq!(node.send_as(&bob, "b", MessageType::Create, create.clone()).code, StatusCode::FORBIDDEN);
    assert_eq!(node.send_as(&alice, "b", MessageType::Create, create).code, StatusCode::OK);
}

/// The owner names who goes on with it, above its own epoch (protocol 5.11); nobody else does.
#[test]
fn an_owner_gives_its_entry_away_inv_reg_5() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"epoch": 1})));
    let to = |name: &str, epoch: Value| json!({"resource": STANDUP, "value": {"status": "live", "runtime": runtime(name), "epoch": epoch}});
    for (from, epoch) in [("a", json!(1)), ("a", json!(null)), ("b", json!(2)), ("c", json!(9))] {
        let given = node.send(from, MessageType::Update, to("d", epoch.clone()));
        assert_eq!(given.code, StatusCode::FORBIDDEN, "{from} {epoch}");
    }
    assert_eq!(node.send("a", MessageType::Update, to("b", json!(2))).code, StatusCode::OK);
    assert_eq!(epoch_of(&node), Some((runtime("b"), 2)));
    // Whom it was given to says it again, as its own user.
    let own = json!({"value": object(STANDUP, json!({"epoch": 2, "user": "user://example.com/bob"}))});
    assert_eq!(node.send("b", MessageType::Create, own).code, StatusCode::OK);
    assert_eq!(node.send("a", MessageType::Update, to("a", json!(3))).code, StatusCode::FORBIDDEN);
    assert_eq!(node.read("user://example.com/bob", json!(null)).code, StatusCode::OK);
    assert_eq!(node.read(ALICE, json!(null)).code, StatusCode::NOT_FOUND);
}
