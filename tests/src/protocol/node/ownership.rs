//! Whose an entry of the domain registry is, and who takes it over (protocol 5.13.1, 5.10.1, 5.11).

use serde_json::{Value, json};

use super::NodeCase;
use super::registry::{ask, object_record, register, status};
use super::stage::{NodeStage, granted, node_cases};
use crate::protocol::Verdict;
use crate::protocol::client::{Client, code};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-REG-5/owners-and-epochs" checks ["INV-REG-5", "5.13"] needs [Registry] => owners;
        "INV-REG-5/not-taken-while-live" checks ["INV-REG-5", "5.10.1"] needs [Registry] => taken_while_live;
        "INV-REG-5/not-to-another-user" checks ["INV-REG-5", "5.13"] needs [Registry] => another_user;
        "INV-REG-5/nobodys-is-not-taken" checks ["INV-REG-5", "5.13"] needs [Registry] => nobodys;
        "INV-REG-5/given-away-by-its-owner-only" checks ["INV-REG-5", "5.11"] needs [Registry] => given_away;
        "INV-REG-5/not-before-its-owner" checks ["INV-REG-5", "5.13"] needs [Registry, Allocation] => first;
    }
}

async fn owners(stage: NodeStage) -> Verdict {
    // Two devices of one user.
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open_for("tablet", "alice").await?);
    let url = stage.object("o");
    let with = |client: &Client, epoch: u64| {
        let mut record = object_record(&stage, client, &url, "alice");
        record["epoch"] = json!(epoch);
        json!({"value": record})
    };
    let first = with(&alice, 1);
    granted(&ask(&mut alice, &stage, "create", first).await?, "5.13", "a registration")?;
    // Live with another owner, at the same epoch or below it.
    for epoch in [0, 1] {
        let body = with(&bob, epoch);
        let answer = ask(&mut bob, &stage, "create", body).await?;
        ensure_eq!(
            "INV-REG-5",
            code(&answer),
            409,
            "the code of the answer to another owner at epoch {epoch}"
        );
    }
    let body = with(&alice, 0);
    let answer = ask(&mut alice, &stage, "create", body).await?;
    ensure_eq!("INV-REG-5", code(&answer), 409, "the code of the answer to the owner at a lower epoch");
    let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    let answer = ask(&mut bob, &stage, "update", off.clone()).await?;
    ensure!("5.13", code(&answer) >= 400, "another runtime unregistered it: {answer}");
    ensure_eq!("INV-REG-1", status(&mut bob, &stage, &url).await?, 200, "a read after all that");
    // Above it, ownership moves; and never back.
    let body = with(&bob, 2);
    granted(&ask(&mut bob, &stage, "create", body).await?, "INV-REG-5", "a registration at a higher epoch")?;
    for body in [with(&alice, 1), with(&alice, 2)] {
        let answer = ask(&mut alice, &stage, "create", body).await?;
        ensure_eq!("INV-REG-5", code(&answer), 409, "the code of the answer to the former owner");
    }
    let live = json!({"resource": url, "value": {"status": "live", "epoch": 1, "runtime": alice.runtime}});
    let answer = ask(&mut alice, &stage, "update", live).await?;
    ensure_eq!("INV-REG-5", code(&answer), 409, "the code of the answer to set live by the former owner");
    let answer = ask(&mut alice, &stage, "read", json!({"resource": url})).await?;
    let shown = &answer["body"]["value"][&url];
    ensure_eq!("INV-REG-5", shown["epoch"], json!(2), "the epoch that is read");
    ensure_eq!("INV-REG-5", shown["runtime"], json!(bob.runtime), "the runtime that is read");
    Ok(())
}

/// Another device of the user found the object disconnected, and its owner was back before the takeover came.
async fn taken_while_live(stage: NodeStage) -> Verdict {
    let (mut alice, mut tablet) = (stage.open("alice").await?, stage.open_for("tablet", "alice").await?);
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    let mut taken = object_record(&stage, &tablet, &url, "alice");
    (taken["epoch"], taken["status"]) = (json!(1), json!("live"));
    taken["takenFrom"] = json!({"epoch": 0, "version": 0});
    let take = json!({"resource": url, "value": taken});
    let answer = ask(&mut tablet, &stage, "update", take.clone()).await?;
    ensure_eq!("INV-REG-5", code(&answer), 409, "the code of the answer to a takeover of what is live");
    ensure_eq!("INV-REG-5", owner(&mut tablet, &stage, &url).await?, (json!(alice.runtime), 0), "the owner");
    let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    granted(&ask(&mut alice, &stage, "update", off).await?, "5.13", "unregister")?;
    granted(&ask(&mut tablet, &stage, "update", take).await?, "5.10.1", "a takeover of what nobody reports")?;
    ensure_eq!("INV-REG-5", owner(&mut tablet, &stage, &url).await?, (json!(tablet.runtime), 1), "the owner");
    Ok(())
}

