//! What a node keeps over a restart, and what not (protocol 5.12, 5.13, 5.15, M16).

use serde_json::json;

use super::NodeCase;
use super::stage::{NodeStage, node_cases, versions};
use crate::protocol::Verdict;
use crate::protocol::client::code;
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-ALL-1/allocations-outlive-a-restart" checks ["INV-ALL-1", "M16"] needs [Restart, Allocation, EnforcePublisher] => allocations;
        "INV-REG-1/registrations-outlive-a-restart" checks ["INV-REG-1", "INV-DEL-3"] needs [Restart, Registry] => registrations;
        "INV-SES-2/tokens-end-with-the-node" checks ["INV-SES-2", "INV-SES-1"] needs [Restart] => tokens;
    }
}

async fn allocations(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let list = alice.allocate(&stage, "comm", 5).await?;
    stage.restart().await?;
    // Before the owner is back, nobody else can speak for what it allocated.
    let (mut mallory, mut bob) = (stage.open("mallory").await?, stage.open("bob").await?);
    let object = &list[0];
    bob.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    mallory.publish(object, 66).await?;
    let answer = mallory.try_subscribe(&stage, &[object]).await?;
    ensure!("M16", code(&answer) >= 400, "a stranger took an allocated object after a restart: {answer}");
    let got = mallory.fence(&mut bob).await?;
    ensure!("M16", got.is_empty(), "a stranger published an allocated object after a restart: {got:?}");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[object]).await?;
    alice.publish(object, 1).await?;
    ensure_eq!("M16", versions(&alice.fence(&mut bob).await?), [1], "what its owner published");
    let again = alice.allocate(&stage, "comm", 100).await?;
    ensure!("INV-ALL-1", again.iter().all(|url| !list.contains(url)), "given out again after a restart");
    Ok(())
}

async fn registrations(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let (live, deleted) = (stage.object("live"), stage.object("deleted"));
    let (from, to) = (alice.sm(), stage.reg());
    for url in [&live, &deleted] {
        let record = super::registry::object_record(&stage, &alice, url, "alice");
        let answer = alice.request("create", &from, &to, json!({"value": record})).await?;
        ensure_eq!("5.13", code(&answer), 200, "the code of the answer to a registration");
    }
    alice.request("delete", &from, &to, json!({"resource": deleted})).await?;
    stage.restart().await?;
    let mut alice = stage.open("alice").await?;
    let answer = alice.request("read", &from, &to, json!({"resource": live})).await?;
    ensure_eq!("INV-REG-1", code(&answer), 200, "the code of the answer to a read after a restart");
    let answer = alice.request("read", &from, &to, json!({"resource": deleted})).await?;
    ensure!("INV-DEL-3", code(&answer) != 200, "a deleted object is live after a restart");
    Ok(())
}

async fn tokens(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let object = stage.object("o");
    alice.subscribe(&stage, &[&object]).await?;
    let token = alice.token.clone();
    stage.restart().await?;
    let mut back = stage.connect("alice").await?;
    ensure_eq!("INV-SES-2", code(&back.reopen(&token).await?), 500, "re-open after a restart");
    // What a stub does then: open on the same connection, and say all routes again.
    ensure_eq!("INV-SES-1", code(&back.open().await?), 200, "open after a restart");
    ensure!("INV-SES-2", back.token != token, "the same token after a restart");
    back.subscribe(&stage, &[&object]).await?;
    let mut bob = stage.open("bob").await?;
    let id = bob.send("read", &bob.sm(), &object, json!({})).await?;
    let request = back.next("a read").await?;
    back.answer(&request, json!({"code": 200})).await?;
    bob.answer_to(&json!(id)).await?;
    Ok(())
}
