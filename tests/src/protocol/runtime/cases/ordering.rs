//! Changes as they arrive at the Observer's side (protocol 3.4, 3.5, 10.1, 10.2): applied, dropped, held, repaired.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following};
use crate::protocol::runtime::line::{expect_code, is, is_change};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-UPD-4/duplicates", ["INV-UPD-4", "INV-DOM-1"], [], duplicates),
        case!("INV-DOM-1/reordered", ["INV-DOM-1", "INV-SUB-1"], [], reordered),
        case!("INV-DOM-2/gap", ["INV-DOM-2", "INV-EXT-1", "INV-SUB-1"], [Since], gap),
        case!("INV-DOM-2/gap-and-a-snapshot", ["INV-DOM-2", "INV-EXT-1"], [], gap_and_a_snapshot),
        case!("INV-DOM-2/a-repair-that-fails", ["INV-DOM-2", "INV-EXT-2"], [], a_repair_that_fails),
        case!("INV-DOM-2/changes-during-a-repair", ["INV-DOM-2", "INV-SUB-1"], [], changes_during_a_repair),
        case!("3.2/snapshot-replaces", ["3.2", "INV-DOM-4"], [], snapshot_replaces),
        case!("INV-UPD-2/lower-epoch", ["INV-UPD-2", "M8"], [], lower_epoch),
        case!("INV-UPD-2/higher-epoch", ["INV-UPD-2", "M8"], [], higher_epoch),
        case!("INV-UPD-2/forged", ["INV-UPD-2"], [], forged),
        case!("3.4/without-version", ["3.4", "INV-UPD-1"], [], without_version),
        case!("INV-DOM-2/divergence", ["INV-DOM-2"], [], divergence),
        case!("INV-EXT-2/last-change-lost", ["INV-EXT-2"], [Beats], last_change_lost),
        case!("INV-EXT-3/wrong-copy", ["INV-EXT-3"], [Beats, Digest], wrong_copy),
        case!("3.3/every-kind-of-change", ["INV-DOM-3", "INV-UPD-1"], [], every_kind_of_change),
    ]
}

async fn observed(scene: &mut Scene) -> Verdict<(Author, Following)> {
    let mut author = Author::announce(scene, "author").await?;
    let following = Following::join(scene, "observer", &mut author, true).await?;
    Ok((author, following))
}

async fn duplicates(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    let mut sent = Vec::new();
    for n in 1..=5 {
        let message = author.commit("n", json!(n));
        author.line.send_message(&message);
        author.line.send_message(&message);
        sent.push(message);
    }
    sent.iter().for_each(|message| author.line.send_message(message));
    for n in 1..=5 {
        ensure_eq!("INV-UPD-4", following.update().await?["version"], json!(n), "each change once");
    }
    let object = author.object.clone();
    following.line.never("INV-UPD-4", "a change again", |message| is_change(message, &object)).await?;
    ensure_eq!("INV-DOM-1", following.data, author.data, "the copy");
    Ok(())
}

/// On a path that may reorder, or on one that keeps order and repairs at once: the copy is the same in the end.
async fn reordered(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    let messages: Vec<Value> = (1..=6).map(|n| author.commit("n", json!(n))).collect();
    for at in [1, 0, 3, 2, 5, 4, 0] {
        author.line.send_message(&messages[at]);
    }
    following.reach_served(scene, &mut author, ("INV-DOM-2", 6)).await?;
    ensure_eq!("INV-DOM-1", following.data, author.data, "the copy");
    let object = author.object.clone();
    following.line.never("INV-UPD-4", "a change again", |message| is_change(message, &object)).await
}

