//! Who may speak as whom and publish what (protocol 5.14, M16, M17).

use std::sync::Arc;

use hyperty_message_node::NodeConfig;
use hyperty_storage::{MemoryTables, Tables};
use serde_json::json;

use crate::support::{Client, DOMAIN, MN, REG, assert_refused, code, node, runtime, start, versions};

pub(crate) const CHILDREN_TAIL: &str = "children/resources";

pub(crate) fn changes(object: &str) -> String {
    format!("{object}/changes")
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_of_an_object_publishes_its_changes() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut thief = Client::open(&node, "thief").await;
    let mut observer = Client::open(&node, "observer").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    observer.subscribe(&[&changes(&object)]).await;

    // Merely allocated: that is enough for the owner, and keeps others out.
    owner.publish(&object, 1).await;
    thief.publish(&object, 666).await;
    assert_refused(&thief.recv().await, 403, "forbidden", &changes(&object));
    // Held: the same.
    assert_eq!(code(&owner.subscribe(&[&object]).await), 200);
    owner.publish(&object, 2).await;
    thief.publish(&object, 667).await;
    assert_eq!(code(&thief.recv().await), 403);
    // Neither in another name, nor by delete, nor from what is derived.
    let (thief_hyperty, to) = ("hyperty://example.com/thief", changes(&object));
    for kind in ["update", "delete", "create"] {
        let answer = thief.request(kind, thief_hyperty, &to, json!({"version": 668})).await;
        assert_eq!(code(&answer), 403, "{kind}");
    }
    for tail in ["subscription", "changes", "status", CHILDREN_TAIL] {
        let answer = thief.request("delete", &format!("{object}/{tail}"), &to, json!({})).await;
        assert_eq!(code(&answer), 403, "{tail}");
    }
    // The holder's hyperty may.
    owner.send("update", "hyperty://example.com/reporter", &to, json!({"version": 3})).await;
    assert_eq!(versions(&observer.drain().await), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_nobodys_may_be_published_by_anybody_but_is_not_bound() {
    let node = node();
    let mut one = Client::open(&node, "one").await;
    let mut two = Client::open(&node, "two").await;
    let object = "comm://example.com/nobodys";
    two.subscribe(&[&changes(object)]).await;
    one.publish(object, 1).await;
    assert_eq!(versions(&two.drain().await), [1]);
    two.publish(object, 2).await;
    two.quiet().await;
    let answer = two.request("read", &two.sm(), object, json!({})).await;
    assert_eq!(code(&answer), 404, "use does not route it");
    assert_eq!(code(&two.subscribe(&[object]).await), 200);
    one.publish(object, 3).await;
    assert_eq!(code(&one.recv().await), 403);
}

#[tokio::test(start_paused = true)]
async fn answers_come_from_who_was_asked() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut observer = Client::open(&node, "observer").await;
    let mut thief = Client::open(&node, "thief").await;
    let object = "comm://example.com/1";
    let (subscription, children) = (format!("{object}/subscription"), format!("{object}/{CHILDREN_TAIL}"));
    owner.subscribe(&[object, &subscription, &children]).await;
    observer.subscribe(&[&changes(object), &children]).await;
    let to = observer.sm();
    for from in [object, &subscription] {
        owner.send("response", from, &to, json!({"code": 200})).await;
        assert_eq!(code(&observer.recv().await), 200);
        thief.send("response", from, &to, json!({"code": 403})).await;
    }
    // Who listens to a channel answers from it.
    for from in [changes(object), children.clone()] {
        observer.send("response", &from, &subscription, json!({"code": 200})).await;
        assert_eq!(owner.recv().await["from"], from);
        thief.send("response", &from, &subscription, json!({"code": 200})).await;
    }
    // But not to who wrote a child: whether that holds the Reporter's side says alone (M19).
    let writer = "hyperty://example.com/writer";
    observer.send("create", writer, &children, json!({"resource": "w"})).await;
    owner.recv().await;
    let answer = json!({"code": 403});
    for client in [&mut thief, &mut observer] {
        client.send("response", &children, writer, answer.clone()).await;
    }
    observer.quiet().await;
    owner.send("response", &children, writer, answer).await;
    assert_eq!(observer.recv().await["from"], children);
    // And writes children, in the object's name or its own; who does not listen writes none.
    observer.send("create", object, &children, json!({"resource": "a"})).await;
    assert_eq!(owner.recv().await["from"], object);
    thief.send("create", object, &children, json!({"resource": "b"})).await;
    assert_eq!(code(&thief.recv().await), 403);
    thief.send("create", "hyperty://example.com/t", &children, json!({"resource": "c"})).await;
    assert_eq!(code(&thief.recv().await), 403);
    observer.send("create", "hyperty://example.com/o", &children, json!({"resource": "d"})).await;
    assert_eq!(owner.recv().await["body"]["resource"], "d");
    for client in [&mut owner, &mut observer, &mut thief] {
        client.quiet().await;
    }
}

/// First use binds stubs and hyperties that were not allocated to others; nothing else (M16).
#[tokio::test(start_paused = true)]
async fn first_use_binds_stubs_and_hyperties_only_m16() {
    let node = node();
    let mut one = Client::open(&node, "one").await;
    let mut two = Client::open(&node, "two").await;
    let stub = "hyperty-runtime://example.com/protostub/7";
    let allocated = one.allocate("hyperty", 1).await.remove(0);
    for mine in
        [stub, "hyperty-runtime://example.com/protostub/7/status", "hyperty://example.com/used", &allocated]
    {
        one.send("read", mine, &two.sm(), json!({})).await;
        assert_eq!(two.recv().await["from"], mine);
        let answer = two.request("read", mine, &one.sm(), json!({})).await;
        assert_refused(&answer, 403, "forbidden", &one.sm());
        two.send("response", mine, &one.sm(), json!({"code": 200})).await;
        two.send("forward", &two.sm(), mine, json!({})).await;
        assert_eq!(one.recv().await["to"], mine);
    }
    let never = [
        runtime("absent"),
        runtime("on"),
        "domain://registry.example.com".to_owned(),
        "user://example.com/one".to_owned(),
        "mn:/session".to_owned(),
        MN.to_owned(),
    ];
    for from in never {
        let answer = one.request("read", &from, &two.sm(), json!({})).await;
        assert_eq!(code(&answer), 403, "{from}");
    }
    two.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_allocated_hyperty_is_reached_without_having_spoken() {
    let tables: Arc<dyn Tables> = Arc::new(MemoryTables::new());
    let node = start(NodeConfig::new(DOMAIN), Arc::clone(&tables));
    let mut one = Client::open(&node, "one").await;
    let hyperty = one.allocate("hyperty", 1).await.remove(0);
    one.lose().await;
    // Also by a later node over the same store, and a later session of the same runtime.
    let node = start(NodeConfig::new(DOMAIN), tables);
    let mut one = Client::open(&node, "one").await;
    let mut two = Client::open(&node, "two").await;
    two.send("read", &two.sm(), &hyperty, json!({})).await;
    assert_eq!(one.recv().await["to"], hyperty);
    assert_eq!(code(&two.request("read", &hyperty, MN, json!({})).await), 403);
    assert_eq!(code(&two.subscribe(&[&hyperty]).await), 403);
    assert_eq!(code(&one.subscribe(&[&hyperty]).await), 200);
}

#[tokio::test(start_paused = true)]
async fn status_events_come_from_the_registry_alone() {
    let node = node();
    let mut watcher = Client::open(&node, "watcher").await;
    let mut liar = Client::open(&node, "liar").await;
    let event = "comm://example.com/1/registration";
    assert_eq!(code(&watcher.subscribe(&[event, "hyperty://example.com/h/registration"]).await), 200);
    for from in ["comm://example.com/1", "hyperty://example.com/liar", REG, &liar.sm()] {
        liar.send("update", from, event, json!({"value": "disconnected"})).await;
        assert_eq!(code(&liar.recv().await), 403, "{from}");
    }
    watcher.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn enforcement_can_be_switched_off() {
    let config = NodeConfig { enforce_publisher: false, ..NodeConfig::new(DOMAIN) };
    let node = start(config, Arc::new(MemoryTables::new()));
    let mut owner = Client::open(&node, "owner").await;
    let mut other = Client::open(&node, "other").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    owner.subscribe(&[&object, &changes(&object)]).await;
    other.publish(&object, 1).await;
    assert_eq!(versions(&owner.drain().await), [1]);
}

/// Whoever gets a message believes what it says of its origin: so it must be the session's own.
#[tokio::test(start_paused = true)]
async fn nobody_speaks_on_behalf_of_another() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut observer = Client::open(&node, "observer").await;
    let mut thief = Client::open(&node, "thief").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    let (subscription, children) = (format!("{object}/subscription"), format!("{object}/{CHILDREN_TAIL}"));
    owner.subscribe(&[&object, &subscription, &children]).await;
    let allocated = observer.allocate("hyperty", 1).await.remove(0);
    let used = "hyperty://example.com/used";
    observer.send("ping", used, &owner.sm(), json!({})).await;
    owner.recv().await;
    observer.subscribe(&[&children]).await;
    thief.subscribe(&[&children]).await;
    let others = [allocated.as_str(), used, &observer.runtime, &observer.sm(), &object, &children, MN];
    for claimed in others {
        for (kind, to) in [
            ("subscribe", &subscription),
            ("unsubscribe", &subscription),
            ("read", &object),
            ("execute", &object),
            ("create", &children),
            ("update", &children),
            ("delete", &children),
        ] {
            let answer = thief.request(kind, &thief.sm(), to, json!({"source": claimed})).await;
            assert_refused(&answer, 403, "forbidden", to);
        }
        let answer =
            thief.request("subscribe", &thief.sm(), &subscription, json!({"subscriber": claimed})).await;
        assert_refused(&answer, 403, "forbidden", &subscription);
    }
    owner.quiet().await;
    observer.quiet().await;
    // Its own names, new ones included, and what is no address of anybody.
    let (thief_sm, thief_runtime) = (thief.sm(), thief.runtime.clone());
    for claimed in
        [thief_runtime.as_str(), &thief_sm, "hyperty://example.com/new", "user://example.com/x", "nothing"]
    {
        thief.send("read", &thief_sm, &object, json!({"source": claimed})).await;
        assert_eq!(owner.recv().await["body"]["source"], claimed);
    }
    // The observer may name what is its own.
    for claimed in [allocated.as_str(), used] {
        observer
            .send(
                "subscribe",
                &observer.sm(),
                &subscription,
                json!({"source": claimed, "subscriber": claimed}),
            )
            .await;
        assert_eq!(owner.recv().await["body"]["source"], claimed);
    }
}

/// An answer in the node's name would be believed wherever the node may answer (M12).
#[tokio::test(start_paused = true)]
async fn nobody_answers_in_the_nodes_name_m12() {
    let node = node();
    let mut asker = Client::open(&node, "asker").await;
    let mut thief = Client::open(&node, "thief").await;
    let (from, to) = (thief.sm(), asker.sm());
    for source in [MN, REG, &asker.runtime] {
        let body = json!({"code": 404, "reason": "no-route", "source": source});
        let forged = json!({"id": 1, "type": "response", "from": from, "to": to, "body": body});
        thief.send_text(forged.to_string()).await;
    }
    let body = json!({"code": 200, "source": thief.runtime});
    thief
        .send_text(json!({"id": 2, "type": "response", "from": from, "to": to, "body": body}).to_string())
        .await;
    assert_eq!(asker.recv().await["id"], 2);
    asker.quiet().await;
    thief.quiet().await;
}
