//! The domain registry at its node: every accepted form of message, refusals, queries, and what survives a restart.

use hyperty_model::{MessageType, StatusCode, Url};
use hyperty_registry::{RegistrationStatus, RegistryLimits};
use hyperty_storage::{Batch, StorageError, Tables};
use serde_json::{Value, json};

use crate::node::{ALICE, Node, STANDUP, object, runtime};

const DAY: u64 = 24 * 3600;

pub(crate) fn status(node: &Node, url: &str) -> Option<RegistrationStatus> {
    node.table.status(&Url::parse(url).unwrap())
}

#[test]
fn a_registered_object_is_found_in_every_way() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"resources": ["chat", "video"], "guid": "user-guid://1234"})));
    node.create(
        "a",
        object(
            "comm://example.com/other",
            json!({"user": "user://example.com/bob", "name": "x", "reporter": "hyperty://example.com/x"}),
        ),
    );
    for (resource, criteria) in [
        (STANDUP, json!(null)),
        (ALICE, json!(null)),
        ("USER://EXAMPLE.COM/alice", json!(null)),
        ("user-guid://1234", json!(null)),
        ("/comm/user/user://example.com/alice", json!(null)),
        ("/comm/user/user%3A%2F%2Fexample.com%2Falice", json!(null)),
        ("/dataObject/user/user://example.com/alice", json!(null)),
        ("/comm/user-guid/1234", json!(null)),
        ("/comm/user-guid/user-guid://1234", json!(null)),
        ("/comm/idp-identifier/alice", json!({"filter": "idp-identifier"})),
        ("standup", json!(null)),
        ("/comm", json!({"resources": ["chat"]})),
        ("/comm", json!({"resources": "video", "dataSchemes": ["comm"]})),
        ("/dataObject", json!({"reporter": "hyperty://example.com/standup", "status": "live"})),
        (ALICE, json!({"scheme": "comm", "dataSchemes": ["comm"], "resources": ["chat", "video"]})),
    ] {
        let answer = node.read(resource, criteria.clone());
        assert_eq!(answer.code, StatusCode::OK, "{resource} {criteria} {answer:?}");
        let found = answer.value.unwrap();
        assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), [STANDUP], "{resource} {criteria}");
        assert_eq!(found[STANDUP]["status"], "live");
        assert_eq!(found[STANDUP]["runtime"], "hyperty-runtime://example.com/a");
    }
    for (resource, criteria) in [
        ("comm://example.com/unknown", json!(null)),
        ("user://example.com/carol", json!(null)),
        ("user-guid://12345", json!(null)),
        ("/context/user/user://example.com/alice", json!(null)),
        ("/hyperty/user/user://example.com/alice", json!(null)),
        ("Standup", json!(null)),
        ("/comm", json!({"resources": ["chat", "audio"]})),
        ("/comm", json!({"reporter": "hyperty://example.com/nobody"})),
        ("/comm", json!({"status": "disconnected"})),
        (ALICE, json!({"resources": ["audio"]})),
    ] {
        let answer = node.read(resource, criteria.clone());
        assert_eq!(answer.code, StatusCode::NOT_FOUND, "{resource} {criteria}");
        assert_eq!(answer.why(), "Not Found");
    }
    assert_eq!(node.read("/comm/shape/round", json!(null)).code, StatusCode::BAD_REQUEST);
    assert_eq!(node.read("/", json!(null)).code, StatusCode::BAD_REQUEST);
}