async fn gap(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.publish("n", json!(1));
    following.update().await?;
    for n in 2..=9 {
        author.commit("lost", json!(n));
    }
    author.publish("n", json!(10));
    let read = author.serve_read().await?;
    ensure_eq!("10.1", read["from"], json!(scene.sm()), "who repairs");
    ensure_eq!("10.1", read["body"]["criteria"]["since"]["version"], json!(1), "since when");
    for n in 2..=10 {
        ensure_eq!(
            "INV-EXT-1",
            following.update().await?["version"],
            json!(n),
            "what was missed, one by one"
        );
    }
    ensure_eq!("INV-DOM-2", following.data, author.data, "the copy after a repair by changes");
    let object = author.object.clone();
    author.line.never("INV-DOM-2", "another repair", |message| is(message, "read", &object)).await?;
    following.line.never("INV-UPD-4", "a change again", |message| is_change(message, &object)).await?;
    author.publish("n", json!(11));
    ensure_eq!("INV-DOM-2", following.update().await?["version"], json!(11), "the stream after it");
    Ok(())
}

async fn gap_and_a_snapshot(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    for n in 1..=5 {
        author.commit("lost", json!(n));
    }
    author.log.clear();
    author.publish("n", json!(6));
    following.reach_served(scene, &mut author, ("INV-DOM-2", 6)).await?;
    ensure_eq!("INV-EXT-1", following.data, author.data, "the copy after a repair by snapshot");
    author.publish("n", json!(7));
    ensure_eq!("INV-DOM-2", following.update().await?["version"], json!(7), "the stream after it");
    Ok(())
}

/// Refused for a moment, unanswered, unusable, gone astray: it is tried again until it succeeds.
async fn a_repair_that_fails(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.commit("lost", json!(1));
    author.publish("n", json!(2));
    let failures = [
        json!({"code": 500, "desc": "not now"}),
        json!({"code": 404, "desc": "no route", "reason": "no-route", "source": scene.mn()}),
        json!({"code": 200, "recovered": false, "value": {"nonsense": true}}),
    ];
    for failure in failures {
        let read = author.read_request("INV-DOM-2").await?;
        author.line.answer(&read, failure);
        let object = author.object.clone();
        following.line.never("INV-DOM-2", "a change over the hole", |m| is_change(m, &object)).await?;
    }
    following.reach_served(scene, &mut author, ("INV-DOM-2", 2)).await?;
    ensure_eq!("INV-DOM-2", following.data, author.data, "the copy");
    Ok(())
}

async fn changes_during_a_repair(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.commit("lost", json!(1));
    author.publish("n", json!(2));
    let read = author.read_request("INV-DOM-2").await?;
    author.publish("n", json!(3));
    author.answer_read(&read);
    author.publish("n", json!(4));
    following.reach_served(scene, &mut author, ("INV-DOM-2", 4)).await?;
    ensure_eq!("INV-SUB-1", following.data, author.data, "the copy");
    let object = author.object.clone();
    following.line.never("INV-UPD-4", "a change again", |message| is_change(message, &object)).await
}

/// What is not in a snapshot is not in the copy after it; one that is older than the copy changes nothing.
async fn snapshot_replaces(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.publish("extra", json!(1));
    following.update().await?;
    author.data = json!({"topic": "whole"});
    author.version = 5;
    author.log.clear();
    author.publish("n", json!(6));
    following.reach_served(scene, &mut author, ("INV-DOM-2", 6)).await?;
    let wanted = json!({"topic": "whole", "n": 6});
    let copy = following.read(scene).await?;
    ensure_eq!(
        "3.2",
        copy["body"]["value"]["data"],
        wanted,
        "the copy after a snapshot without a member it had"
    );

    // An older one, asked for by a gap, and then the truth.
    let mut older = author.snapshot();
    older["version"] = json!(3);
    older["data"] = json!({"topic": "old"});
    author.commit("lost", json!(7));
    author.publish("n", json!(8));
    let read = author.read_request("INV-DOM-2").await?;
    author.line.answer(&read, json!({"code": 200, "recovered": false, "value": older}));
    let copy = following.read(scene).await?;
    let version = copy["body"]["value"]["version"].as_u64().unwrap_or(0);
    ensure!("3.2", version >= 6, "an older snapshot was taken: {copy}");
    following.reach_served(scene, &mut author, ("INV-DOM-2", 8)).await?;
    let copy = following.read(scene).await?;
    ensure_eq!("3.2", copy["body"]["value"]["data"], author.data, "the copy in the end");
    Ok(())
}