/// What an owner says that gives an object to another runtime.
pub(super) async fn give(
    client: &mut Client,
    stage: &NodeStage,
    url: &str,
    to: &str,
    epoch: u64,
) -> Verdict<Value> {
    let value = json!({"status": "live", "runtime": to, "epoch": epoch});
    ask(client, stage, "update", json!({"resource": url, "value": value})).await
}

/// The runtime and the epoch of an entry, whether it is live or not.
async fn owner(client: &mut Client, stage: &NodeStage, url: &str) -> Verdict<(Value, u64)> {
    let answer = ask(client, stage, "read", json!({"resource": url})).await?;
    let entry = &answer["body"]["value"][url];
    Ok((entry["runtime"].clone(), entry["epoch"].as_u64().unwrap_or_default()))
}

/// That nobody but its user gets an object from another runtime, live or not, at whatever epoch.
async fn another_user(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    for ended in [false, true] {
        let url = stage.object(if ended { "ended" } else { "live" });
        let record = object_record(&stage, &alice, &url, "alice");
        register(&mut alice, &stage, &record).await?;
        if ended {
            let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
            granted(&ask(&mut alice, &stage, "update", off).await?, "5.13", "unregister")?;
        }
        let mut taken = object_record(&stage, &mallory, &url, "mallory");
        taken["epoch"] = json!(9);
        let mut unnamed = taken.clone();
        (unnamed["user"], unnamed["guid"]) = (Value::Null, Value::Null);
        for record in [taken, unnamed] {
            let update = json!({"resource": url, "value": record});
            for (kind, body) in [("create", json!({"value": record})), ("update", update)] {
                let answer = ask(&mut mallory, &stage, kind, body).await?;
                ensure_eq!(
                    "INV-REG-5",
                    code(&answer),
                    403,
                    "the code of the answer to {kind} by another user"
                );
            }
        }
        let is = owner(&mut mallory, &stage, &url).await?;
        ensure_eq!("INV-REG-5", is, (json!(alice.runtime), 0), "the owner after that");
    }
    Ok(())
}

async fn nobodys(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let url = stage.object("o");
    let mut record = object_record(&stage, &alice, &url, "alice");
    (record["user"], record["guid"]) = (Value::Null, Value::Null);
    register(&mut alice, &stage, &record).await?;
    for user in [Value::Null, json!(stage.user("mallory"))] {
        let mut taken = object_record(&stage, &mallory, &url, "mallory");
        (taken["user"], taken["epoch"]) = (user, json!(9));
        let answer = ask(&mut mallory, &stage, "create", json!({"value": taken})).await?;
        ensure_eq!(
            "INV-REG-5",
            code(&answer),
            403,
            "the code of the answer to a takeover of nobody's object"
        );
    }
    let is = owner(&mut mallory, &stage, &url).await?;
    ensure_eq!("INV-REG-5", is, (json!(alice.runtime), 0), "the owner after that");
    Ok(())
}

async fn given_away(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut mallory = stage.open("mallory").await?;
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    let (to_bob, to_mallory) = (bob.runtime.clone(), mallory.runtime.clone());
    for to in [&to_bob, &to_mallory] {
        let answer = give(&mut mallory, &stage, &url, to, 9).await?;
        ensure_eq!(
            "INV-REG-5",
            code(&answer),
            403,
            "the code of the answer to who gives away another's object"
        );
    }
    let answer = give(&mut alice, &stage, &url, &to_bob, 0).await?;
    ensure_eq!("INV-REG-5", code(&answer), 403, "the code of the answer to who gives it at its own epoch");
    granted(&give(&mut alice, &stage, &url, &to_bob, 1).await?, "5.11", "an owner that gives it away")?;
    ensure_eq!("INV-REG-5", owner(&mut alice, &stage, &url).await?, (json!(to_bob), 1), "the owner");
    let own = alice.runtime.clone();
    let back = give(&mut alice, &stage, &url, &own, 1).await?;
    ensure!("INV-REG-5", code(&back) >= 400, "the former owner has it back: {back}");
    let mut own = object_record(&stage, &bob, &url, "bob");
    own["epoch"] = json!(1);
    register(&mut bob, &stage, &own).await?;
    Ok(())
}

/// Whose address it is registers it; and the epoch of another's registration is believed by nobody.
async fn first(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let url = alice.allocate(&stage, "comm", 1).await?.remove(0);
    let mut taken = object_record(&stage, &mallory, &url, "mallory");
    taken["epoch"] = json!(9);
    let answer = ask(&mut mallory, &stage, "create", json!({"value": taken})).await?;
    ensure_eq!(
        "INV-REG-5",
        code(&answer),
        403,
        "the code of the answer to who registers what another allocated"
    );
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    ensure_eq!("INV-REG-5", owner(&mut mallory, &stage, &url).await?, (json!(alice.runtime), 0), "the owner");
    Ok(())
}
