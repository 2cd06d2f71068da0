//! Who gets what (protocol 5.14, 2.1, 2.6).

use serde_json::{Value, json};

use super::stage::{NodeStage, node_cases, versions};
use super::{NodeCase, refused_by_node};
use crate::protocol::client::{Client, code};
use crate::protocol::{Stop, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-MN-1/published-once" checks ["INV-MN-1"] needs [] => published_once;
        "INV-MN-1/whole-and-unchanged" checks ["INV-MN-1", "INV-MSG-5"] needs [] => unchanged;
        "INV-MN-1/list-of-addresses" checks ["INV-MN-1", "2.1"] needs [] => list_of_addresses;
        "INV-MN-2/order-of-a-sender" checks ["INV-MN-2"] needs [] => order;
        "INV-MN-3/nothing-after-unsubscribe" checks ["INV-MN-3"] needs [] => after_unsubscribe;
        "INV-MN-3/unsubscribe-in-mid-stream" checks ["INV-MN-3", "INV-MN-2"] needs [] => in_mid_stream;
        "INV-MN-4/no-route" checks ["INV-MN-4", "M12"] needs [] => no_route;
        "INV-MN-4/publications-are-not-answered" checks ["INV-MN-4", "5.14"] needs [] => not_answered;
        "INV-MN-4/answers-of-a-peer" checks ["INV-MN-4", "INV-MSG-1"] needs [] => answers_of_a_peer;
        "INV-MN-4/peer-that-closed" checks ["INV-MN-4"] needs [] => peer_that_closed;
        "INV-MN-6/ids" checks ["INV-MN-6", "INV-MSG-2"] needs [] => ids;
        "INV-ADR-3/whole-segments" checks ["INV-ADR-3", "INV-MN-5"] needs [] => whole_segments;
        "INV-MSG-4/been-there" checks ["INV-MSG-4"] needs [] => been_there;
        "INV-MSG-4/too-many-hops" checks ["INV-MSG-4"] needs [] => too_many_hops;
        "INV-MSG-4/via-names-the-ingress" checks ["INV-MSG-4", "2.6"] needs [] => via_names_the_ingress;
        "2.2/auth-is-taken-off" checks ["2.2"] needs [] => auth_is_taken_off;
    }
}

/// A holder of an object, and those who listen to it.
async fn stream(stage: &NodeStage, object: &str, listeners: &[&str]) -> Verdict<(Client, Vec<Client>)> {
    let mut alice = stage.open("alice").await?;
    alice.subscribe(stage, &[object, &format!("{object}/subscription")]).await?;
    let mut all = Vec::new();
    for name in listeners {
        let mut listener = stage.open(name).await?;
        listener.subscribe(stage, &[&format!("{object}/changes")]).await?;
        all.push(listener);
    }
    Ok((alice, all))
}

async fn published_once(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let changes = format!("{object}/changes");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob", "carol"]).await?;
    // Subscribing twice is subscribing once, and who publishes hears nothing of it.
    listeners[0].subscribe(&stage, &[&changes, &changes]).await?;
    alice.subscribe(&stage, &[&changes]).await?;
    for version in 1..=3 {
        alice.publish(&object, version).await?;
    }
    for listener in &mut listeners {
        let mut got = alice.fence(listener).await?;
        got.extend(listener.rest().await?);
        ensure_eq!("INV-MN-1", versions(&got), [1, 2, 3], "what {} got", listener.name);
    }
    let echo = alice.settled(&stage).await?;
    ensure!("INV-MN-1", echo.is_empty(), "the publisher received its own: {echo:?}");
    Ok(())
}