async fn lower_epoch(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    author.epoch = 2;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    for epoch in [0, 1] {
        let body = json!({"version": 1, "epoch": epoch, "attribute": "topic", "value": "fenced"});
        author.line.send_message(&author.message("update", body));
    }
    let object = author.object.clone();
    following.line.never("INV-UPD-2", "a change of a former epoch", |m| is_change(m, &object)).await?;
    author.publish("topic", json!("b"));
    ensure_eq!(
        "INV-UPD-2",
        following.update().await?["value"],
        json!("b"),
        "the change of the present epoch"
    );
    ensure_eq!("INV-UPD-2", following.data, author.data, "the copy");
    Ok(())
}

async fn higher_epoch(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.publish("topic", json!("b"));
    following.update().await?;
    author.new_epoch(json!({"topic": "anew"}));
    author.publish("n", json!(3));
    let object = author.object.clone();
    let read =
        author.line.until("M8", "a read of the new epoch", |message| is(message, "read", &object)).await?;
    author.answer_read(&read);
    ensure_eq!("M8", read["from"], json!(scene.sm()), "who fetches the new epoch");
    // Whatever way its Sync Manager tells: its copy is that of the new epoch.
    let copy = following.copy_when(scene, |copy| copy["epoch"] == 1).await?;
    ensure_eq!("M8", copy["epoch"], json!(1), "the epoch of the copy");
    ensure_eq!("M8", copy["data"], author.data, "the copy of the new epoch");
    // What the former Reporter still says is nothing any more.
    let body = json!({"version": 4, "epoch": 0, "attribute": "topic", "value": "fenced"});
    author.line.send_message(&author.message("update", body));
    author.publish("n", json!(4));
    following.reach(scene, "INV-UPD-2", 4).await?;
    let copy = following.read(scene).await?;
    ensure_eq!("INV-UPD-2", copy["body"]["value"]["data"], author.data, "the copy");
    Ok(())
}

async fn forged(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    let changes = format!("{}/changes", author.object);
    let stranger = scene.hyperty("stranger");
    let seat = scene.seat("stranger")?;
    let body = json!({"version": 1, "attribute": "topic", "value": "forged"});
    // From outside in the name of others, and with the source of another; from inside in the name of O.
    for from in [stranger.clone(), author.hyperty.clone(), format!("{}/subscription", author.object)] {
        author.line.send("update", &from, &changes, body.clone());
    }
    let mut sourced = body.clone();
    sourced["source"] = json!(stranger);
    author.line.send_message(&author.message("update", sourced));
    seat.send("update", &author.object, &changes, body.clone());
    following.line.send("update", &author.object, &changes, body.clone());
    author.line.send("delete", &author.object, &changes, json!({"resource": author.object}));
    author.line.send("delete", &stranger, &changes, json!({"resource": author.object}));
    seat.send(
        "delete",
        &format!("{}/subscription", author.object),
        &changes,
        json!({"resource": author.object}),
    );
    let unwanted = |message: &Value| {
        is(message, "update", &changes) && message["body"]["value"] == "forged"
            || is(message, "delete", &changes)
    };
    following.line.never("INV-UPD-2", "what is not the Reporter's", unwanted).await?;
    author.publish("topic", json!("b"));
    following.reach_served(scene, &mut author, ("INV-DOM-2", 1)).await?;
    ensure_eq!("INV-UPD-2", following.data, author.data, "the copy");
    Ok(())
}

async fn without_version(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    for n in 1..=3 {
        let mut message = author.commit("n", json!(n));
        message["body"]["version"].take();
        if let Some(body) = message["body"].as_object_mut() {
            body.remove("version");
        }
        author.line.send_message(&message);
        let told = following.update().await?;
        ensure_eq!("3.4", told["value"], json!(n), "a change without version");
    }
    following.version = 3;
    author.publish("n", json!(4));
    ensure_eq!("3.4", following.update().await?["version"], json!(4), "the numbered change after it");
    ensure_eq!("INV-UPD-1", following.data, author.data, "the copy");
    Ok(())
}