/// The older forms: no runtime, no status; keep-alives with a text beside them.
#[test]
fn a_hyperty_registers_as_others_do_it() {
    let mut node = Node::new();
    let url = "hyperty://example.com/1";
    let record = json!({
        "user": "user://google.com/openIdTest10", "descriptor": "http://example.com/RegistrationTestHyperty",
        "url": url, "expires": 3600, "resources": ["testresource"], "dataSchemes": ["http://example.com/Schema"],
    });
    let created = node.send("a", MessageType::Create, json!({"value": record, "policy": "policyURL"}));
    assert_eq!(created.code, StatusCode::OK);
    for criteria in [
        json!(null),
        json!({"resources": ["testresource"]}),
        json!({"dataSchemes": ["http://example.com/Schema"]}),
        json!({"resources": ["testresource"], "dataSchemes": ["http://example.com/Schema"]}),
    ] {
        let answer = node.read("user://google.com/openIdTest10", criteria);
        assert_eq!(answer.code, StatusCode::OK);
        assert!(answer.value.unwrap().get(url).is_some());
    }
    let kept = json!({"resource": url, "value": "dummy value to please somebody", "attribute": "attribute"});
    assert_eq!(node.send("a", MessageType::Update, kept).code, StatusCode::OK);
    let gone = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    assert_eq!(node.send("a", MessageType::Update, gone).code, StatusCode::OK);
    assert_eq!(status(&node, url), Some(RegistrationStatus::Disconnected));
    assert_eq!(node.send("a", MessageType::Delete, json!({"resource": url})).code, StatusCode::OK);
    assert_eq!(status(&node, url), None);
}

#[test]
fn what_is_missing_is_refused_and_named() {
    let mut node = Node::new();
    for member in ["url", "schema", "name", "reporter"] {
        let mut record = object(STANDUP, json!({}));
        record[member] = json!(null);
        let answer = node.send("a", MessageType::Create, json!({"value": record}));
        assert_eq!(answer.code, StatusCode::BAD_REQUEST);
        assert_eq!(answer.why(), format!("Bad Request: Missing {member}"));
    }
    for member in ["descriptor", "user"] {
        let mut record = json!({"url": "hyperty://example.com/1", "descriptor": "d", "user": ALICE});
        record[member] = json!(null);
        let answer = node.send("a", MessageType::Create, json!({"value": record}));
        assert_eq!(answer.why(), format!("Bad Request: Missing {member}"));
    }
    let too_large = object(STANDUP, json!({"description": "x".repeat(20_000)}));
    for (kind, body) in [
        (MessageType::Create, json!({})),
        (MessageType::Create, json!({"value": "a text"})),
        (MessageType::Create, json!({"value": {"url": "no URL"}})),
        (MessageType::Create, json!({"value": object("user://example.com/alice", json!({}))})),
        (MessageType::Create, json!({"value": object(STANDUP, json!({"expires": "soon"}))})),
        (MessageType::Create, json!({"value": object(STANDUP, json!({"status": "asleep"}))})),
        (MessageType::Create, json!({ "value": too_large })),
        (MessageType::Update, json!({"value": {"status": "live"}})),
        (MessageType::Delete, json!({})),
        (MessageType::Read, json!({"resource": 7})),
        (MessageType::Subscribe, json!({"resource": STANDUP})),
    ] {
        assert_eq!(node.send("a", kind, body.clone()).code, StatusCode::BAD_REQUEST, "{kind} {body}");
    }
    assert!(node.table.is_empty());
}

#[test]
fn nobody_registers_for_another_runtime() {
    let mut node = Node::new();
    let for_a = json!({"value": object(STANDUP, json!({"runtime": "hyperty-runtime://example.com/a"}))});
    assert_eq!(node.send("b", MessageType::Create, for_a.clone()).code, StatusCode::FORBIDDEN);
    assert_eq!(node.send("a", MessageType::Create, for_a).code, StatusCode::OK);
    let live = json!({"resource": STANDUP, "value": {"status": "live", "runtime": "hyperty-runtime://example.com/c"}});
    assert_eq!(node.send("a", MessageType::Update, live).code, StatusCode::FORBIDDEN);
}