async fn unchanged(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob"]).await?;
    let bob = &mut listeners[0];
    let odd = json!({
        "version": 1, "attribute": "a.\u{e9}\u{1F600}", "value": [null, false, 0, "", -0.5, 1e-7, 123456789012345678_u64],
        "unknown": {"nested": [{"deep": {"er": []}}]}, "accessToken": "t", "": "empty name",
    });
    let message = json!({
        "id": 7, "type": "update", "from": object, "to": format!("{object}/changes"), "body": odd,
        "x-unknown": {"of": ["the", "header"]},
    });
    alice.send_message(message.clone()).await?;
    let got = alice.fence(bob).await?;
    ensure_eq!("INV-MSG-5", got, vec![message], "what came of a message with unknown members");
    let bare = json!({"id": 8, "type": "update", "from": object, "to": format!("{object}/changes")});
    alice.send_message(bare).await?;
    let got = alice.fence(bob).await?;
    ensure!("INV-MN-1", got.len() == 1 && got[0]["id"] == 8, "a message without body came as {got:?}");
    Ok(())
}

async fn list_of_addresses(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut carol = stage.open("carol").await?;
    let from = alice.sm();
    let to = json!([bob.sm(), carol.sm()]);
    let body = json!({"value": "to both"});
    alice.send_message(json!({"id": 9, "type": "read", "from": from, "to": to, "body": body})).await?;
    for peer in [&mut bob, &mut carol] {
        let got = alice.fence(peer).await?;
        ensure!("INV-MN-1", got.len() == 1 && got[0]["id"] == 9, "{} got {got:?}", peer.name);
        ensure_eq!("2.1", got[0]["to"], json!(peer.sm()), "to, at one of two receivers");
        peer.answer(&got[0], json!({"code": 200})).await?;
    }
    for _ in 0..2 {
        alice.answer_to(&json!(9)).await?;
    }
    Ok(())
}

async fn order(stage: NodeStage) -> Verdict {
    const EACH: u64 = 200;
    let (one, two) = (stage.object("one"), stage.object("two"));
    let (mut alice, mut listeners) = stream(&stage, &one, &["bob", "carol"]).await?;
    let mut dave = stage.open("dave").await?;
    dave.subscribe(&stage, &[&two]).await?;
    for listener in &mut listeners {
        listener.subscribe(&stage, &[&format!("{two}/changes")]).await?;
    }
    let (from, to) = (alice.sm(), listeners[0].sm());
    for number in 1..=EACH {
        alice.publish(&one, 2 * number).await?;
        dave.publish(&two, 2 * number).await?;
        // On another address, but from the same sender to the same receiver.
        alice.send("update", &from, &to, json!({"version": 2 * number + 1})).await?;
    }
    for listener in &mut listeners {
        let mut got = alice.fence(listener).await?;
        got.extend(dave.fence(listener).await?);
        let of = |sender: &str| {
            let mine =
                got.iter().filter(|message| message["from"].as_str().is_some_and(|from| from == sender));
            versions(&mine.cloned().collect::<Vec<_>>())
        };
        let all: Vec<u64> = (1..=EACH).map(|number| 2 * number).collect();
        ensure_eq!("INV-MN-2", of(&one), all, "updates of one sender at {}", listener.name);
        ensure_eq!("INV-MN-2", of(&two), all, "updates of the other at {}", listener.name);
        let from_alice: Vec<Value> =
            got.iter().filter(|message| message["from"] != json!(two)).cloned().collect();
        let seen = versions(&from_alice);
        ensure!("INV-MN-2", seen.is_sorted(), "over two addresses {} got {seen:?}", listener.name);
    }
    Ok(())
}

