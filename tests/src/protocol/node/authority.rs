//! Who may speak as whom, and whose an object is (protocol 5.14, M16, M17).

use serde_json::json;

use super::stage::{NodeStage, node_cases, versions};
use super::{NodeCase, refused_by_node};
use crate::protocol::client::{Client, code};
use crate::protocol::{Capability, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-MN-5/forged-from" checks ["INV-MN-5", "M12"] needs [] => forged_from;
        "INV-MN-5/forged-answer" checks ["INV-MN-5"] needs [] => forged_answer;
        "INV-MN-5/addresses-of-another" checks ["INV-MN-5"] needs [] => addresses_of_another;
        "M16/stub-address" checks ["M16", "INV-MN-5"] needs [] => stub_address;
        "M16/first-use-of-a-hyperty" checks ["M16", "INV-MN-5"] needs [] => first_use_of_a_hyperty;
        "M16/objects-are-not-bound-by-use" checks ["M16"] needs [] => not_bound_by_use;
        "M16/publisher-holds" checks ["M16", "INV-UPD-2"] needs [EnforcePublisher] => publisher_holds;
        "M16/publisher-allocated" checks ["M16", "INV-UPD-2"] needs [EnforcePublisher, Allocation] => publisher_allocated;
        "M16/answers-of-an-object" checks ["M16"] needs [EnforcePublisher] => answers_of_an_object;
        "M17/one-holder" checks ["M17"] needs [ExclusiveRoutes] => one_holder;
        "M17/refused-as-a-whole" checks ["M17"] needs [ExclusiveRoutes] => refused_as_a_whole;
        "M17/held-while-lost" checks ["M17"] needs [ExclusiveRoutes, Grace] => held_while_lost;
        "M17/transfer" checks ["M17"] needs [ExclusiveRoutes] => transfer;
        "M17/higher-epoch" checks ["M17", "INV-REG-5"] needs [ExclusiveRoutes, Registry] => higher_epoch;
    }
}

async fn forged_from(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    // Alice speaks as a hyperty, which is hers from then on.
    let hyperty = stage.hyperty("of-alice");
    let id = alice.send("read", &hyperty, &bob.sm(), json!({})).await?;
    let request = bob.next("a request").await?;
    bob.answer(&request, json!({"code": 200})).await?;
    alice.answer_to(&json!(id)).await?;
    let others = [alice.runtime.clone(), alice.sm(), hyperty, stage.mn(), stage.reg(), stage.user("alice")];
    let to = bob.sm();
    for from in &others {
        for kind in ["read", "update", "subscribe"] {
            let id = mallory.send(kind, from, &to, json!({"resources": ["x"]})).await?;
            let what = format!("{kind} by mallory as {from}");
            let answer = mallory.answer_to(&json!(id)).await.map_err(|_| {
                let text = format!("no answer on its own connection to {what}");
                crate::protocol::Failure::new("M12", text)
            })?;
            refused_by_node(&stage, &answer, 403, "INV-MN-5", &what)?;
        }
    }
    let got = mallory.fence(&mut bob).await?;
    ensure!("INV-MN-5", got.is_empty(), "forged messages were delivered: {got:?}");
    let got = bob.fence(&mut alice).await?;
    ensure!("M12", got.is_empty(), "who was forged received the refusals: {got:?}");
    Ok(())
}

async fn forged_answer(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    let (from, to) = (alice.sm(), bob.sm());
    let id = alice.send("read", &from, &to, json!({})).await?;
    let request = bob.next("a request").await?;
    // Mallory guesses the id and answers in bob's name.
    let forged = json!({"id": id, "type": "response", "from": to, "to": from, "body": {"code": 200, "value": "forged"}});
    mallory.send_message(forged).await?;
    let got = mallory.settled(&stage).await?;
    ensure!("INV-MSG-1", got.is_empty(), "an answer was answered: {got:?}");
    bob.answer(&request, json!({"code": 200, "value": "true"})).await?;
    let answer = alice.answer_to(&json!(id)).await?;
    ensure_eq!("INV-MN-5", answer["body"]["value"], json!("true"), "the answer that arrived");
    Ok(())
}