#[test]
fn a_disconnected_entry_comes_back_by_set_live_only_inv_reg_3() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({})));
    assert_eq!(node.take_events(), [(STANDUP.to_owned(), "live")]);
    for form in [
        json!({"resource": STANDUP, "value": "disconnected", "attribute": "status"}),
        json!({"resource": STANDUP, "value": {"status": "disconnected"}}),
        json!({"resource": format!("/dataObject/{STANDUP}"), "value": "disconnected", "attribute": "status"}),
        json!({"resource": "/dataObject/standup", "value": "disconnected", "attribute": "status"}),
    ] {
        assert_eq!(node.send("a", MessageType::Update, form.clone()).code, StatusCode::OK, "{form}");
        assert_eq!(node.take_events(), [(STANDUP.to_owned(), "disconnected")]);
        assert_eq!(node.send("a", MessageType::Update, form).code, StatusCode::OK);
        for kept in [
            json!({"resource": STANDUP}),
            json!({"resource": STANDUP, "value": {"status": "live"}, "method": "refresh"}),
        ] {
            assert_eq!(node.send("a", MessageType::Update, kept).code, StatusCode::OK);
            assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Disconnected));
        }
        assert!(node.take_events().is_empty());
        let answer = node.read(ALICE, json!(null));
        assert_eq!((answer.code, answer.why()), (StatusCode::TIMEOUT, "Temporarily Unavailable"));
        assert_eq!(answer.value.unwrap()[STANDUP]["status"], "disconnected");
        assert_eq!(node.read(ALICE, json!({"status": "disconnected"})).code, StatusCode::OK);

        let live = json!({"resource": STANDUP, "value": {"status": "live"}});
        assert_eq!(node.send("a", MessageType::Update, live).code, StatusCode::OK);
        assert_eq!(node.take_events(), [(STANDUP.to_owned(), "live")]);
    }
    assert_eq!(
        node.send("a", MessageType::Update, json!({"resource": "comm://a/x"})).code,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn a_disconnected_entry_may_be_taken_at_its_epoch() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"epoch": 1})));
    node.table.session_ended(&runtime("a"), node.now);
    assert_eq!(
        node.send("b", MessageType::Create, json!({"value": object(STANDUP, json!({}))})).code,
        StatusCode::CONFLICT
    );
    node.create("b", object(STANDUP, json!({"epoch": 1})));
    assert_eq!(node.table.owner(&Url::parse(STANDUP).unwrap()), Some((runtime("b"), 1)));
}

#[test]
fn a_deleted_object_stays_deleted_and_a_hyperty_does_not() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({})));
    node.take_events();
    assert_eq!(node.send("a", MessageType::Delete, json!({"resource": STANDUP})).code, StatusCode::OK);
    assert_eq!(node.send("a", MessageType::Delete, json!({"resource": STANDUP})).code, StatusCode::OK);
    assert_eq!(node.take_events(), [(STANDUP.to_owned(), "deleted")]);
    assert_eq!(node.read(STANDUP, json!(null)).code, StatusCode::GONE);
    assert_eq!(node.read(ALICE, json!(null)).code, StatusCode::NOT_FOUND);
    for (kind, body) in [
        (MessageType::Create, json!({"value": object(STANDUP, json!({"epoch": 9}))})),
        (MessageType::Update, json!({"resource": STANDUP, "value": {"status": "live"}})),
        (MessageType::Update, json!({"resource": STANDUP})),
    ] {
        assert_eq!(node.send("a", kind, body).code, StatusCode::GONE);
    }
    node.advance(DAY - 1);
    assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Deleted));
    node.advance(1);
    assert_eq!(status(&node, STANDUP), None);

    let hyperty = json!({"url": "hyperty://example.com/1", "descriptor": "d", "user": ALICE});
    node.create("a", hyperty.clone());
    node.take_events();
    assert_eq!(
        node.send("a", MessageType::Delete, json!({"resource": "hyperty://example.com/1"})).code,
        StatusCode::OK
    );
    assert_eq!(node.take_events(), [("hyperty://example.com/1".to_owned(), "disconnected")]);
    node.create("a", hyperty);
}