async fn after_unsubscribe(stage: NodeStage) -> Verdict {
    let objects = [stage.object("one"), stage.object("two")];
    let changes = objects.each_ref().map(|object| format!("{object}/changes"));
    let mut alice = stage.open("alice").await?;
    let (mut bob, mut carol) = (stage.open("bob").await?, stage.open("carol").await?);
    alice.subscribe(&stage, &[&objects[0], &objects[1]]).await?;
    for listener in [&mut bob, &mut carol] {
        listener.subscribe(&stage, &[&changes[0], &changes[1]]).await?;
    }
    // Unknown ones are no error, and take nothing with them.
    bob.unsubscribe(&stage, &[&changes[0], &format!("{}/changes", stage.object("unknown"))]).await?;
    for object in &objects {
        alice.publish(object, 1).await?;
    }
    let got = alice.fence(&mut bob).await?;
    let addresses: Vec<&Value> = got.iter().map(|message| &message["to"]).collect();
    ensure_eq!("INV-MN-3", addresses, [&json!(changes[1])], "where from bob got something");
    let got = alice.fence(&mut carol).await?;
    ensure_eq!("INV-MN-1", got.len(), 2, "what carol got after bob left one stream");
    // And again: who comes back listens.
    bob.subscribe(&stage, &[&changes[0]]).await?;
    alice.publish(&objects[0], 2).await?;
    ensure_eq!("INV-MN-1", versions(&alice.fence(&mut bob).await?), [2], "what bob got who came back");
    Ok(())
}

async fn in_mid_stream(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob"]).await?;
    let bob = &mut listeners[0];
    let sm = bob.sm();
    let body = json!({"resources": [format!("{object}/changes")]});
    let mut id = 0;
    for version in 1..=100 {
        alice.publish(&object, version).await?;
        if version == 50 {
            id = bob.send("unsubscribe", &sm, &stage.mn(), body.clone()).await?;
        }
    }
    let answer = bob.answer_to(&json!(id)).await?;
    ensure_eq!("5.14", code(&answer), 200, "the code of the answer to unsubscribe");
    let before = versions(&bob.kept());
    ensure!("INV-MN-2", before.iter().copied().eq(1..=before.len() as u64), "before the 200 came {before:?}");
    let after = alice.fence(bob).await?;
    ensure!("INV-MN-3", after.is_empty(), "after the 200 to unsubscribe came {after:?}");
    Ok(())
}

async fn no_route(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let from = alice.sm();
    let nobody = [
        format!("{}/sm", stage.runtime("nobody")),
        stage.hyperty("nobody"),
        stage.object("nobody"),
        format!("{}/subscription", stage.object("nobody")),
        format!("comm://elsewhere-{}/o", stage.nonce),
        format!("domain://msg-node.{}/nothing-of-the-kind", stage.domain()),
    ];
    for to in &nobody {
        for kind in ["create", "read", "update", "delete", "subscribe", "unsubscribe", "execute", "forward"] {
            let what = format!("{kind} to {to}");
            let id = alice.send(kind, &from, to, json!({"resources": ["x"]})).await?;
            let answer = alice.answer_to(&json!(id)).await.map_err(|_| unanswered(&what))?;
            refused_by_node(&stage, &answer, 404, "INV-MN-4", &what)?;
            ensure_eq!("M12", answer["from"], json!(to), "from, in the node's own error to {what}");
            ensure_eq!("M12", answer["to"], json!(from), "to, in the node's own error to {what}");
            let reason = &answer["body"]["reason"];
            let stated = *reason == "no-route" || !stage.has(crate::protocol::Capability::Reasons);
            ensure!("M12", stated, "the reason of the answer to {what} is {reason}");
        }
    }
    Ok(())
}

fn unanswered(what: &str) -> Stop {
    crate::protocol::Failure::new("INV-MN-4", format!("no answer to {what}")).into()
}

async fn not_answered(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut alice = stage.open("alice").await?;
    let children = format!("{object}/children/notes");
    alice.subscribe(&stage, &[&object, &children]).await?;
    let from = alice.sm();
    alice.publish(&object, 1).await?;
    alice.send("create", &object, &children, json!({"resource": "x#1"})).await?;
    alice.send("update", &object, &format!("{object}/observers"), json!({"value": []})).await?;
    let nobody = format!("{}/sm", stage.runtime("nobody"));
    alice.send("response", &from, &nobody, json!({"code": 200})).await?;
    alice.send("event", &from, &nobody, json!({"value": 1})).await?;
    let got = alice.settled(&stage).await?;
    ensure!("INV-MN-4", got.is_empty(), "what expects no answer, and has no receiver, was answered: {got:?}");
    Ok(())
}

