//! Records of objects that are kept for the devices of their users (protocol 5.19).

use serde_json::{Value, json};

use super::NodeCase;
use super::registry::{object_record, register};
use super::stage::{NodeStage, granted, node_cases, refused_by_node};
use crate::protocol::Verdict;
use crate::protocol::client::{Client, code};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "5.19/save-list-fetch-remove" checks ["5.19"] needs [Backup, Allocation] => life;
        "5.19/in-parts" checks ["5.19"] needs [Backup, Allocation] => parts;
        "INV-BAK-3/own-user-only" checks ["INV-BAK-3"] needs [Backup, Allocation] => own_user_only;
        "INV-BAK-3/whose-the-object-is" checks ["INV-BAK-3"] needs [Backup, Allocation] => holder_only;
        "INV-BAK-4/later-state-stays" checks ["INV-BAK-4"] needs [Backup, Allocation] => later_state;
        "INV-BAK-4/epoch-before-version" checks ["INV-BAK-4"] needs [Backup, Allocation, Registry] => epochs;
        "INV-BAK-5/kept-over-a-restart" checks ["INV-BAK-5"] needs [Backup, Allocation, Restart] => restart;
    }
}

async fn ask(client: &mut Client, stage: &NodeStage, kind: &str, body: Value) -> Verdict<Value> {
    let (from, to) = (format!("{}/backup", client.runtime), stage.backup());
    client.request(kind, &from, &to, body).await
}

/// A record of one part.
fn record(stage: &NodeStage, object: &str, user: &str, at: (u64, u64), text: &str) -> Value {
    let (epoch, version) = at;
    json!({
        "resource": object, "role": "reporter", "user": stage.user(user),
        "epoch": epoch, "version": version, "bytes": text.len(), "parts": 1, "part": 1, "text": text,
    })
}

async fn save(client: &mut Client, stage: &NodeStage, record: Value) -> Verdict<Value> {
    ask(client, stage, "create", record).await
}

/// The answer to a read of a record by a user.
async fn fetch(client: &mut Client, stage: &NodeStage, object: &str, user: &str) -> Verdict<Value> {
    ask(client, stage, "read", json!({"resource": object, "role": "reporter", "user": stage.user(user)}))
        .await
}

async fn list(client: &mut Client, stage: &NodeStage, role: &str, user: &str) -> Verdict<Vec<Value>> {
    let answer = ask(client, stage, "read", json!({"role": role, "user": stage.user(user)})).await?;
    granted(&answer, "5.19", "a list")?;
    Ok(answer["body"]["value"].as_array().cloned().unwrap_or_default())
}

async fn life(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let saved = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 3), "{\"ü\":1}")).await?;
    granted(&saved, "5.19", "a record")?;
    let mut tablet = stage.open_for("tablet", "alice").await?;
    let found = list(&mut tablet, &stage, "reporter", "alice").await?;
    ensure_eq!("5.19", found.len(), 1, "the number of records of the user");
    let expected =
        json!({"resource": object, "runtime": phone.runtime, "epoch": 0, "version": 3, "bytes": 8});
    ensure_eq!("5.19", found[0], expected, "the entry of the list");
    ensure!(
        "5.19",
        list(&mut tablet, &stage, "observer", "alice").await?.is_empty(),
        "an observation is listed"
    );
    let fetched = fetch(&mut tablet, &stage, &object, "alice").await?;
    ensure_eq!("5.19", fetched["body"]["text"], json!("{\"ü\":1}"), "the record that another device fetches");
    let removal = json!({"resource": object, "role": "reporter", "user": stage.user("alice"), "epoch": 0, "version": 3});
    let early = ask(&mut tablet, &stage, "delete", removal.clone()).await?;
    refused_by_node(
        &stage,
        &early,
        409,
        "5.19",
        "a removal by a device that has not gone on with the object",
    )?;
    for time in ["", " again"] {
        let removed = ask(&mut phone, &stage, "delete", removal.clone()).await?;
        ensure_eq!("5.19", code(&removed), 200, "the code of the answer to the removal{time}");
    }
    let gone = fetch(&mut tablet, &stage, &object, "alice").await?;
    ensure_eq!("5.19", code(&gone), 404, "the code of the answer to a read of what was removed");
    Ok(())
}

async fn parts(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let pieces = ["a".repeat(30_000), "b".repeat(30_000), "c".repeat(10)];
    let whole = pieces.concat();
    let mut head = record(&stage, &object, "alice", (0, 1), &pieces[0]);
    for (member, value) in [("bytes", json!(whole.len())), ("parts", json!(3)), ("transfer", json!("t"))] {
        head[member] = value;
    }
    granted(&save(&mut phone, &stage, head).await?, "5.19", "the first part")?;
    for part in [3, 2] {
        let text = &pieces[part - 1];
        let early = fetch(&mut phone, &stage, &object, "alice").await?;
        ensure_eq!("5.19", code(&early), 404, "the code of the answer to a read before all parts are there");
        let body = json!({"user": stage.user("alice"), "transfer": "t", "part": part, "text": text});
        granted(&save(&mut phone, &stage, body).await?, "5.19", "another part")?;
    }
    let first = fetch(&mut phone, &stage, &object, "alice").await?;
    ensure_eq!("5.19", first["body"]["bytes"], json!(whole.len()), "the length that is told");
    let mut text = first["body"]["text"].as_str().unwrap_or_default().to_owned();
    for part in 2..=first["body"]["parts"].as_u64().unwrap_or(1) {
        let body = json!({
            "resource": object, "role": "reporter", "user": stage.user("alice"),
            "transfer": first["body"]["transfer"], "part": part,
        });
        let next = ask(&mut phone, &stage, "read", body).await?;
        text.push_str(next["body"]["text"].as_str().unwrap_or_default());
    }
    ensure!("5.19", text == whole, "what is fetched in parts is not what was saved in parts");
    Ok(())
}