#[test]
fn entries_expire_without_keep_alives_and_are_forgotten_after_a_day_inv_reg_1() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"expires": 100})));
    node.take_events();
    for _ in 0..5 {
        node.advance(99);
        assert_eq!(node.send("a", MessageType::Update, json!({"resource": STANDUP})).code, StatusCode::OK);
        assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Live));
    }
    // Not the call of `expire`, the moment counts: a read at that moment finds it disconnected.
    node.now = node.now + std::time::Duration::from_secs(100);
    assert_eq!(node.read(STANDUP, json!(null)).code, StatusCode::TIMEOUT);
    assert_eq!(node.take_events(), [(STANDUP.to_owned(), "disconnected")]);
    node.advance(DAY - 1);
    assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Disconnected));
    node.advance(1);
    assert_eq!(status(&node, STANDUP), None);
    assert!(node.take_events().is_empty());
    assert_eq!(node.table.next_deadline(), None);
}

#[test]
fn the_end_of_a_session_disconnects_what_is_its_own() {
    let mut node = Node::new();
    for n in 0..3 {
        node.create("a", object(&format!("comm://example.com/a{n}"), json!({})));
        node.create("b", object(&format!("comm://example.com/b{n}"), json!({})));
    }
    node.take_events();
    let (events, _) = node.table.session_ended(&runtime("a"), node.now);
    let ended: Vec<_> = events.iter().map(|event| event.url.as_str()).collect();
    assert_eq!(ended, ["comm://example.com/a0", "comm://example.com/a1", "comm://example.com/a2"]);
    assert_eq!(status(&node, "comm://example.com/b0"), Some(RegistrationStatus::Live));
    assert!(node.table.session_ended(&runtime("a"), node.now).0.is_empty());
    assert_eq!(node.table.runtimes(), [runtime("a"), runtime("b")]);

    let message = events[0].to_message(7, &Url::parse("domain://registry.example.com").unwrap()).unwrap();
    let wire: Value = serde_json::from_slice(message.wire()).unwrap();
    assert_eq!(
        wire,
        json!({
            "id": 7, "type": "update", "from": "domain://registry.example.com",
            "to": "comm://example.com/a0/registration", "body": {"value": "disconnected", "attribute": "status"},
        })
    );
}

#[test]
fn limits_hold_per_runtime_and_in_all() {
    let mut node = Node::with(RegistryLimits { per_runtime: 2, total: 3, ..RegistryLimits::default() });
    let create = |n: u32| json!({"value": object(&format!("comm://example.com/{n}"), json!({}))});
    node.create("a", object("comm://example.com/1", json!({})));
    node.create("a", object("comm://example.com/2", json!({})));
    let refused = node.send("a", MessageType::Create, create(3));
    assert_eq!((refused.code, refused.reason.as_deref()), (StatusCode::FORBIDDEN, Some("limit")));
    // Registering again is no more.
    assert_eq!(node.send("a", MessageType::Create, create(2)).code, StatusCode::OK);
    node.create("b", object("comm://example.com/4", json!({})));
    assert_eq!(node.send("c", MessageType::Create, create(5)).code, StatusCode::FORBIDDEN);
}

#[test]
fn entries_survive_a_restart_with_their_times() {
    let mut node = Node::new();
    node.create("a", object(STANDUP, json!({"expires": 100, "epoch": 4, "description": "daily"})));
    node.advance(60);
    assert_eq!(node.send("a", MessageType::Update, json!({"resource": STANDUP})).code, StatusCode::OK);
    let before = node.read(STANDUP, json!(null)).value;
    node.restart();
    assert_eq!(node.read(STANDUP, json!(null)).value, before);
    node.advance(99);
    assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Live));
    node.advance(1);
    assert_eq!(status(&node, STANDUP), Some(RegistrationStatus::Disconnected));
    node.restart();
    node.advance(DAY);
    node.restart();
    assert!(node.table.is_empty());

    node.tables.commit(Batch::new().put("registry/v1", b"comm://example.com/x", "{}"));
    let error = node.reopen().unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { key, .. } if key == "comm://example.com/x"), "{error}");
}