async fn answers_of_a_peer(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let (from, to) = (alice.sm(), bob.sm());
    for kind in ["create", "read", "update", "delete", "subscribe", "unsubscribe", "execute", "forward"] {
        let id = alice.send(kind, &from, &to, json!({"resource": kind, "resources": ["x"]})).await?;
        let request = bob.next("a request").await?;
        ensure_eq!("INV-MN-4", request["type"], json!(kind), "the type of a request");
        ensure_eq!("INV-MN-4", request["from"], json!(from), "from, of a request");
        bob.answer(&request, json!({"code": 100, "resources": ["x"]})).await?;
        bob.answer(&request, json!({"code": 404, "desc": "of the peer", "value": [1]})).await?;
        let provisional = alice.next("a provisional answer").await?;
        ensure_eq!("INV-MN-4", code(&provisional), 100, "the code of the first answer");
        let last = alice.answer_to(&json!(id)).await?;
        let wanted = json!({"code": 404, "desc": "of the peer", "value": [1]});
        ensure_eq!("INV-MN-4", last["body"], wanted, "the body of the peer's final answer");
    }
    let rest = alice.settled(&stage).await?;
    ensure!("INV-MSG-1", rest.is_empty(), "beside the answers of the peer came {rest:?}");
    Ok(())
}