async fn addresses_of_another(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    for address in [alice.runtime.clone(), alice.sm(), format!("{}/registry", alice.runtime)] {
        let answer = mallory.try_subscribe(&stage, &[&address]).await?;
        refused_by_node(&stage, &answer, 403, "INV-MN-5", &format!("subscribe to {address}"))?;
    }
    let (from, to) = (bob.sm(), alice.sm());
    bob.send("update", &from, &to, json!({"version": 1})).await?;
    ensure_eq!("INV-MN-5", versions(&bob.fence(&mut alice).await?), [1], "what came to alice");
    let got = bob.fence(&mut mallory).await?;
    ensure!("INV-MN-5", got.is_empty(), "mallory receives what is for alice: {got:?}");
    Ok(())
}

/// `sender` sends from an address, and the answer to it comes back.
async fn speaks_as(sender: &mut Client, address: &str, peer: &mut Client) -> Verdict {
    let id = sender.send("read", address, &peer.sm(), json!({})).await?;
    let request = peer.next("a request").await?;
    ensure_eq!("M16", request["from"], json!(address), "from, of what came");
    peer.answer(&request, json!({"code": 200})).await?;
    ensure_eq!("M16", code(&sender.answer_to(&json!(id)).await?), 200, "the answer to {address}");
    Ok(())
}

async fn stub_address(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let stub = format!("hyperty-runtime://{}/protostub/{}/1", stage.domain(), stage.nonce);
    speaks_as(&mut alice, &stub, &mut bob).await?;
    // The node itself answers there, too.
    let nothing = json!({"resources": [format!("{}/changes", stage.object("o"))]});
    let answer = alice.request("subscribe", &stub, &stage.mn(), nothing).await?;
    ensure_eq!(
        "M16",
        (code(&answer), answer["to"].clone()),
        (200, json!(stub)),
        "the node's answer to a stub"
    );
    let answer = bob.request("read", &stub, &alice.sm(), json!({})).await?;
    ensure_eq!("M16", code(&answer), 403, "the code of the answer to who uses the stub of another");
    Ok(())
}

async fn first_use_of_a_hyperty(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let hyperty = stage.hyperty("h");
    speaks_as(&mut alice, &hyperty, &mut bob).await?;
    let (from, again) = (bob.sm(), hyperty.clone());
    let id = bob.send("read", &from, &again, json!({})).await?;
    let request = alice.next("a request to a hyperty").await?;
    ensure_eq!("M16", request["to"], json!(hyperty), "to, of what came");
    alice.answer(&request, json!({"code": 200})).await?;
    bob.answer_to(&json!(id)).await?;
    let answer = bob.try_subscribe(&stage, &[&hyperty]).await?;
    ensure_eq!("INV-MN-5", code(&answer), 403, "the code of the answer to who subscribes it");
    if !stage.has(Capability::Allocation) {
        return Ok(());
    }
    // What was allocated is its runtime's before any use.
    let allocated = alice.allocate(&stage, "hyperty", 1).await?.remove(0);
    let answer = bob.request("read", &allocated, &alice.sm(), json!({})).await?;
    ensure_eq!(
        "M16",
        code(&answer),
        403,
        "the code of the answer to who uses a hyperty allocated to another"
    );
    let id = bob.send("read", &bob.sm(), &allocated, json!({})).await?;
    let request = alice.next("a request to an allocated hyperty").await?;
    alice.answer(&request, json!({"code": 200})).await?;
    ensure_eq!("5.12", code(&bob.answer_to(&json!(id)).await?), 200, "the answer of an allocated hyperty");
    Ok(())
}

async fn not_bound_by_use(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let object = stage.object("o");
    alice.publish(&object, 1).await?;
    alice.settled(&stage).await?;
    let answer = bob.try_subscribe(&stage, &[&object]).await?;
    ensure_eq!("M16", code(&answer), 200, "the code of the answer to who takes what another had only used");
    let id = alice.send("read", &alice.sm(), &object, json!({})).await?;
    let request = bob.next("a read of the object").await?;
    bob.answer(&request, json!({"code": 200})).await?;
    alice.answer_to(&json!(id)).await?;
    Ok(())
}

/// Nothing that mallory publishes for `object` is delivered, and she is told.
async fn may_not_publish(stage: &NodeStage, mallory: &mut Client, object: &str, bob: &mut Client) -> Verdict {
    let changes = format!("{object}/changes");
    let own = mallory.sm();
    for (kind, from) in [("update", object), ("update", &own), ("delete", &format!("{object}/subscription"))]
    {
        let id = mallory.send(kind, from, &changes, json!({"version": 66})).await?;
        let what = format!("{kind} on {changes} from {from} by a stranger");
        refused_by_node(stage, &mallory.answer_to(&json!(id)).await?, 403, "M16", &what)?;
    }
    let got = mallory.fence(bob).await?;
    ensure!("INV-UPD-2", got.is_empty(), "what a stranger published was delivered: {got:?}");
    Ok(())
}