async fn own_user_only(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let saved = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 3), "alice's")).await?;
    granted(&saved, "5.19", "a record")?;
    let mut eve = stage.open("eve").await?;
    let fetched = fetch(&mut eve, &stage, &object, "eve").await?;
    ensure!("INV-BAK-3", code(&fetched) >= 400, "a stranger reads a record: {fetched}");
    ensure!("INV-BAK-3", fetched["body"]["text"].is_null(), "a refusal brings the record: {fetched}");
    let found = list(&mut eve, &stage, "reporter", "eve").await?;
    ensure!("INV-BAK-3", found.is_empty(), "a stranger is told of a record: {found:?}");
    let removal =
        json!({"resource": object, "role": "reporter", "user": stage.user("eve"), "epoch": 9, "version": 0});
    let removed = ask(&mut eve, &stage, "delete", removal).await?;
    ensure!("INV-BAK-3", code(&removed) >= 400, "a stranger removes a record: {removed}");
    let kept = fetch(&mut phone, &stage, &object, "alice").await?;
    ensure_eq!("INV-BAK-3", kept["body"]["text"], json!("alice's"), "the record after a stranger came");
    Ok(())
}

async fn holder_only(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let saved = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 3), "alice's")).await?;
    granted(&saved, "5.19", "a record")?;
    let mut eve = stage.open("eve").await?;
    let forged = save(&mut eve, &stage, record(&stage, &object, "eve", (7, 0), "eve's")).await?;
    refused_by_node(&stage, &forged, 403, "INV-BAK-3", "a record of an object that another runtime has")?;
    let kept = fetch(&mut phone, &stage, &object, "alice").await?;
    ensure_eq!("INV-BAK-3", kept["body"]["text"], json!("alice's"), "the record after a stranger came");
    Ok(())
}

async fn later_state(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    for (at, text) in [((0, 5), "five"), ((0, 5), "five, and a child")] {
        let saved = save(&mut phone, &stage, record(&stage, &object, "alice", at, text)).await?;
        granted(&saved, "INV-BAK-4", "a state that is no older")?;
    }
    let older = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 4), "four")).await?;
    refused_by_node(&stage, &older, 409, "INV-BAK-4", "an older state")?;
    let kept = fetch(&mut phone, &stage, &object, "alice").await?;
    ensure_eq!(
        "INV-BAK-4",
        kept["body"]["text"],
        json!("five, and a child"),
        "the record after an older one came"
    );
    Ok(())
}

async fn epochs(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let mine = object_record(&stage, &phone, &object, "alice");
    register(&mut phone, &stage, &mine).await?;
    let saved = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 9), "phone's")).await?;
    granted(&saved, "INV-BAK-4", "a record")?;
    // A session that ends in order leaves its objects to the user's others at once.
    phone.close().await?;
    let mut tablet = stage.open_for("tablet", "alice").await?;
    let mut theirs = object_record(&stage, &tablet, &object, "alice");
    theirs["epoch"] = json!(1);
    register(&mut tablet, &stage, &theirs).await?;
    let saved = save(&mut tablet, &stage, record(&stage, &object, "alice", (1, 6), "tablet's")).await?;
    granted(&saved, "INV-BAK-4", "a record of a later epoch, of who took the object over")?;
    let mut phone = stage.open_for("phone", "alice").await?;
    let late = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 12), "too late")).await?;
    ensure!("INV-BAK-4", code(&late) >= 400, "a record of an epoch that is over is taken: {late}");
    let kept = fetch(&mut phone, &stage, &object, "alice").await?;
    ensure_eq!(
        "INV-BAK-4",
        kept["body"]["text"],
        json!("tablet's"),
        "the record after the former owner came"
    );
    Ok(())
}

async fn restart(stage: NodeStage) -> Verdict {
    let mut phone = stage.open_for("phone", "alice").await?;
    let object = phone.allocate(&stage, "comm", 1).await?.remove(0);
    let saved = save(&mut phone, &stage, record(&stage, &object, "alice", (0, 3), "three")).await?;
    granted(&saved, "5.19", "a record")?;
    drop(phone);
    stage.restart().await?;
    let mut tablet = stage.open_for("tablet", "alice").await?;
    let kept = fetch(&mut tablet, &stage, &object, "alice").await?;
    ensure_eq!(
        "INV-BAK-5",
        kept["body"]["text"],
        json!("three"),
        "what was acknowledged before the node stopped"
    );
    Ok(())
}