async fn peer_that_closed(stage: NodeStage) -> Verdict {
    let (mut alice, bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let (from, to) = (alice.sm(), bob.sm());
    bob.close().await?;
    let answer = alice.request("read", &from, &to, json!({})).await?;
    refused_by_node(&stage, &answer, 404, "INV-MN-4", "read to a runtime that closed its session")
}

async fn ids(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let (from, to) = (alice.sm(), bob.sm());
    let nothing = json!({"resources": [format!("{}/changes", stage.object("o"))]});
    let forms =
        [json!(1), json!("2"), json!(0), json!("007"), json!(2_147_483_647_u64), json!("an-opaque-id")];
    for id in forms {
        let own = json!({"id": id, "type": "unsubscribe", "from": from, "to": stage.mn(), "body": nothing});
        alice.send_message(own).await?;
        let answer = alice.answer_to(&id).await?;
        ensure_eq!("INV-MN-6", answer["id"], id, "the id in an answer of the node");
        alice.send_message(json!({"id": id, "type": "read", "from": from, "to": to, "body": {}})).await?;
        let request = bob.next("a request").await?;
        ensure_eq!("INV-MN-6", request["id"], id, "the id of a relayed request");
        bob.answer(&request, json!({"code": 200})).await?;
        let answer = alice.answer_to(&id).await?;
        ensure_eq!("INV-MN-6", answer["id"], id, "the id of a relayed answer");
    }
    Ok(())
}

async fn whole_segments(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let (mut short, mut long) = (stage.open("peer").await?, stage.open("peer2").await?);
    let from = alice.sm();
    alice.send("update", &from, &long.sm(), json!({"value": "long"})).await?;
    alice.send("update", &from, &format!("{}/registry/x", short.runtime), json!({"value": "short"})).await?;
    let values =
        |got: &[Value]| got.iter().map(|message| message["body"]["value"].clone()).collect::<Vec<_>>();
    let to_short = values(&alice.fence(&mut short).await?);
    ensure_eq!("INV-ADR-3", to_short, [json!("short")], "what came to {}", short.runtime);
    let to_long = values(&alice.fence(&mut long).await?);
    ensure_eq!("INV-ADR-3", to_long, [json!("long")], "what came to {}", long.runtime);
    // Nor is a runtime reached by an address that only begins like its own.
    let beyond = format!("{}x/sm", short.runtime);
    let answer = alice.request("read", &from, &beyond, json!({})).await?;
    ensure_eq!("INV-ADR-3", code(&answer), 404, "the code of the answer to read to {beyond}");
    let got = alice.fence(&mut short).await?;
    ensure!("INV-ADR-3", got.is_empty(), "{} received what was for {beyond}: {got:?}", short.runtime);
    Ok(())
}

async fn been_there(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob", "carol"]).await?;
    let to = format!("{object}/changes");
    let been = listeners[0].runtime.clone();
    for (version, via) in [(1, json!([been])), (2, json!(been)), (3, json!([stage.runtime("other"), been]))] {
        alice.send("update", &object, &to, json!({"version": version, "via": via})).await?;
    }
    let (from, direct) = (alice.sm(), listeners[0].sm());
    alice.send("update", &from, &direct, json!({"version": 4, "via": [been]})).await?;
    let got = alice.fence(&mut listeners[0]).await?;
    ensure!("INV-MSG-4", got.is_empty(), "bob, who stands in via, received {got:?}");
    let got = versions(&alice.fence(&mut listeners[1]).await?);
    ensure_eq!("INV-MSG-4", got, [1, 2, 3], "what carol received, who does not stand in via");
    Ok(())
}

async fn too_many_hops(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob"]).await?;
    let to = format!("{object}/changes");
    for (version, hops) in [(1, 16), (2, 40), (3, 15)] {
        let via: Vec<String> = (0..hops).map(|hop| stage.runtime(&format!("hop-{hop}"))).collect();
        alice.send("update", &object, &to, json!({"version": version, "via": via})).await?;
    }
    let got = versions(&alice.fence(&mut listeners[0]).await?);
    ensure_eq!("INV-MSG-4", got, [3], "what came with 16, 40 and 15 hops");
    Ok(())
}

async fn via_names_the_ingress(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let (from, to, stub) = (alice.sm(), bob.sm(), stage.runtime("protostub"));
    // Some name themselves with their token, which is nobody else's business.
    let via = json!([stub, alice.proof()]);
    let id = alice.send("read", &from, &to, json!({"via": via})).await?;
    let request = bob.next("a request").await?;
    let token_gets_out = !alice.token.is_empty() && request.to_string().contains(&alice.token);
    ensure!("2.6", !token_gets_out, "the token of a session reached another: {request}");
    let hops: Vec<&str> =
        request["body"]["via"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!("2.6", hops.contains(&stub.as_str()), "the hop {stub} is not in via any more: {hops:?}");
    ensure!("2.6", hops.contains(&alice.runtime.as_str()), "the ingress session is not in via: {hops:?}");
    bob.answer(&request, json!({"code": 200})).await?;
    alice.answer_to(&json!(id)).await?;
    // The node's own answers never repeat it: whoever asked stands in it.
    let own = json!({"resources": ["x"], "via": alice.runtime});
    for to in [stage.mn(), stage.hyperty("nobody")] {
        let answer = alice.request("read", &from, &to, own.clone()).await?;
        ensure!("2.6", answer["body"]["via"].is_null(), "an answer of the node repeats via: {answer}");
    }
    Ok(())
}

async fn auth_is_taken_off(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut listeners) = stream(&stage, &object, &["bob"]).await?;
    let to = format!("{object}/changes");
    alice.send("update", &object, &to, json!({"auth": true, "version": 1, "x": {"auth": true}})).await?;
    let got = alice.fence(&mut listeners[0]).await?;
    ensure_eq!("2.2", versions(&got), [1], "what came of an update with auth");
    ensure!("2.2", got[0]["body"]["auth"].is_null(), "auth of another runtime came through: {}", got[0]);
    ensure_eq!("INV-MSG-5", got[0]["body"]["x"], json!({"auth": true}), "a member below that is called auth");
    Ok(())
}