async fn publisher_holds(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    let object = stage.object("o");
    alice.subscribe(&stage, &[&object, &format!("{object}/subscription")]).await?;
    for listener in [&mut bob, &mut mallory] {
        listener.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    }
    may_not_publish(&stage, &mut mallory, &object, &mut bob).await?;
    alice.publish(&object, 1).await?;
    ensure_eq!("M16", versions(&alice.fence(&mut bob).await?), [1], "what came of the holder");
    Ok(())
}

async fn publisher_allocated(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    let object = alice.allocate(&stage, "comm", 1).await?.remove(0);
    bob.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    may_not_publish(&stage, &mut mallory, &object, &mut bob).await?;
    alice.publish(&object, 1).await?;
    ensure_eq!("M16", versions(&alice.fence(&mut bob).await?), [1], "what came of who allocated it");
    let answer = mallory.try_subscribe(&stage, &[&object]).await?;
    ensure!("M17", code(&answer) >= 400, "a stranger takes the route of an allocated object: {answer}");
    Ok(())
}

async fn answers_of_an_object(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    let object = stage.object("o");
    let (subscription, changes) = (format!("{object}/subscription"), format!("{object}/changes"));
    alice.subscribe(&stage, &[&object, &subscription]).await?;
    bob.subscribe(&stage, &[&changes]).await?;
    let to = bob.sm();
    let id = bob.send("subscribe", &to, &subscription, json!({"source": to})).await?;
    let request = alice.next("a subscription").await?;
    for from in [&subscription, &object] {
        let forged = json!({"code": 200, "value": "forged"});
        mallory
            .send_message(json!({"id": id, "type": "response", "from": from, "to": to, "body": forged}))
            .await?;
    }
    mallory.settled(&stage).await?;
    alice.answer(&request, json!({"code": 200, "value": "true"})).await?;
    let answer = bob.answer_to(&json!(id)).await?;
    ensure_eq!("M16", answer["body"]["value"], json!("true"), "the answer that arrived from O/subscription");
    // The answer to a deletion comes from the address it was published on, by who listens there.
    let id = alice.send("delete", &subscription, &changes, json!({"resource": object})).await?;
    let deletion = bob.next("the deletion").await?;
    let forged = json!({"code": 200, "source": "mallory"});
    mallory
        .send_message(
            json!({"id": id, "type": "response", "from": changes, "to": subscription, "body": forged}),
        )
        .await?;
    bob.answer(&deletion, json!({"code": 200, "source": bob.runtime})).await?;
    let answer = alice.answer_to(&json!(id)).await?;
    ensure_eq!("M16", answer["body"]["source"], json!(bob.runtime), "who answered from O/changes");
    let more = mallory.fence(&mut alice).await?;
    ensure!("M16", more.is_empty(), "the answer of who does not listen arrived: {more:?}");
    Ok(())
}

async fn one_holder(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let mut bob = stage.open("bob").await?;
    let object = stage.object("o");
    let subscription = format!("{object}/subscription");
    alice.subscribe(&stage, &[&object, &subscription]).await?;
    for address in [&object, &subscription] {
        let answer = mallory.try_subscribe(&stage, &[address]).await?;
        refused_by_node(&stage, &answer, 409, "M17", &format!("subscribe of {address}, which is held"))?;
    }
    let id = bob.send("subscribe", &bob.sm(), &subscription, json!({"source": bob.sm()})).await?;
    let request = alice.next("a subscription").await?;
    alice.answer(&request, json!({"code": 200})).await?;
    bob.answer_to(&json!(id)).await?;
    let got = bob.fence(&mut mallory).await?;
    ensure!("M17", got.is_empty(), "who was refused the route receives: {got:?}");
    // Who holds it may ask again, and give it up.
    alice.subscribe(&stage, &[&object]).await?;
    alice.unsubscribe(&stage, &[&object, &subscription]).await?;
    let answer = mallory.try_subscribe(&stage, &[&object, &subscription]).await?;
    ensure_eq!("M17", code(&answer), 200, "the code of the answer to who takes what was given up");
    Ok(())
}