async fn divergence(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    // A change that does not fit this copy: it must have missed something.
    author.version += 1;
    author.data = json!({"topic": "a", "list": [1]});
    let body = json!({"version": 1, "attribute": "list.0", "attributeType": "array", "operation": "add", "value": [1]});
    author.line.send_message(&author.message("update", body));
    let read = author.read_request("INV-DOM-2").await?;
    author.line.answer(&read, json!({"code": 200, "value": author.snapshot()}));
    let copy = following.copy_when(scene, |copy| copy["data"] == author.data).await?;
    ensure_eq!("INV-DOM-2", copy["data"], author.data, "the copy");
    following.line.rest().await;
    author.publish("n", json!(2));
    following.reach_served(scene, &mut author, ("INV-DOM-2", 2)).await
}

async fn last_change_lost(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.publish("n", json!(1));
    following.update().await?;
    author.commit("n", json!(2));
    author.beat();
    following.reach_served(scene, &mut author, ("INV-EXT-2", 2)).await?;
    ensure_eq!("INV-EXT-2", following.data, author.data, "the copy");
    // A position that is known already, or an older one, changes nothing and asks for nothing.
    author.beat();
    let body = json!({"version": 1, "epoch": 0, "attributeType": "position"});
    author.line.send_message(&author.message("update", body));
    let object = author.object.clone();
    author.line.never("INV-EXT-2", "a read for nothing", |message| is(message, "read", &object)).await?;
    following.line.never("INV-UPD-4", "a change", |message| is_change(message, &object)).await
}

async fn wrong_copy(scene: &mut Scene) -> Verdict {
    let (mut author, mut following) = observed(scene).await?;
    author.publish("n", json!(1));
    following.update().await?;
    // The author's data is not what its changes made: a fault that only a digest shows.
    author.data = json!({"topic": "really", "n": 1});
    author.log.clear();
    let body = json!({"version": 1, "epoch": 0, "attributeType": "position", "digest": "0123456789abcdef"});
    author.line.send_message(&author.message("update", body));
    let read = author.read_request("INV-EXT-3").await?;
    author.line.answer(&read, json!({"code": 200, "recovered": false, "value": author.snapshot()}));
    let copy = following.copy_when(scene, |copy| copy["data"] == author.data).await?;
    ensure_eq!("INV-EXT-3", copy["data"], author.data, "the copy after a digest that differs");
    Ok(())
}

async fn every_kind_of_change(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    author.data = json!({"topic": "a", "list": [1, 2], "map": {"x.y": 1}, "gone": 1});
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let changes = [
        json!({"attribute": "nothing", "value": null}),
        json!({"attribute": "gone"}),
        json!({"attribute": "map.x.y", "value": 2}),
        json!({"attribute": "list.1", "attributeType": "array", "operation": "add", "value": ["i"]}),
        json!({"attribute": "list.0", "attributeType": "array", "operation": "add", "value": "single"}),
        json!({"attribute": "list.0", "attributeType": "array", "operation": "remove"}),
        json!({"attribute": "list.2", "attributeType": "array", "value": [9]}),
        json!({"attribute": "double", "value": 0.1}),
    ];
    for (n, mut body) in changes.into_iter().enumerate() {
        author.version = n as u64 + 1;
        body["version"] = json!(author.version);
        author.line.send_message(&author.message("update", body));
        ensure_eq!("INV-DOM-3", following.update().await?["version"], json!(n + 1), "the change");
    }
    scene.stage.wait(Duration::ZERO, "the copy").await?;
    let copy = following.read(scene).await?;
    expect_code("INV-DOM-3", &copy, &[200], "reading the copy")?;
    let wanted =
        json!({"topic": "a", "list": [1, "i", [9]], "map": {"x.y": 2}, "nothing": null, "double": 0.1});
    ensure_eq!("INV-DOM-3", copy["body"]["value"]["data"], wanted, "what the changes make");
    Ok(())
}
