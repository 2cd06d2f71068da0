//! What the side of an observer makes of children that it receives (protocol 5.9).

use std::time::Duration;

use serde_json::{Value, json};

use super::children::edit;
use crate::protocol::Verdict;
use crate::protocol::runtime::actors::{Author, Following, child};
use crate::protocol::runtime::line::{expect_code, is};
use crate::protocol::runtime::scene::Scene;
use crate::{ensure, ensure_eq};

pub(super) async fn of_others(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut one = Following::join(scene, "one", &mut author, true).await?;
    let mut two = Following::join(scene, "two", &mut author, false).await?;
    let channel = format!("{}/children/notes", author.object);
    let writer = author.hyperty.clone();
    let id = format!("{writer}#1");
    let create = child(&author.object, &writer, 1, json!({"text": "hi"}));
    let operations =
        [("create", create), ("update", edit(&id, 1, "hi!")), ("delete", json!({"resource": id}))];
    for (kind, body) in operations {
        let message =
            json!({"id": author.line.next_id(), "type": kind, "from": writer, "to": channel, "body": body});
        author.line.send_message(&message);
        author.line.send_message(&message);
        for following in [&mut one, &mut two] {
            following.line.until("INV-CHD-3", "the operation", |m| is(m, kind, &channel)).await?;
            following.line.never("INV-CHD-3", "the operation again", |m| is(m, kind, &channel)).await?;
        }
    }
    // Another's child is only its own.
    let create = child(&author.object, &writer, 2, json!({"text": "mine"}));
    author.line.send("create", &writer, &channel, create);
    one.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
    let forged = edit(&format!("{writer}#2"), 1, "forged");
    author.line.send("update", &scene.hyperty("stranger"), &channel, forged.clone());
    two.line.send("update", &two.line.url, &channel, forged.clone());
    let unwanted = |m: &Value| is(m, "update", &channel) && m["body"]["value"] == "forged";
    one.line.never("INV-CHD-2", "a change by another", unwanted).await?;
    author.line.never("INV-CHD-2", "a change that is not its writer's", unwanted).await?;
    // Nobody makes one in another's name.
    let forged = child(&author.object, &writer, 3, json!({"text": "forged"}));
    author.line.send("create", &scene.hyperty("stranger"), &channel, forged.clone());
    let id = two.line.send("create", &two.line.url, &channel, forged);
    let answer = two.line.final_answer(&id).await?;
    expect_code("INV-CHD-2", &answer, &[400, 403], "a child in another's name")?;
    let unwanted = |m: &Value| is(m, "create", &channel) && m["body"]["value"]["data"]["text"] == "forged";
    one.line.never("INV-CHD-2", "a child in another's name", unwanted).await?;
    author.line.never("INV-CHD-2", "a child in another's name", unwanted).await
}

/// Children that a snapshot does not have, has changed, or has as deleted.
pub(super) async fn snapshot_of_children(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let channel = format!("{}/children/notes", author.object);
    let writer = author.hyperty.clone();
    for number in 1..=2 {
        let body = child(&author.object, &writer, number, json!({"text": "old"}));
        author.line.send("create", &writer, &channel, body);
        following.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
    }
    let mut second = child(&author.object, &writer, 2, json!({"text": "new"}));
    second["value"]["version"] = json!(4);
    let third = child(&author.object, &writer, 3, json!({"text": "third"}));
    author.children = json!({"notes": {
        format!("{writer}#2"): {"value": second["value"]}, format!("{writer}#3"): {"value": third["value"]},
    }, "news": {}});
    author.log.clear();
    author.version += 1;
    author.publish("n", json!(2));
    author.serve_read().await?;
    // A child that the Reporter does not have may be under way to it: only a difference that stays is a loss.
    let (object, first) = (author.object.clone(), format!("{writer}#1"));
    let mut found = Value::Null;
    for _ in 0..30 {
        while let Some(read) = author.line.maybe(|message| is(message, "read", &object)).await {
            author.answer_read(&read);
        }
        let copy = following.read(scene).await?;
        found = copy["body"]["value"]["childrenObjects"]["notes"].clone();
        if found[&first].is_null() {
            break;
        }
        scene.stage.wait(Duration::from_secs(1), "a difference that stays").await?;
    }
    let text = |number: u64| found[format!("{writer}#{number}")]["value"]["data"]["text"].clone();
    ensure_eq!("INV-CHD-1", (text(2), text(3)), (json!("new"), json!("third")), "the children in the copy");
    ensure!("INV-CHD-1", text(1).is_null(), "a child that the snapshot does not have: {found}");
    // Nothing late brings it back to life.
    author.line.send("update", &writer, &channel, edit(&format!("{writer}#1"), 1, "late"));
    let gone = json!(first);
    let unwanted = |m: &Value| is(m, "update", &channel) && m["body"]["resource"] == gone;
    following.line.never("M18", "a change of a child that is gone", unwanted).await
}