async fn refused_as_a_whole(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let (object, free) = (stage.object("o"), stage.object("free"));
    alice.subscribe(&stage, &[&object]).await?;
    let answer = mallory.try_subscribe(&stage, &[&free, &format!("{free}/changes"), &object]).await?;
    ensure_eq!("M17", code(&answer), 409, "the code of the answer to a list with one that is held");
    alice.subscribe(&stage, &[&free]).await?;
    alice.publish(&free, 1).await?;
    let got = alice.fence(&mut mallory).await?;
    ensure!("M17", got.is_empty(), "a part of a refused list had an effect: {got:?}");
    Ok(())
}

async fn held_while_lost(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let object = stage.object("o");
    alice.subscribe(&stage, &[&object]).await?;
    let token = alice.token.clone();
    alice.lose();
    let answer = mallory.try_subscribe(&stage, &[&object]).await?;
    ensure_eq!("M17", code(&answer), 409, "the code of the answer while the holder's connection is lost");
    let mut alice = stage.connect("alice").await?;
    ensure_eq!("INV-SES-1", code(&alice.reopen(&token).await?), 200, "the answer to re-open");
    let id = mallory.send("read", &mallory.sm(), &object, json!({})).await?;
    let request = alice.next("a read").await?;
    alice.answer(&request, json!({"code": 200})).await?;
    mallory.answer_to(&json!(id)).await?;
    Ok(())
}

async fn transfer(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut carol = stage.open("carol").await?;
    let object = stage.object("o");
    let subscription = format!("{object}/subscription");
    alice.subscribe(&stage, &[&object, &subscription]).await?;
    carol.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    let body = |to: &Client| json!({"resources": [object, subscription], "transfer": to.runtime});
    // Only the holder gives it away.
    let answer = bob.request("subscribe", &bob.sm(), &stage.mn(), body(&bob)).await?;
    ensure!("M17", code(&answer) >= 400, "a stranger transferred a route to itself: {answer}");
    let answer = alice.request("subscribe", &alice.sm(), &stage.mn(), body(&bob)).await?;
    ensure_eq!("M17", code(&answer), 200, "the code of the answer to a transfer");
    let id = carol.send("subscribe", &carol.sm(), &subscription, json!({"source": carol.sm()})).await?;
    let request = bob.next("a subscription, after the transfer").await?;
    bob.answer(&request, json!({"code": 200})).await?;
    carol.answer_to(&json!(id)).await?;
    let got = carol.fence(&mut alice).await?;
    ensure!("M17", got.is_empty(), "the former holder still receives: {got:?}");
    bob.publish(&object, 1).await?;
    ensure_eq!("M17", versions(&bob.fence(&mut carol).await?), [1], "what the new holder published");
    if stage.has(Capability::EnforcePublisher) {
        alice.publish(&object, 2).await?;
        let got = alice.fence(&mut carol).await?;
        ensure!("M17", got.is_empty(), "the former holder still publishes: {got:?}");
    }
    Ok(())
}

async fn higher_epoch(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open_for("tablet", "alice").await?);
    let object = stage.object("o");
    alice.subscribe(&stage, &[&object]).await?;
    let mut record = super::registry::object_record(&stage, &alice, &object, "alice");
    let answer = alice.request("create", &alice.sm(), &stage.reg(), json!({"value": record})).await?;
    ensure_eq!("5.13", code(&answer), 200, "the code of the answer to a registration");
    let answer = bob.try_subscribe(&stage, &[&object]).await?;
    ensure_eq!("M17", code(&answer), 409, "the code of the answer at the same epoch");
    record = super::registry::object_record(&stage, &bob, &object, "alice");
    record["epoch"] = json!(1);
    let answer = bob.request("create", &bob.sm(), &stage.reg(), json!({"value": record})).await?;
    ensure_eq!("5.13", code(&answer), 200, "the code of the answer to a registration at a higher epoch");
    let answer = bob.try_subscribe(&stage, &[&object]).await?;
    ensure_eq!("M17", code(&answer), 200, "the code of the answer at a higher epoch");
    let answer = alice.try_subscribe(&stage, &[&object]).await?;
    ensure_eq!("M17", code(&answer), 409, "the code of the answer to the former holder");
    Ok(())
}
